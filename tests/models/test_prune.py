"""Pruning: exact counts under jit and vmap, schedules, weights that stay 0, and the way back to early weights."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx

import jaxhpt
from jaxhpt.models import prune

RANDOM = np.random.default_rng(0)
TREE = {
    "first": {"kernel": RANDOM.normal(size=(10, 8)).astype(np.float32), "bias": np.ones(8, np.float32)},
    "last": {"kernel": RANDOM.normal(size=(8, 3)).astype(np.float32), "bias": np.ones(3, np.float32)},
}
masks = jax.jit(prune.masks)


def counts(tree):
    return {name: int(part["kernel"].sum()) for name, part in tree.items()}


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.77, 0.999, 1.0])
def test_an_exact_number_of_the_largest_stays(sparsity):
    found = masks(TREE, sparsity)
    for name, part in TREE.items():
        size = np.abs(part["kernel"])
        kept = np.asarray(found[name]["kernel"])
        assert kept.sum() == size.size - round(sparsity * size.size)
        assert 0 < kept.sum() < size.size or sparsity in (0.0, 0.999, 1.0)
        assert size[kept].min(initial=np.inf) >= size[~kept].max(initial=0.0)
        assert found[name]["bias"].shape == ()


def test_equal_weights_are_pruned_to_the_number_too():
    weights = jnp.asarray([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    assert masks(weights, 0.5).tolist() == [[True, True, False], [True, False, False]]
    assert masks(jnp.zeros((4, 5)), 0.25).sum() == 15


def test_each_lane_has_its_own_count():
    found = jax.vmap(lambda s: prune.masks(TREE, s))(jnp.asarray([0.0, 0.25, 0.9]))
    assert found["first"]["kernel"].sum((1, 2)).tolist() == [80, 60, 8]


def test_layers_by_name_and_vectors_by_their_own():
    found = masks(TREE, {"first": 0.5, "last.bias": 1 / 3})
    assert found["first"]["kernel"].sum() == 40
    assert [found["first"]["bias"].shape, found["last"]["kernel"].shape] == [(), ()]
    assert found["last"]["bias"].tolist() == [True, True, False]
    longest = masks({"a": TREE}, {"a": 0.5, "a.last": 0.0})
    assert counts(longest["a"]) == {"first": 40, "last": 24}


def test_what_was_pruned_stays_so():
    first = masks(TREE, 0.5)
    other = jax.tree.map(lambda w: w[::-1], TREE)
    again = masks(other, 0.6, first)
    assert counts(again) == {"first": 32, "last": 10}
    jax.tree.map(lambda new, old: np.testing.assert_array_equal(new & ~old, False), again, first)
    assert counts(masks(other, 0.1, first)) == counts(first)  # it does not come back


def test_nan_is_not_pruned_away():
    assert masks(jnp.asarray([[jnp.nan, 5.0, 1.0]]), 0.5).tolist() == [[True, False, False]]


def test_the_schedule_is_that_of_the_paper():
    begin, end, initial, final = 10, 110, 0.1, 0.9
    for step in (0, 10, 37, 110, 500):
        t = min(max(step, begin), end)
        wanted = final + (initial - final) * (1 - (t - begin) / (end - begin)) ** 3
        assert float(jax.jit(prune.cubic_sparsity)(step, final, begin, end, initial)) == pytest.approx(wanted, abs=1e-6)
    assert [float(prune.cubic_sparsity(t, 0.5, 3, 3)) for t in (2, 3)] == [0.0, 0.5]


def descend(optimizer, steps, target, start):
    """Return weights and states after each step towards a target."""

    @jax.jit
    def step(carry, _):
        w, state = carry
        updates, state = optimizer.update(jax.tree.map(jnp.subtract, w, target), state, w)
        w = optax.apply_updates(w, updates)
        return (w, state), (w, state.masks)

    return jax.lax.scan(step, (start, optimizer.init(start)), length=steps)[1]


TARGET = jnp.asarray(RANDOM.normal(size=(10, 10)), jnp.float32)
START = jnp.asarray(RANDOM.normal(size=(10, 10)), jnp.float32)


def test_gradual_pruning_follows_the_schedule_and_ends_at_the_sparsity():
    optimizer = prune.gradual(optax.adam(0.1), 0.8, begin=5, end=23, every=4)
    weights, _ = descend(optimizer, 40, TARGET, START)
    kept = (weights != 0).sum((1, 2))
    wanted, now = [], 100
    for step in range(40):
        if (5 <= step <= 23 and (step - 5) % 4 == 0) or step == 23:
            now = 100 - round(100 * float(prune.cubic_sparsity(step, 0.8, 5, 23)))
        wanted.append(now)
    assert kept.tolist() == wanted
    assert kept[-1] == 20
    zero = weights == 0
    assert not (zero[:-1] & ~zero[1:]).any()  # what is 0 stays 0, also for Adam's momentum


def test_gradual_pruning_of_lanes_that_are_out_of_step():
    def run(sparsity, begin):
        return descend(prune.gradual(optax.sgd(0.1), sparsity, begin, begin + 6, every=2), 20, TARGET, START)[0]

    together = jax.vmap(run)(jnp.asarray([0.2, 0.9]), jnp.asarray([0, 7]))
    for lane, (sparsity, begin) in enumerate([(0.2, 0), (0.9, 7)]):
        np.testing.assert_allclose(together[lane], run(sparsity, begin), rtol=1e-5)
    assert (together[:, -1] != 0).sum((1, 2)).tolist() == [80, 10]


def test_a_lottery_ticket_goes_back_to_its_early_weights():
    optimizer = prune.lottery(optax.sgd(0.1, momentum=0.9), 0.75, rounds=2, steps=10, rewind_to=3)
    weights, found = descend(optimizer, 30, TARGET, START)
    assert (weights != 0).sum((1, 2))[jnp.asarray([8, 9, 18, 19, 29])].tolist() == [100, 50, 50, 25, 25]
    early = weights[2]
    for step in (9, 19):
        np.testing.assert_allclose(weights[step], jnp.where(found[step], early, 0), atol=1e-6)
        np.testing.assert_allclose(weights[step + 1], jnp.where(found[step], weights[3], 0), atol=1e-6)  # momentum too
    best = np.sort(np.abs(weights[8] + 0.0).ravel())[-50:].sum()
    assert np.abs(weights[8])[found[9]].sum() == pytest.approx(best, rel=0.05)  # the largest, one step before


def test_a_lottery_ticket_rewinds_to_the_start_by_default():
    weights, found = descend(prune.lottery(optax.adam(0.1), 0.9, rounds=1, steps=5), 6, TARGET, START)
    np.testing.assert_allclose(weights[4], jnp.where(found[4], START, 0), atol=1e-6)
    assert found[4].sum() == 10


def test_an_update_may_change_weights_of_half_precision():
    w = START.astype(jnp.bfloat16)
    weights, _ = descend(prune.gradual(optax.sgd(0.1), 0.5, 0, 4, every=1), 8, TARGET.astype(jnp.bfloat16), w)
    assert weights.dtype == jnp.bfloat16
    assert (weights[-1] != 0).sum() == 50


X = RANDOM.normal(size=(64, 4)).astype(np.float32)
DATA = (X, X.sum(1))
MODELS = {"nnx": lambda h, rngs: nnx.Linear(4, 1, rngs=rngs), "linen": linen.Dense(1)}


@pytest.mark.parametrize("kind", MODELS)
def test_sparsity_is_a_hyperparameter_of_flax_tasks(kind):
    task = jaxhpt.FlaxTask(
        MODELS[kind], lambda h: prune.gradual(optax.adam(0.1), h["sparsity"], 2, h["end"], every=2), loss="mse",
        train_data=DATA, valid_data=DATA, steps=20,
    )  # fmt: skip
    space = {"sparsity": jaxhpt.Choice([0.5, 0.75]), "end": jaxhpt.Int(4, 12)}
    result = jaxhpt.search(task, space, trials=4, algorithm="random", progress=False)
    state = result.best_state
    kernel = state.kernel[...] if kind == "nnx" else state["params"]["kernel"]
    assert (kernel != 0).sum() == 4 - 4 * result.best.hparams["sparsity"]


def test_errors_name_the_argument_and_the_remedy():
    with pytest.raises(ValueError, match=r"sparsity=1.5: must be a share in \[0, 1\]"):
        prune.masks(TREE, 1.5)
    with pytest.raises(ValueError, match=r"sparsity\['frist'\]: no such part; did you mean"):
        prune.masks(TREE, {"frist": 0.5})
    with pytest.raises(TypeError, match="sparsity='much': must be a number"):
        prune.masks(TREE, "much")
    with pytest.raises(ValueError, match=r"sparsity\['b'\]: has no matrices; name the arrays .*'b.bias'"):
        prune.masks({"b": {"bias": np.ones(3)}, "w": np.ones((2, 2))}, {"b": 0.5})
    with pytest.raises(TypeError, match=r"sparsity\['n'\]: is of int64; must be an array of floats"):
        prune.masks({"n": np.ones((2, 2), np.int64)}, {"n": 0.5})
    with pytest.raises(ValueError, match="every=0: must be at least 1"):
        prune.gradual(optax.sgd(0.1), 0.5, 0, 10, every=0)
    with pytest.raises(TypeError, match=r"begin=0\.5: must be an int of at least 0"):
        prune.gradual(optax.sgd(0.1), 0.5, 0.5, 10)
    optimizer = prune.gradual(optax.sgd(0.1), 0.5, 0, 10)
    with pytest.raises(ValueError, match=r"params=None: pruning needs the weights"):
        optimizer.update(START, optimizer.init(START))
