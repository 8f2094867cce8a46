"""Result: what a search found, in the user's own words."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.carry import Program
from jaxhpt.checks import require
from jaxhpt.driver import Outcome
from jaxhpt.history import History, Status
from jaxhpt.importance import importance_of, weights_of
from jaxhpt.lineage import segments_of
from jaxhpt.loop import train_again
from jaxhpt.pareto import hypervolume, nondominated
from jaxhpt.problem import Problem
from jaxhpt.space import Space
from jaxhpt.stats import Stats, headline, stats_of
from jaxhpt.surrogates.relational import compromise
from jaxhpt.table import table
from jaxhpt.training.pool import Data
from jaxhpt.trial import Stretch, Trial, plain, read_rows

SHOWN = 5  # trials in the table of `repr`


@dataclasses.dataclass(frozen=True)
class Run:
    """What a search leaves beside its history, and trials evaluated elsewhere do not: how to train again.

    Attributes:
      program: the compiled search.
      data: on device.
      outcome: the last state of the search.
      export: the task's.
    """

    program: Program
    data: Data
    outcome: Outcome
    export: Any = None


@dataclasses.dataclass(frozen=True, repr=False)
class Result:
    """What a search found.

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
    _run: Run | None = None

    @classmethod
    def of(cls, program: Program, data: Data, outcome: Outcome, export: Any) -> "Result":
        """Bring a driven search to the host."""
        history, row = jax.device_get((outcome.carry.history, outcome.carry.best.row))
        run = Run(program, data, outcome, export)
        return cls(stats_of(program, history, outcome), history, program.problem, int(row), run)

    @functools.cached_property
    def trials(self) -> list[Trial]:
        """All trials, in order of start; those known before the search come first."""
        return self._trials(np.arange(int(self.history.count)))

    @property
    def space(self) -> Space:
        """What was searched."""
        return self._problem.space

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
        return self._exported(self._trained().outcome.carry.best.state, row)

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
        rows = np.flatnonzero(nondominated(self._objectives, alive))
        return self._trials(rows[np.argsort(self.history.metrics[rows, 0], kind="stable")])

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
        return importance_of(self.history, self._problem, method, objective)

    def replay(self, trial: "Trial | int") -> tuple[Any, dict[str, float]]:
        """Train one trial again, alone, from the same key and on the same batches.

        Choose it to get at the weights of any trial. The numbers are the same within float tolerance, not to
        the bit: one model alone compiles to other operations than many side by side.

        Args:
          trial: a trial, or its id.

        Returns:
          What `best_state` would be for it, and its metrics by name.

        Raises:
          ValueError: no such trial.
          RuntimeError: the trials were not trained here.
        """
        run = self._trained()
        row = self._row_of(trial)
        budget = run.program.pool.length(self._problem.space.values(jnp.asarray(self.history.unit[row])))
        segments = segments_of(self.history, row, int(self.history.steps[row]) or int(budget))
        state, metrics = train_again(run.program, run.outcome.carry.key, run.data, segments)
        named = metrics if isinstance(metrics, dict) else {self._columns.names[0]: metrics}
        return self._exported(state, row), {name: plain(value) for name, value in named.items()}

    def lineage(self, trial: "Trial | int") -> list[Stretch]:
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

    def to_pandas(self) -> Any:
        """Return a table with a row a trial: id, status, steps, the metrics, then the hyperparameters.

        Raises:
          ImportError: without pandas, the extra `jaxhpt[pandas]`.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("to_pandas needs pandas: pip install 'jaxhpt[pandas]'") from error
        rows = self._problem.space.label_rows(self.history.unit[: int(self.history.count)])
        names = self._problem.space.names
        table = [
            {"trial": t.id, "status": t.status, "steps": t.steps, **t.metrics, **dict(zip(names, row, strict=True))}
            for t, row in zip(self.trials, rows, strict=True)
        ]
        return pandas.DataFrame(table)

    def __repr__(self) -> str:
        return "\n".join([*headline(self.stats), *self._table()])

    @property
    def _columns(self) -> Any:
        return self._problem.columns

    @functools.cached_property
    def _fitness(self) -> np.ndarray:
        return np.asarray(self._columns.fitness(jnp.asarray(self.history.metrics)))

    @functools.cached_property
    def _feasible(self) -> np.ndarray:
        return np.asarray(self._columns.violation(jnp.asarray(self.history.metrics)) <= 0)

    @property
    def _objectives(self) -> jax.Array:
        return jnp.asarray(self.history.metrics[:, : len(self._problem.objectives)])

    def _trained(self) -> Run:
        if self._run is None:
            raise RuntimeError("these trials were evaluated outside jaxhpt: there is no training to return or repeat")
        return self._run

    def _best_row(self) -> int:
        names, row = [o.name for o in self._problem.objectives], self._row
        if len(names) > 1:
            raise RuntimeError(f"there is no single best of several objectives, {names}: see pareto_front()")
        if row >= self._problem.capacity:
            raise RuntimeError(
                f"no trial ended with a finite objective: {self.stats.trials} ended, {self.stats.failed} failed"
            )
        return row

    def _row_of(self, trial: "Trial | int") -> int:
        row = trial if isinstance(trial, int) else trial.id
        if not 0 <= row < int(self.history.count):
            raise ValueError(f"trial={row!r}: must be the id of one of the {int(self.history.count)} trials")
        return row

    def _exported(self, state: Any, row: int) -> Any:
        export = self._trained().export
        if export is None:
            return state
        values = self._problem.space.values(jnp.asarray(self.history.unit[row]))
        return export(state, self._problem.space.assemble(values))

    def _trials(self, rows: np.ndarray) -> list[Trial]:
        return read_rows(self.history, self._problem, self._feasible, rows)

    def _table(self) -> list[str]:
        several = len(self._problem.objectives) > 1
        top = self.pareto_front() if several else self.top()
        if not top:
            return ["no trial is done" if not several else "no trial is done and feasible"]
        front = [f"the first of {len(top)} on the Pareto front:"] if several else []
        return [*front, *table(top[:SHOWN], self.history.unit, self._problem.space)]
