"""Parked trials: who goes on later, from which weights, against lists in plain Python."""

import collections
import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt import ASHA, Float, Hyperband, Space
from jaxhpt.algorithms import Random
from jaxhpt.core import history
from jaxhpt.core.keys import root_of
from jaxhpt.core.lanes import Lanes
from jaxhpt.core.metrics import choose
from jaxhpt.core.pareto import places
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule
from jaxhpt.core.typing import NONE
from jaxhpt.engine.build import build
from jaxhpt.engine.loop import Fused
from jaxhpt.engine.split import Split
from jaxhpt.schedulers import Parks, archive
from jaxhpt.schedulers.base import num_parked
from jaxhpt.training.layout import Layout


@dataclasses.dataclass
class Life:
    """A row of the history."""

    trial: int
    parent: int | None
    start: int
    first: int
    steps: int
    status: str = "running"


class Halving:
    """The rule as the paper tells it, on lists, with room for so many parked trials."""

    def __init__(self, curves, lengths, lanes, levels, eta, slots, brackets=1, interval=1):
        self.curves, self.lengths, self.levels, self.eta, self.slots = curves, lengths, levels, eta, slots
        self.brackets, self.interval, self.lanes = brackets, interval, [None] * lanes
        self.rows, self.came = [], collections.defaultdict(list)
        self.parked = {}  # row -> bracket
        self.waiting, self.spared, self.evicted = collections.deque(range(len(curves))), set(), 0

    def run(self):
        event = 0
        while True:
            for lane, row in enumerate(self.lanes):
                if row is None and self.waiting:
                    self.lanes[lane] = self.opened(self.waiting.popleft(), None, event)
            if all(row is None for row in self.lanes):
                return self.rows
            event += 1
            self.settle(event)

    def opened(self, trial, parent, event):
        first = 0 if parent is None else self.rows[parent].steps
        self.rows.append(Life(trial, parent, event * self.interval, first, first))
        return len(self.rows) - 1

    def settle(self, event):
        live = [lane for lane, row in enumerate(self.lanes) if row is not None]
        for lane in live:
            life = self.rows[self.lanes[lane]]
            life.steps = min(life.steps + self.interval, self.lengths[life.trial])
        spent = {lane for lane in live if self.left(self.lanes[lane]) == 0}
        judged = {lane for lane in set(live) - spent if self.rung(self.lanes[lane], lane % self.brackets)}
        for lane in judged:
            row = self.lanes[lane]
            self.came[self.rung(row, lane % self.brackets)].append((self.score(row), event, row))
        failed = {lane for lane in spent | judged if not math.isfinite(self.score(self.lanes[lane]))}
        bad = {lane for lane in judged - failed if self.standing(self.lanes[lane], lane % self.brackets) >= 1}
        stop = self.without_spared(set(live) - spent - failed, bad, judged)
        for lane in failed | spent | stop:
            life = self.rows[self.lanes[lane]]
            life.status = "failed" if lane in failed else "done" if lane in spent else "stopped"
        new = {self.lanes[lane]: lane % self.brackets for lane in sorted(stop & bad)}
        for lane in failed | spent | stop:
            self.lanes[lane] = None
        self.exchange(new, event)

    def without_spared(self, going, bad, judged):
        stop = bad | {lane for lane in going - judged if lane in self.spared}
        empty = not self.waiting and not self.ready()
        longest = max((self.left(self.lanes[lane]) for lane in going - stop), default=0)
        self.spared = {lane for lane in stop if empty and self.left(self.lanes[lane]) <= longest}
        return stop - self.spared

    def exchange(self, new, event):
        both = self.parked | new
        ready, out = self.ready(), 0
        for lane, row in enumerate(self.lanes):
            mine = [parent for parent in ready if self.parked[parent] == lane % self.brackets]
            if row is None and mine:
                self.lanes[lane] = self.opened(self.rows[mine[0]].trial, mine[0], event)
                ready.remove(mine[0])
                both.pop(mine[0])
                out += 1
        first = sorted(both, key=lambda row: (self.standing(row, both[row]), row))
        kept = first[: self.slots - out]
        self.evicted += len(first) - len(kept)
        self.parked = {row: both[row] for row in kept}

    def ready(self):
        """Return the parked trials that go on, in order."""
        standing = {row: self.standing(row, bracket) for row, bracket in self.parked.items()}
        order = sorted((-self.rows[row].steps, value, row) for row, value in standing.items() if value < 1)
        return [row for _, _, row in order]

    def standing(self, row, bracket):
        came = sorted(self.came[self.rung(row, bracket)])
        place, room = [of for _, _, of in came].index(row), max(len(came) // self.eta, not self.waiting)
        return np.float32(place) / np.float32(room) if room else np.float32(place + 1)

    def rung(self, row, bracket):
        steps = self.rows[row].steps
        return (bracket, steps) if steps in self.levels[bracket:] else None

    def score(self, row):
        return self.curves[self.rows[row].trial](self.rows[row].steps)

    def left(self, row):
        return self.lengths[self.rows[row].trial] - self.rows[row].steps


def lives(result):
    """Return what became of the rows of a result: parent, start, steps at both ends, status."""
    return [(t.parent, t.start, result.lineage(t)[-1].first, t.steps, t.status) for t in result.trials]


def repeated(result, score_of, levels, eta, slots, brackets=1):
    """Repeat a search on lists; one that is stopped between rungs has the steps of its latest report."""
    begun = [t.hparams for t in result.trials if t.parent is None]
    curves = [lambda steps, h=h: score_of(h, steps) for h in begun]
    lengths = [3 * h["epochs"] if "epochs" in h else 12 for h in begun]
    lists = Halving(curves, lengths, result.stats.lanes, levels, eta, slots, brackets, result.stats.interval)
    told = [
        (
            r.parent,
            r.start,
            r.first,
            max([s for s in levels if s <= r.steps] if r.status == "stopped" else [r.steps]),
            r.status,
        )
        for r in lists.run()
    ]
    return told, lists


UNEQUAL = {"steps": "epochs", "steps_per_epoch": 3, "trials": 60, "seed": 4}
SEARCHES = {
    "asha": (ASHA(min_steps=1, promote=True), {"trials": 80}, ((1, 3, 9), 3, 10)),
    "one lane": (ASHA(eta=2, min_steps=1, promote=True, parked=60), {"lanes": 1}, ((1, 2, 4, 8), 2, 60)),
    "longer events": (ASHA(eta=2, min_steps=3, promote=True), {**UNEQUAL, "interval": 4}, ((4, 8, 16), 2, 10)),
    "little room": (ASHA(eta=2, min_steps=1, promote=True, parked=2), {"trials": 90}, ((1, 2, 4, 8), 2, 2)),
    "brackets": (Hyperband(eta=2, min_steps=1, promote=True), {"lanes": 7, "trials": 150}, ((1, 2, 4, 8), 2, 14, 5)),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_whole_search_is_that_of_lists(known, score_of, name):
    scheduler, options, rule = SEARCHES[name]
    result = known(scheduler, **options)
    rows, lists = repeated(result, score_of, *rule)
    assert lives(result) == rows
    assert result.stats.copies == sum(parent is not None for parent, *_ in rows) > 0
    assert (lists.evicted > 0) == (name != "one lane")


def test_by_hand(known):
    """Of five trials on one lane, at rungs 1 and 2 of 4 steps, a trial goes on once as many worse ones came."""

    def value(n, data, h):
        return h["x"] + 0.0 * n

    result = jaxhpt.search(
        lambda n, batch, h, key: n + 1, {"x": Float(0, 1)}, init=lambda key, h: jnp.int32(0), evaluate=value, steps=4,
        trials=5, lanes=1, algorithm="random", scheduler=ASHA(eta=2, min_steps=1, promote=True), progress=False,
        first=[{"x": x} for x in (0.1, 0.5, 0.9, 0.95, 0.97)],
    )  # fmt: skip
    assert lives(result) == [
        (None, 0, 0, 1, "stopped"),  # the best, but of one: none may go on
        (None, 1, 0, 1, "stopped"),  # of two one may, the first
        (0, 2, 1, 2, "stopped"),
        (None, 3, 0, 1, "stopped"),
        (None, 4, 0, 1, "stopped"),  # of four two may, the second now, too
        (1, 5, 1, 2, "stopped"),  # of two at the next rung one may, the first
        (2, 6, 2, 4, "done"),
        (None, 8, 0, 1, "stopped"),
    ]
    assert result.trials[5].hparams == result.trials[1].hparams
    assert [(stretch.first, stretch.last) for stretch in result.lineage(6)] == [(0, 1), (1, 2), (2, 4)]
    assert (result.stats.trials, result.stats.copies, result.stats.lanes_busy) == (5, 3, 1.0)


def test_the_best_goes_on_where_no_trial_is_left_to_begin():
    result = search(trials=3, lanes=2, scheduler=ASHA(eta=4, min_steps=1, promote=True))
    assert [t.status for t in result.trials].count("done") == 1
    assert result.best.steps == 12


ROWS = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)
SPACE = {"lr": Float(1e-3, 0.3, log=True)}


def begin(key, h):
    return {"w": jax.random.normal(key, (3,)), "seen": jnp.zeros(3), "steps": jnp.int32(0)}


def step(state, batch, h, key):
    w = state["w"] - h["lr"] * (state["w"] - 0.1 * batch.mean(axis=0)) + 0.01 * jax.random.normal(key, (3,))
    return {"w": w, "seen": state["seen"] + batch[0], "steps": state["steps"] + 1}


def loss(state, data, h):
    return {"loss": jnp.sum(state["w"] ** 2)}


TASK = jaxhpt.Task(begin, step, loss, ROWS, ROWS, batch_size=8, steps=12)
PROMOTES = ASHA(eta=2, min_steps=1, promote=True)


def search(task=TASK, **options):
    given = {"trials": 40, "lanes": 4, "algorithm": "random", "scheduler": PROMOTES, "progress": False, **options}
    return jaxhpt.search(task, SPACE, **given)


@pytest.fixture(scope="module")
def found():
    return search()


def test_what_goes_on_has_the_weights_it_was_parked_with(found):
    """Its life is repeated from its first step, on the batches that it saw before and after it was parked."""
    gaps = 0
    for trial in [t for t in found.trials if t.parent is not None]:
        before = found.trials[trial.parent]
        state, metrics = found.replay(trial)
        assert metrics["loss"] == pytest.approx(trial.value, rel=1e-5)
        assert state["steps"] == trial.steps > before.steps
        gaps += trial.start > before.start + before.steps - found.lineage(before)[-1].first
        assert trial.hparams == before.hparams
    assert gaps > 3


def test_a_trial_that_was_parked_ends_as_if_it_had_not_been():
    """As far as nothing is drawn: its key after that is that of its new row, and its batches are later ones."""
    still = jaxhpt.Task(
        lambda key, h: jnp.ones(3), lambda w, batch, h, key: w * (1 - h["lr"]), lambda w, data, h: jnp.sum(w**2),
        direction="min", steps=12,
    )  # fmt: skip
    first = [{"lr": lr} for lr in np.random.default_rng(2).uniform(0.01, 0.3, 60).astype(np.float32).tolist()]
    parked = search(still, trials=60, first=first)
    whole = search(still, trials=60, first=first, scheduler="run_to_end", lanes=4)
    ends = {t.hparams["lr"]: t.value for t in whole.trials}
    done = [t for t in parked.trials if t.parent is not None and t.status == "done"]
    assert done
    assert all(t.value == ends[t.hparams["lr"]] for t in done)


WAYS = [{"execution": "fused"}, {"cores": 2}, {"cores": 64}, {"events_per_dispatch": 1}, {"events_per_dispatch": "all"}]


@pytest.mark.parametrize("options", WAYS, ids=str)
def test_the_same_bits_however_it_is_executed(found, same_bits, options):
    again = search(**options)
    same_bits(again.history, found.history)
    same_bits(again.best_state, found.best_state)


def test_many_at_once_are_each_what_they_are_alone(found):
    many = jaxhpt.search_many(
        TASK, SPACE, seed=[0, 3], trials=40, lanes=4, algorithm="random", scheduler=PROMOTES, progress=False
    )
    for seed, one in zip((0, 3), many, strict=True):
        alone = found if seed == 0 else search(seed=seed)
        assert [(t.parent, t.start, t.steps, t.status) for t in one.trials] == [
            (t.parent, t.start, t.steps, t.status) for t in alone.trials
        ]
        np.testing.assert_allclose(one.history.metrics, alone.history.metrics, rtol=1e-5)


WIDE = {**SPACE, "width": jaxhpt.Choice([2, 3], structural=True)}


def wide(key, h):
    return {"w": jax.random.normal(key, (3, h["width"])), "seen": jnp.zeros(3), "steps": jnp.int32(0)}


def wide_step(state, batch, h, key):
    w = state["w"] * (1 - h["lr"]) + 0.01 * jax.random.normal(key, state["w"].shape)
    return {"w": w, "seen": state["seen"] + batch[0], "steps": state["steps"] + 1}


@pytest.mark.parametrize("kind", ["split", "fused", "structures"])
def test_a_search_that_is_carried_goes_on_bit_for_bit(same_bits, kind):
    task = jaxhpt.Task(wide, wide_step, loss, ROWS, ROWS, batch_size=8, steps=12) if kind == "structures" else TASK
    space = Space.of(WIDE if kind == "structures" else SPACE)
    built = build(task, space, 40, Random(), PROMOTES, Layout(4, 1, execution="fused" if kind == "fused" else "split"))
    root, rest = root_of(0), () if kind == "fused" else (built.structures,)

    def run(carried=None):
        of = Fused if kind == "fused" else Split
        return of(built.program, root, built.known, built.data, *rest, carried=carried)

    whole, parts = run(), run()
    whole.run(10_000)
    while not bool(parts.summary.finished):
        parts.run(3)
        again = run(parts.carried())
        parts.close()
        parts = again
    same_bits(parts.summary.history, whole.summary.history)
    same_bits(parts.best, whole.best)
    assert int((np.asarray(whole.summary.history.parent) < NONE).sum()) > 3
    whole.close()
    parts.close()


def test_the_best_setting_may_be_confirmed():
    assert search(confirm=2).confirmed


@pytest.mark.parametrize("scheduler", [PROMOTES, Hyperband(eta=2, min_steps=1, promote=True)])
def test_several_objectives(scheduler):
    task = jaxhpt.Task(
        begin, step, lambda s, data, h: {"size": jnp.sum(s["w"] ** 2), "rate": h["lr"]}, ROWS, ROWS, batch_size=8,
        steps=12, objectives={"size": "min", "rate": "min"},
    )  # fmt: skip
    result, other = (search(task, scheduler=scheduler, trials=60, lanes=6, execution=how) for how in ("split", "fused"))
    assert lives(result) == lives(other)
    copies = [t for t in result.trials if t.parent is not None]
    assert copies
    assert all(result.trials[t.parent].status == "stopped" and t.hparams == result.trials[t.parent].hparams
               for t in copies)  # fmt: skip
    for trial in copies:
        assert result.replay(trial)[1]["size"] == pytest.approx(trial.metrics["size"], rel=1e-4)


def test_places_of_several_objectives_are_those_among_all_that_came():
    rng = np.random.default_rng(1)
    points = rng.integers(0, 5, (2, 12, 2)).astype(np.float32)
    arrived = np.array([9, 20], np.int32)  # of the second the first eight are forgotten
    known = archive.Archive(jnp.asarray(points), jnp.asarray(arrived))
    which, number = np.array([0, 0, 1, 1, 1, 2], np.int32), np.array([3, 8, 8, 19, 7, 0], np.int32)
    told = archive.place_of(known, jnp.asarray(which), jnp.asarray(number), 2)
    for row, (rung, one) in enumerate(zip(which.tolist(), number.tolist(), strict=True)):
        if row < 4:
            there = np.arange(12) < arrived[rung]
            assert told[row] == places(jnp.asarray(points[rung]), None, jnp.asarray(there))[one % 12]
        else:
            assert told[row] == 12  # forgotten, and none of a rung


def test_equal_scores_go_on_as_many_as_there_is_room_for():
    """In the order in which they came."""
    flat = jaxhpt.Task(
        begin,
        step,
        lambda s, data, h: {"loss": 1.0 + 0.0 * (h["lr"] + s["w"].sum())},
        ROWS,
        ROWS,
        batch_size=8,
        steps=2,
    )
    result = search(flat, trials=40, scheduler=ASHA(eta=4, min_steps=1, promote=True, parked=40))
    at_the_end = sum(t.steps == 2 for t in result.trials)
    assert at_the_end == 40 // 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"promote": 2}, "promote=2: must be True or False"),
        ({"parked": 3}, "parked=3: must be left out, or promote=True said"),
        ({"promote": True, "parked": 0}, "parked=0: must be at least 1"),
    ],
)
def test_arguments_out_of_range(given, message):
    with pytest.raises(ValueError, match=message):
        Hyperband(**given)


