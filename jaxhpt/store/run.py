"""A run directory, opened by a search: whether it is the same run, where it stood, and how it was laid out."""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Iterator
from typing import Any

import jax

from jaxhpt.algorithms.base import Algorithm, Chooses
from jaxhpt.core.checks import number, require, switch
from jaxhpt.core.containing import moved, require_contained
from jaxhpt.core.plain_data import plain_settings
from jaxhpt.core.plain_problem import problem_data
from jaxhpt.core.space import Space
from jaxhpt.engine.build import Built
from jaxhpt.engine.carrying import Carried
from jaxhpt.engine.extending import Moved
from jaxhpt.engine.state import Program
from jaxhpt.results.columns import COLUMNS
from jaxhpt.results.result import Result
from jaxhpt.store import log
from jaxhpt.store.best import keep_best
from jaxhpt.store.checkpoints import Checkpoints
from jaxhpt.store.commands import Commands, waiting
from jaxhpt.store.files import (
    CHECKPOINTS,
    CONFIRMED,
    LOG,
    MANIFEST,
    Lock,
    RunError,
    folder_of,
    read_json,
    require_whole,
    write_json,
)
from jaxhpt.store.manifest import FORMAT, digest_of, layout_of, require_same, versions
from jaxhpt.store.recorder import Recorder, known_of, num_ended
from jaxhpt.store.unstored import Unstored
from jaxhpt.training.hosts import alone
from jaxhpt.training.layout import AUTO, Layout
from jaxhpt.training.replica import ReplicaTask
from jaxhpt.training.structures import Structure, Structures

CHECKPOINT_SECONDS = 30.0


