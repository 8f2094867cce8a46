"""Tune 1,024 small networks on scikit-learn's digits, side by side, in one program on the device.

Run: python examples/quickstart.py [trials]
"""

import sys

import optax
from flax import nnx
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import jaxhpt


class MLP(nnx.Module):
    """64 inputs, one hidden layer, 10 classes."""

    def __init__(self, dropout, rngs):
        self.hidden = nnx.Linear(64, 64, rngs=rngs)
        self.dropout = jaxhpt.traced.NnxDropout(dropout, rngs=rngs)
        self.out = nnx.Linear(64, 10, rngs=rngs)

    def __call__(self, x):
        return self.out(self.dropout(nnx.relu(self.hidden(x))))


def load():
    """Return digits as ((x, y) for training, (x, y) for validation): 1,437 and 360 rows."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16.0).astype("float32")
    x_train, x_valid, y_train, y_valid = train_test_split(x, y, test_size=360, random_state=0, stratify=y)
    return (x_train, y_train), (x_valid, y_valid)


def training(train, valid):
    """Return what is tuned."""
    return jaxhpt.FlaxTask(
        model=lambda h, rngs: MLP(h["dropout"], rngs),
        optimizer=lambda h: optax.adamw(h["lr"], b1=h["b1"], weight_decay=h["weight_decay"]),
        train_data=train,
        valid_data=valid,
        batch_size=128,
        steps=300,
    )


def main(trials=1024, **options):
    """Search learning rate, weight decay, momentum and dropout; print the report."""
    train, valid = load()
    space = {
        "lr": jaxhpt.Float(1e-4, 1e-1, log=True),
        "b1": jaxhpt.Float(0.5, 0.99),
        "weight_decay": jaxhpt.Float(1e-6, 1e-1, log=True),
        "dropout": jaxhpt.Float(0.0, 0.5),
    }
    result = jaxhpt.search(training(train, valid), space, trials=trials, **options)
    print(result)
    model = result.best_state  # the winner: an nnx module with its trained weights
    accuracy = (model(valid[0]).argmax(-1) == valid[1]).mean()
    print(f"best validation accuracy {accuracy:.4f}, by the model itself; {result.best.hparams}")
    return result


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
