"""Maximal update parametrisation: the rules, weight by weight, and what they are for."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx

import jaxhpt
from jaxhpt.models import mup

BASE, WIDE, TIMES = 8, 32, 4.0
KEY = jax.random.key(0)
X = jax.random.normal(KEY, (64, 3), jnp.float32)


def build(layer, *shape, dtype=jnp.float32):
    """Return width -> variables of a linen layer, which sees an input of this shape."""
    return lambda width: layer(width).init(KEY, jnp.zeros([width if n is None else n for n in shape], dtype))


def heads(number, size, **options):
    return lambda width: nnx.MultiHeadAttention(
        number(width), number(width) * size(width), decode=False, rngs=nnx.Rngs(0), **options
    )


def four(width):
    return 4


def part(width):
    return width // 4


NORMAL, LECUN = jax.nn.initializers.normal(0.02), jax.nn.initializers.lecun_normal()
RULES = {  # model, weight -> kind, initial factor, rate of Adam, rate of SGD, where all that grows is 4 times as large
    "dense in": (build(linen.Dense, 1, 3), {"kernel": ("input", 1, 1, 4), "bias": ("input", 1, 1, 4)}),
    "dense": (build(linen.Dense, 1, None), {"kernel": ("hidden", 1, 1 / 4, 1), "bias": ("input", 1, 1, 4)}),
    "dense out": (
        build(lambda width: linen.Dense(3), 1, None),
        {"kernel": ("output", 1 / 2, 1 / 4, 1 / 4), "bias": ("fixed", 1, 1, 1)},
    ),
    "dense of a fixed scale": (
        build(lambda width: linen.Dense(width, kernel_init=NORMAL), 1, None),
        {"kernel": ("hidden", 1 / 2, 1 / 4, 1)},
    ),
    "dense out of a fixed scale": (
        build(lambda width: linen.Dense(3, kernel_init=NORMAL), 1, None),
        {"kernel": ("output", 1 / 4, 1 / 4, 1 / 4)},
    ),
    "four times as wide within": (
        lambda width: {"up": jnp.ones((width, 4 * width)), "down": jnp.ones((4 * width, width))},
        {"up": ("hidden", 1 / 2, 1 / 4, 1), "down": ("hidden", 1 / 2, 1 / 4, 1)},
    ),
    "embedding": (
        build(lambda width: linen.Embed(50, width), 1, dtype=jnp.int32),
        {"embedding": ("input", 2, 1, 4)},  # Flax draws it smaller where it is wider
    ),
    "norm": (build(lambda width: linen.LayerNorm(), 1, None), {"scale": ("input", 1, 1, 4)}),
    "convolution": (
        build(lambda width: linen.Conv(width, (3, 3)), 1, 8, 8, None),
        {"kernel": ("hidden", 1, 1 / 4, 1), "bias": ("input", 1, 1, 4)},
    ),
    "convolution in": (build(lambda width: linen.Conv(width, (3, 3)), 1, 8, 8, 3), {"kernel": ("input", 1, 1, 4)}),
    "convolution out": (
        build(lambda width: linen.Conv(3, (3, 3)), 1, 8, 8, None),
        {"kernel": ("output", 1 / 2, 1 / 4, 1 / 4)},
    ),
    "orthogonal": (
        build(lambda width: linen.Dense(width, kernel_init=jax.nn.initializers.orthogonal()), 1, None),
        {"kernel": ("hidden", 1, 1 / 4, 1)},
    ),
    "more heads": (
        heads(part, four),
        {
            "query.kernel": ("hidden", 1, 1 / 4, 1),
            "query.bias": ("input", 1, 1, 4),  # its first axis grows, and is no fan-in
            "out.kernel": ("hidden", 1, 1 / 4, 1),
            "out.bias": ("input", 1, 1, 4),
        },
    ),
    "larger heads": (
        heads(four, part),
        {"query.kernel": ("hidden", 1, 1 / 4, 1), "query.bias": ("input", 1, 1, 4)},
    ),
    "zeros": (
        build(lambda width: linen.Dense(3, kernel_init=jax.nn.initializers.zeros), 1, None),
        {"kernel": ("output", 1 / 4, 1 / 4, 1 / 4)},
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_the_rules_of_the_paper(name):
    make, expected = RULES[name]
    found = mup.widths(make, BASE, WIDE)
    for weight, (kind, initial, adam, sgd) in expected.items():
        one = found.weights[weight]
        assert one.kind == kind
        assert (one.initial, one.rate("adam"), one.rate("sgd")) == pytest.approx((initial, adam, sgd), rel=1e-4), weight


def test_both_the_number_and_the_size_of_heads_may_grow():
    found = mup.widths(heads(lambda width: width // 2, lambda width: width // 2), 4, 8).weights
    assert (found["query.kernel"].fan_in, found["query.kernel"].fan_out) == ((0,), (1, 2))
    assert (found["out.kernel"].fan_in, found["out.kernel"].fan_out) == ((0, 1), (2,))
    assert found["out.kernel"].rate("adam") == 1 / 4


def test_what_does_not_tell_is_named_and_may_be_said():
    def make(width):
        return {"deep": {"w": 0.1 * jax.random.normal(KEY, (3, width, 5))}, "b": jnp.zeros(width)}

    with pytest.raises(ValueError, match=r"deep\.w: .*does not tell which of the axes \[1\].*fan_in=\{'deep\.w'"):
        mup.widths(make, BASE, WIDE)
    found = mup.widths(make, BASE, WIDE, fan_in={"*.w": (1,)}).weights["deep.w"]
    assert (found.kind, found.initial, found.rate("adam")) == ("output", 1 / 4, 1 / 4)
    assert mup.widths(make, BASE, WIDE, fan_in={"*.w": ()}).weights["deep.w"].kind == "input"
    with pytest.raises(ValueError, match=r"fan_in\['v'\]: no weight has this name; there are \['b', 'deep\.w'\]"):
        mup.widths(make, BASE, WIDE, fan_in={"v": (1,)})
    with pytest.raises(ValueError, match="has 3 axes; must be among them"):
        mup.widths(make, BASE, WIDE, fan_in={"deep.w": (3,)})


def test_an_axis_in_the_middle_that_no_scale_tells_of_is_refused():
    make = build(lambda width: linen.DenseGeneral((width, 4)), 1, 3)
    with pytest.raises(ValueError, match="kernel: has shape"):
        mup.widths(make, BASE, WIDE)
    assert mup.widths(make, BASE, WIDE, fan_in={"kernel": (0,)}).weights["kernel"].kind == "input"


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (jnp.zeros(3), TypeError, "must be a function, width -> model"),
        (lambda width: {}, ValueError, "returned no weights"),
        (lambda width: {"w": jnp.zeros(3)}, ValueError, "no weight differs"),
        (lambda width: {f"w{i}": jnp.zeros(width) for i in range(width)}, ValueError, "w10: is there at width 32 only"),
        (lambda width: {"w": jnp.zeros((width,) * (1 + (width == WIDE)))}, ValueError, "w: has shape .*sizes alone"),
        (lambda width: {"w": jnp.full((width, width), width == WIDE, jnp.float32)}, ValueError, "begins at 0 at one"),
    ],
)
def test_models_that_cannot_be_compared_are_refused(make, error, words):
    with pytest.raises(error, match=words):
        mup.widths(make, BASE, WIDE)


class Net(nnx.Module):
    """Three layers, the last of which begins at 0 where that is said."""

    def __init__(self, width, rngs, last=LECUN):
        self.first, self.middle = nnx.Linear(3, width, rngs=rngs), nnx.Linear(width, width, rngs=rngs)
        self.last = nnx.Linear(width, 2, kernel_init=last, rngs=rngs)

    def __call__(self, x):
        return self.last(nnx.relu(self.middle(nnx.relu(self.first(x)))))


class LinenNet(linen.Module):
    """The same."""

    width: int
    last: object = LECUN

    @linen.compact
    def __call__(self, x):
        for name in ("first", "middle"):
            x = linen.relu(linen.Dense(self.width, name=name)(x))
        return linen.Dense(2, kernel_init=self.last, name="last")(x)


@functools.cache
def widths_of(width):
    return mup.widths(lambda width: Net(width, nnx.Rngs(0)), BASE, width)


def test_kinds_of_models_agree():
    of_linen = mup.widths(build(LinenNet, 1, 3), BASE, WIDE)
    assert of_linen.weights == widths_of(WIDE).weights
    x = jnp.ones((1, 3), jnp.float32)
    plain = LinenNet(WIDE).init(KEY, x)
    made = mup.initialised(LinenNet(WIDE), of_linen)
    outputs, variables = made.init_with_output(KEY, x)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, variables, mup.initialised(plain, of_linen)))
    np.testing.assert_array_equal(outputs, LinenNet(WIDE).apply(variables, x))
    np.testing.assert_allclose(variables["params"]["last"]["kernel"], plain["params"]["last"]["kernel"] / 2)
    module = mup.initialised(Net(WIDE, nnx.Rngs(0)), widths_of(WIDE))
    np.testing.assert_allclose(module.last.kernel[...], Net(WIDE, nnx.Rngs(0)).last.kernel[...] / 2)
    np.testing.assert_array_equal(module.middle.kernel[...], Net(WIDE, nnx.Rngs(0)).middle.kernel[...])


def test_statistics_of_linen_stay_as_they_are():
    layer = linen.BatchNorm(use_running_average=False)
    found = mup.widths(lambda width: layer.init(KEY, jnp.zeros((1, width), jnp.float32)), BASE, WIDE)
    variables = layer.init(KEY, jnp.zeros((1, WIDE), jnp.float32))
    assert set(found.weights) == {"scale", "bias"}
    assert jax.tree.all(jax.tree.map(jnp.array_equal, mup.initialised(variables, found), variables))


def test_other_weights_than_those_met_are_refused():
    optimizer = mup.scaled(optax.sgd(0.1), widths_of(WIDE), "sgd")
    with pytest.raises(ValueError, match=r"first\.bias: has shape \(16,\).*met it as \(32,\)"):
        optimizer.init(nnx.state(Net(16, nnx.Rngs(0)), nnx.Param))
    with pytest.raises(ValueError, match=r"other: mup\.widths has not met this weight"):
        mup.initialised({"other": jnp.zeros(3)}, widths_of(WIDE))
    with pytest.raises(ValueError, match=r"params=None: say optimizer\.update"):
        optimizer.update({}, optax.EmptyState())
    with pytest.raises(ValueError, match="rule='lion': must be \"adam\""):
        mup.scaled(optax.lion(0.1), widths_of(WIDE), "lion")
    with pytest.raises(TypeError, match="must be an optax optimiser"):
        mup.scaled(optax.adam, widths_of(WIDE), "adam")
    with pytest.raises(TypeError, match=r"must be what mup\.widths returned"):
        mup.scaled(optax.adam(0.1), 4.0, "adam")


OPTIMISERS = {
    "adam": ("adam", optax.adam(0.01, eps=0.1)),  # an epsilon that counts
    "adamw, clipped": ("adam", optax.chain(optax.clip_by_global_norm(0.5), optax.adamw(0.01, weight_decay=0.3))),
    "sgd with momentum": ("sgd", optax.sgd(0.05, momentum=0.9)),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_training_is_that_of_table_8(name):
    """There weights have multipliers in the model, and each kind its own learning rate."""
    rule, optimizer = OPTIMISERS[name]
    found, x, y = widths_of(WIDE), X[:16], jnp.ones((16, 2), jnp.float32)
    graph, weights = nnx.split(mup.initialised(Net(WIDE, nnx.Rngs(0)), found), nnx.Param)
    rates = {"adam": {"hidden": 1 / TIMES}, "sgd": {"input": TIMES, "output": TIMES}}[rule]
    kinds = {n: w.kind for n, w in found.weights.items()}

    def leaves(tree):
        return {f"{a}.{b}": leaf for a, part in nnx.to_pure_dict(tree).items() for b, leaf in part.items()}

    def loss(weights):
        return jnp.mean((nnx.merge(graph, weights)(x) - y) ** 2)

    def theirs(raw):
        inner = {n: w / TIMES if kinds[n] == "output" else w for n, w in raw.items()}
        first, middle, last = (
            lambda z, name=name: z @ inner[f"{name}.kernel"] + inner[f"{name}.bias"][None]
            for name in ("first", "middle", "last")
        )
        return jnp.mean((last(nnx.relu(middle(nnx.relu(first(x))))) - y) ** 2)

    raw = {n: w * TIMES if kinds[n] == "output" else w for n, w in leaves(weights).items()}
    ours = mup.scaled(optimizer, found, rule)
    state, other = ours.init(weights), optimizer.init(raw)
    rate = {n: rates.get(kind, 1.0) for n, kind in kinds.items()}
    with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes inside
        for _ in range(3):
            updates, state = ours.update(jax.grad(loss)(weights), state, weights)
            weights = optax.apply_updates(weights, updates)
            decayed = {n: w / rate[n] for n, w in raw.items()}  # decay that does not follow the learning rate
            updates, other = optimizer.update(jax.grad(theirs)(raw), other, decayed)
            raw = {n: w + rate[n] * updates[n] for n, w in raw.items()}
    for n, w in leaves(weights).items():
        np.testing.assert_allclose(w, raw[n] / TIMES if kinds[n] == "output" else raw[n], rtol=2e-4, atol=2e-6)


DATA = {"train_data": (X, X[:, :2] ** 2), "valid_data": (X, X[:, :2] ** 2), "loss": "mse", "batch_size": 64}
LR = {"lr": jaxhpt.Float(1e-3, 1e-1, log=True)}


def searched(model, optimizer, steps=4):
    task = jaxhpt.FlaxTask(model, optimizer, steps=steps, **DATA)
    return jaxhpt.search(task, LR, algorithm="random", trials=4, lanes=2, progress=False)


def test_at_the_base_width_a_search_is_the_same_to_the_bit():
    found = widths_of(BASE)
    plain = searched(lambda h, rngs: Net(BASE, rngs), lambda h: optax.adam(h["lr"]))
    ours = searched(
        lambda h, rngs: mup.initialised(Net(BASE, rngs), found),
        lambda h: mup.scaled(optax.adam(h["lr"]), found, "adam"),
    )
    np.testing.assert_array_equal(plain.history.metrics, ours.history.metrics)


@pytest.mark.parametrize("kind", ["nnx", "linen"])
def test_lanes_train_at_their_own_rates(kind):
    found, zeros = widths_of(WIDE), jax.nn.initializers.zeros
    make = {
        "nnx": lambda h, rngs: mup.initialised(Net(WIDE, rngs, zeros), found),
        "linen": mup.initialised(LinenNet(WIDE, zeros), found),
    }
    result = searched(make[kind], lambda h: mup.scaled(optax.adam(h["lr"]), found, "adam"), steps=1)
    best = result.best_state
    kernel = best.last.kernel[...] if kind == "nnx" else best["params"]["last"]["kernel"]
    moved = np.abs(kernel).max()  # one step of Adam is one learning rate
    assert moved == pytest.approx(result.best.hparams["lr"] / TIMES, rel=1e-2)
