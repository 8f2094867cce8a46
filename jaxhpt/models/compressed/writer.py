"""Compressed models: how many bytes they take, traced, and the file itself."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.typing import Array, PyTree
from jaxhpt.models.compressed import packed
from jaxhpt.models.leaves import Leaf, named, per_leaf
from jaxhpt.models.magnitude import apply
from jaxhpt.models.rounding import WHOLE, check_bits, clips_of, is_whole, quantize, short_bits

_DTYPES = {"bool", "bfloat16", "float16", "float32", "float64"} | {
    f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)
}
_BYTES_OF_CODE = 2
_BYTES_OF_SCALE = 2
_BYTES_OF_COUNT = 4


def size_in_bytes(params: PyTree, masks: PyTree | None = None, bits: Any = WHOLE, clip: Any = 1.0) -> Array:
    """Bytes on disk of a compressed model: f32[], what `export_compressed` would write, to the byte up to 2^24.

    An objective: it may be traced, masks, bits and all. What costs bytes are weights that are not 0 after rounding.

    Args:
      params: weights: any pytree of arrays, such as linen's params or `nnx.state(model, nnx.Param)`.
      masks: of `prune.masks`; None where weights that are pruned are 0 already, as `prune.gradual` leaves them.
      bits: as in `quantize.fake_quantize`; may be traced.
      clip: as in `quantize.fake_quantize`; may be traced.

    Raises:
      ValueError: bits or a clip out of range, a name of nothing.
      TypeError: a leaf that is no array of numbers.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> weights = {"kernel": jnp.zeros((100, 100)).at[:5, :10].set(1.0)}
      >>> [int(jax.jit(size_in_bytes)(weights, bits=b)) for b in (2, 4, 32)]
      [351, 369, 524]
    """
    params = params if masks is None else apply(params, masks)
    widths, clips = per_leaf("bits", bits, params, check_bits), clips_of(clip, params)
    leaves = named(params)
    parts = [_bytes_of(leaf, width, share) for leaf, width, share in zip(leaves, widths, clips, strict=True)]
    return sum(parts, jnp.float32(packed.overhead([_entry(leaf) for leaf in leaves])))


def export_compressed(
    path: Any, params: PyTree, masks: PyTree | None = None, bits: Any = WHOLE, clip: Any = 1.0
) -> int:
    """Write the really small model: weights that are not 0, packed to their bits, as one .npz file without pickle.

    `load_compressed(path)` reads it again, with NumPy alone: the weights that `fake_quantize` gives a model. The
    format is described in `jaxhpt/models/compressed/packed.py`, a file that may be copied to where jaxhpt is not.

    Args:
      path: of the file; one that is there is replaced.
      params: weights: any pytree of arrays of dicts, lists and tuples, such as linen's params or variables, or
        `nnx.state(model, nnx.Param)`.
      masks: as in `size_in_bytes`.
      bits: as in `quantize.fake_quantize`, plain numbers: those of the trial. 32, the default, leaves weights as they
        are. Leaves that nothing is said of are written whole.
      clip: as in `quantize.fake_quantize`.

    Returns:
      Bytes of the file.

    Raises:
      ValueError: bits or a clip out of range, a name of nothing, weights to be rounded that are not finite.
      TypeError: a leaf that is no array of numbers.

    Example:
      >>> import pathlib, tempfile, jax.numpy as jnp
      >>> folder = tempfile.TemporaryDirectory()
      >>> path = pathlib.Path(folder.name) / "model.npz"
      >>> export_compressed(path, {"w": jnp.asarray([[0.5, 0.0], [-0.25, 1.0]])}, bits=4) == path.stat().st_size
      True
      >>> packed.load_compressed(path)["w"].astype(float).round(2).tolist()
      [[0.5, 0.0], [-0.22, 1.0]]
      >>> folder.cleanup()
    """
    params = params if masks is None else apply(params, masks)
    widths, clips = per_leaf("bits", bits, params, check_bits), clips_of(clip, params)
    rows = zip(named(params), widths, clips, strict=True)
    data = packed.encode([_packed(leaf, width, share) for leaf, width, share in rows])
    pathlib.Path(path).write_bytes(data)
    return len(data)


def _packed(leaf: Leaf, width: Any, clip: Any) -> packed.Leaf:
    """Return a leaf as it is written."""
    path, _, dtype = _entry(leaf)
    value = np.asarray(leaf.value)
    if width is None or bool(is_whole(width)):
        value = np.where(value == 0, np.zeros_like(value), value)  # -0.0 is 0
        raw = value.view(np.uint16) if dtype == "bfloat16" else value
        return packed.Leaf(path, dtype, raw, 0, np.ones(0, np.float32))
    if not np.isfinite(value.astype(np.float32)).all():
        raise ValueError(f"params: {leaf.name} holds NaN or infinity, which no whole number stands for")
    found = quantize(jnp.asarray(leaf.value), width, clip)
    values, scale = np.asarray(found.values), np.asarray(found.scale).reshape(-1)
    return packed.Leaf(path, dtype, values, int(short_bits(width)), scale[packed.live_channels(values)])


def _bytes_of(leaf: Leaf, width: Any, clip: Any) -> Array:
    """Return the bytes of a leaf in the shortest of its forms: f32[]."""
    if width is None:
        return _raw_bytes(leaf)
    found = quantize(leaf.value, width, clip)
    bits = short_bits(width)
    used = (found.values != 0).reshape(-1)
    dense = _whole_bytes(jnp.int32(used.size), bits)
    kept = _whole_bytes(used.sum(dtype=jnp.int32), jnp.where(bits == 2, jnp.int32(1), bits))
    axes = tuple(range(found.values.ndim - 1)) if found.values.ndim > 1 else None
    scales = _BYTES_OF_SCALE * (found.values != 0).any(axes).sum(dtype=jnp.int32)
    short = _BYTES_OF_CODE + jnp.minimum(dense, _places_bytes(used) + kept) + scales.astype(jnp.float32)
    return jnp.where(is_whole(width), _raw_bytes(leaf), short)


def _raw_bytes(leaf: Leaf) -> Array:
    """Return the bytes of a leaf whose values keep their dtype."""
    value, each = jnp.asarray(leaf.value), leaf.value.dtype.itemsize
    dense = jnp.float32(value.size * each)
    if not leaf.is_float:
        return _BYTES_OF_CODE + dense
    used = (value != 0).reshape(-1)
    kept = used.sum(dtype=jnp.int32).astype(jnp.float32) * each
    return _BYTES_OF_CODE + jnp.minimum(dense, _places_bytes(used) + kept)


def _places_bytes(used: Array) -> Array:
    """Return the bytes that the places of values take, bool[n] -> f32[]: a bitmap, or gaps in the best code of Rice."""
    count = used.sum(dtype=jnp.int32)
    places = jnp.arange(used.size, dtype=jnp.int32)
    last = jax.lax.cummax(jnp.where(used, places, jnp.int32(-1)))
    before = jnp.concatenate([jnp.full(1, -1, jnp.int32), last])[:-1]
    gaps = jnp.where(used, places - before - 1, jnp.int32(0))
    low = jnp.asarray(packed.REMAINDERS, jnp.int32)
    unary = count + jnp.right_shift(gaps[None, :], low[:, None]).sum(1, dtype=jnp.int32)
    coded = _BYTES_OF_COUNT + _whole_bytes(unary, jnp.ones_like(low)) + _whole_bytes(count, low)
    return jnp.minimum(coded.min(), _whole_bytes(jnp.int32(used.size), jnp.int32(1)))


def _whole_bytes(count: Array, width: Array) -> Array:
    """Return the bytes of so many numbers of so many bits: f32[], rounded up; without a product beyond i32."""
    return (count // 8 * width + (count % 8 * width + 7) // 8).astype(jnp.float32)


def _entry(leaf: Leaf) -> tuple[list, list, str]:
    """Return path, shape and dtype of a leaf, as they stand in the header."""
    dtype = getattr(leaf.value, "dtype", type(leaf.value))
    name = getattr(dtype, "name", "")
    if name not in _DTYPES:
        raise TypeError(
            f"params: {leaf.name} is of {dtype}; must be an array of real numbers: give the weights alone, such as "
            "nnx.state(model, nnx.Param), or convert it"
        )
    return [_step(key) for key in leaf.path], list(jnp.shape(leaf.value)), name


def _step(key: Any) -> Any:
    """Return a step of a path as JSON has it."""
    if isinstance(key, jax.tree_util.SequenceKey):
        return [key.idx]
    found = key.name if isinstance(key, jax.tree_util.GetAttrKey) else key.key
    if not isinstance(found, str | int):
        raise TypeError(f"params: the key {found!r}: must be a str or an int")
    return found
