"""Tune a Flax linen network on scikit-learn's diabetes, and compare it with ridge regression.

Every trial has a batch size and a number of epochs of its own, so the lanes end at different times and are refilled.
Run: python examples/linen_regression.py [trials]
"""

import sys

import optax
from flax import linen as nn
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split

import jaxhpt

ROWS = 242  # for training; 100 choose the winner, and 100 that nothing has seen judge it


class MLP(nn.Module):
    """10 inputs, two hidden layers, one number."""

    dropout: float

    @nn.compact
    def __call__(self, x, train=False):
        for _ in range(2):
            x = nn.relu(nn.BatchNorm(use_running_average=not train)(nn.Dense(32)(x)))
            x = jaxhpt.traced.LinenDropout(self.dropout)(x, deterministic=not train)
        return nn.Dense(1)(x)[:, 0]


def load():
    """Return diabetes as three pairs (x, y), training, validation and test, in units of the training rows' spread."""
    x, y = load_diabetes(return_X_y=True)
    x, x_rest, y, y_rest = train_test_split(x, y, train_size=ROWS, random_state=0)
    x_valid, x_test, y_valid, y_test = train_test_split(x_rest, y_rest, test_size=100, random_state=0)

    def scaled(inputs, targets):
        return ((inputs - x.mean(0)) / x.std(0)).astype("float32"), ((targets - y.mean()) / y.std()).astype("float32")

    return scaled(x, y), scaled(x_valid, y_valid), scaled(x_test, y_test)


def optimizer(h):
    """Warm up for a tenth of the trial's own steps, then decay to zero at its last."""
    steps = h["epochs"] * -(-ROWS // h["batch_size"])
    schedule = jaxhpt.traced.warmup_cosine_decay_schedule(0.0, h["lr"], steps // 10, steps)
    return optax.adamw(schedule, weight_decay=h["weight_decay"])


def ridge(train, valid):
    """Fit ridge regression, its strength chosen on the validation rows as well."""
    fits = [Ridge(alpha=10.0 ** (power / 4)).fit(*train) for power in range(-8, 17)]
    return max(fits, key=lambda fit: fit.score(*valid))


def main(trials=512):
    """Search learning rate, weight decay, dropout, batch size and epochs; print the report and the comparison."""
    train, valid, test = load()
    task = jaxhpt.FlaxTask(
        model=lambda h: MLP(h["dropout"]),
        optimizer=optimizer,
        train_data=train,
        valid_data=valid,
        loss="mse",
    )
    space = {
        "lr": jaxhpt.Float(1e-4, 1e-1, log=True),
        "weight_decay": jaxhpt.Float(1e-4, 1.0, log=True),
        "dropout": jaxhpt.Float(0.0, 0.6),
        "batch_size": [32, 64, 128],
        "epochs": [10, 20, 40],
    }
    result = jaxhpt.search(task, space, trials=trials)
    print(result)
    model, linear = MLP(result.best.hparams["dropout"]), ridge(train, valid)
    print("R2         network  ridge")
    for name, (x, y) in (("validation", valid), ("test", test)):
        outputs = model.apply(result.best_state, x)  # linen's variables: weights and BatchNorm statistics
        print(f"{name:10} {r2_score(y, outputs):7.3f}  {linear.score(x, y):5.3f}")
    return result


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
