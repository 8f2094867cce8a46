"""Trials of an earlier search that are trained on: which they are, and the weights that they go on from."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.checks import require
from jaxhpt.core.history import Known
from jaxhpt.core.space import Space
from jaxhpt.core.typing import PyTree
from jaxhpt.engine.build import Built
from jaxhpt.engine.carrying import DoesNotFitError, onto
from jaxhpt.results.kept import Kept, Run
from jaxhpt.results.loose import Loose, loose, places_of
from jaxhpt.results.prior import Prior, place_of
from jaxhpt.results.replaying import trained_again
from jaxhpt.results.result import Result
from jaxhpt.results.trial import Trial
from jaxhpt.training.hosts import alone

ENDED = ("done", "stopped")
ALONE = "one Result, that whose trials they are"
REMEDY = "train on with the task, the seeds and the folds that it was trained with"


@dataclasses.dataclass(frozen=True, eq=False)
class Extension:
    """Trials that are trained on.

    Attributes:
      result: that they are of.
      rows: their ids.
    """

    result: Result
    rows: tuple[int, ...]
    _weights: list[Loose] = dataclasses.field(default_factory=list)

    def known(self, known: Known, space: Space, trials: int) -> Known:
        """Put them before the settings that are to be tried first.

        Args:
          known: before.
          space: of this search.
          trials: of this search.

        Raises:
          ValueError: more than `trials`, or one whose setting lies outside the space.
        """
        assert known.first is not None
        least = len(self.rows) + len(known.first)
        what = "the trials of extend_trials and the settings of first"
        require(least <= trials, "trials", trials, f"at least {least}, for {what}, or left out")
        units = np.array([self._unit(i, space) for i in range(len(self.rows))], np.float32)
        first = jnp.concatenate([jnp.asarray(units), known.first])
        return known._replace(first=first, begun=jnp.asarray(self.result.history.steps[list(self.rows)], jnp.int32))

    def require_to_fit(self, built: Built) -> None:
        """Refuse trials that have nothing left to train, or whose weights are others than those of the task.

        Raises:
          ValueError: one of these.
        """
        run = self.result._run
        for i, row in enumerate(self.rows):
            unit = _unit_of(built, i)
            one, behind = built.structures.of(unit), int(self.result.history.steps[row])
            values = built.structures.space.values(unit, np)
            steps = int(np.asarray(one.functions.steps(one.captured.steps, values)))
            remedy = f"more than the {behind} steps that trial {row} of extend_trials has behind it"
            require(steps > behind, "steps", steps, remedy)
            if isinstance(run, Run):
                before = run.of(np.asarray(self.result.history.unit[row])).state
                self._require_alike(i, list(_arrays(before)), list(_arrays(one.state)))

    def begun(self, built: Built) -> Built:
        """Return the search with the weights in its data; all but those of the best trial are trained once more.

        Raises:
          ValueError: the weights are others than those of the task.
        """
        self._weights.extend(self._taken(row) for row in self.rows[len(self._weights) :])
        ones = [built.structures.of(_unit_of(built, i)) for i in range(len(self.rows))]
        for i, (one, found) in enumerate(zip(ones, self._weights, strict=True)):
            self._require_alike(i, list(found.paths), list(map(tuple, places_of(one.state)["paths"])))
        try:
            if built.structures.space.structural:
                pairs = zip(ones, self._weights, strict=True)
                weights: PyTree = tuple(onto(one.functions.state, list(found.leaves)) for one, found in pairs)
            else:
                weights = _stacked(ones[0].functions.state, self._weights)
        except DoesNotFitError as error:
            raise ValueError(f"extend_trials: their weights are not those of this task: {error}; {REMEDY}") from error
        return built._replace(data=built.data._replace(begun=weights))

    def _unit(self, i: int, space: Space) -> np.ndarray:
        """Return where a trial lies in a space: f32[D]; in the same one to the bit."""
        row = self.rows[i]
        if self.result.space == space:
            return np.asarray(self.result.history.unit[row])
        try:
            return place_of(space, self.result._trials(np.array([row]))[0].hparams)
        except ValueError as error:
            raise ValueError(f"extend_trials[{i}]: trial {row} is not in the space: {error}") from error

    def _taken(self, row: int) -> Loose:
        """Return the weights of a row: those that were kept, or those of training it again."""
        run = self.result._run
        if isinstance(run, Kept):
            assert run.loose is not None
            return run.loose
        assert run is not None
        if row == run.row:
            return run.loose
        leaves, _ = trained_again(run, self.result.history, self.result._problem, row)
        return loose(run.built(leaves, np.asarray(self.result.history.unit[row])))

    def _require_alike(self, i: int, there: list[Any], here: list[Any]) -> None:
        if there != here:
            pairs = [f"{a}, here {b}" for a, b in zip(there, here, strict=False) if a != b]
            told = pairs[0] if pairs else f"{len(there)} arrays there, {len(here)} here"
            where = f"extend_trials[{i}]: the weights of trial {self.rows[i]}"
            raise ValueError(f"{where} are not those of this task: {told}; {REMEDY}")


def extension_of(trials: Any, prior: Prior | None) -> Extension | None:
    """Read the trials that are to be trained on; None for none.

    Args:
      trials: ids of trials of `prior`, or these.
      prior: the result that they are of.

    Raises:
      TypeError: no list, or no ids and trials in it.
      ValueError: another prior than one result; a trial twice, unknown, without training, or whose weights are lost.
    """
    if not isinstance(trials, Sequence) or isinstance(trials, str):
        raise TypeError(f"extend_trials={trials!r}: must be a list of trials of prior, or their ids, such as [3, 17]")
    if not trials:
        return None
    if not isinstance(prior, Result):
        raise ValueError(f"extend_trials={trials!r}: needs as prior {ALONE}; it is {type(prior).__name__}")
    if not alone():
        raise ValueError("extend_trials: trials are trained on in one process, without jax.distributed")
    rows: list[int] = []
    for i, trial in enumerate(trials):
        row = _row(f"extend_trials[{i}]", trial, prior)
        require(row not in rows, f"extend_trials[{i}]", row, "another trial than those before")
        rows.append(row)
    return Extension(prior, tuple(rows))


def _row(name: str, trial: Any, result: Result) -> int:
    """Return the row of a trial that can be trained on."""
    try:
        row = result._row_of(trial)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from error
    (own,) = result._trials(np.array([row]))
    if isinstance(trial, Trial):
        same = (own.hparams, own.start, own.status) == (trial.hparams, trial.start, trial.status)
        require(same, name, trial, "a trial of prior, not of another result")
    if own.status == "prior":
        raise ValueError(f"{name}: trial {row} is of an earlier search; give that one's result as prior")
    require(own.status in ENDED, name, row, f'a trial that is "done" or "stopped"; this one is "{own.status}"')
    require(own.steps > 0, name, row, "a trial that has reported; nobody knows how far this one was trained")
    _require_weights(name, row, result)
    return row


def _require_weights(name: str, row: int, result: Result) -> None:
    """Refuse a trial whose weights are neither there nor can be made again."""
    run = result._run
    if run is None:
        raise ValueError(f"{name}: trial {row} was evaluated outside jaxhpt, which has no weights of it")
    if isinstance(run, Run):
        return
    best = result._row if result.fresh is None and run.loose is not None else None
    told = "the weights of none" if best is None else f"those of trial {best}, its best, alone"
    lost = "the result was loaded, pickled or copied, and cannot train a trial again"
    require(row == best, name, row, f"a trial whose weights are there: {lost}; it has {told}")


def _unit_of(built: Built, i: int) -> np.ndarray:
    """Return where the i-th of the trials lies in the space of the search: f32[D]."""
    assert built.known.first is not None
    return np.asarray(built.known.first[i])


def _arrays(state: PyTree) -> Iterator[str]:
    """Describe the arrays of a state, of shapes."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        yield f"{name} {leaf.dtype}{list(leaf.shape)}".strip()


def _stacked(state: PyTree, weights: list[Loose]) -> PyTree:
    """Put the weights of trials together, of the shapes of one trial's state: leaves [E, ...]."""
    num = len(weights)
    like = jax.tree.map(lambda a: jax.ShapeDtypeStruct((num, *a.shape), a.dtype), state)
    try:
        columns = [np.stack(column) for column in zip(*(one.leaves for one in weights), strict=True)]
    except ValueError as error:
        raise DoesNotFitError(str(error)) from error
    return onto(like, columns)
