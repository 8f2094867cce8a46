"""The loop: same bits however it is dispatched, no transfers, no idle lanes, and each trial as if alone."""

import contextlib
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from covering import covered_by

import jaxhpt
from jaxhpt.algorithms.base import AlgorithmDefaults, proposals
from jaxhpt.core.history import Status
from jaxhpt.engine.loop import begin, dispatch
from jaxhpt.engine.split import Split

LANES = 8
EPOCHS = {"lr": jaxhpt.Float(1e-3, 0.3, log=True), "epochs": [2, 4, 6]}


@pytest.fixture(scope="module")
def ragged(linear):
    """Return a finished search whose trials differ in length: 40 trials on 8 lanes."""
    return run(dataclasses.replace(linear, steps="epochs"), EPOCHS)


def run(task, space, **options):
    settings = {"trials": 40, "lanes": LANES, "algorithm": "random", "progress": False, **options}
    return jaxhpt.search(task, space, **settings)


@pytest.mark.parametrize("events", [1, 3, "all"])
def test_any_number_of_events_a_dispatch_gives_the_same_bits(linear, ragged, same_bits, events):
    again = run(dataclasses.replace(linear, steps="epochs"), EPOCHS, events_per_dispatch=events)
    same_bits(again.history, ragged.history)
    same_bits(again.best_state, ragged.best_state)


def test_a_dispatch_moves_nothing_between_host_and_device(ragged):
    program, data = ragged._run.program, ragged._run.data
    carry, events = begin(program, jax.random.key(0)), jnp.int32(5)
    run = dispatch.program(program, carry, data, events)
    with nothing_moves():
        carry, summary = run(carry, data, events)
        jax.block_until_ready(carry)
    assert int(summary.events) == 5


def test_nor_do_programs_that_are_called_one_by_one(ragged):
    program, data = ragged._run.program, ragged._run.data
    with contextlib.closing(Split(program, jax.random.key(0), None, data)) as split:
        with nothing_moves():
            split.run(program.grains_of(5))
        assert int(split.summary.events) == 5


@contextlib.contextmanager
def nothing_moves():
    """Let nothing move between host and device, in no thread."""
    jax.config.update("jax_transfer_guard", "disallow")
    try:
        yield
    finally:
        jax.config.update("jax_transfer_guard", None)


def test_a_second_search_compiles_nothing(linear, ragged, compilations):
    with compilations() as seen:
        again = run(dataclasses.replace(linear, steps="epochs"), EPOCHS, seed=7)
    assert seen == []
    assert again.best.status == "done"


def test_a_task_built_again_by_the_same_lines_compiles_nothing(digits, compilations):
    def build():
        import optax
        from flax import linen as nn

        return jaxhpt.FlaxTask(
            nn.Dense(10), lambda h: optax.sgd(h["lr"]), train_data=digits[0], valid_data=digits[1], steps=3
        )

    space = {"lr": jaxhpt.Float(0.01, 0.5)}
    run(build(), space, trials=8)
    with compilations() as seen:
        run(build(), space, trials=8, seed=1)
    assert seen == []


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(linear, ragged, same_bits):
    task = dataclasses.replace(linear, steps="epochs")
    same_bits(run(task, EPOCHS).history, ragged.history)
    assert not np.array_equal(run(task, EPOCHS, seed=1).history.unit, ragged.history.unit)


def test_every_trial_trains_as_it_would_alone(linear, ragged):
    root = jax.random.key(0)
    for trial in ragged.trials[::7]:
        state = alone(linear, trial, root)
        expected = linear.evaluate(state, linear.valid_data, trial.hparams)
        assert trial.metrics["loss"] == pytest.approx(float(expected["loss"]), rel=1e-4, abs=1e-6)
        assert trial.metrics["size"] == pytest.approx(float(expected["size"]), rel=1e-4)


