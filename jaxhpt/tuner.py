"""Tuner: ask and tell, for objectives that are not JAX - a cluster job, a simulator, one large model."""

import dataclasses
import inspect
import pathlib
import threading
import warnings
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.algorithms import ALGORITHMS, DEFAULT_ALGORITHM, Algorithm
from jaxhpt.algorithms.base import Designed
from jaxhpt.core.checks import named, refuse_unknown, require_count, require_seed, require_trials
from jaxhpt.core.encoded import encoded
from jaxhpt.core.history import History, Known, Status
from jaxhpt.core.host_scores import in_float32, nearest
from jaxhpt.core.keys import root_of
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule
from jaxhpt.core.space import Space
from jaxhpt.core.typing import NONE, Hparams
from jaxhpt.engine import asking
from jaxhpt.engine.asking import padded
from jaxhpt.engine.snapshot import Snapshot
from jaxhpt.report.progress import Display, display
from jaxhpt.results.prior import Prior, first_of, known_exactly
from jaxhpt.results.result import Result
from jaxhpt.results.stats import Stats, Stopwatch
from jaxhpt.results.telling import Asked, Value, metrics_of, pairs_of, scored
from jaxhpt.schedulers import SCHEDULERS, Scheduler
from jaxhpt.store.journal import journal

DEFAULT_TRIALS = 1000


