"""Masked models are the small ones: outputs, gradients, steps of optimisers, initial scale."""

import copy
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from covering import covered_by
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


@pytest.mark.parametrize(
    ("kind", "optimizer"),
    covered_by(  # clipping comes before AdamW
        [*((k, "clipped") for k in KINDS), ("dense", "lamb")],
        [*((k, "clipped") for k in KINDS), *(("dense", o) for o in OPTIMIZERS if o != "clipped")],
    ),
)
def test_a_masked_model_trains_as_the_small_one(kind, optimizer):
    make, sizes, h, x = KINDS[kind]
    model = masking.masked(make, sizes)
    wide, small = task_of(model, x, optimizer), task_of(make, x, optimizer)

    @jax.jit
    def run(h):
        state = wide.init(KEY, h)
        return state, trained(wide, x, state, h)

    @jax.jit
    def run_small(params, extra):
        opt = small.trainer._optimizer(h).init(params)
        return trained(small, x, {"params": params, "extra": extra, "opt": opt}, h)

    begun, (states, outputs, norms) = jax.device_get(run(jax.tree.map(jnp.int32, h)))
    after, expected, wanted = jax.device_get(run_small(*cut(model, begun["params"], begun["extra"], h)))
    np.testing.assert_allclose(outputs, expected, 2e-3, 2e-5)
    np.testing.assert_allclose(norms, wanted, 1e-3)
    for i in range(3):
        now, then = (jax.tree.map(lambda leaf, i=i: leaf[i], tree) for tree in (states, after))
        found = cut(model, now["params"], now["extra"], h)
        close(found, (then["params"], then["extra"]))
        used = sum(np.sum(leaf != 0) for leaf in jax.tree.leaves(now["params"]))  # all else is exactly 0
        assert used == sum(np.sum(leaf != 0) for leaf in jax.tree.leaves(then["params"]))


class Scanned(linen.Module):
    """Layers whose weights lie side by side, in half precision, and a recurrent layer before."""

    width: int
    depth: int

    @linen.compact
    def __call__(self, x):
        cell = linen.GRUCell(self.width, recurrent_kernel_init=linen.initializers.lecun_normal())
        x = linen.RNN(cell)(x)[:, -1]
        dense = functools.partial(linen.Dense, param_dtype=jnp.bfloat16, dtype=jnp.bfloat16)

        def body(layer, x, _):
            return x + layer(x), None

        x, _ = linen.scan(body, variable_axes={"params": 0}, split_rngs={"params": True}, length=self.depth)(
            dense(self.width, name="layers"), x, None
        )
        return dense(3, name="out")(x)


def test_scanned_and_recurrent_layers_are_masked_too():
    model = masking.masked(lambda h: Scanned(h["width"], h["depth"]), {"width": Int(2, 6), "depth": Int(1, 4)})
    h = {"width": 3, "depth": 2}
    outputs, variables = model(h).init_with_output(KEY, SEQUENCES)
    np.testing.assert_array_equal(model(h).apply(variables, SEQUENCES), outputs)
    small = masking.shrink(model, variables, h)
    assert small["params"]["layers"]["kernel"].shape == (2, 3, 3)
    assert small["params"]["layers"]["kernel"].dtype == jnp.bfloat16
    np.testing.assert_allclose(Scanned(3, 2).apply(small, SEQUENCES), outputs, 2e-2, 2e-2)


def test_norms_without_weights_and_copies_know_the_units_in_use():
    class Bare(nnx.Module):
        def __init__(self, h, rngs):
            self.width = h["width"]
            self.first = nnx.Linear(5, h["width"], rngs=rngs)
            self.norm = nnx.LayerNorm(h["width"], use_scale=False, use_bias=False, rngs=rngs)
            self.out = nnx.Linear(h["width"], 3, rngs=rngs)

        def __call__(self, x):
            return self.out(self.norm(self.first(x)))

    model = masking.masked(lambda h, rngs: Bare(h, rngs), {"width": [2, 8], "same": [1]})
    wide = model({"width": 2, "same": 1}, nnx.Rngs(0))
    expected = masking.shrink(model, wide, {"width": 2, "same": 1})(VECTORS)
    for module in (wide, copy.deepcopy(wide), nnx.clone(wide)):
        np.testing.assert_allclose(module(VECTORS), expected, 1e-4, 1e-5)
        assert module.width == 8


