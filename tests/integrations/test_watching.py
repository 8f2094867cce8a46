"""Callbacks that see trials: shown in time, closed whatever happens, and none breaks a search."""

import types

import jax.numpy as jnp
import numpy as np
import pytest
import short_runs

import jaxhpt
from jaxhpt.engine.watching import Watcher, WatchError
from jaxhpt.integrations.logger import _Ranks
from jaxhpt.integrations.optuna import Journal


class Notes(Watcher):
    def __init__(self, wrong=None):
        self.seen, self.wrong = [], wrong

    def begin(self, problem, run_dir, searches):
        self.seen.append(("begin", problem.space.names, problem.trials, searches))

    def look(self, history, snapshot, last):
        if self.wrong:
            raise self.wrong
        self.seen.append(("look", int(history.num_rows), snapshot.started, last))

    def close(self, ended):
        self.seen.append(("close", ended))


def test_a_watcher_is_shown_the_history_and_closed():
    notes = Notes()
    short_runs.search(callbacks=[notes], events_per_dispatch=1)
    assert notes.seen[0] == ("begin", ("lr",), 40, None)
    assert notes.seen[-1] == ("close", "finished")
    assert notes.seen[-2] == ("look", 40, 40, True)
    looks = notes.seen[1:-2]
    assert [row[1] for row in looks] == sorted(row[1] for row in looks)
    assert all(row[1] == row[2] and not row[3] for row in looks)


def test_it_is_closed_after_an_error_and_after_an_interrupt():
    notes = Notes()
    with pytest.raises(jaxhpt.SearchError):
        short_runs.search(callbacks=[notes, lambda s: 1 / 0], events_per_dispatch=1)
    assert notes.seen[-1] == ("close", "error")

    def twice(snapshot):
        raise KeyboardInterrupt

    notes = Notes()
    with pytest.raises(KeyboardInterrupt):
        short_runs.search(callbacks=[notes, twice], events_per_dispatch=1)
    assert notes.seen[-1][0] == "close"


def test_one_that_fails_is_left_out_and_the_search_goes_on():
    notes = Notes(OSError("disk full"))
    with pytest.warns(RuntimeWarning, match=r"Notes failed .*disk full.*goes on without it"):
        result = short_runs.search(callbacks=[notes])
    assert result.stats.trials == 40
    assert notes.seen[-1] == ("close", "error")


def test_one_that_finds_the_search_to_be_wrong_ends_it():
    notes = Notes(WatchError("another search"))
    with pytest.raises(jaxhpt.SearchError, match="another search"):
        short_runs.search(callbacks=[notes])
    assert notes.seen[-1] == ("close", "error")


def test_many_searches_are_refused_before_they_run():
    data = jnp.zeros((2, 8))
    with pytest.raises(ValueError, match="Journal"):
        jaxhpt.search_many(
            short_runs.step, short_runs.SPACE, init=short_runs.init, evaluate=short_runs.evaluate, train_data=data,
            valid_data=data, batch_size=4, steps=2, trials=4, lanes=2, progress=False, callbacks=[Journal("nowhere")],
        )  # fmt: skip


def test_trials_are_counted_that_are_better():
    history = types.SimpleNamespace(metrics=np.array([[5.0], [4.0], [6.0], [3.0], [4.5], [np.inf]]))
    metrics = types.SimpleNamespace(broken=lambda scores: np.zeros(len(scores)))
    ranks = _Ranks(types.SimpleNamespace(objectives=("loss",), metrics=metrics))
    assert ranks.among_best(history, [0, 1, 2], 2) == [0, 1]
    assert ranks.among_best(history, [3, 4, 5], 2) == [3]


@pytest.mark.parametrize("num", [1, 2])
def test_of_many_trials_those_are_kept_that_could_still_count(num):
    scores = np.random.default_rng(0).integers(0, 30, (3000, num)).astype(float)
    scores[::7] = np.inf
    history = types.SimpleNamespace(metrics=scores)
    metrics = types.SimpleNamespace(broken=lambda scores: np.zeros(len(scores)))
    ranks = _Ranks(types.SimpleNamespace(objectives=("a", "b")[:num], metrics=metrics))
    better = [(scores[:i] < scores[i]).all(axis=1).sum() if np.isfinite(scores[i]).all() else i for i in range(3000)]
    found = [*ranks.among_best(history, range(1000), 20), *ranks.among_best(history, range(1000, 3000), 20)]
    assert found == [i for i in range(3000) if better[i] < 20]
    assert len(ranks._best) == len(found) < 1500