def alone(task, trial, root):
    """Train one trial in a plain Python loop, from the documented keys and batches."""
    key = jax.random.fold_in(jax.random.fold_in(root, 4), trial.id)
    state = task.init(jax.random.fold_in(key, 0), trial.hparams)
    rows, size = 50, task.batch_size
    per_epoch = -(-rows // size)
    for step in range(trial.steps):
        epoch, place = divmod(trial.start + step, per_epoch)
        order = jax.random.permutation(jax.random.fold_in(jax.random.fold_in(root, 2), epoch), rows)
        index = order[(place * size + np.arange(size)) % rows]
        batch = {name: column[index] for name, column in task.train_data.items()}
        state = task.step(state, batch, trial.hparams, jax.random.fold_in(key, step + 1))
    return state


def test_a_trial_trains_for_the_length_it_asks_for(ragged):
    for trial in ragged.trials:
        assert trial.steps == trial.hparams["epochs"] * 4  # 50 rows in batches of 16: four steps an epoch
    assert {t.hparams["epochs"] for t in ragged.trials} == {2, 4, 6}


def test_no_lane_idles_until_the_trials_run_out(ragged):
    start = ragged.history.start // ragged.stats.interval
    end = start + ragged.history.steps // ragged.stats.interval
    for event in range(start.max()):
        assert ((start <= event) & (event < end)).sum() == LANES
    assert ragged.stats.lanes_busy == pytest.approx(ragged.history.steps.sum() / (LANES * end.max() * 8), rel=1e-6)


def test_a_diverging_trial_is_failed_and_leaves_the_others_bits_alone(linear, same_bits):
    def step(state, batch, hparams, key):
        poisoned = (hparams["lr"] > 0.1) & (batch["poison"][0] > 0)
        return jax.tree.map(lambda w: jnp.where(poisoned, jnp.nan, w), linear.step(state, batch, hparams, key))

    def search(poison):
        data = {**linear.train_data, "poison": np.full(50, poison, np.float32)}
        return run(dataclasses.replace(linear, step=step, train_data=data), {"lr": jaxhpt.Float(1e-3, 0.3)})

    clean, poisoned = search(0.0), search(1.0)
    failed = np.array([t.hparams["lr"] > 0.1 for t in clean.trials])
    assert 0 < failed.sum() < 40
    np.testing.assert_array_equal(poisoned.history.status == Status.FAILED, failed)
    assert np.isposinf(poisoned.history.metrics[failed]).all()
    alone = {"tried": 0, "first": 0}  # not a row a trial
    both = (jax.tree.leaves(result.history._replace(**alone)) for result in (clean, poisoned))
    for a, b in zip(*both, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        same_bits(a[~failed] if a.ndim else a, b[~failed] if b.ndim else b)
    assert poisoned.stats.failed == failed.sum()
    assert np.isnan(poisoned.trials[int(np.argmax(failed))].value)


def test_when_every_trial_fails_the_search_ends_and_says_so():
    result = jaxhpt.minimize(lambda h, key: h["x"] * jnp.nan, {"x": jaxhpt.Float(0, 1)}, trials=9, progress=False)
    assert result.stats.failed == 9
    assert "all failed: score, or the weights, were not finite" in repr(result)
    with pytest.raises(RuntimeError, match="9 failed"):
        _ = result.best


@pytest.mark.parametrize("lanes", covered_by([1, 15, 64], [1, 4, 15, 64]))
def test_a_grid_visits_every_point_once_at_any_lane_count_and_ends(lanes):
    space = {"a": [1, 2, 3], "b": jaxhpt.Float(0, 1), "c": jaxhpt.Bool()}
    options = {"algorithm": jaxhpt.Grid(points=4), "lanes": lanes, "progress": False}
    result = jaxhpt.minimize(lambda h, key: h["a"] * h["b"] + h["c"], space, trials=1000, **options)
    seen = {(t.hparams["a"], round(t.hparams["b"] * 3), t.hparams["c"]) for t in result.trials}
    assert len(seen) == len(result.trials) == 3 * 4 * 2
    assert all(t.status == "done" for t in result.trials)


@dataclasses.dataclass(frozen=True)
class RunsDry(AlgorithmDefaults):
    """Propose ten rows in all, every second one of the answers not valid; tell nobody the number."""

    def init(self, key, problem):
        return jnp.int32(0)

    def ask(self, key, state, history, problem, num, count):
        place = jnp.arange(num)
        valid = (place % 2 == 0) & (history.num_rows + place // 2 < 10)
        return proposals(jnp.full((num, problem.num_dimensions), 0.3), valid=valid), state


@pytest.mark.parametrize("lanes", covered_by([4, 20], [1, 4, 20]))
def test_an_algorithm_that_runs_dry_ends_the_search(lanes):
    result = jaxhpt.minimize(
        lambda h, key: h["x"], {"x": jaxhpt.Float(0, 1)}, algorithm=RunsDry(), trials=50, lanes=lanes, progress=False
    )
    assert result.stats.trials == 10
    assert all(t.hparams["x"] == pytest.approx(0.3) for t in result.trials)


def test_a_small_space_searched_at_random_repeats_and_ends():
    result = jaxhpt.minimize(
        lambda h, key: h["x"] + jax.random.uniform(key) * 0.1,
        {"x": [1, 2]},
        algorithm="random",
        trials=40,
        progress=False,
    )
    assert len(result.trials) == 40
    assert len({t.value for t in result.trials}) == 40  # a repeat runs with randomness of its own


def test_an_interval_that_does_not_divide_trains_no_step_too_many(linear, lr_space):
    exact, masked = run(linear, lr_space, interval=8), run(linear, lr_space, interval=7)
    assert (masked.history.steps == 24).all()
    assert masked.stats.lanes_busy == pytest.approx(24 / 28)
    first = slice(0, LANES)  # later trials start at other ticks, on other batches
    np.testing.assert_allclose(masked.history.metrics[first], exact.history.metrics[first], rtol=1e-4)


def test_the_winner_that_is_kept_is_the_best_row_and_its_weights_score_so(linear, ragged):
    row = int(np.argmin(ragged.history.metrics[:, 0]))
    assert ragged.best.id == row
    expected = linear.evaluate(ragged.best_state, linear.valid_data, {})["loss"]
    assert ragged.best.value == pytest.approx(float(expected), rel=1e-4, abs=1e-6)


def test_what_waits_in_the_queue_starts_before_what_is_asked_for(ragged):
    program, data = ragged._run.program, ragged._run.data
    carry = begin(program, jax.random.key(3))
    queue = carry.study.queue
    waiting = queue._replace(unit=jnp.full_like(queue.unit, 0.25), valid=jnp.arange(LANES) == LANES - 1)
    carry = carry._replace(study=carry.study._replace(queue=waiting))
    study = dispatch(program, carry, data, jnp.int32(1))[0].study
    assert int(study.history.num_rows) == LANES
    assert not bool(study.queue.valid.any())
    np.testing.assert_allclose(study.history.unit[0], 0.25)  # what waited goes first
    assert np.abs(study.history.unit[1:LANES] - 0.25).max() > 0.1  # the algorithm was asked for the rest


def test_ties_go_to_the_earlier_trial():
    result = jaxhpt.minimize(
        lambda h, key: jnp.floor(h["x"]), {"x": jaxhpt.Float(0, 2)}, trials=30, lanes=7, algorithm="random",
        progress=False,
    )  # fmt: skip
    assert result.best.id == int(np.argmin(result.history.metrics[:, 0]))


def test_strict_promotion_and_ranks_hold_throughout(linear, lr_space):
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        result = run(linear, {**lr_space, "scale": jaxhpt.Float(0.01, 1.0)}, trials=8, interval=7)
    assert result.stats.trials == 8
