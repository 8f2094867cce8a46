"""Many searches as one program: the whole search is mapped over its data and its seed.

All run the same event at the same time, by `vmap`: what one of them skips is not paid by the others, as
`core.control.when` keeps its branches under the axis of the searches. Where a Gaussian process proposes on a CPU, an
event of one search follows the other's, by `lax.map`: batched factorisations take longer there than one by one, and two
programs with some of them at a time have been seen to wait for each other for ever. A search that has ended stays as it
is.

Searches are shared out over the devices of the process, each of which runs the program on its part and waits for no
other; on a CPU over its cores, by threads that call the program on a part each. Where they do not divide, the first
searches run once more, for nothing.
"""

import concurrent.futures
import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxhpt.algorithms.base import Designed
from jaxhpt.core.control import REPLICA
from jaxhpt.core.history import Known
from jaxhpt.core.typing import Array, Key, PyTree
from jaxhpt.engine.carrying import Carried, on_host, onto
from jaxhpt.engine.compiling import Function
from jaxhpt.engine.loop import SearchState, run_event
from jaxhpt.engine.loop import fresh as fresh_one
from jaxhpt.engine.memory import Fitting, halved_inside
from jaxhpt.engine.raising import like_of, raised, sizes_of
from jaxhpt.engine.settle import summary
from jaxhpt.engine.state import Program, Summary
from jaxhpt.engine.steering import Unsteered
from jaxhpt.schedulers import PB2
from jaxhpt.training.pool import Data, Pool

AXIS = "searches"
Own = dict[str, PyTree]  # what each search has for itself: "train" and "valid" as in `Data`, and captured "steps"


@dataclasses.dataclass(frozen=True)
class Searches:
    """Many searches, as far as they are static.

    Attributes:
      program: of one search.
      devices: of the process, how many share the searches.
    """

    program: Program
    devices: int = 1

    @property
    def pool(self) -> Pool:
        """What trains, in one search."""
        return self.program.pool

    @property
    def mesh(self) -> Mesh:
        """The devices, in a row."""
        return Mesh(np.array(jax.local_devices()[: self.devices]), (AXIS,))

    def halved(self) -> "Searches | None":
        """Return the same in smaller groups of lanes; None where there are none."""
        program = halved_inside(self.program)
        return None if program is None else dataclasses.replace(self, program=program)

    def everywhere(self, function: Callable[[PyTree, PyTree], PyTree], each: PyTree, shared: PyTree) -> PyTree:
        """Apply a function to parts of the searches, leaves [R, ...], and to what they share, on all devices."""
        if self.devices == 1:
            return function(each, shared)
        part, whole = PartitionSpec(AXIS), PartitionSpec()
        return jax.shard_map(
            function, mesh=self.mesh, in_specs=(part, whole), out_specs=part, check_vma=False
        )(each, shared)  # fmt: skip

    def placed(self, each: PyTree, shared: PyTree) -> tuple[PyTree, PyTree]:
        """Bring each part of the searches, and what they share, to its device; leave them where there is one."""
        if self.devices == 1:
            return each, shared
        kinds = (NamedSharding(self.mesh, spec) for spec in (PartitionSpec(AXIS), PartitionSpec()))
        put: tuple[PyTree, PyTree] = tuple(map(jax.device_put, (each, shared), kinds))
        return put


def data_of(shared: Data, own: Own) -> Data:
    """Return the data of one search."""
    parts: dict[str, Any] = {name: part for name, part in own.items() if name != "steps"}
    if "steps" in own:
        parts["captured"] = shared.captured._replace(steps=own["steps"])
    return shared._replace(**parts)


def shared_of(data: Data, own: Own) -> Data:
    """Return what searches share of the data of one."""
    parts: dict[str, Any] = {name: None for name in own if name != "steps"}
    return data._replace(**parts)


def _begin(searches: Searches, roots: Key, known: Known) -> SearchState:
    """Make the carries of searches that have not begun, of the root keys [R] and what was known: leaves [R, ...]."""
    one = jax.vmap(lambda root, known: fresh_one(searches.program, root, known), axis_name=REPLICA)
    return searches.everywhere(lambda each, _: one(*each), (roots, known), ())


def _dispatch(
    searches: Searches, carry: SearchState, own: Own, shared: Data, events: Array
) -> tuple[SearchState, Summary]:
    """Run at most i32[] `events` events of all searches, fewer where all end before.

    Args:
      searches: static.
      carry: leaves [R, ...].
      own: leaves [R, ...], on device.
      shared: on device.
      events: i32[].
    """
    program = searches.program

    def going(state: tuple[SearchState, Array]) -> Array:
        carry, left = state
        return (left > 0) & ~jnp.all(carry.study.finished)

    def run(each: tuple[SearchState, Own], given: tuple[Data, Array]) -> tuple[SearchState, Summary]:
        (carry, own), (shared, events) = each, given

        def event(carry: SearchState, own: Own) -> SearchState:
            later = run_event(program, carry, data_of(shared, own))
            study = jax.tree.map(lambda a, b: jnp.where(carry.study.finished, a, b), carry.study, later.study)
            return later._replace(study=study)

        def one(state: tuple[SearchState, Array]) -> tuple[SearchState, Array]:
            carry, left = state
            if side_by_side(program):
                return jax.vmap(event, axis_name=REPLICA)(carry, own), left - 1
            return jax.lax.map(lambda search: event(*search), (carry, own)), left - 1

        carry, _ = jax.lax.while_loop(going, one, (carry, events))
        summed = jax.vmap(lambda study: summary(program.study, study, study.lanes, jnp.int32(0)), axis_name=REPLICA)
        return carry, summed(carry.study)

    return searches.everywhere(run, (carry, own), (shared, events))