class Run(Unstored):
    """A run directory that this process holds.

    Args:
      folder: made where there is none.
      seconds: between checkpoints.
      extend: whether the space may be wider than it was.

    Raises:
      RunError: it is damaged, or another process is in it.
      OSError: it cannot be written.
    """

    def __init__(self, folder: pathlib.Path, seconds: float, extend: bool) -> None:
        self._extend = extend
        self._folder, self._seconds, self._lock = folder, seconds, Lock(folder)
        self._checkpoints, self._orders, self._called = Checkpoints(folder / CHECKPOINTS), 0, 0
        self._before, self._there = 0.0, 0  # seconds of searching, and trials that ended, by the checkpoint
        self._waiting = waiting(folder)  # commands that came before this process
        path = folder / MANIFEST
        try:
            require_whole(folder)
            self._manifest: dict[str, Any] | None = checked(read_json(path), path) if path.exists() else None
        except BaseException:
            self._lock.release()
            raise

    def close(self) -> None:
        """Let others in."""
        try:
            self._checkpoints.close()
        finally:
            self._lock.release()

    def keep(self, result: Result) -> Result:
        """Write down what a result has beyond the search: its winner by itself, and what confirmed it."""
        if result.fresh is not None:
            result.save(self._folder / CONFIRMED)
        keep_best(self._folder, result)
        return result

    def trials(self, called: int) -> int:
        """Return how many trials there are to be: as the call says, or as the run was told since the same call."""
        self._called = called
        then = self._manifest or {"called": None}
        return int(then["trials"]) if then["called"] == called else called

    def laid_out(self, layout: Layout, interval: int | str) -> tuple[Layout, int | str]:
        """Let a run go on as it was laid out, where the user leaves that to a rule, which may look at free memory."""
        if self._manifest is None:
            return layout, interval
        then = self._manifest["layout"]
        if "pools" not in then:  # of a Tuner, which is refused as another run
            return layout, interval
        decided = {"lanes": then["lanes"], "microbatch": then["microbatch"]}
        decided["execution"] = "fused" if then["fused"] else "split"
        if then["structures"] is None:
            decided["cores"] = then["pools"]
        kept = {name: value for name, value in decided.items() if getattr(layout, name) == AUTO}
        if layout.searches is not None:
            kept = {name: value for name, value in kept.items() if name == "lanes"}
        return dataclasses.replace(layout, **kept), then["interval"] if interval == AUTO else interval

    def begin(self, built: Built, algorithm: Algorithm, own: Any = None, **about: Any) -> Built:
        """Begin the run, or see where it stood.

        Args:
          built: the search.
          algorithm: as the user gave it.
          own: what each of many searches has for itself; None for one alone.
          **about: what else makes it this run and no other, as plain data, such as the seed.

        Returns:
          The search as it goes on.

        Raises:
          ValueError: the directory holds another run, or this one with more trials.
        """
        if self._manifest is not None:
            built = built._replace(program=self._chosen(built.program, algorithm))
        now = self._described(built, algorithm, own, about)
        space = built.structures.space
        if self._manifest is not None:
            require_same(self._folder, self._extended(self._manifest, now, space), now)
            self.carried = self._last(built.structures)
        over = self.carried is not None and _over(self._manifest, now)
        write_json(self._folder / MANIFEST, now)
        (self._folder / CONFIRMED).unlink(missing_ok=True)
        self._manifest = now
        problem = built.problem
        trials = log.Log(self._folder / LOG, problem, about["searches"])
        of = lambda leaves, unit: jax.tree.unflatten(built.structures.of(unit).treedef, leaves)  # noqa: E731
        commands = (Commands(self._folder, space, self._waiting), self._orders)
        calls = (of, functools.partial(_task_of, built.structures), self._laid, self._end)
        known = known_of(self._there if self.carried else None, trials.num, over)
        given = (self._checkpoints, trials, *commands, self._seconds, self._before, known, over, *calls)
        self.record = Recorder(self._folder, problem, about["searches"], *given)
        return built

    def _chosen(self, program: Program, algorithm: Algorithm) -> Program:
        """Go on with the algorithm that was chosen for the trials that there were at first."""
        assert self._manifest is not None
        if not isinstance(algorithm, Chooses):
            return program
        then = dataclasses.replace(program.problem, trials=self._manifest["chosen_for"])
        return dataclasses.replace(program, study=dataclasses.replace(program.study, algorithm=algorithm.chosen(then)))

    def _described(self, built: Built, algorithm: Algorithm, own: Any, about: dict[str, Any]) -> dict[str, Any]:
        program, structures = built.program, built.structures
        problem = built.problem
        data, known = built.data._replace(begun=None), built.known
        task = {"functions": structures.first.functions.fingerprint, "data": digest_of((data, own))}
        first = self._manifest or {"chosen_for": problem.trials}
        layout = layout_of(program) | {"interval": problem.schedule.interval, "structures": _share_of(structures)}
        return {
            "format": FORMAT,
            "versions": versions(),
            **problem_data(problem),
            "algorithm": plain_settings(algorithm),
            "chosen_for": first["chosen_for"],
            "called": self._called,
            "scheduler": plain_settings(program.study.scheduler),
            "before": digest_of(known),
            "extended": None if known.begun is None else digest_of((known.begun, built.data.begun)),
            "known": [len(known.unit), 0 if known.first is None else len(known.first)],
            "task": task,
            "layout": layout,
            **about,
            "ended": None,
        }

    def _extended(self, then: dict[str, Any], now: dict[str, Any], space: Space) -> dict[str, Any]:
        """Return a manifest as if the run had begun in a space that may be wider."""
        old = Space.from_spec(then["space"])
        if not self._extend or then["space"] == now["space"]:
            return then
        require_contained(old, space)
        same = {name: now[name] for name in ("space", *(["before"] if then["known"] == now["known"] else []))}
        return {**then, **same}

    def _last(self, structures: Structures) -> Carried | None:
        """Read the latest checkpoint; it may be of before the space was widened.

        Raises:
          ValueError: the functions of a structure are not those that it was trained by.
        """
        last = self._checkpoints.latest()
        if last is None:
            return None
        for key, before in last.facts["task"]["structures"]:
            now = structures.named(key)
            if _print_of(now) != before:
                raise RunError(f"run_dir={str(self._folder)!r}: holds another run: task.functions where {now.label}")
        first, num, self._orders = len(COLUMNS), last.facts["engine_arrays"], int(last.facts["orders"])
        numbers = (self._manifest or {}).get("numbers") or last.facts["numbers"]  # of the end, after the checkpoint
        self._before = float(numbers["seconds"])
        self._there = num_ended(last.arrays)
        move = mover(last.facts["space"], structures.space)
        return Carried(last.arrays[first : first + num], last.facts["engine"], move)

    def _laid(self, program: Program) -> None:
        """Write down how the search is laid out, with fewer lanes than it was to have where memory did not suffice."""
        assert self._manifest is not None
        laid = {"lanes": program.problem.lanes, "layout": {**self._manifest["layout"], **layout_of(program)}}
        if any(self._manifest[name] != value for name, value in laid.items()):
            self._manifest = {**self._manifest, **laid}
            write_json(self._folder / MANIFEST, self._manifest)

    def _end(self, ended: str, numbers: dict[str, Any]) -> None:
        assert self._manifest is not None
        write_json(self._folder / MANIFEST, {**self._manifest, "ended": ended, "numbers": numbers})


