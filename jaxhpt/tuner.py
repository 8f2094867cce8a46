"""Tuner: ask and tell, for objectives that are not JAX - a cluster job, a simulator, one large model."""

import dataclasses
import functools
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt import history as columns
from jaxhpt.algorithms import ALGORITHMS, DEFAULT_ALGORITHM, Algorithm
from jaxhpt.algorithms.base import informed
from jaxhpt.checks import named, require_count
from jaxhpt.history import History, Known, Status
from jaxhpt.keys import Stream, key_of, root_of
from jaxhpt.numerics import full_precision, ranks
from jaxhpt.objectives import SCALAR, choose
from jaxhpt.prior import Prior, known
from jaxhpt.problem import Problem
from jaxhpt.result import Result
from jaxhpt.space import Space
from jaxhpt.stats import Stats
from jaxhpt.typing import Array, Hparams, Key

DEFAULT_TRIALS = 1000

Value = float | Mapping[str, float] | None


@dataclasses.dataclass(frozen=True)
class Asked:
    """A setting to evaluate.

    Attributes:
      id: number of the trial; `Tuner.tell` wants it back.
      hparams: the setting, in the structure of the space; None where a dimension does not exist.
    """

    id: int
    hparams: Hparams


class _State(NamedTuple):
    history: History
    algorithm: Any
    clock: Array


@functools.partial(jax.jit, static_argnums=(0, 1))
def _begin(algorithm: Algorithm, problem: Problem, root: Key, before: Known) -> _State:
    return _State(*informed(algorithm, root, problem, before), jnp.zeros((), jnp.int32))


@functools.partial(jax.jit, static_argnums=(0, 1, 2), donate_argnums=4)
@full_precision
def _ask(
    algorithm: Algorithm, problem: Problem, num: int, root: Key, state: _State, count: Array
) -> tuple[_State, Array, Array]:
    """Open `count` rows, fewer where nothing is left to propose: the rows i32[num], C for none, and their settings."""
    history, key = state.history, key_of(root, Stream.ASK, state.clock)
    found, new = algorithm.ask(key, state.algorithm, history, problem, num, count)
    unit, valid = problem.space.snap(found.unit), found.valid & (jnp.arange(num, dtype=jnp.int32) < count)
    rows = jnp.where(valid, history.count + ranks(valid), problem.capacity)
    history = columns.open_rows(history, rows, unit, found.note, state.clock)
    return _State(history, new, state.clock + 1), rows, unit


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=3)
@full_precision
def _tell(
    algorithm: Algorithm, problem: Problem, root: Key, state: _State, scores: Array, rows: Array, status: Array
) -> _State:
    """Close rows i32[num], C for none, after all scores f32[C, K] are renewed, and let the algorithm learn."""
    ones = jnp.ones(rows.shape, jnp.int32)
    history = columns.report(state.history._replace(metrics=scores), rows, scores[rows], ones, jnp.zeros_like(ones))
    history = columns.close(history, rows, status)
    key = key_of(root, Stream.TELL, state.clock)
    learned = algorithm.tell(key, state.algorithm, history, problem, rows)
    return _State(history, learned, state.clock + 1)


