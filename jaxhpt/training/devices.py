"""Several devices: which they are, what lies on them, and how one function runs on all of them at once.

The lanes of a search are cut into equal parts, one a device; all else, what decides and the data, is the same on each.
So a program is written for what one device has, and says itself what it exchanges: `gathered` and `owned` are all.
"""

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxhpt.core.checks import require
from jaxhpt.core.typing import Array, PyTree

LANES = "lanes"  # name of the axis of a mesh over which the lanes are cut
WHOLE, CUT = PartitionSpec(), PartitionSpec(LANES)
MESH = 'None, or a jax.sharding.Mesh with an axis named "lanes", such as jax.make_mesh((8,), ("lanes",))'


@dataclasses.dataclass(frozen=True)
class Devices:
    """Where a search runs, where that is more than one device. Static and hashable.

    Attributes:
      mesh: of the axis "lanes", and others for models that are cut themselves.
    """

    mesh: Mesh

    @classmethod
    def of(cls, mesh: Any) -> "Devices":
        """Return the devices of a mesh that a user gave.

        Raises:
          TypeError, ValueError: no mesh, or one without an axis for lanes.
        """
        if not isinstance(mesh, Mesh):
            raise TypeError(f"mesh={mesh!r}: must be {MESH}")
        require(LANES in mesh.axis_names, "mesh", mesh, MESH)
        if jax.process_count() > 1:
            left = {d.process_index for d in jax.devices()} - {d.process_index for d in mesh.devices.flat}
            require(not left, "mesh", mesh, f"one with devices of every process, also of {sorted(left)}")
        return cls(_untyped(mesh.devices, mesh.axis_names))

    @classmethod
    def in_a_row(cls, devices: list[jax.Device]) -> "Devices":
        """Return devices that have a part of the lanes each."""
        return cls(_untyped(np.array(devices), (LANES,)))

    def first(self, num: int) -> "Devices | None":
        """Return the first so many of devices in a row; None for one, where it is the default."""
        chosen = list(self.mesh.devices.flat)[:num]
        return None if num == 1 else self if num == self.num else Devices.in_a_row(chosen)

    @property
    def parts(self) -> int:
        """Return the number of parts that the lanes are cut into."""
        return int(self.mesh.shape[LANES])

    @property
    def num(self) -> int:
        """Return the number of devices."""
        return int(self.mesh.size)

    @property
    def cuts_models(self) -> bool:
        """Return whether a model may lie on several devices."""
        return self.num > self.parts

    def put(self, tree: PyTree) -> PyTree:
        """Put arrays on all devices, whole on each, but for what is cut over the other axes of the mesh already."""
        return jax.tree.map(self._put, tree)

    def _put(self, leaf: Any) -> jax.Array:
        if self._lies_well(leaf):
            return leaf
        whole = NamedSharding(self.mesh, WHOLE)
        if jax.process_count() == 1:
            return jax.device_put(leaf, whole)
        if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(self._put(jax.random.key_data(leaf)), impl=jax.random.key_impl(leaf))
        here = np.asarray(leaf)
        return jax.make_array_from_callback(here.shape, whole, lambda index: here[index])

    def _lies_well(self, leaf: Any) -> bool:
        placed = getattr(leaf, "sharding", None)
        if not isinstance(placed, NamedSharding) or placed.mesh.devices.tolist() != self.mesh.devices.tolist():
            return False
        return placed.mesh.axis_names == self.mesh.axis_names and LANES not in jax.tree.leaves(tuple(placed.spec))

    def placed(self, shapes: PyTree) -> PyTree:
        """Return shapes of arrays that are whole on each device."""
        whole = NamedSharding(self.mesh, WHOLE)
        return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=whole), shapes)

    def here(self, tree: PyTree) -> PyTree:
        """Return arrays that are whole on each device as arrays of one; what is cut stays."""
        return jax.tree.map(lambda a: a.addressable_data(0) if a.is_fully_replicated else a, tree)

    def program(self, call: Callable, static: tuple, given: PyTree, out: PyTree) -> Callable:
        """Return a function of what is not static that runs on all devices, each with its part of the lanes.

        Args:
          call: (*static, *arguments) -> arrays, written for what one device has.
          static: its static arguments.
          given: `WHOLE` and `CUT` for the others, of their tree.
          out: the same for what it returns, a prefix of its tree.
        """

        def run(*arguments: Any) -> Any:
            return call(*static, *arguments)

        run.__name__ = call.__name__
        only: Any = frozenset({LANES})
        return jax.shard_map(run, mesh=self.mesh, in_specs=given, out_specs=out, axis_names=only, check_vma=False)


def _untyped(devices: np.ndarray, names: tuple[str, ...]) -> Mesh:
    """Return a mesh whose axes do not show in the types of arrays: XLA cuts what is computed over them."""
    return Mesh(devices, names, axis_types=(AxisType.Auto,) * len(names))


def put_of(devices: Devices | None) -> Callable[[PyTree], PyTree]:
    """Return what puts arrays where a search runs; None for the one device that is the default."""
    return jax.device_put if devices is None else devices.put


def devices_of(tree: PyTree) -> Devices | None:
    """Return the devices that arrays, or shapes with a place, lie on; None where that is one, or left to JAX."""
    for leaf in jax.tree.leaves(tree):
        placed = getattr(leaf, "sharding", None)
        if isinstance(placed, NamedSharding) and placed.mesh.size > 1 and LANES in placed.mesh.axis_names:
            return Devices.of(placed.mesh)
    return None