def plain_init(key, h):
    """Weights of an MLP in plain JAX, in a list of layers that depth adds to."""
    keys = jax.random.split(key, 5)
    width = h["width"]

    def layer(key, a, b):
        return {"w": jax.random.normal(key, (a, b), jnp.float32) * a**-0.5, "b": jnp.zeros(b, jnp.float32)}

    hidden = [layer(keys[i + 1], width, width) for i in range(h["depth"])]
    return {"first": layer(keys[0], h["features"], width), "hidden": hidden, "out": layer(keys[4], 2 * width, 3)}


def plain_forward(weights, x, h):
    x = x[:, : weights["first"]["w"].shape[0]]
    x = jax.nn.sigmoid(x @ weights["first"]["w"] + weights["first"]["b"][None])
    for i, layer in enumerate(weights["hidden"]):
        x = masking.where_active(i, h["depth"], jax.nn.softplus(x @ layer["w"] + layer["b"][None]), x)
    x = jnp.stack([x, x * x], axis=2).reshape(x.shape[0], -1)  # two of each unit, side by side
    return x @ weights["out"]["w"] + weights["out"]["b"][None]


PLAIN_SIZES = {"width": Int(2, 8), "depth": Int(1, 3), "features": [2, 5]}
PLAIN = {"width": 3, "depth": 2, "features": 2}


def plain_loss(weights, x, y, h):
    return jnp.mean((plain_forward(weights, x, h) - y) ** 2)


def plain_steps(prepare, weights, h):
    """Take five steps of clipped AdamW; return weights and losses."""
    optimizer = OPTIMIZERS["clipped"](h)

    def step(carry, _):
        weights, opt = carry
        value, grads = jax.value_and_grad(lambda w: plain_loss(prepare(w), VECTORS, TARGETS, h))(weights)
        updates, opt = optimizer.update(grads, opt, weights)
        return (optax.apply_updates(weights, updates), opt), value

    (weights, _), values = jax.lax.scan(step, (weights, optimizer.init(weights)), None, length=5)
    return weights, values


def test_weights_in_plain_jax_train_as_the_small_ones_and_several_widths_are_one_program(compilations):
    net = masking.masked_weights(plain_init, PLAIN_SIZES)
    settings = [PLAIN, {"width": 8, "depth": 3, "features": 5}, {"width": 2, "depth": 1, "features": 5}]

    def one(h):
        weights = net.init(KEY, h)
        return weights, plain_steps(lambda w: net.mask(w, h), weights, h)

    run = jax.jit(jax.vmap(one))
    begun, (after, values) = run(jax.tree.map(lambda *values: jnp.asarray(values, jnp.int32), *settings))
    with compilations() as seen:
        run(jax.tree.map(lambda *values: jnp.asarray(values, jnp.int32), *settings[::-1]))
    assert not seen
    for i, h in enumerate(settings):
        first, last = (masking.shrink(net, jax.tree.map(lambda w, i=i: w[i], tree), h) for tree in (begun, after))
        assert last["first"]["w"].shape == (h["features"], h["width"])
        assert len(last["hidden"]) == h["depth"]
        expected, losses = plain_steps(lambda w: w, first, h)
        np.testing.assert_allclose(values[i], losses, 1e-3)
        close(last, expected)
        whole = jax.tree.map(lambda w, i=i: w[i], after)
        assert sum(jnp.sum(w != 0) for w in jax.tree.leaves(whole)) == sum(w.size for w in jax.tree.leaves(expected))


def test_what_is_forgotten_in_plain_jax_is_found_by_check():
    net = masking.masked_weights(plain_init, PLAIN_SIZES)
    weights = net.init(KEY, PLAIN)
    net.check(lambda w, h, x: plain_forward(w, x, h), weights, PLAIN, VECTORS)

    def scaled(w, h, x):
        return plain_forward(w, x, h) / w["first"]["b"].size

    with pytest.raises(ValueError, match=r"is not the small one at .*masking\.active"):
        net.check(scaled, weights, PLAIN, VECTORS)


INITIALS = {
    "lecun": (nnx.initializers.lecun_normal(), np.sqrt(1 / 4)),
    "he uniform": (nnx.initializers.he_uniform(), np.sqrt(2 / 4)),
    "glorot": (nnx.initializers.glorot_normal(), np.sqrt(2 / (4 + 3))),
    "fixed": (nnx.initializers.normal(0.02), 0.02),
    "fan out": (nnx.initializers.variance_scaling(3.0, "fan_out", "normal"), np.sqrt(3 / 3)),
}


