"""Masked models are the small ones: outputs, gradients, steps of optimisers, initial scale; what is not is an error."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx

import jaxhpt
from jaxhpt import Int
from jaxhpt.models import masking
from jaxhpt.models.masking.masked import named_leaves

RANDOM = np.random.default_rng(0)
VECTORS = RANDOM.normal(size=(12, 5)).astype(np.float32)
IMAGES = RANDOM.normal(size=(12, 6, 6, 2)).astype(np.float32)
SEQUENCES = RANDOM.normal(size=(12, 4, 6)).astype(np.float32)
TOKENS = RANDOM.integers(0, 7, (12, 4)).astype(np.int32)
TARGETS = RANDOM.normal(size=(12, 3)).astype(np.float32)
KEY = jax.random.key(0)


class Dense(nnx.Module):
    """Two hidden layers, sigmoid(0) is not 0, a norm over units."""

    def __init__(self, h, rngs):
        self.first = nnx.Linear(5, h["width"], kernel_init=nnx.initializers.glorot_normal(), rngs=rngs)
        self.norm = nnx.LayerNorm(h["width"], rngs=rngs)
        self.second = nnx.Linear(h["width"], h["more"], kernel_init=nnx.initializers.glorot_uniform(), rngs=rngs)
        self.rms = nnx.RMSNorm(h["more"], rngs=rngs)
        self.out = nnx.Linear(h["more"], 3, rngs=rngs)

    def __call__(self, x):
        x = nnx.sigmoid(self.norm(self.first(x)))
        return self.out(nnx.softplus(self.rms(self.second(x))))


class LinenDense(linen.Module):
    width: int
    more: int

    @linen.compact
    def __call__(self, x, train=False):
        x = linen.sigmoid(linen.LayerNorm()(linen.Dense(self.width)(x)))
        x = linen.Dense(self.more, kernel_init=linen.initializers.xavier_uniform())(x)
        x = jaxhpt.traced.LinenDropout(0.0)(linen.softplus(linen.RMSNorm()(x)), deterministic=not train)
        return linen.Dense(3)(x)


class Conv(nnx.Module):
    """Channels through BatchNorm, GroupNorm of groups of 2, and a flattening."""

    def __init__(self, h, rngs):
        self.conv = nnx.Conv(2, h["channels"], (3, 3), use_bias=False, rngs=rngs)
        self.batch = nnx.BatchNorm(h["channels"], rngs=rngs)
        self.second = nnx.Conv(h["channels"], h["channels"], (2, 2), strides=2, rngs=rngs)
        self.group = nnx.GroupNorm(h["channels"], num_groups=None, group_size=2, rngs=rngs)
        self.out = nnx.Linear(9 * h["channels"], 3, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.batch(self.conv(x)))
        x = nnx.gelu(self.group(self.second(x)))
        return self.out(masking.flatten(x))


class LinenConv(linen.Module):
    channels: int

    @linen.compact
    def __call__(self, x, train=False):
        x = linen.Conv(self.channels, (3, 3), use_bias=False)(x)
        x = linen.relu(linen.BatchNorm(use_running_average=not train)(x))
        x = linen.Conv(2 * self.channels, (3, 3), feature_group_count=1)(x)
        x = linen.avg_pool(linen.GroupNorm(num_groups=None, group_size=2)(x), (2, 2), (2, 2))
        return linen.DenseGeneral(3, axis=(-3, -2, -1))(x)


class Attention(nnx.Module):
    """Heads and layers of a small transformer, whose branches are scaled by its depth from the start."""

    def __init__(self, h, rngs):
        small = nnx.initializers.variance_scaling(1.0 / h["layers"], "fan_in", "normal")
        self.embed = nnx.Embed(7, 6, rngs=rngs)
        self.norms = nnx.List([nnx.LayerNorm(6, rngs=rngs) for _ in range(h["layers"])])
        self.attentions = nnx.List(
            nnx.MultiHeadAttention(
                h["heads"], 6, h["heads"] * 2, out_kernel_init=small, use_bias=False, decode=False, rngs=rngs
            )
            for _ in range(h["layers"])
        )
        self.out = nnx.Linear(6, 3, rngs=rngs)

    def __call__(self, x):
        x = self.embed(x)
        for norm, attention in zip(self.norms, self.attentions, strict=True):
            x = x + attention(norm(x))
        return self.out(x.mean(axis=1))


class LinenAttention(linen.Module):
    heads: int

    @linen.compact
    def __call__(self, x):
        x = x + linen.MultiHeadDotProductAttention(
            self.heads, qkv_features=self.heads * 2, out_features=6, use_bias=False
        )(x)
        return linen.Dense(3)(x.mean(axis=1))


class Sequential(nnx.Module):
    """Layers in a row, without residual connections, as wide as there are input features."""

    def __init__(self, h, rngs):
        self.depth, self.features = h["depth"], h["features"]
        self.inputs = nnx.LayerNorm(h["features"], rngs=rngs)
        self.first = nnx.Linear(h["features"], 4, rngs=rngs)
        self.layers = nnx.List([nnx.Linear(4, 4, rngs=rngs) for _ in range(h["depth"])])
        self.out = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x):
        x = self.first(self.inputs(x[:, : self.features]))
        for i, layer in enumerate(self.layers):
            x = masking.where_active(i, self.depth, nnx.gelu(layer(x)), x)
        return self.out(x)


class LinenBlocks(linen.Module):
    """Residual blocks beside an average over units and one over layers, which the call computes itself."""

    width: int
    depth: int

    @linen.compact
    def __call__(self, x):
        x = linen.Dense(self.width, name="a.b")(x)
        for _ in range(self.depth):
            x = x + linen.Dense(self.width)(linen.gelu(linen.LayerNorm()(x)))
        mean = jnp.sum(x, axis=1, keepdims=True, where=masking.unit_mask(self.width)[None])
        return linen.Dense(3, name="out")(x) + jnp.tanh(
            mean / (masking.active(self.width) * masking.active(self.depth))
        )


KINDS = {
    "dense": (
        lambda h, rngs: Dense(h, rngs),
        {"width": Int(3, 16), "more": [8, 12, 4]}, {"width": 5, "more": 8}, VECTORS,
    ),
    "linen dense": (
        lambda h: LinenDense(h["width"], h["more"]),
        {"width": Int(3, 16), "more": Int(2, 6, step=2)}, {"width": 5, "more": 2}, VECTORS,
    ),
    "conv": (lambda h, rngs: Conv(h, rngs), {"channels": Int(2, 8, step=2)}, {"channels": 4}, IMAGES),
    "linen conv": (lambda h: LinenConv(h["channels"]), {"channels": Int(1, 4)}, {"channels": 3}, IMAGES),
    "attention": (
        lambda h, rngs: Attention(h, rngs),
        {"heads": Int(1, 4), "layers": Int(1, 3)}, {"heads": 3, "layers": 2}, TOKENS,
    ),
    "linen attention": (lambda h: LinenAttention(h["heads"]), {"heads": Int(1, 4)}, {"heads": 2}, SEQUENCES),
    "in a row": (
        lambda h, rngs: Sequential(h, rngs),
        {"depth": Int(0, 3), "features": Int(2, 5)}, {"depth": 2, "features": 3}, VECTORS,
    ),
    "linen blocks": (
        lambda h: LinenBlocks(h["width"], h["depth"]),
        {"width": Int(2, 8, step=3), "depth": Int(1, 3)}, {"width": 5, "depth": 2}, VECTORS,
    ),
}  # fmt: skip
OPTIMIZERS = {
    "sgd": lambda h: optax.sgd(0.1, momentum=0.9),
    "adamw": lambda h: optax.adamw(0.03, weight_decay=0.1),
    "clipped": lambda h: optax.chain(optax.clip_by_global_norm(0.3), optax.adamw(0.03, weight_decay=0.1)),
    "lamb": lambda h: optax.lamb(0.03, weight_decay=0.1),
}


def task_of(model, x, optimizer="clipped"):
    data = x, TARGETS
    return jaxhpt.FlaxTask(
        model, OPTIMIZERS[optimizer], loss="mse", train_data=data, valid_data=data, batch_size=6, steps=3
    )


def close(a, b, rtol=2e-3, atol=2e-5):
    a, b = named_leaves(a), named_leaves(b)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol, atol, err_msg=name)


def trained(task, x, state, h):
    """Take three steps; return the outputs and the states after each."""

    def step(state, i):
        batch = jax.lax.dynamic_slice_in_dim(x, 3 * i, 6), jax.lax.dynamic_slice_in_dim(TARGETS, 3 * i, 6)
        state = task.step(state, batch, h, KEY)
        outputs = task.trainer.model.predict(state["params"], state["extra"], x, h)
        return state, (state, outputs, optax.tree.norm(jax.tree.map(jnp.float32, state["opt"])))

    return jax.lax.scan(step, state, jnp.arange(3, dtype=jnp.int32))[1]


def cut(model, params, extra, h):
    """Return weights, and what else there is, of the small model."""
    if isinstance(model, masking.masked_flax.MaskedLinen):
        whole = masking.shrink(model, {"params": params, **extra}, h)
        return whole.pop("params"), whole
    module = jax.tree.map(lambda leaf: leaf, model(h, nnx.Rngs(0)))
    nnx.update(module, params, extra)
    small = masking.shrink(model, module, h)
    return nnx.state(small, nnx.Param), nnx.state(small, nnx.Not(nnx.Param))


@pytest.mark.parametrize(("kind", "optimizer"), [*((k, "clipped") for k in KINDS), *(("dense", o) for o in OPTIMIZERS)])
def test_a_masked_model_trains_as_the_small_one(kind, optimizer):
    make, sizes, h, x = KINDS[kind]
    model = masking.masked(make, sizes)
    wide, small = task_of(model, x, optimizer), task_of(make, x, optimizer)

    @jax.jit
    def run(h):
        state = wide.init(KEY, h)
        return state, trained(wide, x, state, h)

    begun, (states, outputs, norms) = run(jax.tree.map(jnp.int32, h))
    params, extra = cut(model, begun["params"], begun["extra"], h)
    opt = small.trainer._optimizer(h).init(params)
    after, expected, wanted = jax.jit(lambda state: trained(small, x, state, h))(
        {"params": params, "extra": extra, "opt": opt}
    )
    np.testing.assert_allclose(outputs, expected, 2e-3, 2e-5)
    np.testing.assert_allclose(norms, wanted, 1e-3)
    for i in range(3):
        now, then = (jax.tree.map(lambda leaf, i=i: leaf[i], tree) for tree in (states, after))
        found = cut(model, now["params"], now["extra"], h)
        close(found, (then["params"], then["extra"]))
        used = sum(jnp.sum(leaf != 0) for leaf in jax.tree.leaves(now["params"]))  # all else is exactly 0
        assert used == sum(jnp.sum(leaf != 0) for leaf in jax.tree.leaves(then["params"]))
