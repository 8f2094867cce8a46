"""What is read from the scores of a search alone: its trials, the best of them, and the Pareto front."""

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
from jaxhpt.grey.relational import compromise
from jaxhpt.results.importance import weights_of
from jaxhpt.results.kept import Kept, Run
from jaxhpt.results.stats import Stats
from jaxhpt.results.table import SHOWN, frame
from jaxhpt.results.trial import Trial, read_rows


@dataclasses.dataclass(frozen=True, repr=False)
class Ranked:
    """The part of `Result` that needs no training.

    Attributes:
      stats: how it ran.
      history: the columns of all trials, as numpy arrays; scores are minimised there.
    """

    stats: Stats
    history: History
    _problem: Problem
    _row: int
    _run: Run | Kept | None = None
    _exact: np.ndarray | None = None

    @functools.cached_property
    def trials(self) -> list[Trial]:
        """All trials, in order of start; those known before the search come first.

        Of a run that was killed, what ran then and is in no checkpoint is left out: nobody knows its settings.
        """
        return self._trials(np.flatnonzero(self._there))

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

        Trials that keep all constraints come before those that do not. Of a search that was confirmed it is the one
        that came out best when trained again; its metrics are still those of the search, see `Result.confirmed`.

        Raises:
          RuntimeError: no trial ended with a finite objective, or there are several objectives.
        """
        return self._trials(np.array([self._best_row()]))[0]

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

    def top(self, count: int = SHOWN) -> list[Trial]:
        """Return the best trials among the ones that are done, best first; by the first objective if several."""
        score = np.where(self.history.status == Status.DONE, self._fitness, np.inf)
        order = np.argsort(score, kind="stable")[:count]
        return self._trials(order[np.isfinite(score[order])])

    def distinct_best(self, count: int) -> np.ndarray:
        """Return the rows i[n] of at most so many settings, each once, best first.

        They are of trials that are done; where there is none, of those that were trained longest, in that order.
        """
        status, steps = np.asarray(self.history.status), np.asarray(self.history.steps)
        done = (status == Status.DONE) & np.isfinite(self._fitness)
        stopped = (status == Status.STOPPED) & np.isfinite(self._fitness)
        order = np.lexsort((self._fitness, np.where(done, 0, -steps)))
        rows = order[(done if done.any() else stopped)[order]]
        _, first = np.unique(np.asarray(self.history.unit)[rows], axis=0, return_index=True)
        return rows[np.sort(first)][:count]

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

    def to_pandas(self, curves: bool = False) -> Any:
        """Return a table with a row a trial: trial, status, steps, the metrics, then the hyperparameters.

        A hyperparameter that has the name of a column before it is called `hparams.<name>`, and a metric that has the
        name of one of the first three `metrics.<name>`. Functions and classes are written by their names, numbered
        where two of a `Choice` have the same, so that the table may be the `prior` of another search.

        Args:
          curves: return the learning curves instead: a row for each report, with the columns trial, steps and value.

        Raises:
          ImportError: without pandas, the extra `jaxhpt[pandas]`.
        """
        return frame(self.trials, self.history.unit, self._problem, curves)

    @property
    def _there(self) -> np.ndarray:
        """Which rows up to the latest one are trials: bool[n]."""
        found: np.ndarray = np.asarray(self.history.status)[: int(self.history.num_rows)] != Status.EMPTY
        return found

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

    def _best_row(self) -> int:
        names, row = [o.name for o in self._problem.objectives], self._row
        if len(names) > 1:
            raise RuntimeError(f"there is no single best of several objectives, {names}: see pareto_front()")
        if row == NONE:
            told = f"{self.stats.trials} ended, {self.stats.failed} failed"
            remedy = "jaxhpt.check(task, space) looks for the reason" if self.stats.failed else "let it run longer"
            raise RuntimeError(f"no trial ended with a finite {names[0]!r}: {told}; {remedy}")
        return row

    def _row_of(self, trial: Trial | int) -> int:
        row = trial.id if isinstance(trial, Trial) else trial
        if isinstance(row, bool) or not isinstance(row, (int, np.integer)):
            raise TypeError(f"trial={row!r}: must be a trial, or its id")
        if not (0 <= row < len(self._there) and self._there[row]):
            raise ValueError(f"trial={row!r}: must be the id of one of the {int(self._there.sum())} trials")
        return int(row)

    def _trials(self, rows: np.ndarray) -> list[Trial]:
        return read_rows(self.history, self._problem, self._feasible, rows, self._exact)