@pytest.mark.parametrize("name", INITIALS)
def test_weights_begin_at_the_scale_of_the_small_model(name):
    initial, expected = INITIALS[name]

    def init(key, h):
        return {"w": initial(key, (h["inputs"], h["outputs"]), jnp.float32), "b": jnp.ones(h["outputs"], jnp.float32)}

    net = masking.masked_weights(init, {"inputs": Int(2, 40), "outputs": Int(1, 24)})
    h = {"inputs": 4, "outputs": 3}
    drawn, small = jax.device_get(
        jax.jit(jax.vmap(lambda key: (net.init(key, h), init(key, h))))(jax.random.split(KEY, 800))
    )
    assert not drawn["w"][:, 4:].any()
    assert not drawn["w"][:, :, 3:].any()
    assert drawn["b"].sum() == 3 * 800
    ours, theirs = drawn["w"][:, :4, :3].ravel(), small["w"].ravel()
    np.testing.assert_allclose(np.std(ours), expected, rtol=0.04)
    shares = [0.1, 0.5, 0.9]
    np.testing.assert_allclose(np.quantile(ours, shares), np.quantile(theirs, shares), atol=0.06 * expected)
    np.testing.assert_allclose(np.abs(ours).max(), np.abs(theirs).max(), rtol=0.15)


def test_at_the_most_a_masked_model_is_the_widest():
    make, sizes, _, x = KINDS["dense"]
    model, most = masking.masked(make, sizes), {"width": 16, "more": 12}
    ours, theirs = model(most, nnx.Rngs(3)), make(most, nnx.Rngs(3))
    close(nnx.state(ours), nnx.state(theirs), 1e-6, 0)
    np.testing.assert_allclose(ours(x), theirs(x), 1e-5)
    assert isinstance(ours, Dense)


def test_a_search_of_sizes_is_one_program_and_its_best_model_can_be_shrunk(compilations):
    make, sizes, _, x = KINDS["linen dense"]
    model = masking.masked(make, sizes)
    space = {**sizes, "lr": jaxhpt.Float(1e-3, 0.1, log=True)}
    data = x, TARGETS
    task = jaxhpt.FlaxTask(
        model, lambda h: optax.adamw(h["lr"]), loss="mse", train_data=data, valid_data=data, batch_size=6, steps=4
    )
    search = {"algorithm": "random", "trials": 8, "lanes": 4, "progress": False}
    result = jaxhpt.search(task, space, **search)
    assert len({trial.hparams["width"] for trial in result.trials}) > 3
    best = result.best.hparams
    small = make(best).apply(masking.shrink(model, result.best_state, best), x)
    np.testing.assert_allclose(small, model(best).apply(result.best_state, x), 1e-4, 1e-5)
    np.testing.assert_allclose(np.mean((small - TARGETS) ** 2), result.best.metrics["mse"], 1e-4)
    with compilations() as seen:
        jaxhpt.search(task, space, seed=1, **search)
    assert len(seen) < 3  # no program of a pool or of the study


def test_a_search_of_sizes_in_nnx_returns_the_masked_module():
    make, sizes, _, x = KINDS["conv"]
    model = masking.masked(make, sizes)
    result = jaxhpt.search(task_of(model, x), sizes, algorithm="random", trials=3, lanes=3, progress=False)
    small = masking.shrink(model, result.best_state, result.best.hparams)
    assert type(small) is Conv
    np.testing.assert_allclose(small(x), result.best_state(x), 1e-3, 1e-5)
    traced = jax.jit(lambda x: result.best_state(x))  # a module made outside cannot be changed inside
    np.testing.assert_allclose(traced(x), result.best_state(x), 1e-5, 1e-6)


class Mixed(nnx.Module):
    """Dropout, and an activation that is a hyperparameter."""

    def __init__(self, h, rngs):
        self.first = nnx.Linear(5, h["width"], rngs=rngs)
        self.batch = nnx.BatchNorm(h["width"], rngs=rngs)
        self.dropout = jaxhpt.traced.NnxDropout(h["dropout"], rngs=rngs)
        self.out = nnx.Linear(h["width"], 3, rngs=rngs)
        self.smooth = h["activation"] == "tanh" if isinstance(h["activation"], str) else h["activation"]

    def __call__(self, x):
        x = self.batch(self.first(x))
        x = jnp.where(self.smooth == 1, jnp.tanh(x), nnx.relu(x))
        return self.out(self.dropout(x))


