"""What masks cannot make the small model is an error: clear, early, and with the remedy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

import jaxhpt
from jaxhpt import Int
from jaxhpt.models import masking

RANDOM = np.random.default_rng(0)
VECTORS = RANDOM.normal(size=(12, 5)).astype(np.float32)
IMAGES = RANDOM.normal(size=(12, 6, 6, 2)).astype(np.float32)
SEQUENCES = RANDOM.normal(size=(12, 4, 6)).astype(np.float32)
KEY = jax.random.key(0)


class Net(nnx.Module):
    """A layer, and what `call` makes of it."""

    def __init__(self, layers, call):
        self.layers, self.call = nnx.List(layers), call

    def __call__(self, x):
        return self.call(self.layers, x)


def net(call, *layers):
    """Return a function that builds a net of layers, each made by a function (hparams, rngs)."""
    return lambda h, rngs: Net([layer(h, rngs) for layer in layers], lambda layers, x: call(layers, x, h))


def linear(inputs, outputs, **options):
    return lambda h, rngs: nnx.Linear(inputs(h), outputs(h), **options, rngs=rngs)


def fixed(size):
    return lambda h: size


def width(h):
    return h["width"]


WIDTH = {"width": Int(2, 8)}
IN, OUT = linear(fixed(5), width), linear(width, fixed(3))
NOT_THE_SMALL_ONE = {
    "a mean over units": (
        net(lambda layers, x, h: layers[1](layers[0](x)) + layers[0](x).mean(), IN, OUT), WIDTH, VECTORS,
    ),
    "a reshape of images": (
        net(
            lambda layers, x, h: layers[1](layers[0](x).reshape(len(x), -1)),
            lambda h, rngs: nnx.Conv(2, h["width"], (3, 3), strides=2, rngs=rngs),
            linear(lambda h: 9 * h["width"], fixed(3)),
        ),
        WIDTH, IMAGES,
    ),
    "the size of a head": (
        lambda h, rngs: nnx.MultiHeadAttention(2, 6, 2 * h["width"], decode=False, rngs=rngs), WIDTH, SEQUENCES,
    ),
    "a fixed number of groups": (
        net(
            lambda layers, x, h: layers[2](nnx.relu(layers[1](layers[0](x)))),
            IN, lambda h, rngs: nnx.GroupNorm(h["width"], num_groups=2, rngs=rngs), OUT,
        ),
        {"width": Int(2, 8, step=2)}, VECTORS,
    ),
    "masked units before others": (
        net(
            lambda layers, x, h: layers[1](jnp.concatenate([layers[0](x), x], 1)),
            IN, linear(lambda h: 5 + h["width"], fixed(3)),
        ),
        WIDTH, VECTORS,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_THE_SMALL_ONE)
def test_a_model_that_masks_do_not_make_the_small_one_is_an_error(name):
    make, sizes, x = NOT_THE_SMALL_ONE[name]
    model = masking.masked(make, sizes)({key: values.high for key, values in sizes.items()}, nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"the masked model is not the small one at .* are off by .*masking\.flatten"):
        model(x)


def test_layers_in_a_row_need_where_active():
    def make(h):
        return linen.Sequential([*[layer for _ in range(h["depth"]) for layer in (linen.Dense(5), linen.tanh)]])

    with pytest.raises(ValueError, match=r"not the small one at .*'depth': 2.*masking\.where_active"):
        masking.masked(make, {"depth": Int(1, 3)})({"depth": 2}).init(KEY, VECTORS)


def test_what_helps_helps():
    def mean(layers, x, h):
        return layers[1](layers[0](x)) + layers[0](x).sum(axis=1, keepdims=True) / masking.active(h["width"])

    def images(layers, x, h):
        return layers[1](masking.flatten(layers[0](x)))

    def joined(layers, x, h):
        return layers[1](jnp.concatenate([x, layers[0](x)], 1))

    conv, dense = NOT_THE_SMALL_ONE["a reshape of images"], linear(lambda h: 9 * h["width"], fixed(3))
    makes = [
        (net(mean, IN, OUT), VECTORS),
        (net(images, lambda h, rngs: nnx.Conv(2, h["width"], (3, 3), strides=2, rngs=rngs), dense), conv[2]),
        (net(joined, IN, linear(lambda h: 5 + h["width"], fixed(3))), VECTORS),
    ]
    for make, x in makes:
        model = masking.masked(make, WIDTH)
        wide = model({"width": 4}, nnx.Rngs(0))
        np.testing.assert_allclose(wide(x), masking.shrink(model, wide, {"width": 4})(x), 1e-4, 1e-5)


def test_a_call_that_draws_is_compared_only_where_asked():
    def noisy(layers, x, h):
        hidden = layers[0](x)
        return layers[1](hidden + jax.random.normal(KEY, hidden.shape))

    with pytest.raises(ValueError, match="is not the small one"):
        masking.masked(net(noisy, IN, OUT), WIDTH)({"width": 4}, nnx.Rngs(0))(VECTORS)
    masking.masked(net(noisy, IN, OUT), WIDTH, check=False)({"width": 4}, nnx.Rngs(0))(VECTORS)


def first(layers, x, h):
    return layers[0](x)


POWER = {"power": Int(1, 4)}
NO_LAW = {
    "orthogonal": (
        net(first, linear(fixed(5), width, kernel_init=nnx.initializers.orthogonal())),
        WIDTH, r"layers\.0\.kernel: its initial values in a smaller model are no multiple .*structural=True",
    ),
    "a power": (
        net(first, linear(fixed(5), lambda h: 2 ** h["power"])),
        POWER,
        r"layers\.0\.bias: has shape \(4,\) at \{'power': 2\}, where \(7,\) would be in line .*structural=True",
    ),
    "heads of a fixed sum": (
        lambda h, rngs: nnx.MultiHeadAttention(h["heads"], 6, 4, decode=False, rngs=rngs),
        {"heads": [1, 2, 4]},
        r"key\.bias: has shape \(1, 4\) in a smaller model and \(4, 1\) in the widest: .*of a fixed",
    ),
    "an unused size": (
        net(first, IN), {**WIDTH, "depth": Int(1, 2)}, r"sizes\['depth'\]: no weight of the model depends",
    ),
    "a scale of its own": (
        net(first, lambda h, rngs: nnx.Linear(5, 3, kernel_init=nnx.initializers.normal(0.1 * h["width"]), rngs=rngs)),
        WIDTH, r"layers\.0\.kernel: its initial scale at \{'width': 5\} is not in line with the ends",
    ),
    "too many depths": (
        lambda h, rngs: Net([nnx.Linear(1, 1, rngs=rngs) for _ in range(h["depth"])], first),
        {"depth": Int(1, 70)}, r"sizes\['depth'\]: has 70 values and adds or drops weights.* at most 64",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_LAW)
def test_weights_that_follow_no_law_are_an_error(name):
    make, sizes, message = NO_LAW[name]
    h = {key: values[-1] if isinstance(values, list) else values.high for key, values in sizes.items()}
    with pytest.raises(ValueError, match=message):
        masking.masked(make, sizes)(h, nnx.Rngs(0))


def test_outputs_of_a_size_are_an_error():
    with pytest.raises(ValueError, match=r"returns \[\(12, 5\)\] at \{'width': 5\} and \[\(12, 8\)\].*must not depend"):
        masking.masked(net(first, IN), WIDTH)({"width": 4}, nnx.Rngs(0))(VECTORS)


def test_linen_layers_after_a_loop_need_a_name():
    class Blocks(linen.Module):
        depth: int

        @linen.compact
        def __call__(self, x):
            for _ in range(self.depth):
                x = x + linen.Dense(5)(x)
            return linen.Dense(3)(x)

    with pytest.raises(
        ValueError, match=r"Dense_1\.bias: depth adds layers and changes .*give those after a loop a name"
    ):
        masking.masked(lambda h: Blocks(h["depth"]), {"depth": Int(1, 3)})({"depth": 1}).init(KEY, VECTORS)


def make(h, rngs):
    return nnx.Linear(5, h["width"], rngs=rngs)


MISUSES = {
    "no dict": (lambda: masking.masked(make, Int(1, 8)), TypeError, "sizes=Int.*must be a dict"),
    "nothing": (lambda: masking.masked(make, {}), ValueError, "at least one size"),
    "floats": (lambda: masking.masked(make, {"width": jaxhpt.Float(1, 8)}), TypeError, "sizes.*=Float.*an Int, or"),
    "texts": (lambda: masking.masked(make, {"width": ["a", "b"]}), TypeError, "must be an Int, or a list of whole"),
    "structural": (
        lambda: masking.masked(make, {"width": Int(1, 8, structural=True)}), ValueError, "is structural, a program",
    ),
    "below 0": (lambda: masking.masked(make, {"width": Int(-1, 8)}), ValueError, "at least 0"),
    "a class": (lambda: masking.masked(linen.Dense, WIDTH), TypeError, "make=.*Dense.*must be a function hparams"),
    "a module": (lambda: masking.masked(linen.Dense(2), WIDTH), TypeError, r"make=Dense\([\s\S]*must be a function"),
    "three arguments": (lambda: masking.masked(lambda a, b, c: 0, WIDTH), TypeError, r"takes \(a, b, c\)"),
    "no module": (lambda: masking.masked(lambda h: 3, WIDTH)({"width": 3}), TypeError, "returned int"),
    "no nnx module": (
        lambda: masking.masked(lambda h, rngs: 3, WIDTH)({"width": 3}, None),
        TypeError, "returned int",
    ),
    "no function": (lambda: masking.masked_weights(3, WIDTH), TypeError, "make=3: must be a function"),
    "hparams": (lambda: masking.masked(make, WIDTH)(3, nnx.Rngs(0)), TypeError, "hparams=3: must be a dict"),
    "no such size": (lambda: masking.masked(make, WIDTH)({"lr": 1.0}, nnx.Rngs(0)), KeyError, "have no 'width'"),
    "no such value": (
        lambda: masking.masked(make, {"width": [2, 4]})({"width": 3}, nnx.Rngs(0)),
        ValueError, r"width=3: must be one of \[2, 4\]",
    ),
    "outside": (lambda: masking.active(masking.sizes.named("width", 4)), RuntimeError, "size=4: how much of it"),
    "a number alone": (lambda: masking.unit_mask(jnp.int32(3)), TypeError, "give most="),
    "not masked": (lambda: masking.shrink(make, {}, {}), TypeError, "must be what masked or masked_weights returned"),
    "no module to shrink": (
        lambda: masking.shrink(masking.masked(make, WIDTH), {}, {"width": 2}),
        TypeError, "must be the nnx",
    ),
    "a strange state": (
        lambda: masking.shrink(masking.masked(lambda h: linen.Dense(h["width"]), WIDTH), {"params": {}}, {"width": 2}),
        ValueError, "has not met",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISUSES)
def test_misuse_is_an_early_error(name):
    misuse, kind, message = MISUSES[name]
    with pytest.raises(kind, match=message):
        misuse()


class Named(linen.Module):
    """Layers of these names, one after the other."""

    names: tuple

    @linen.compact
    def __call__(self, x):
        for name in self.names:
            x = x + linen.Dense(5, name=name)(x)
        return x


def test_a_layer_that_comes_and_goes_is_an_error():
    def other(h):
        return Named((f"odd{h['depth'] % 2}",))

    def absent(h):
        return Named(("a",) if h["depth"] == 2 else ("a", "b"))

    def lost(h):
        return Named(("a",) if h["depth"] == 2 else ("a", "b", "c")[: h["depth"]])

    build = functools.partial(masking.masked, sizes={"depth": Int(1, 4)})
    with pytest.raises(ValueError, match=r"odd1\.\w+: is there at {'depth': 1} and not in the widest"):
        build(other)({"depth": 1}).init(KEY, VECTORS)
    with pytest.raises(ValueError, match=r"sizes\['depth'\]: no weight of the model depends on it"):
        build(absent)({"depth": 1}).init(KEY, VECTORS)
    masking.masked(lost, {"depth": Int(1, 3)})({"depth": 1}).init(KEY, VECTORS)


def test_a_trial_of_a_size_that_the_model_does_not_have_fails():
    net = masking.masked_weights(
        lambda key, h: {"w": jax.random.normal(key, (h["width"],), jnp.float32)}, {"width": [2, 4]}
    )

    def evaluate(weights, valid, h):
        return jnp.sum(net.mask(weights, h)["w"] ** 2)

    task = jaxhpt.Task(net.init, lambda weights, batch, h, key: weights, evaluate, valid_data=VECTORS, steps=1)
    space = {"width": [2, 3, 4, 5]}
    result = jaxhpt.search(task, space, algorithm="grid", trials=4, lanes=4, direction="min", progress=False)
    found = {trial.hparams["width"]: trial.status for trial in result.trials}
    assert found == {2: "done", 3: "failed", 4: "done", 5: "failed"}
