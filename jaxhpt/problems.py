"""Standard test functions, for tests, examples and benchmarks.

Each is written as an objective for `minimize`: it takes `{"x": f32[D] as D named values}` and returns f32[].
"""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from jaxhpt.core.checks import require, require_count
from jaxhpt.core.dimensions import Float
from jaxhpt.core.typing import Array, Hparams, Key


@dataclasses.dataclass(frozen=True)
class TestFunction:
    """A function of D real numbers with a known minimum.

    Attributes:
      function: f32[D] -> f32[], in the function's own coordinates.
      low: lower end of every coordinate, or one a coordinate.
      high: upper end.
      minimum: the least value.
      dimensions: the D it is defined for; None for any.

    Example:
      >>> import jaxhpt
      >>> result = jaxhpt.minimize(hartmann6, hartmann6.space(), trials=64, progress=False)
      >>> result.best.value < -0.5
      True
    """

    __test__ = False  # a name pytest would collect

    function: Callable[[Array], Array]
    low: float | tuple[float, ...]
    high: float | tuple[float, ...]
    minimum: float
    dimensions: int | None = None

    def space(self, dimensions: int | None = None) -> dict[str, Float]:
        """Return the space {"x0": Float, "x1": Float, ...}."""
        count = dimensions or self.dimensions
        if count is None:
            raise ValueError("dimensions=None: this function is defined for any number; say how many")
        count = require_count("dimensions", count)
        require(self.dimensions in (None, count), "dimensions", count, f"{self.dimensions}")
        lows, highs = np.broadcast_to(self.low, count), np.broadcast_to(self.high, count)
        return {f"x{i}": Float(float(lows[i]), float(highs[i])) for i in range(count)}

    def __call__(self, hparams: Hparams, key: Key | None = None) -> Array:
        """Evaluate one setting; `key` is not used."""
        return self.function(jnp.stack([hparams[f"x{i}"] for i in range(len(hparams))]))


def _sphere(x: Array) -> Array:
    return jnp.sum(x**2)


def _rosenbrock(x: Array) -> Array:
    return jnp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def _ackley(x: Array) -> Array:
    spread = -20.0 * jnp.exp(-0.2 * jnp.sqrt(jnp.mean(x**2)))
    return spread - jnp.exp(jnp.mean(jnp.cos(2.0 * jnp.pi * x))) + 20.0 + jnp.e


def _levy(x: Array) -> Array:
    w = 1.0 + (x - 1.0) / 4.0
    inner = (w[:-1] - 1.0) ** 2 * (1.0 + 10.0 * jnp.sin(jnp.pi * w[:-1] + 1.0) ** 2)
    last = (w[-1] - 1.0) ** 2 * (1.0 + jnp.sin(2.0 * jnp.pi * w[-1]) ** 2)
    return jnp.sin(jnp.pi * w[0]) ** 2 + jnp.sum(inner) + last


def _branin(x: Array) -> Array:
    valley = x[1] - 5.1 / (4.0 * jnp.pi**2) * x[0] ** 2 + 5.0 / jnp.pi * x[0] - 6.0
    return valley**2 + 10.0 * (1.0 - 1.0 / (8.0 * jnp.pi)) * jnp.cos(x[0]) + 10.0


_HARTMANN_HEIGHTS = np.array([1.0, 1.2, 3.0, 3.2], np.float32)
_HARTMANN_SCALES = np.array(
    [
        [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
        [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
        [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
        [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
    ],
    np.float32,
)
_HARTMANN_CENTRES = np.array(
    [
        [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
        [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
        [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
        [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
    ],
    np.float32,
)


def _hartmann6(x: Array) -> Array:
    distance = jnp.sum(_HARTMANN_SCALES * (x[None] - _HARTMANN_CENTRES) ** 2, axis=1)
    return -jnp.sum(_HARTMANN_HEIGHTS * jnp.exp(-distance))


sphere = TestFunction(_sphere, -5.12, 5.12, 0.0)
rosenbrock = TestFunction(_rosenbrock, -5.0, 10.0, 0.0)
ackley = TestFunction(_ackley, -32.768, 32.768, 0.0)
levy = TestFunction(_levy, -10.0, 10.0, 0.0)
branin = TestFunction(_branin, (-5.0, 0.0), (10.0, 15.0), 0.397887, 2)
hartmann6 = TestFunction(_hartmann6, 0.0, 1.0, -3.32237, 6)