def tracing(mesh: Any) -> contextlib.AbstractContextManager:
    """Return the context in which a user's functions are traced: they may cut what they compute over a mesh's axes.

    By `jax.lax.with_sharding_constraint(x, PartitionSpec(None, "model"))`, of axes other than that of the lanes.
    """
    devices = None if mesh is None else Devices.of(mesh)
    if devices is None or not devices.cuts_models:
        return contextlib.nullcontext()
    inside = devices.mesh.abstract_mesh.update_axis_types({LANES: AxisType.Manual})
    context: contextlib.AbstractContextManager = jax.sharding.use_abstract_mesh(inside)
    return context


def usable(mesh: Any, data: PyTree) -> tuple[Devices | None, PyTree]:
    """Return the devices that a search may use, None for one, and its data, which lies on that one if it has to.

    Args:
      mesh: the user's; None for all devices that there are.
      data: arrays; where the user has put some on a device, that one it is, as is one that he made JAX's default.

    Raises:
      ValueError: data that lies on several devices, without a mesh.
    """
    if mesh is not None:
        devices = Devices.of(mesh)
        return (devices, data) if devices.num > 1 else (None, jax.device_put(data, mesh.devices.item()))
    values, home = jax.config.values, home_of(data)
    if values["jax_default_device"] or values["jax_disable_jit"] or home:
        return None, data if home is None else jax.device_put(data, home)
    found = jax.local_devices() if jax.process_count() == 1 else jax.devices()
    return Devices.in_a_row(found) if len(found) > 1 else None, data


def cut_by_xla(array: jax.Array) -> jax.Array:
    """Return the same array, of a mesh whose axes do not show in types: such ones fit to arrays of that mesh alone."""
    placed = array.sharding
    if not isinstance(placed, NamedSharding) or AxisType.Explicit not in placed.mesh.axis_types:
        return array
    mesh = _untyped(placed.mesh.devices, placed.mesh.axis_names)
    cut: jax.Array = jax.device_put(array, NamedSharding(mesh, placed.spec))  # copies nothing
    return cut


def require_no_mesh() -> None:
    """Raise where JAX is told of a mesh for all that is computed, data that a search makes itself included.

    Raises:
      ValueError: it is, by `jax.set_mesh`, of several devices.
    """
    found = jax.sharding.get_abstract_mesh()
    if found.size > 1:
        raise ValueError(
            f"jax.set_mesh: {found} is in force; search outside of it, and say mesh= for the devices of the search"
        )


def places_of(tree: PyTree) -> list[jax.Device]:
    """Return the devices where the user has put arrays; none where he leaves that to JAX."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array) and leaf.committed]
    return sorted({d for leaf in leaves for d in leaf.devices()}, key=lambda d: d.id)


def home_of(tree: PyTree) -> jax.Device | None:
    """Return the device where the user has put arrays; None where he leaves that to JAX.

    Raises:
      ValueError: he has put them on several.
    """
    places = places_of(tree)
    if len(places) > 1:
        raise ValueError(
            f"train_data, valid_data: arrays lie on {len(places)} devices, {', '.join(map(str, places))}; give their "
            "mesh as mesh=, or bring all to one by jax.device_put(data, jax.devices()[0])"
        )
    return places[0] if places else None


def together(tree: PyTree) -> PyTree:
    """Bring all arrays to where some are already: to a mesh with an axis of lanes, or to one device.

    Raises:
      ValueError: they lie on several devices of no such mesh.
    """
    devices = devices_of(tree)
    if devices:
        return devices.put(tree)
    home = home_of(tree)
    return tree if home is None else jax.device_put(tree, home)


def part(tree: PyTree, lanes: int) -> PyTree:
    """Return this device's lanes, of leaves [L, ...]: leaves [lanes, ...]. Inside `Devices.program`."""
    begin = jax.lax.axis_index(LANES) * lanes
    return jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, begin, lanes), tree)


def gathered(tree: PyTree) -> PyTree:
    """Return all lanes on each device, of leaves [lanes, ...]: leaves [L, ...]. Inside `Devices.program`."""
    if jax.lax.axis_size(LANES) == 1:
        return tree
    return jax.tree.map(lambda a: jax.lax.all_gather(a, LANES, tiled=True), tree)


def owned(tree: PyTree, mine: Array) -> PyTree:
    """Return on each device what the one holds that has it, to the bit; where none does, anything.

    A masked sum, of whole numbers, as it is written so for every type: no index that depends on a device.

    Args:
      tree: any leaves; what a device holds that has it not does not matter.
      mine: bool[], or bool[N] for leaves [N, ...]: whether this device has it.
    """
    if jax.lax.axis_size(LANES) == 1:  # whose sums XLA refuses where further axes cut models
        return tree
    return jax.tree.map(lambda a: _owned(a, mine), tree)


def _owned(leaf: Array, mine: Array) -> Array:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        bits = _owned(jax.random.key_data(leaf), mine)
        return jax.random.wrap_key_data(bits, impl=jax.random.key_impl(leaf))
    if leaf.dtype == jnp.bool_:
        return _owned(leaf.astype(jnp.uint8), mine).astype(jnp.bool_)
    if jnp.iscomplexobj(leaf):
        return jax.lax.complex(_owned(leaf.real, mine), _owned(leaf.imag, mine))
    kind = jnp.dtype(f"uint{8 * leaf.dtype.itemsize}")
    bits = jax.lax.bitcast_convert_type(leaf, kind)
    wide = bits.astype(jnp.uint32) if kind.itemsize < 4 else bits  # few devices add up what is narrower
    there = mine.reshape(mine.shape + (1,) * (leaf.ndim - mine.ndim))
    summed = jax.lax.psum(jnp.where(there, wide, jnp.zeros_like(wide)), LANES)
    return jax.lax.bitcast_convert_type(summed.astype(kind), leaf.dtype)