def side_by_side(program: Program) -> bool:
    """Tell whether the searches run by `vmap`."""
    models = isinstance(program.study.algorithm, Designed) or isinstance(program.study.scheduler, PB2)
    return not (models and jax.default_backend() == "cpu")


def shared_out(num: int, most: int) -> int:
    """Return how many devices, or cores, at most so many, share R searches: as few as have no more to do each."""
    return -(-num // -(-num // max(1, most)))


BEGIN = Function(_begin, 1)
DISPATCH = Function(_dispatch, 1, donated=(0,))


class Many:
    """Searches that run as one program, on devices of their own, or on cores.

    Args:
      searches: static.
      roots: keys [R].
      known: before each, leaves [R, ...].
      own: what each has for itself, leaves [R, ...].
      shared: what all share.
      parts: cores of a CPU that run a part of the searches each; 1 where there are several devices.
      carried: of searches that go on; None for those that begin.

    Attributes:
      summary: after the last dispatch, leaves [R, ...].
      compile_seconds: spent on tracing and compiling.
      told: what was done where memory did not suffice.
      steering: that refuses orders.
    """

    def __init__(
        self,
        searches: Searches,
        roots: Key,
        known: Known,
        own: Own,
        shared: Data,
        parts: int = 1,
        carried: Carried | None = None,
    ) -> None:
        self.steering = Unsteered()
        begun, self.told, self._searches, self._num = time.perf_counter(), list[str](), searches, roots.shape[0]
        alike = _filled((roots, known, own), self._num, searches.devices * parts)
        placed, self._shared = searches.placed(alike, shared)
        each = [_part(placed, i, parts) for i in range(parts)]
        self._own = [own for _, _, own in each]
        self._threads = concurrent.futures.ThreadPoolExecutor(parts, thread_name_prefix="jaxhpt-searches")
        self._carries: list[Any] = [BEGIN(searches, roots, known) for roots, known, _ in each]
        if carried is not None:
            self._go_on(carried, jax.tree.map(lambda a: a[0], (each[0][0], each[0][1])))
        self._run = Fitting(DISPATCH, searches, self._arguments(0, jnp.int32(0)), Searches.halved, self.told)
        self.compile_seconds = time.perf_counter() - begun
        self.run(0)

    def _arguments(self, part: int, events: Array) -> tuple:
        return self._carries[part], self._own[part], self._shared, events

    def run(self, grains: int) -> None:
        """Run at most so many events."""
        _, events = self._searches.placed((), jax.device_put(jnp.int32(grains)))
        self._run.require_room(self._arguments(0, events), len(self._carries))

        def one(i: int) -> Summary:
            given, self._carries[i] = self._arguments(i, events), None  # it is given away
            carry, found = self._run(*given)
            done: Summary = jax.block_until_ready(found)
            self._carries[i] = carry
            return done

        found = list(self._threads.map(one, range(len(self._carries))))
        self.summary: Summary = _joined(found, self._num)

    @property
    def devices(self) -> int:
        """Devices that share the searches."""
        return self._searches.devices

    @property
    def best(self) -> Any:
        """Weights of the winners so far, leaves [R, ...]; None where they were lost in a crash."""
        if any(carry is None for carry in self._carries):
            return None
        best = _joined([carry.best for carry in self._carries], self._num)
        return best if self._searches.devices == 1 else jax.device_put(best, self._searches.mesh.devices[0])

    def carried(self) -> Carried:
        """Copy all that they need to go on from here."""
        return Carried(on_host(self._carries), {"sizes": sizes_of(self._searches.program)})

    def _go_on(self, carried: Carried, first: tuple[Key, Known]) -> None:
        """Stand where others stood, each part of as many searches; `first` is what the first one begins with."""
        program, num = self._searches.program, self._carries[0].study.clock.shape[0]
        study = like_of(program, carried.facts["sizes"], *first, num)
        then = onto([carry._replace(study=study) for carry in self._carries], carried.arrays)
        raise_all = jax.vmap(raised, in_axes=(0, 0, None))
        trials = program.problem.trials
        pairs = zip(then, self._carries, strict=True)
        studies = [raise_all(old.study, fresh.study, trials) for old, fresh in pairs]
        parts = [old._replace(study=study) for old, study in zip(then, studies, strict=True)]
        self._carries = [jax.tree.map(_lie_as, *pair) for pair in zip(parts, self._carries, strict=True)]

    def close(self) -> None:
        """Leave nothing running."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _lie_as(leaf: Array, other: Array) -> Array:
    """Put an array where another lies."""
    placed: Array = jax.device_put(leaf, other.sharding)
    return placed


def _filled(each: PyTree, num: int, parts: int) -> PyTree:
    """Repeat the first of R searches until so many parts are alike."""
    if num % parts == 0:
        return each
    return jax.tree.map(lambda a: a[np.arange(-(-num // parts) * parts) % num], each)


def _joined(parts: list[Any], num: int) -> Any:
    """Put parts of the searches together, leaves [R, ...], without those that were repeated."""
    whole = parts[0] if len(parts) == 1 else jax.tree.map(lambda *a: jnp.concatenate(a), *parts)
    return jax.tree.map(lambda a: a if a.shape[0] == num else a[:num], whole)


def _part(each: PyTree, i: int, parts: int) -> PyTree:
    if parts == 1:
        return each
    return jax.tree.map(lambda a: a[i * (a.shape[0] // parts) : (i + 1) * (a.shape[0] // parts)], each)
