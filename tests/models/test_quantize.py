"""Quantisation: levels and scales against NumPy, straight-through gradients, bits as hyperparameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx

import jaxhpt
from jaxhpt.models import masking, quantize

RANDOM = np.random.default_rng(0)
W = RANDOM.normal(size=(30, 7)).astype(np.float32)
W[:, 3] = 0
TREE = {"kernel": W, "bias": RANDOM.normal(size=7).astype(np.float32)}
of = jax.jit(quantize.quantize)
fake = jax.jit(quantize.fake_quantize)


@pytest.mark.parametrize("bits", range(2, 9))
def test_levels_are_symmetric_and_nearest(bits):
    found = of(W, bits)
    values, scale = np.asarray(found.values), np.asarray(found.scale)
    last = 2 ** (bits - 1) - 1
    assert values.dtype == np.int8
    assert np.abs(values).max() == last
    assert scale.shape == (1, 7)
    assert scale[0, 3] == 0
    most = np.abs(W).max(0)
    assert np.all(scale[0] >= most / last * (1 - 1e-6))
    assert np.all(scale[0] <= most / last * (1 + 2**-7))
    assert np.all(scale.view(np.uint32) & 0xFFFF == 0)
    live = most > 0
    assert np.all(np.abs(quantize.dequantize(found) - W)[:, live] <= 0.5001 * scale[:, live])
    np.testing.assert_array_equal(values[:, ~live], 0)


def test_rounding_twice_changes_nothing():
    once = fake(TREE, 4)
    jax.tree.map(np.testing.assert_array_equal, fake(once, 4), once)


def test_a_vector_has_one_scale_and_is_rounded_where_it_is_named():
    assert of(TREE["bias"], 4).scale.shape == ()
    assert fake(TREE, 4)["bias"].tolist() == TREE["bias"].tolist()
    named = fake(TREE, {"bias": 2})
    assert len(np.unique(np.abs(named["bias"]))) == 2
    np.testing.assert_array_equal(named["kernel"], W)


def test_a_clip_holds_the_largest_and_makes_finer_steps():
    error = {clip: float(((quantize.dequantize(of(W, 2, clip)) - W) ** 2).mean()) for clip in (1.0, 0.6)}
    assert error[0.6] < error[1.0]
    assert np.abs(of(W, 3, 0.5).values).max() == 3


def test_many_bits_in_one_program():
    found = jax.vmap(lambda b: quantize.fake_quantize(TREE, b)["kernel"])(jnp.asarray([2, 4, 8, 32]))
    error = np.abs(found - W).max((1, 2))
    assert np.all(np.diff(error) < 0)
    assert error[-1] == 0
    for bits, one in zip((2, 4, 8, 32), found, strict=True):
        np.testing.assert_array_equal(one, fake(TREE, bits)["kernel"])


def test_the_gradient_goes_straight_through():
    gradient = jax.grad(lambda w: (quantize.fake_quantize(w, 3) ** 2).sum())(W)
    np.testing.assert_array_equal(gradient, 2 * fake(W, 3))


def test_what_is_not_finite_stays_so():
    found = fake(jnp.asarray([[jnp.nan, 1.0], [2.0, jnp.inf]]), 4)
    assert bool(jnp.isnan(found[0, 0]))
    assert bool(jnp.isinf(found[1, 1]))


def test_dtypes_stay():
    half = jnp.asarray(W, jnp.bfloat16)
    assert fake(half, 4).dtype == jnp.bfloat16


class Net(nnx.Module):
    """With a BatchNorm, whose statistics a call changes."""

    def __init__(self, h, rngs):
        self.first = nnx.Linear(4, h["width"], rngs=rngs)
        self.norm = nnx.BatchNorm(h["width"], rngs=rngs)
        self.last = nnx.Linear(h["width"], 1, rngs=rngs)

    def __call__(self, x):
        return self.last(nnx.relu(self.norm(self.first(x))))


def test_an_nnx_module_calls_with_rounded_weights_and_keeps_its_own():
    plain, small = (make({"width": 6}, nnx.Rngs(0)) for make in (Net, quantize.quantized(_net, {"first": 2})))
    x = jnp.asarray(RANDOM.normal(size=(5, 4)), jnp.float32)
    before = nnx.state(small, nnx.Param)
    outputs = small(x)
    jax.tree.map(np.testing.assert_array_equal, nnx.state(small, nnx.Param), before)
    plain.first.kernel[...] = quantize.fake_quantize(plain.first.kernel[...], 2)
    np.testing.assert_allclose(plain(x), outputs, rtol=1e-6)
    assert (small.norm.mean[...] != 0).any()  # the statistics of the call stay
    np.testing.assert_array_equal(small.norm.mean[...], plain.norm.mean[...])


def _net(h, rngs):
    return Net(h, rngs)


class Linen(linen.Module):
    width: int

    @linen.compact
    def __call__(self, x, train=False):
        x = linen.BatchNorm(use_running_average=not train)(linen.Dense(self.width)(x))
        return linen.Dense(1)(linen.relu(x))


@pytest.mark.parametrize("model", [Linen(6), lambda h: Linen(6)])
def test_a_linen_module_applies_rounded_weights(model):
    small, x = quantize.quantized(model, lambda h: h["bits"])({"bits": 3}), jnp.ones((5, 4))
    variables = small.init(jax.random.key(0), x)
    rounded = {**variables, "params": quantize.fake_quantize(variables["params"], 3)}
    np.testing.assert_allclose(small.apply(variables, x), Linen(6).apply(rounded, x), rtol=1e-6)
    outputs, state = small.apply(variables, x, train=True, mutable=["batch_stats"])
    assert outputs.shape == (5, 1)
    assert "batch_stats" in state


X = RANDOM.normal(size=(128, 4)).astype(np.float32)
DATA = (X, X.sum(1))
NETS = {
    "nnx": _net,
    "linen": lambda h: Linen(8),
    "masked": masking.masked(_net, {"width": jaxhpt.Choice([4, 8])}, check=False),
}


@pytest.mark.parametrize("kind", NETS)
def test_bits_are_a_hyperparameter_of_flax_tasks(kind):
    model = quantize.quantized(NETS[kind], lambda h: h["bits"])
    task = jaxhpt.FlaxTask(model, lambda h: optax.adam(0.05), loss="mse", train_data=DATA, valid_data=DATA, steps=60)
    sizes = {"width": jaxhpt.Choice([4, 8])} if kind == "masked" else {"width": 8}
    result = jaxhpt.search(task, {"bits": jaxhpt.Choice([2, 8, 32]), **sizes}, trials=8, algorithm="random",
                           progress=False)  # fmt: skip
    best = {bits: min(t.value for t in result.trials if t.hparams["bits"] == bits) for bits in (2, 8)}
    assert best[8] < best[2]
    assert result.best.metrics["r2"] > 0.5


def test_errors_name_the_argument_and_the_remedy():
    for bits in (1, 9, 4.5, 31):
        with pytest.raises(ValueError, match=f"bits={bits}: must be 2 to 8, or 32 for none"):
            quantize.fake_quantize(TREE, bits)
    with pytest.raises(TypeError, match="bits='int8': must be a number of bits"):
        quantize.fake_quantize(TREE, "int8")
    with pytest.raises(ValueError, match=r"clip=0: must be above 0 and at most 1"):
        quantize.fake_quantize(TREE, 4, 0)
    with pytest.raises(ValueError, match=r"bits\['kernal'\]: no such part; did you mean 'kernel'"):
        quantize.fake_quantize(TREE, {"kernal": 4})
    with pytest.raises(TypeError, match="must be a linen module, a function hparams"):
        quantize.quantized(Net, 4)
    with pytest.raises(TypeError, match="function of hparams alone returned int"):
        quantize.quantized(lambda h: 3, 4)({})
