"""Test functions against plain numpy in float64, and at their known minima."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhpt import Space
from jaxhpt.problems import ackley, branin, hartmann6, levy, rosenbrock, sphere


def numpy_rosenbrock(x):
    return sum(100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2 for i in range(len(x) - 1))


def numpy_ackley(x):
    root, waves = np.sqrt(np.mean(np.square(x))), np.mean(np.cos(2 * np.pi * x))
    return -20 * np.exp(-0.2 * root) - np.exp(waves) + 20 + np.e


def numpy_levy(x):
    w = 1 + (x - 1) / 4
    total = np.sin(np.pi * w[0]) ** 2 + (w[-1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[-1]) ** 2)
    return total + sum((v - 1) ** 2 * (1 + 10 * np.sin(np.pi * v + 1) ** 2) for v in w[:-1])


def numpy_branin(x):
    b, c, t = 5.1 / (4 * np.pi**2), 5 / np.pi, 1 / (8 * np.pi)
    return (x[1] - b * x[0] ** 2 + c * x[0] - 6) ** 2 + 10 * (1 - t) * np.cos(x[0]) + 10


def numpy_hartmann6(x):
    heights = [1.0, 1.2, 3.0, 3.2]
    scales = [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
    centres = [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
    total = 0.0
    for height, scale, centre in zip(heights, scales, centres, strict=True):
        total -= height * np.exp(-sum(a * (v - p / 10_000) ** 2 for a, v, p in zip(scale, x, centre, strict=True)))
    return total


FUNCTIONS = [
    (sphere, lambda x: float(np.dot(x, x)), 4),
    (rosenbrock, numpy_rosenbrock, 5),
    (ackley, numpy_ackley, 3),
    (levy, numpy_levy, 4),
    (levy, numpy_levy, 1),
    (branin, numpy_branin, 2),
    (hartmann6, numpy_hartmann6, 6),
]
MINIMA = [
    (sphere, np.zeros(3)),
    (rosenbrock, np.ones(4)),
    (ackley, np.zeros(5)),
    (levy, np.ones(3)),
    (branin, [-np.pi, 12.275]),
    (branin, [np.pi, 2.275]),
    (branin, [9.42478, 2.475]),
    (hartmann6, [0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573]),
]


@pytest.mark.parametrize(("function", "reference", "dimensions"), FUNCTIONS)
def test_a_function_is_its_formula(function, reference, dimensions):
    space = Space.of(function.space(dimensions))
    hparams = space.decode(jnp.asarray(np.random.default_rng(0).uniform(size=(20, dimensions)), jnp.float32))
    found = jax.jit(jax.vmap(function))(hparams)
    points = np.stack([np.asarray(hparams[f"x{i}"], np.float64) for i in range(dimensions)], axis=1)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, [reference(p) for p in points], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(("function", "place"), MINIMA)
def test_a_function_has_its_minimum_where_it_is_known(function, place):
    hparams = {f"x{i}": jnp.float32(v) for i, v in enumerate(place)}
    np.testing.assert_allclose(function(hparams, jax.random.key(0)), function.minimum, atol=2e-5)


def test_a_space_has_the_ends_of_the_function():
    space = branin.space()
    assert [(space[n].low, space[n].high) for n in ("x0", "x1")] == [(-5.0, 10.0), (0.0, 15.0)]
    assert list(ackley.space(3)) == ["x0", "x1", "x2"]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: sphere.space(), ValueError, "dimensions=None"),
        (lambda: sphere.space(-1), ValueError, "dimensions=-1"),
        (lambda: sphere.space(2.0), TypeError, "dimensions=2.0"),
        (lambda: branin.space(3), ValueError, "dimensions=3: must be 2"),
    ],
)
def test_a_wrong_number_of_dimensions_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
