"""Result: what a search found, in the user's own words."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.checks import require
from jaxhpt.core.history import History, Status
from jaxhpt.core.metrics import Objective
from jaxhpt.core.pareto import hypervolume, nondominated
from jaxhpt.core.problem import Problem
from jaxhpt.core.space import Space
from jaxhpt.core.typing import NONE
from jaxhpt.engine.driver import Outcome
from jaxhpt.engine.replay import train_again
from jaxhpt.engine.state import Program
from jaxhpt.grey.relational import compromise
from jaxhpt.results.importance import importance_of, weights_of
from jaxhpt.results.kept import NO_REPLAY, Kept, Run, portable
from jaxhpt.results.lineage import segments_of
from jaxhpt.results.stats import Stats, headline, stats_of
from jaxhpt.results.table import frame, table
from jaxhpt.results.trial import Stretch, Trial, plain, read_rows
from jaxhpt.training.calling import hparams_of
from jaxhpt.training.categories import texts_refused
from jaxhpt.training.pool import Data
from jaxhpt.training.task import Task

SHOWN = 5  # trials in the table of `repr`


@dataclasses.dataclass(frozen=True, repr=False)
class Result:
    """What a search found.

    It pickles and copies, without the functions of its task: all of it works afterwards, but for `replay`, and for a
    `best_state` that needs them, see `with_task`.

    Attributes:
      stats: how it ran.
      history: the columns of all trials, as numpy arrays; scores are minimised there.

    Example:
      >>> import jaxhpt
      >>> space = {"x": jaxhpt.Float(0, 3)}
      >>> result = jaxhpt.minimize(lambda h, key: (h["x"] - 1) ** 2, space, trials=32, progress=False)
      >>> result.best.status, result.stats.trials
      ('done', 32)
    """

    stats: Stats
    history: History
    _problem: Problem
    _row: int
    _run: Run | Kept | None = None
    _exact: np.ndarray | None = None

    @classmethod
    def of(cls, program: Program, data: Data, outcome: Outcome, space: Space, structure: Any, task: Task) -> "Result":
        """Bring a driven search to the host; its program knows neither the user's space nor his state's structure."""
        history, run = outcome.summary.history, Run(program, data, outcome, structure, task, space)
        problem = dataclasses.replace(program.problem, space=space)
        return cls(stats_of(program, history, outcome), history, problem, int(outcome.summary.row), run)

    @functools.cached_property
    def trials(self) -> list[Trial]:
        """All trials, in order of start; those known before the search come first."""
        return self._trials(np.arange(int(self.history.count)))

    @property
    def best_known(self) -> Trial:
        """The best trial of this search and of all that was known before it, by `prior`.

        So it may be a trial of an earlier search, of status "prior", whose weights this one does not have; `best` is
        never.

        Raises:
          RuntimeError: no trial of either has a finite objective, or there are several objectives.
        """
        prior = np.where(self.history.status == Status.PRIOR, self._fitness, np.inf)
        row = int(prior.argmin())
        if not np.isfinite(prior[row]):
            return self.best
        own = self._best_row() if self._row < NONE or len(self._problem.objectives) > 1 else row
        return self._trials(np.array([row if prior[row] <= self._fitness[own] else own]))[0]

    @property
    def space(self) -> Space:
        """What was searched."""
        return self._problem.space

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What was optimised: names and directions."""
        return self._problem.objectives

    @property
    def best(self) -> Trial:
        """The best trial among those that trained for their whole budget, else among the longest trained.

        Trials that keep all constraints come before those that do not.

        Raises:
          RuntimeError: no trial ended with a finite objective, or there are several objectives.
        """
        return self._trials(np.array([self._best_row()]))[0]

    @functools.cached_property
    def best_state(self) -> Any:
        """What the best trial trained: its state, or what the task exports, such as a model with its weights."""
        row = self._best_row()
        run = self._trained()
        return self.replay(row)[0] if run.crashed else self._exported(run.state, row)

    def top(self, count: int = SHOWN) -> list[Trial]:
        """Return the best trials among the ones that are done, best first; by the first objective if several."""
        score = np.where(self.history.status == Status.DONE, self._fitness, np.inf)
        order = np.argsort(score, kind="stable")[:count]
        return self._trials(order[np.isfinite(score[order])])

    def pareto_front(self) -> list[Trial]:
        """Return the done and feasible trials that no other beats in every objective, by the first objective.

        With one objective these are the best, and its equals.
        """
        alive = jnp.asarray((self.history.status == Status.DONE) & self._feasible)
        scores = self._scores[:, : len(self._problem.objectives)]
        places = [np.unique(column, return_inverse=True)[1] for column in scores.T]  # of float64, as float32 holds them
        rows = np.flatnonzero(nondominated(jnp.asarray(np.stack(places, axis=1), jnp.float32), alive))
        return self._trials(rows[np.argsort(scores[rows, 0], kind="stable")])

    def hypervolume(self, reference: Mapping[str, float]) -> float:
        """Measure how much of the objectives' space the Pareto front dominates, up to a reference; exact.

        Choose it to compare searches of several objectives by one number: larger is better.

        Args:
          reference: name to value for each objective, in its own sign: a point just worse than all that matters.

        Returns:
          The measure, in the product of the objectives' units.

        Raises:
          ValueError: an objective left out, an unknown name, or more than three objectives.
        """
        objectives = self._problem.objectives
        names = [o.name for o in objectives]
        require(set(reference) == set(names), "reference", dict(reference), f"a value for each of {names}")
        corner = jnp.array([reference[o.name] * o.sign for o in objectives], jnp.float32)
        alive = jnp.asarray((self.history.status == Status.DONE) & self._feasible)
        return float(hypervolume(self._objectives, corner, alive))

    def compromise(self, weights: Mapping[str, float] | None = None) -> Trial:
        """Choose one member of the Pareto front: the one of the highest grey relational grade to the ideal point.

        Choose it where one setting must be taken. Each objective is scaled over the front to [0, 1], so units do not
        matter, but the ends of the front do; of a front that is straight it prefers an end. The first in the order of
        `pareto_front` wins a tie.

        Args:
          weights: name to weight >= 0 of the objectives that count; None for all, equally.

        Raises:
          ValueError: an unknown name, a weight that is negative or not finite, or none above 0.
          RuntimeError: the front is empty.

        References:
          Deng, "Introduction to grey system theory", Journal of Grey System 1(1), 1-24 (1989).
        """
        shares, front = weights_of([o.name for o in self._problem.objectives], weights), self.pareto_front()
        if not front:
            raise RuntimeError("there is no front to choose from: no trial is done and feasible")
        scores = self._objectives[jnp.array([trial.id for trial in front], jnp.int32)]
        return front[int(jnp.argmax(compromise(scores, jnp.asarray(shares)).round(5)))]

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
        values = self._problem.space.values(jnp.asarray(self.history.unit[row]))
        budget = run.program.pool.functions.steps(run.data.captured.steps, values)
        segments = segments_of(self.history, row, int(self.history.steps[row]) or int(budget))
        leaves, metrics = train_again(run.program, run.outcome.key, run.data, segments)
        return self._exported(run.built(leaves), row), {name: plain(value) for name, value in metrics.items()}

    def lineage(self, trial: Trial | int) -> list[Stretch]:
        """Return the settings that a model trained under, in order, from its first ancestor to the trial.

        Choose it after population-based training: it is the schedule that was found.

        Args:
          trial: a trial, or its id.

        Returns:
          A stretch for each setting; one alone where the trial began afresh.

        Raises:
          ValueError: no such trial.
        """
        row = self._row_of(trial)
        parts = segments_of(self.history, row, int(self.history.steps[row]))
        labels = self._problem.space.labels(parts.unit)
        spans = zip(parts.row, parts.first, parts.last, labels, strict=True)
        return [Stretch(int(r), int(first), int(last), label) for r, first, last, label in spans]

    def to_pandas(self, curves: bool = False) -> Any:
        """Return a table with a row a trial: trial, status, steps, the metrics, then the hyperparameters.

        A hyperparameter that has the name of a column before it is called `hparams.<name>`, and a metric that has the
        name of one of the first three `metrics.<name>`.

        Args:
          curves: return the learning curves instead: a row for each report, with the columns trial, steps and value.

        Raises:
          ImportError: without pandas, the extra `jaxhpt[pandas]`.
        """
        return frame(self.trials, self.history.unit[: int(self.history.count)], self._problem.space, curves)

    def with_task(self, task: Any) -> "Result":
        """Return the same result with the functions of its task, after it was pickled: `best_state` works again.

        Args:
          task: the `Task` or `FlaxTask` that was tuned, made anew.

        Raises:
          TypeError: not a task.
        """
        if not hasattr(task, "export"):
            raise TypeError(f"task={task!r}: must be the Task or FlaxTask that was tuned")
        left = self._trained()
        return dataclasses.replace(self, _run=left.with_export(task.export) if isinstance(left, Kept) else left)

    def __getstate__(self) -> dict[str, Any]:
        state = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**state, "_problem": portable(self._problem), "_run": None if self._run is None else self._run.kept()}

    def __copy__(self) -> "Result":
        return dataclasses.replace(self)

    def __repr__(self) -> str:
        return "\n".join([*headline(self.stats), *self._table()])

    @property
    def _columns(self) -> Any:
        return self._problem.metrics

    @functools.cached_property
    def _fitness(self) -> np.ndarray:
        if self._exact is not None:
            return self._columns.standing(self._exact)
        return np.asarray(self._columns.fitness(jnp.asarray(self.history.metrics)))

    @functools.cached_property
    def _feasible(self) -> np.ndarray:
        if self._exact is not None:
            return self._columns.broken(self._exact) <= 0
        return np.asarray(self._columns.feasible(jnp.asarray(self.history.metrics)))

    @property
    def _objectives(self) -> jax.Array:
        return jnp.asarray(self.history.metrics[:, : len(self._problem.objectives)])

    @property
    def _scores(self) -> np.ndarray:
        """Scores [C, K] as exact as they are known."""
        return np.asarray(self.history.metrics) if self._exact is None else self._exact

    def _trained(self) -> Run | Kept:
        if self._run is None:
            raise RuntimeError("these trials were evaluated outside jaxhpt: there is no training to return or repeat")
        return self._run

    def _best_row(self) -> int:
        names, row = [o.name for o in self._problem.objectives], self._row
        if len(names) > 1:
            raise RuntimeError(f"there is no single best of several objectives, {names}: see pareto_front()")
        if row == NONE:
            raise RuntimeError(
                f"no trial ended with a finite objective: {self.stats.trials} ended, {self.stats.failed} failed"
            )
        return row

    def _row_of(self, trial: Trial | int) -> int:
        row = trial.id if isinstance(trial, Trial) else trial
        if isinstance(row, bool) or not isinstance(row, (int, np.integer)):
            raise TypeError(f"trial={row!r}: must be a trial, or its id")
        if not 0 <= row < int(self.history.count):
            raise ValueError(f"trial={row!r}: must be the id of one of the {int(self.history.count)} trials")
        return int(row)

    def _exported(self, state: Any, row: int) -> Any:
        run = self._trained()
        export = run.export
        if export is None:
            return state
        if isinstance(run, Run):
            run.warn_of_changes()
        values = self._problem.space.values(jnp.asarray(self.history.unit[row]))
        with texts_refused():
            return export(state, hparams_of(self._problem.space, values))

    def _trials(self, rows: np.ndarray) -> list[Trial]:
        return read_rows(self.history, self._problem, self._feasible, rows, self._exact)

    def _table(self) -> list[str]:
        several = len(self._problem.objectives) > 1
        top = self.pareto_front() if several else self.top()
        if not top:
            return ["no trial is done" if not several else "no trial is done and feasible"]
        front = [f"the first of {len(top)} on the Pareto front:"] if several else []
        return [*front, *table(top[:SHOWN], self.history.unit, self._problem.space)]