class Tuner:
    """Search by asking for settings and telling their values. Choose it where the objective is not a JAX function.

    Any number of settings may be in flight, and their values may come in any order.

    Args:
      space: as in `search`.
      algorithm: as in `search`.
      objective: name of what is optimised; only for show.
      direction: "min" or "max".
      objectives: several, name to direction, instead of the two above; values are then dicts.
      constraints: as in `Task`; values are then dicts.
      metrics: further names that values may hold.
      trials: settings that will be asked for at most; room is made for so many.
      lanes: settings that are usually in flight at once, where an algorithm adapts to it.
      prior: as in `search`.
      seed: of all randomness.

    Raises:
      ValueError, TypeError: anything wrong with the arguments.

    Example:
      >>> import jaxhpt
      >>> tuner = jaxhpt.Tuner({"x": jaxhpt.Float(-1, 3)}, algorithm="genetic", trials=128)
      >>> while trials := tuner.ask(8):
      ...     tuner.tell(trials, [(trial.hparams["x"] - 1) ** 2 for trial in trials])
      >>> tuner.result.best.value < 0.01
      True
    """

    def __init__(
        self,
        space: Any,
        *,
        algorithm: str | Algorithm = DEFAULT_ALGORITHM,
        objective: str = SCALAR,
        direction: str = "min",
        objectives: Mapping[str, str] | None = None,
        constraints: Mapping[str, tuple[str, float]] | None = None,
        metrics: Sequence[str] = (),
        trials: int = DEFAULT_TRIALS,
        lanes: int = 1,
        prior: Prior | None = None,
        seed: int = 0,
    ) -> None:
        require_count("trials", trials)
        require_count("lanes", lanes)
        chosen = tuple(objectives) if objectives is not None else (objective,)
        names = tuple(dict.fromkeys([*chosen, *(constraints or {}), *metrics]))
        self._algorithm: Algorithm = named("algorithm", algorithm, ALGORITHMS, Algorithm)
        wanted = choose(names, objective, direction, objectives, constraints)
        space = Space.of(space)
        before = known(prior, space, wanted)
        num = before.unit.shape[0]
        self.problem = Problem(space, wanted, trials, lanes, steps=1, interval=1, prior=num)
        self._root = root_of(seed, num)
        self._scores = np.full((self.problem.capacity, len(names)), np.inf)
        self._scores[:num] = before.metrics
        self._status = np.zeros(self.problem.capacity, np.int8)
        self._status[:num] = Status.PRIOR
        self._count = num
        told = before._replace(metrics=jnp.asarray(self._told()[:num]))
        self._state = _begin(self._algorithm, self.problem, self._root, told)
        self._begun = time.perf_counter()

    def ask(self, num: int = 1) -> list[Asked]:
        """Return settings to evaluate, at most `num`: fewer, and in the end none, where nothing is left.

        Raises:
          ValueError, TypeError: `num` is not a whole number of at least 1.
        """
        require_count("num", num)
        count = min(num, self.problem.capacity - self._count)
        if count == 0:
            return []
        arguments = (self._root, self._state, jnp.int32(count))
        self._state, rows, unit = _ask(self._algorithm, self.problem, _width(num), *arguments)
        rows, unit = jax.device_get((rows, unit))
        opened = rows < self.problem.capacity
        self._status[rows[opened]] = Status.RUNNING
        self._count += int(opened.sum())
        labels = self.problem.space.labels(unit[opened])
        return [Asked(int(row), label) for row, label in zip(rows[opened], labels, strict=True)]

    def tell(self, trials: Asked | int | Sequence[Asked | int], values: Value | Sequence[Value]) -> None:
        """Report what trials came to, in any order.

        Args:
          trials: one or several of those asked for, or their ids.
          values: for each a number, or a dict of all metrics; None, NaN or an infinity for one that failed.

        Raises:
          ValueError: a trial that was not asked for or was told already, unequal numbers, a metric left out.
        """
        several = isinstance(trials, Sequence)
        asked: Iterable = trials if several else [trials]  # type: ignore[assignment]
        rows = [trial.id if isinstance(trial, Asked) else int(trial) for trial in asked]
        given: list = list(values) if several else [values]  # type: ignore[arg-type]
        if len(given) != len(rows):
            raise ValueError(f"values: {len(given)} for {len(rows)} trials; give one for each, None where it failed")
        self._check_running(rows)
        scores = [self._scored(value) for value in given]
        if rows:
            self._close(np.array(rows), np.stack(scores))

    @property
    def running(self) -> list[Asked]:
        """Trials asked for and not yet told, as after a crash of whoever evaluated them."""
        rows = np.flatnonzero(self._status == Status.RUNNING)
        labels = self.problem.space.labels(np.asarray(self._state.history.unit)[rows]) if len(rows) else []
        return [Asked(int(row), label) for row, label in zip(rows, labels, strict=True)]

    @property
    def result(self) -> Result:
        """All that was told so far."""
        history = jax.device_get(self._state.history)
        history = history._replace(metrics=self._scores.astype(np.float32))
        return Result(self._stats(), history, self.problem, self._best_row())

    def _check_running(self, rows: list[int]) -> None:
        for row in rows:
            asked = 0 <= row < self._count
            if not asked or self._status[row] != Status.RUNNING:
                state = "told already" if asked else "never asked for"
                raise ValueError(f"trial {row}: it was {state}; tell each trial once")
        if len(set(rows)) < len(rows):
            raise ValueError(f"trials={rows}: each must be told once")

    def _scored(self, value: Value) -> np.ndarray:
        """Return one trial's scores f64[K], all +inf where it failed."""
        columns = self.problem.columns
        if value is not None and set(given := columns.named(value)) != set(columns.names):
            raise ValueError(f"values: {sorted(given)} where each must hold {sorted(columns.names)}")
        return columns.told(value)

    def _close(self, rows: np.ndarray, scores: np.ndarray) -> None:
        failed = np.isinf(scores[:, 0])
        status = np.where(failed, Status.FAILED, Status.DONE).astype(np.int8)
        self._scores[rows], self._status[rows] = scores, status
        extra = _width(len(rows)) - len(rows)
        padded = np.pad(rows, (0, extra), constant_values=self.problem.capacity).astype(np.int32)
        told = map(jnp.asarray, (self._told(), padded, np.pad(status, (0, extra))))  # numpy's have no `at` without jit
        self._state = _tell(self._algorithm, self.problem, self._root, self._state, *told)

    def _told(self) -> np.ndarray:
        """Return the scores for the device, f32[C, K], each objective counted from its best.

        So values that differ late, such as 1,000.0000001 and 1,000.0000002, are still told apart.
        """
        bounded = {constraint.name for constraint in self.problem.columns.constraints}
        shift = np.zeros(self._scores.shape[1])
        for column, wanted in enumerate(self.problem.objectives):
            best = self._scores[:, column].min()
            shift[column] = best if math.isfinite(best) and wanted.name not in bounded else 0.0
        return (self._scores - shift).astype(np.float32)

    def _best_row(self) -> int:
        fitness = np.asarray(self.problem.columns.fitness(jnp.asarray(self._told())))
        fitness = np.where(self._status == Status.PRIOR, np.inf, fitness)
        row = int(fitness.argmin())
        return row if np.isfinite(fitness[row]) else self.problem.capacity

    def _stats(self) -> Stats:
        ended = int(np.isin(self._status, (Status.DONE, Status.FAILED)).sum())
        return Stats(
            trials=ended,
            failed=int((self._status == Status.FAILED).sum()),
            seconds=time.perf_counter() - self._begun,
            copies=0,
            compile_seconds=0.0,
            first_seconds=None,
            lanes=self.problem.lanes,
            lanes_busy=1.0,
            interval=1,
            events=int(self._state.clock),
            ended="finished" if self._count == self.problem.capacity else "told",
            device=jax.devices()[0].device_kind,
            jax=jax.__version__,
        )


def _width(num: int) -> int:
    """Round up to a power of two, so that few programs serve any number."""
    return 1 << (num - 1).bit_length()