def _over(then: dict[str, Any] | None, now: dict[str, Any]) -> bool:
    """Tell whether a run has ended, and is to have no more than it had then."""
    return then is not None and then.get("ended") == "finished" and all(then[n] == now[n] for n in ("trials", "space"))


def mover(spec: dict[str, Any], space: Space) -> Moved | None:
    """Return how settings of a space, in plain data, move to one that contains it; None where it is the same."""
    if spec == space.to_spec():
        return None
    old = Space.from_spec(spec)
    require_contained(old, space)
    return functools.partial(moved, old=old, new=space)


def _task_of(structures: Structures) -> dict[str, Any]:
    """Return what a checkpoint says of the task: whether it exports, models of a trial, and what its functions are."""
    job = structures.task
    replicas = job.replicas.num if isinstance(job, ReplicaTask) else 0
    made = [(list(key), _print_of(one)) for key, one in structures.made.items()]
    return {"exports": job.export is not None, "replicas": replicas, "structures": made}


def _share_of(structures: Structures) -> list[float] | None:
    """Return what decides which structures begin; None where there is one."""
    layout = structures.layout
    return [layout.compile_share, layout.max_programs] if structures.space.structural else None


def _print_of(structure: Structure) -> str:
    """Name what a structure trains."""
    return f"{structure.functions.fingerprint} {digest_of(structure.captured)}"


def checked(manifest: Any, path: pathlib.Path) -> dict[str, Any]:
    """Return a manifest that can be read.

    Raises:
      RunError: it is damaged, or of another format.
    """
    kind = manifest.get("format") if isinstance(manifest, dict) else None
    if kind != FORMAT:
        raise RunError(f"{path}: format {kind!r}: this version of jaxhpt reads format {FORMAT}")
    missing = {"space", "metrics", "schedule", "layout", "trials", "called", "chosen_for", "versions"} - manifest.keys()
    if missing:
        raise RunError(f"{path}: damaged, without {', '.join(sorted(missing))}")
    found: dict[str, Any] = manifest
    return found


@contextlib.contextmanager
def opened(run_dir: Any, checkpoint_seconds: Any, extend: Any = False) -> Iterator[Unstored]:
    """Open a run directory for a search, or none.

    Args:
      run_dir: a path; None for none.
      checkpoint_seconds: from one checkpoint to the next, above 0.
      extend: whether the space of a run may be wider than it was.
    """
    wider = switch("extend", extend, "must be True or False")
    require(not wider or run_dir is not None, "extend", extend, "with the run_dir of a run that goes on")
    seconds = float(number("checkpoint_seconds", checkpoint_seconds))
    require(seconds > 0, "checkpoint_seconds", checkpoint_seconds, "above 0")
    folder = folder_of(run_dir)
    if folder is None:
        yield Unstored()
        return
    if not alone():
        raise ValueError("run_dir: a run is written by one process; leave it out with jax.distributed")
    with contextlib.closing(Run(folder, seconds, wider)) as run:
        yield run