@pytest.mark.parametrize("names", [("loss",), ("loss", "size")])
def test_shapes_and_dtypes_stay_and_nothing_is_weak(names):
    scheduler, schedule = Hyperband(promote=True), Schedule(27, 1)
    metrics = choose(names, objectives=dict.fromkeys(names, "min"))
    copies = scheduler.num_copies(schedule, 20)
    made = Problem(Space.of({"x": Float(0, 1)}), metrics, 20, 5, schedule, copies=copies)
    state = jax.eval_shape(lambda: scheduler.init(jax.random.key(0), made))
    notes = jax.eval_shape(lambda: scheduler.lane_init(made))
    past = jax.eval_shape(lambda: history.empty_history(made))
    lanes, last = Lanes(*(jax.ShapeDtypeStruct((5,), jnp.int32),) * 3), jax.ShapeDtypeStruct((), jnp.bool_)
    key = jax.random.key(0)
    _, later, noted = jax.eval_shape(lambda *given: scheduler.decide(key, *given, made), state, notes, lanes, past)
    assert jax.tree.map(str, (later, noted)) == jax.tree.map(str, (state, notes))
    found = jax.eval_shape(lambda *given: scheduler.recall(*given[:4], made, given[4]), state, notes, lanes, past, last)
    assert [(a.shape, a.dtype, a.weak_type) for a in found] == [((5,), jnp.float32, False), ((5,), jnp.int32, False)]


def test_schedulers_that_park_nothing_keep_nothing():
    assert isinstance(ASHA(), Parks)
    for scheduler in (*(kind() for kind in jaxhpt.SCHEDULERS.values()), ASHA(), Hyperband()):
        assert num_parked(scheduler, 8) == 0
    assert [num_parked(ASHA(promote=True, parked=parked), 8) for parked in (None, 3)] == [16, 3]
    assert ASHA().num_copies(Schedule(27, 1), 60) == 0


def test_a_search_goes_on_with_more_trials():
    fewer, more = (build(TASK, Space.of(SPACE), trials, Random(), PROMOTES, Layout(4, 1)) for trials in (16, 48))
    begun = Split(fewer.program, root_of(0), fewer.known, fewer.data, fewer.structures)
    begun.run(30)
    later = Split(more.program, root_of(0), more.known, more.data, more.structures, begun.carried())
    later.run(10_000)
    assert bool(later.summary.finished)
    parents = np.asarray(later.summary.history.parent)[: int(later.summary.history.num_rows)]
    assert (parents == NONE).sum() == 48
    assert ((parents >= 16) & (parents < NONE)).any()
    begun.close()
    later.close()
