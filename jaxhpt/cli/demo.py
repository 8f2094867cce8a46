"""What `jaxhpt demo` tunes: networks that tell two spirals apart, of data made here."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxhpt.core.dimensions import Float
from jaxhpt.core.typing import Array, Hparams
from jaxhpt.training.task import task

ROWS, TURNS, NOISE, WIDTH = 400, 1.5, 0.06, 24
SPACE = {
    "lr": Float(1e-3, 1.0, log=True),
    "momentum": Float(0.0, 0.98),
    "decay": Float(1e-6, 1e-2, log=True),
    "scale": Float(0.3, 5.0, log=True),  # of the first weights
}


def spirals(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return points f32[ROWS, 2] of two spirals, and of which they are, f32[ROWS]."""
    draw = np.random.default_rng(seed)
    which, along = draw.integers(0, 2, ROWS), np.sqrt(draw.uniform(0.02, 1.0, ROWS))
    angle = 2 * np.pi * TURNS * along + np.pi * which
    points = along[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1) + draw.normal(0, NOISE, (ROWS, 2))
    return points.astype(np.float32), which.astype(np.float32)


def _optimizer(h: Hparams) -> optax.GradientTransformation:
    return optax.chain(optax.add_decayed_weights(h["decay"]), optax.sgd(h["lr"], momentum=h["momentum"]))


def _logits(weights: dict[str, Array], x: Array) -> Array:
    for name in ("first", "second"):
        x = jnp.sin(x @ weights[name])
    return (x @ weights["last"])[:, 0]


def _init(key: Array, h: Hparams) -> dict:
    shapes = {"first": (2, WIDTH), "second": (WIDTH, WIDTH), "last": (WIDTH, 1)}
    keys = jax.random.split(key, len(shapes))
    weights = {
        name: jax.random.normal(k, shape, jnp.float32) * jnp.float32(shape[0] ** -0.5) * h["scale"]
        for (name, shape), k in zip(shapes.items(), keys, strict=True)
    }
    return {"weights": weights, "optimizer": _optimizer(h).init(weights)}


def _loss(weights: dict[str, Array], batch: tuple[Array, Array]) -> Array:
    x, y = batch
    return jnp.mean(optax.sigmoid_binary_cross_entropy(_logits(weights, x), y))


def _evaluate(state: dict, valid: tuple[Array, Array], h: Hparams) -> dict[str, Array]:
    right = (_logits(state["weights"], valid[0]) > 0) == (valid[1] > 0)
    return {"loss": _loss(state["weights"], valid), "accuracy": jnp.mean(right, dtype=jnp.float32)}


@task(
    init=_init,
    evaluate=_evaluate,
    train_data=spirals(0),
    valid_data=spirals(1),
    batch_size=64,
    steps=540,
    objective="accuracy",
    direction="max",
)
def DEMO(state: dict, batch: tuple[Array, Array], h: Hparams, key: Array) -> dict:  # noqa: N802  # a task
    """Take one step."""
    gradients = jax.grad(_loss)(state["weights"], batch)
    updates, optimizer = _optimizer(h).update(gradients, state["optimizer"], state["weights"])
    return {"weights": optax.apply_updates(state["weights"], updates), "optimizer": optimizer}