def test_other_hyperparameters_reach_a_masked_model_as_ever():
    model = masking.masked(lambda h, rngs: Mixed(h, rngs), {"width": Int(2, 8)})
    space = {
        "width": Int(2, 8), "dropout": jaxhpt.Float(0.0, 0.5), "activation": ["relu", "tanh"], "batch_size": [3, 6]
    }  # fmt: skip
    result = jaxhpt.search(task_of(model, VECTORS), space, algorithm="random", trials=4, lanes=2, progress=False)
    assert all(trial.status == "done" for trial in result.trials)
    small = masking.shrink(model, result.best_state, result.best.hparams)
    np.testing.assert_allclose(small(VECTORS), result.best_state(VECTORS), 1e-3, 1e-5)
    np.testing.assert_allclose(np.mean((small(VECTORS) - TARGETS) ** 2), result.best.metrics["mse"], 1e-3)


def test_masked_and_structural_sizes_go_together():
    def make(h, rngs):
        layers = [nnx.Linear(5, h["width"], rngs=rngs), h["act"]]
        for _ in range(h["depth"]):
            layers += [nnx.Linear(h["width"], h["width"], rngs=rngs), h["act"]]
        return nnx.Sequential(*layers, nnx.Linear(h["width"], 3, rngs=rngs))

    sizes = {"width": Int(2, 8)}
    model = masking.masked(make, sizes)
    space = {**sizes, "depth": Int(1, 2, structural=True), "act": jaxhpt.Choice([jnp.tanh], structural=True)}
    result = jaxhpt.search(task_of(model, VECTORS), space, algorithm="random", trials=6, lanes=2, progress=False)
    assert {trial.hparams["depth"] for trial in result.trials} == {1, 2}
    assert all(trial.status == "done" for trial in result.trials)
    best = result.best.hparams
    small = masking.shrink(model, result.best_state, best)
    assert small.layers[0].kernel.shape == (5, best["width"])
    np.testing.assert_allclose(np.mean((small(VECTORS) - TARGETS) ** 2), result.best.metrics["mse"], 1e-3)


def plain_task(net):
    def init(key, h):
        return net.init(key, h)

    def step(weights, batch, h, key):
        grads = jax.grad(lambda w: plain_loss(net.mask(w, h), batch["x"], batch["y"], h))(weights)
        return jax.tree.map(lambda w, g: w - jnp.float32(0.1) * g, weights, grads)

    def evaluate(weights, valid, h):
        return {"loss": plain_loss(net.mask(weights, h), valid["x"], valid["y"], h)}

    data = {"x": VECTORS, "y": TARGETS}
    return jaxhpt.Task(init, step, evaluate, train_data=data, valid_data=data, batch_size=6, steps=3, objective="loss")


def test_a_task_of_functions_searches_sizes_under_64_bits_and_strict_promotion():
    search = {"algorithm": "random", "trials": 6, "lanes": 3, "progress": False}
    plain = jaxhpt.search(plain_task(masking.masked_weights(plain_init, PLAIN_SIZES)), PLAIN_SIZES, **search)
    modes = jax.enable_x64(True), jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise")
    with modes[0], modes[1], modes[2]:
        net = masking.masked_weights(plain_init, PLAIN_SIZES)
        result = jaxhpt.search(plain_task(net), PLAIN_SIZES, **search)
        small = masking.shrink(net, result.best_state, result.best.hparams)
        sizes = {name: jnp.int32(value) for name, value in result.best.hparams.items()}
        text = str(jax.make_jaxpr(net.mask)(result.best_state, sizes))
        assert not re.search(r"[fiu]64", text), text
        assert {leaf.dtype for leaf in jax.tree.leaves((small, result.best_state))} == {np.dtype(np.float32)}
        make, sizes, h, x = KINDS["linen dense"]
        model = masking.masked(make, sizes)(h)
        variables = model.init(KEY, x)
        assert model.apply(variables, x).dtype == np.float32
    assert [t.hparams for t in plain.trials] == [t.hparams for t in result.trials]
    np.testing.assert_allclose([t.value for t in plain.trials], [t.value for t in result.trials], 1e-4)


def test_sizes_compute_as_ints_do_and_know_what_is_active():
    size = masking.sizes.named("width", 8)
    others = {
        "3 * w": 3 * size,
        "w * 2 + 1": size * 2 + 1,
        "20 - w": 20 - size,
        "w // 2": size // 2,
        "w * w": size * size,
    }
    with masking.sizes.at({"width": jnp.int32(4)}):
        found = {name: (int(other), int(masking.active(other))) for name, other in others.items()}
    assert found == {"3 * w": (24, 12), "w * 2 + 1": (17, 9), "20 - w": (12, 16), "w // 2": (4, 2), "w * w": (64, 16)}
    assert size / 2 == 4.0
    assert type(size % 3) is int
    assert masking.unit_mask(jnp.int32(1), 3).tolist() == [True, False, False]
