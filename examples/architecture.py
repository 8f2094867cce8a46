"""Search the shape of a network with its rates: kinds of net, widths, depths and activations, on MNIST-1D.

Run: python examples/architecture.py [trials] [seed]

Each setting of the structural dimensions is a program of its own, compiled when it is first proposed. MNIST-1D is
generated, nothing is downloaded: `pip install mnist1d`. Published test accuracies (Greydanus and Kobak, "Scaling down
deep learning with MNIST-1D", https://arxiv.org/abs/2011.14439): logistic regression 32%, MLP 68%, GRU 91%, CNN 94%.
"""

import sys

import jax.numpy as jnp
import optax
from flax import nnx

import jaxhpt

ROWS, CLASSES, PATCH = 40, 10, 4  # numbers of a row; a GRU reads four at a time
ACTIVATIONS = [nnx.relu, nnx.silu, jnp.tanh]
SPACE = {
    "kind": jaxhpt.Choice(["mlp", "cnn", "gru"], structural=True),
    "width": jaxhpt.Choice([16, 32, 64], structural=True),
    "depth": jaxhpt.Int(1, 3, structural=True),
    "act": jaxhpt.Choice(ACTIVATIONS, structural=True),
    "lr": jaxhpt.Float(1e-3, 3e-2, log=True),
    "decay": jaxhpt.Float(1e-5, 1e-1, log=True),
}


def load():
    """Return ((x, y), (x, y), (x, y)) for training, validation and test: 3,000, 1,000 and 1,000 rows."""
    from mnist1d.data import get_dataset_args, make_dataset

    data = make_dataset(get_dataset_args())
    x, y = data["x"].astype("float32"), data["y"].astype("int32")
    test = data["x_test"].astype("float32"), data["y_test"].astype("int32")
    return (x[:3000], y[:3000]), (x[3000:], y[3000:]), test


class Net(nnx.Module):
    """A stack of layers of one kind; the kind, the width and the depth are plain Python here."""

    def __init__(self, h, rngs):
        self.kind, self.act = h["kind"], h["act"]
        width = h["width"]
        first = {"mlp": ROWS, "cnn": 1, "gru": PATCH}[self.kind]
        sizes = [(first, width), *[(width, width)] * (h["depth"] - 1)]
        make = {
            "mlp": lambda a, b: nnx.Linear(a, b, rngs=rngs),
            "cnn": lambda a, b: nnx.Linear(5 * a, b, rngs=rngs),
            "gru": lambda a, b: nnx.RNN(nnx.GRUCell(a, b, activation_fn=self.act, rngs=rngs)),
        }[self.kind]
        self.layers = nnx.List([make(a, b) for a, b in sizes])
        self.head = nnx.Linear(width, CLASSES, rngs=rngs)

    def __call__(self, x):
        x = x.reshape(len(x), *{"mlp": (ROWS,), "cnn": (ROWS, 1), "gru": (ROWS // PATCH, PATCH)}[self.kind])
        for layer in self.layers:
            x = windows(x) if self.kind == "cnn" else x
            x = layer(x) if self.kind == "gru" else self.act(layer(x))
        return self.head(x if self.kind == "mlp" else x.max(1) if self.kind == "cnn" else x[:, -1])


def windows(x, size=5):
    """Return the neighbours of each place, [B, T, C] -> [B, T / 2, size C]: a convolution of stride 2 is a product."""
    padded = jnp.pad(x, ((0, 0), (size // 2, size // 2), (0, 0)))
    return jnp.concatenate([padded[:, i : i + x.shape[1] : 2] for i in range(size)], axis=-1)


def training(train, valid, steps=600):
    """Return the task: AdamW with a cosine schedule."""
    return jaxhpt.FlaxTask(
        lambda h, rngs: Net(h, rngs),
        lambda h: optax.adamw(jaxhpt.traced.cosine_decay_schedule(h["lr"], steps), weight_decay=h["decay"]),
        train_data=train,
        valid_data=valid,
        batch_size=100,
        steps=steps,
    )


def main(trials=128, seed=0, steps=600, space=None, **options):
    """Search; print the report, and how good the winner is on rows that chose nothing."""
    train, valid, (x, y) = load()
    scheduler = jaxhpt.ASHA(eta=3, min_steps=max(1, steps // 30))
    given = {"algorithm": "tpe", "scheduler": scheduler, **options}
    result = jaxhpt.search(training(train, valid, steps), space or SPACE, trials=trials, seed=seed, **given)
    outputs = nnx.jit(lambda model, x: model(x))(result.best_state, x)
    accuracy = float((outputs.argmax(-1) == y).mean())
    print(result)
    print(f"{accuracy:.3f} on the test rows")
    return result, accuracy


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