class Tuner:
    """Search by asking for settings and telling their values. Choose it where the objective is not a JAX function.

    Any number of settings may be in flight, their values may come in any order, and threads may share one Tuner.

    Args:
      space: as in `search`.
      algorithm: as in `search`.
      objective: name of what is optimised; None for a plain number, which is then called "score".
      direction: "min" or "max"; None where the whole name of the objective tells, such as "loss" or "accuracy", and
        for a plain number, which is minimised.
      objectives: several, name to direction, instead of the two above; values are then dicts.
      constraints: as in `Task`; values are then dicts.
      metrics: further names that values hold; they are then dicts.
      trials: settings that will be asked for at most; room is made for so many.
      lanes: settings that are usually in flight at once, where an algorithm adapts to it.
      prior: as in `search`.
      first: as in `search`.
      seed: of all randomness, from 0 to 2^32 - 1.
      run_dir: a directory to which each call is written before it returns; a Tuner made in the same way goes on from
        there, and `running` are the trials that were asked for and not told. See `jaxhpt.load`, and `close`.
      progress: whether to show a live line in a terminal, plain lines elsewhere.

    Raises:
      ValueError, TypeError: anything wrong with the arguments.

    Example:
      >>> import jaxhpt
      >>> tuner = jaxhpt.Tuner({"x": jaxhpt.Float(-1, 3)}, algorithm="genetic", trials=128, progress=False)
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
        objective: str | None = None,
        direction: str | None = None,
        objectives: Mapping[str, str] | None = None,
        constraints: Mapping[str, tuple[str, float]] | None = None,
        metrics: Sequence[str] = (),
        trials: int = DEFAULT_TRIALS,
        lanes: int = 1,
        prior: Prior | None = None,
        first: Sequence[Hparams] = (),
        seed: int = 0,
        run_dir: str | pathlib.Path | None = None,
        progress: bool = True,
        **unknown: Any,
    ) -> None:
        refuse_unknown("Tuner", unknown, ARGUMENTS)
        trials, lanes, seed = require_trials(trials), require_count("lanes", lanes), require_seed(seed)
        if isinstance(algorithm, Scheduler) or (isinstance(algorithm, str) and algorithm in SCHEDULERS):
            raise ValueError(f"algorithm={algorithm!r}: is a scheduler, and a Tuner has none: it trains nothing itself")
        self._algorithm: Algorithm = named("algorithm", algorithm, ALGORITHMS, Algorithm)
        wanted = metrics_of(objective, direction, objectives, constraints, metrics)
        space = Space.of(space)
        before = known_exactly(prior, space, wanted)
        num = before.unit.shape[0]
        self.problem = Problem(space, wanted, trials, lanes, Schedule(steps=1, interval=1), prior=num)
        self._bare = dataclasses.replace(self.problem, space=encoded(space))
        self._root = root_of(seed, num)
        self._scores = np.full((self.problem.capacity, len(wanted.names)), np.inf)
        self._scores[:num] = before.metrics
        self._status = np.zeros(self.problem.capacity, np.int8)
        self._status[:num] = Status.PRIOR
        self._count = num
        self._lock = threading.RLock()
        self._watch, self._wanted = Stopwatch(), progress
        self._display: Display | None = None
        own = first_of(first, space, trials)
        told = Known(jnp.asarray(before.unit), jnp.asarray(self._device_scores()[:num]), own)
        with self._watch.compiling("begin"):
            self._state = asking.begin(self._algorithm, self._bare, self._root, told)
        self._journal = journal(run_dir, self.problem, self._algorithm, told, seed)
        self._journal.replay(self._open, self._close)

    def ask(self, num: int = 1) -> list[Asked]:
        """Return settings to evaluate, at most `num`: fewer, and in the end none, where nothing is left.

        Raises:
          ValueError, TypeError: `num` is not a whole number of at least 1.
        """
        num = min(require_count("num", num), self.problem.trials)
        with self._lock:
            count = min(num, self.problem.capacity - self._count)
            rows, unit = self._open(num, count) if count else (np.zeros(0, np.int32), np.zeros((0, 0)))
            if count:
                self._journal.asked(num, count, rows, unit)
            self._show(finished=len(rows) == 0)
            labels = self.problem.space.labels(unit) if len(rows) else []
        return [Asked(int(row), label) for row, label in zip(rows, labels, strict=True)]

    def tell(self, trials: Asked | int | Iterable[Asked | int], values: Value | Iterable[Value]) -> None:
        """Report what trials came to, in any order.

        Args:
          trials: one or several of those asked for, or their ids.
          values: for each a number, or a dict of all metrics; None, NaN or an infinity for one that failed. Numbers are
            kept in float64; algorithms get them in an order that float32 can hold.

        Raises:
          ValueError: a trial that was not asked for or was told already, unequal numbers, a metric left out.
          TypeError: a value that is no number, or something that is no trial.
        """
        rows, given = pairs_of(trials, values)
        scores = [scored(value, self.problem.metrics) for value in given]
        with self._lock:
            self._check_running(rows)
            if rows:
                self._close(np.array(rows), np.stack(scores))
                self._journal.told(rows, np.stack(scores), self._known)
                self._watch.ended()
                self._show()

    def close(self) -> None:
        """Let another Tuner, or another process, go on in the run directory."""
        self._journal.close()

    @property
    def running(self) -> list[Asked]:
        """Trials asked for and not yet told, as after a crash of whoever evaluated them."""
        with self._lock:
            rows = np.flatnonzero(self._status == Status.RUNNING)
            unit = jax.device_get(self._state.history.unit)[rows]
        labels = self.problem.space.labels(unit) if len(rows) else []
        return [Asked(int(row), label) for row, label in zip(rows, labels, strict=True)]

    @property
    def result(self) -> Result:
        """All that was told so far."""
        with self._lock:
            history, scores = self._known()
            return Result(self._stats(), history, self.problem, self._best_row(), _exact=scores)

    def _known(self) -> tuple[History, np.ndarray]:
        """Return the history on the host, and the scores as they were told, f64[C, K]."""
        history, scores = jax.device_get(self._state.history), self._scores.copy()
        curve = nearest(np.where(history.status[:, None] == Status.DONE, scores[:, :1], np.inf))
        return history._replace(metrics=nearest(scores), curve=curve), scores

    def _open(self, num: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Ask the algorithm: rows i32[n] and their settings f32[n, D]."""
        last, algorithm = self._count + count, self._algorithm
        none_ended = not (self._status >= Status.DONE).any()
        early = isinstance(algorithm, Designed) and algorithm.in_design(self._bare, last, none_ended)
        arguments = (early, self._root, self._state, jnp.int32(count))
        self._start()
        with self._watch.compiling(("ask", padded(num), early)):
            self._state, rows, unit = asking.ask(self._algorithm, self._bare, padded(num), *arguments)
            rows, unit = jax.device_get((rows, unit))
        opened = rows < NONE
        self._status[rows[opened]] = Status.RUNNING
        self._count += int(opened.sum())
        return rows[opened], unit[opened]

    def _check_running(self, rows: list[int]) -> None:
        for row in rows:
            asked = 0 <= row < self._count
            if not asked or self._status[row] != Status.RUNNING:
                state = "told already" if asked else "never asked for"
                raise ValueError(f"trial {row}: it was {state}; tell each trial once")
        if len(set(rows)) < len(rows):
            raise ValueError(f"trials={rows}: each must be told once")

    def _close(self, rows: np.ndarray, scores: np.ndarray) -> None:
        failed = np.isinf(scores[:, 0])
        status = np.where(failed, Status.FAILED, Status.DONE).astype(np.int8)
        self._scores[rows], self._status[rows] = scores, status
        extra = padded(len(rows)) - len(rows)
        filled = np.pad(rows, (0, extra), constant_values=NONE).astype(np.int32)
        arguments = map(jnp.asarray, (self._device_scores(), filled, np.pad(status, (0, extra))))
        with self._watch.compiling(("tell", len(filled))):
            self._state = asking.tell(self._algorithm, self._bare, self._root, self._state, *arguments)

    def _device_scores(self) -> np.ndarray:
        """Return the scores for the device, f32[C, K]."""
        return in_float32(self._scores, self.problem.metrics)

    def _best_row(self) -> int:
        standing = self.problem.metrics.standing(self._scores)
        standing = np.where(self._status == Status.PRIOR, np.inf, standing)
        row = int(standing.argmin())
        return row if np.isfinite(standing[row]) else NONE

    def _start(self) -> None:
        """Begin to show progress, at the first trials."""
        if self._display is None:
            self._display = display(self._wanted)
            self._closed = weakref.finalize(self, self._display.close)
            self._safely(self._display.compiling)

    def _show(self, finished: bool = False) -> None:
        """Show where the search stands; leave the last state on the screen once all is told."""
        if self._display is None or not self._closed.alive:
            return
        snapshot = self._snapshot()
        self._safely(lambda: self._display.update(snapshot))
        over = finished or self._count == self.problem.capacity
        if over and not (self._status == Status.RUNNING).any():
            self._safely(self._closed)

    def _safely(self, show: Any) -> None:
        """Go on in silence where the display fails: what was told is worth more."""
        try:
            show()
        except Exception as error:  # whatever a terminal may raise
            self._closed.detach()
            self._display = display(False)
            warnings.warn(f"progress is not shown any more: {error!r}", RuntimeWarning, stacklevel=4)

    def _snapshot(self) -> Snapshot:
        status, row, objective = self._status, self._best_row(), self.problem.objectives[0]
        found = row < NONE
        busy, prior = int((status == Status.RUNNING).sum()), self.problem.prior
        return Snapshot(
            trials=self.problem.trials,
            started=self._count - prior,
            finished=self._count - prior - busy,
            failed=int((status == Status.FAILED).sum()),
            done=int((status == Status.DONE).sum()),
            lanes=max(self.problem.lanes, busy),
            lanes_busy=busy,
            objective=objective.name,
            best_value=float(self._scores[row, 0]) * objective.sign if found else None,
            best_trial=row if found else None,
            seconds=self._watch.seconds,
            events=int(self._state.clock),
        )

    def _stats(self) -> Stats:
        ended = int(np.isin(self._status, (Status.DONE, Status.FAILED)).sum())
        return Stats(
            trials=ended,
            failed=int((self._status == Status.FAILED).sum()),
            seconds=self._watch.seconds,
            copies=0,
            compile_seconds=self._watch.compile_seconds,
            first_seconds=self._watch.first_seconds,
            lanes=self.problem.lanes,
            lanes_busy=1.0,
            interval=1,
            events=int(self._state.clock),
            ended="finished" if self._count == self.problem.capacity else "told",
            device=jax.local_devices()[0].device_kind,
            jax=jax.__version__,
        )


ARGUMENTS = (*inspect.signature(Tuner).parameters,)[:-1]
