"""Result: what a search found, in the user's own words."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxhpt.core.history import first_rows
from jaxhpt.core.typing import NONE
from jaxhpt.engine.driver import Outcome
from jaxhpt.engine.state import Program
from jaxhpt.results.exporting import export
from jaxhpt.results.importance import importance_of
from jaxhpt.results.kept import NO_REPLAY, Kept, Run, models_of, portable, require_task, same_space
from jaxhpt.results.lineage import segments_of
from jaxhpt.results.overtuning import Overtuning, compare, tested
from jaxhpt.results.replaying import trained_again
from jaxhpt.results.reported import Reported
from jaxhpt.results.saving import save
from jaxhpt.results.stats import headline, stats_of
from jaxhpt.results.table import found_table
from jaxhpt.results.trial import Confirmed, Stretch, Trial, plain
from jaxhpt.training.calling import hparams_of
from jaxhpt.training.categories import texts_refused
from jaxhpt.training.pool import Data
from jaxhpt.training.structures import Structures


@dataclasses.dataclass(frozen=True, repr=False)
class Result(Reported):
    """What a search found.

    It pickles and copies, without the functions of its task: all of it works afterwards, but for `replay`, and for a
    `best_state` that needs them, see `with_task`.

    Attributes:
      stats: how it ran.
      history: the columns of all trials, as numpy arrays; scores are minimised there.
      fresh: the best settings trained again, a result by itself; None where the search was not confirmed.

    Example:
      >>> import jaxhpt
      >>> space = {"x": jaxhpt.Float(0, 3)}
      >>> result = jaxhpt.minimize(lambda h, key: (h["x"] - 1) ** 2, space, trials=32, progress=False)
      >>> result.best.status, result.stats.trials
      ('done', 32)
    """

    fresh: "Result | None" = None
    _again: tuple[int, ...] = ()  # rows of the search whose settings the trials of `fresh` have, best first

    @classmethod
    def of(cls, program: Program, data: Data, outcome: Outcome, structures: Structures) -> "Result":
        """Bring a driven search to the host; its program knows neither the user's space nor his state's structure."""
        problem = dataclasses.replace(program.problem, space=structures.space)
        history, row = first_rows(outcome.summary.history, problem.capacity), int(outcome.summary.row)
        run = Run(program, data, outcome, structures, None if row == NONE else np.asarray(history.unit[row]))
        return cls(stats_of(program, history, outcome), history, problem, row, run)

    @functools.cached_property
    def best_state(self) -> Any:
        """What the best trial trained: its state, or what the task exports, such as a model with its weights.

        Of a trial of several seeds or folds it is a list with one for each model. Of a search that was confirmed it is
        what the winner came to when it was trained again.
        """
        row = self._best_row()
        if self.fresh is not None and self.fresh._row != NONE:
            return self.fresh.best_state
        run = self._trained()
        return self.replay(row)[0] if run.crashed else self._exported(run.state, row)

    @property
    def has_weights(self) -> bool:
        """Whether `best_state` is at hand: there is one winner, and no crash lost what it had trained."""
        trained = self._run is not None and self._row != NONE and len(self.objectives) == 1
        source = self.fresh if self.fresh is not None and self.fresh._row != NONE else self
        return trained and source._run is not None and not source._run.crashed

    @property
    def confirmed(self) -> list[Confirmed]:
        """The best settings of the search with both their figures, the best first by those of the second training.

        Empty where the search was not confirmed, see `search(..., confirm=5)`.
        """
        if self.fresh is None:
            return []
        fitness = self.fresh._fitness
        trials = sorted(self.fresh.trials, key=lambda trial: float(fitness[trial.id]))
        chosen = self._trials(np.array([self._again[trial.id] for trial in trials], int))
        pairs = zip(chosen, trials, strict=True)
        return [Confirmed(before, after.metrics, after.value) for before, after in pairs]

    def confirmed_by(self, fresh: "Result", rows: tuple[int, ...]) -> "Result":
        """Return the result with the winner that came out best when its best settings were trained again.

        Args:
          fresh: of that training, a trial for each setting.
          rows: those of its trials in this result.
        """
        row = self._row if fresh._row == NONE else rows[fresh._row]
        return dataclasses.replace(self, _row=row, fresh=fresh, _again=rows)

    def overtuning(self, test_data: Any = None) -> Overtuning:
        """Tell how much better a winner looks on what chose it than on what did not.

        The best of many trials is one whose seed and whose validation rows suited it: a figure that chose is too good.

        Args:
          test_data: rows that the search has not seen, as `valid_data`, or with folds as `train_data`. The models of
            the winner, `best_state`, are measured on them. None compares the search's winner with what its setting
            came to when it was trained again, which needs `confirm`: that tells of seeds and folds, not of
            `valid_data`, which stays the same.

        Returns:
          Both figures, and the gap between them: above 0 where the winner looked better than it is.

        Raises:
          RuntimeError: nothing that did not choose: neither `test_data` nor a confirmation; or, with `test_data`, the
            result was pickled or copied.
        """
        if test_data is not None:
            return self._tested(test_data)
        if self.fresh is None or not self._again:
            raise RuntimeError("all figures of this search chose its winner: search with confirm=5, or give test_data")
        first = next(one for one in self.confirmed if one.trial.id == self._again[0])
        return compare(first.trial.id, first.trial.value, first.value, self._problem.objectives[0])

    def _tested(self, test_data: Any) -> Overtuning:
        row, source = self._best_row(), self
        if self.fresh is not None and self.fresh._row != NONE:
            source = self.fresh
        run = source._trained()
        if isinstance(run, Kept):
            raise RuntimeError(NO_REPLAY)
        best, objective = source.best, self._problem.objectives[0]
        found = tested(run, np.asarray(source.history.unit[best.id]), best.id, test_data)
        return compare(row, best.value, found[objective.name], objective)

    def importance(self, method: str = "permutation", objective: str | None = None) -> dict[str, float]:
        """Tell how important each dimension was: the shares of the variance of an objective that go with it.

        Choose "permutation" for an answer that counts what dimensions do together, "grey" for a quick one that looks at
        each alone. The first call compiles for some seconds. Failed trials count as the worst of the others; stopped
        ones with "permutation" alone, which takes into account how far they were trained.

        Args:
          method: "permutation", the rise of a Gaussian process' squared error when a dimension is shuffled; or "grey",
            the grade of its response curve beyond chance.
          objective: name of the one that is meant; None for the first.

        Returns:
          Name to share, of sum 1, the most important first; all equal where nothing is known.

        Raises:
          ValueError: an unknown method or objective, or fewer than 8 trials that count.

        Example:
          >>> import jaxhpt
          >>> space = {"x": jaxhpt.Float(0, 3), "y": jaxhpt.Float(0, 3)}
          >>> loss = lambda h, key: (h["x"] - 1) ** 2 + 0.1 * h["y"]
          >>> result = jaxhpt.minimize(loss, space, trials=64, progress=False)
          >>> list(result.importance("grey"))
          ['x', 'y']

        References:
          Breiman, "Random forests", https://doi.org/10.1023/A:1010933404324 (2001). See `surrogates/influence.py`.
        """
        return importance_of(self.history, self._problem.bare(), method, objective)

    def replay(self, trial: Trial | int) -> tuple[Any, dict[str, float]]:
        """Train one trial again, alone, from the same key and on the same batches.

        Choose it to get at the weights of any trial. The numbers are the same within float tolerance, not to
        the bit: one model alone compiles to other operations than many side by side.

        Args:
          trial: a trial, or its id.

        Returns:
          What `best_state` would be for it, and its metrics by name.

        Raises:
          ValueError: no such trial.
          RuntimeError: the trials were not trained here, or the result was pickled or copied.
        """
        run = self._trained()
        if isinstance(run, Kept):
            raise RuntimeError(NO_REPLAY)
        row = self._row_of(trial)
        leaves, metrics = trained_again(run, self.history, self._problem, row)
        state = run.built(leaves, np.asarray(self.history.unit[row]))
        return self._exported(state, row), {name: plain(value) for name, value in metrics.items()}

    def lineage(self, trial: Trial | int) -> list[Stretch]:
        """Return the settings that a model trained under, in order, from its first ancestor to the trial.

        Choose it after population-based training: it is the schedule that was found.

        Args:
          trial: a trial, or its id.

        Returns:
          A stretch for each setting; one alone where the trial began afresh. Of a trial that was trained on, see
          `extend_trials` of `search`, the first one begins at the steps that it had.

        Raises:
          ValueError: no such trial.
        """
        row = self._row_of(trial)
        parts = segments_of(self.history, self._problem, row, int(self.history.steps[row]))
        labels = self._problem.space.labels(self.history.unit[np.asarray(parts.row)])
        spans = zip(parts.row, parts.first, parts.last, labels, strict=True)
        return [Stretch(int(r), int(first), int(last), label) for r, first, last, label in spans]

    def save(self, path: str | pathlib.Path) -> None:
        """Write the result to one file, which `jaxhpt.load` reads: all of it but what a pickled one has not, either.

        Args:
          path: of the file.
        """
        save(self, path)

    def export_best(self, path: str | pathlib.Path, predict: Callable | None = None, example: Any = None) -> None:
        """Write `best_state` for others: its arrays, by Orbax, and a prediction, if wanted, that needs no code of it.

        Args:
          path: of a new folder, which gets `weights`, for `orbax.checkpoint`, and `predict.jax`, for
            `jax.export.deserialize`.
          predict: (best_state, inputs) -> outputs; None for none.
          example: inputs, arrays or their shapes, of the batch size that predictions will have.

        Raises:
          ValueError: a folder that is not empty, or one of `predict` and `example` without the other.
          ImportError: `predict` without the extra `jaxhpt[export]`.
        """
        export(path, self.best_state, predict, example)

    def with_task(self, task: Any) -> "Result":
        """Return the same result with the functions of its task, after it was pickled or loaded, for `best_state`.

        Args:
          task: the `Task` or `FlaxTask` that was tuned, made anew.

        Raises:
          TypeError: not a task.
          ValueError: the functions get some of the space, such as an activation, of which only the names are there: see
            `with_space`.
        """
        require_task(task, self._problem.space)
        run = self._trained()
        if isinstance(run, Kept) and self._row != NONE:
            unit = np.asarray(self.history.unit[self._row])
            space = self._problem.space.of_structure(unit)
            run = run.with_task(task, hparams_of(space, space.values(unit, np)))
        return dataclasses.replace(self, _run=run, fresh=self.fresh and self.fresh.with_task(task))

    def with_space(self, space: Any) -> "Result":
        """Return the same result with the functions and classes that its space holds, after it was pickled or loaded.

        Args:
          space: that was searched, made anew.

        Raises:
          ValueError: another space.
        """
        problem = dataclasses.replace(self._problem, space=same_space(self._problem.space, space))
        return dataclasses.replace(self, _problem=problem, fresh=self.fresh and self.fresh.with_space(space))

    def __getstate__(self) -> dict[str, Any]:
        state = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**state, "_problem": portable(self._problem), "_run": None if self._run is None else self._run.kept()}

    def __copy__(self) -> "Result":
        return dataclasses.replace(self)

    def __repr__(self) -> str:
        return "\n".join([*headline(self.stats), *found_table(self)])

    def _trained(self) -> Run | Kept:
        if self._run is None:
            raise RuntimeError("these trials were evaluated outside jaxhpt: there is no training to return or repeat")
        return self._run

    def _exported(self, state: Any, row: int) -> Any:
        run = self._trained()
        export, models = run.export, models_of(state, run.replicas)
        if export is not None:
            unit = np.asarray(self.history.unit[row])
            if isinstance(run, Run):
                run.warn_of_changes(unit)
            space = self._problem.space.of_structure(unit)
            with texts_refused():
                models = [export(model, hparams_of(space, space.values(unit, np))) for model in models]
        return models if run.replicas else models[0]
