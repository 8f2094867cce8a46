"""The file of a compressed model: bytes <-> arrays, with NumPy alone.

This one file may be copied to where jaxhpt is not.

Run: python packed.py model.npz    lists what a file holds

A file is an uncompressed .npz with one member, "model": u8[N], little-endian throughout, bits of a byte highest first:

    4 bytes    "jhpt"
    u8         version, 1
    u32        length of the header
    header     JSON: [[path, shape, dtype], ...], a leaf each; a step of a path is a key of a dict, or [i] in a list
    then for each leaf
    u8         code: 0 dense, 1 bitmap, 2 + r gaps
    u8         bits of a value, 2 to 8; or 0: values in the leaf's own dtype, without scales
    positions  of the values that are not 0, in the order of C, padded to a byte:
               dense    nothing, all values follow
               bitmap   a bit each
               gaps     u32 how many; then what lies between two of them, in the code of Rice: the parts above r bits
                        as so many 0s and a 1, padded to a byte; then the r low bits of each, padded to a byte
    values     of `bits` bits, padded to a byte: value + 2^(bits-1) - 1, less 1 above 0 where zeros are left out (so
               that 2 bits need only 1)
    scales     u16, the upper half of a float32, for each channel (last axis) that is not all 0; one for a vector

References:
  Rice and Plaunt, "Adaptive variable-length coding for efficient compression of spacecraft television data",
  https://doi.org/10.1109/TCOM.1971.1090789 (1971).
"""

import io
import json
import struct
import sys
import zipfile
from typing import Any, NamedTuple

import numpy as np

MAGIC, VERSION, MEMBER = b"jhpt", 1, "model.npy"
START = struct.Struct("<4sBI")
DENSE, BITMAP, GAPS = 0, 1, 2
REMAINDERS = range(16)  # r of the codes for gaps


class Leaf(NamedTuple):
    """An array as it is written.

    Attributes:
      path: from the root: str or int for a key of a dict, [int] for a place in a list.
      dtype: of the array, by name.
      values: whole numbers i8, or the array itself.
      bits: 2 to 8; 0 where `values` is the array itself.
      scale: f32[channels], of those with values that are not 0; [1] for a vector; [0] where bits is 0.
    """

    path: list
    dtype: str
    values: np.ndarray
    bits: int
    scale: np.ndarray


def load_compressed(path: Any) -> Any:
    """Read a compressed model as arrays of its own shapes and dtypes; needs NumPy alone.

    Args:
      path: of a file that `export_compressed` wrote, or an open binary file.

    Returns:
      The pytree that was written, of NumPy arrays: dicts, and lists, also for what was a tuple. What was bfloat16 is
      float32.

    Raises:
      ValueError: a file of another kind, of a later version, or cut off.
    """
    return _tree([(leaf.path, array) for leaf, array in _read(path)])


def encode(leaves: list[Leaf]) -> bytes:
    """Return the bytes of a file."""
    return _file([(x.path, list(x.values.shape), x.dtype) for x in leaves], b"".join(map(_encoded, leaves)))


def overhead(entries: list[tuple[list, list, str]]) -> int:
    """Return the bytes of a file of leaves of such paths, shapes and dtypes, without the leaves."""
    return len(_file(entries, b""))


def _file(entries: list[tuple[list, list, str]], leaves: bytes) -> bytes:
    header = json.dumps(entries, separators=(",", ":")).encode()
    array, whole = io.BytesIO(), io.BytesIO()
    data = START.pack(MAGIC, VERSION, len(header)) + header + leaves
    np.lib.format.write_array(array, np.frombuffer(data, np.uint8), version=(1, 0))
    with zipfile.ZipFile(whole, "w") as file:
        file.writestr(zipfile.ZipInfo(MEMBER), array.getvalue())  # of a fixed date: equal models are equal files
    return whole.getvalue()


def _encoded(leaf: Leaf) -> bytes:
    """Return a leaf in the shortest of its forms, the first of equals."""
    flat = leaf.values.reshape(-1)
    options = [bytes([DENSE, leaf.bits]) + _values(flat, leaf.bits, False)]
    if leaf.bits or "float" in leaf.dtype:
        used = np.flatnonzero(flat != 0)
        kept = _values(flat[used], leaf.bits, True)
        options.append(bytes([BITMAP, leaf.bits]) + np.packbits(flat != 0).tobytes() + kept)
        options += [bytes([GAPS + r, leaf.bits]) + _gaps(used, r) + kept for r in REMAINDERS]
    return min(options, key=len) + (leaf.scale.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()


def _gaps(used: np.ndarray, r: int) -> bytes:
    gaps = np.diff(used, prepend=-1) - 1
    ends = np.cumsum((gaps >> r) + 1)
    unary = np.zeros(ends[-1] if len(ends) else 0, bool)
    unary[ends - 1] = True
    return struct.pack("<I", len(used)) + np.packbits(unary).tobytes() + _pack(gaps & ((1 << r) - 1), r)


def _values(flat: np.ndarray, bits: int, sparse: bool) -> bytes:
    if not bits:
        return flat.astype(flat.dtype.newbyteorder("<")).tobytes()
    last = (1 << (bits - 1)) - 1
    codes = flat.astype(np.int64) + last
    return _pack(codes - (codes > last) if sparse else codes, _width(bits, sparse))


def _width(bits: int, sparse: bool) -> int:
    return 1 if sparse and bits == 2 else bits


def _pack(numbers: np.ndarray, width: int) -> bytes:
    places = np.arange(width)[::-1]
    return np.packbits((numbers[:, None] >> places) & 1).tobytes()


class _Reader:
    """A place in the bytes of a file."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, length: int) -> bytes:
        if self.at + length > len(self.data):
            raise ValueError("the file is cut off")
        self.at += length
        return self.data[self.at - length : self.at]

    def numbers(self, count: int, width: int) -> np.ndarray:
        bits = np.unpackbits(np.frombuffer(self.take((count * width + 7) // 8), np.uint8), count=count * width)
        return bits.reshape(count, width).astype(np.int64) @ (1 << np.arange(width)[::-1].astype(np.int64))

    def used(self, code: int, size: int) -> np.ndarray:
        """Return the places of values, i64[n]."""
        if code == BITMAP:
            return np.flatnonzero(self.numbers(size, 1))
        r, count = code - GAPS, struct.unpack("<I", self.take(4))[0]
        ahead = self.data[self.at : self.at + (count + (size >> r) + 7) // 8]
        ends = np.flatnonzero(np.unpackbits(np.frombuffer(ahead, np.uint8)))[:count]
        if len(ends) < count:
            raise ValueError("the file is cut off")
        self.take((ends[-1] + 8) // 8 if count else 0)
        gaps = ((np.diff(ends, prepend=-1) - 1) << r) | self.numbers(count, r)
        return np.cumsum(gaps + 1) - 1


def _read(path: Any) -> list[tuple[Leaf, np.ndarray]]:
    """Return the leaves of a file, and the arrays that they stand for."""
    with zipfile.ZipFile(path) as file:
        if MEMBER not in file.namelist():
            raise ValueError(f"path={path!r}: holds no {MEMBER}; must be a file of export_compressed")
        with file.open(MEMBER) as member:
            reader = _Reader(np.lib.format.read_array(member, allow_pickle=False).tobytes())
    magic, version, length = START.unpack(reader.take(START.size))
    if magic != MAGIC or version != VERSION:
        raise ValueError(f"path={path!r}: is of another kind or a later version; must be of version {VERSION}")
    return [_leaf(reader, *entry) for entry in json.loads(reader.take(length))]


def _leaf(reader: _Reader, path: list, shape: list, dtype: str) -> tuple[Leaf, np.ndarray]:
    code, bits = reader.take(2)
    size = int(np.prod(shape, dtype=np.int64))
    places = np.arange(size) if code == DENSE else reader.used(code, size)
    stored = np.dtype("<u2") if dtype == "bfloat16" else np.dtype(dtype).newbyteorder("<")
    flat = np.zeros(size, np.int8 if bits else stored)
    flat[places] = _taken(reader, len(places), bits, code != DENSE, stored)
    values = flat.reshape(shape)
    scale = _scales(reader, values) if bits else np.ones(0, np.float32)
    return Leaf(path, dtype, values, bits, scale), _array(values, bits, scale, dtype)


def _taken(reader: _Reader, count: int, bits: int, sparse: bool, stored: np.dtype) -> np.ndarray:
    if not bits:
        return np.frombuffer(reader.take(count * stored.itemsize), stored)
    last = (1 << (bits - 1)) - 1
    codes = reader.numbers(count, _width(bits, sparse))
    return (codes + (codes >= last) if sparse else codes) - last


def live_channels(values: np.ndarray) -> np.ndarray:
    """Tell which channels, the last axis, have a value that is not 0: bool[channels]; [1] for a vector."""
    return (
        np.any(values != 0, axis=tuple(range(values.ndim - 1))) if values.ndim > 1 else np.any(values != 0).reshape(1)
    )


def _scales(reader: _Reader, values: np.ndarray) -> np.ndarray:
    count = int(live_channels(values).sum())
    return (np.frombuffer(reader.take(2 * count), "<u2").astype(np.uint32) << 16).view(np.float32)


def _array(values: np.ndarray, bits: int, scale: np.ndarray, dtype: str) -> np.ndarray:
    kind = np.dtype(np.float32 if dtype == "bfloat16" else dtype)
    if not bits:
        raw = (values.astype(np.uint32) << 16).view(np.float32) if dtype == "bfloat16" else values
        return raw.astype(kind)
    live = live_channels(values)
    channels = np.zeros(len(live), np.float32)
    channels[live] = scale
    return (values.astype(np.float32) * (channels if values.ndim > 1 else channels[0])).astype(kind)


def _tree(found: list[tuple[list, np.ndarray]]) -> Any:
    """Build dicts and lists of arrays by path."""
    if found and not found[0][0]:
        return found[0][1]
    groups: dict[Any, list] = {}
    for path, array in found:
        groups.setdefault(tuple(path[0]) if isinstance(path[0], list) else path[0], []).append((path[1:], array))
    parts = {key: _tree(group) for key, group in groups.items()}
    return list(parts.values()) if any(isinstance(key, tuple) for key in parts) else parts


def main(path: str) -> None:
    """List what a file holds."""
    for leaf, array in _read(path):
        name = ".".join(str(step[0] if isinstance(step, list) else step) for step in leaf.path)
        kept = np.count_nonzero(array)
        print(f"{name}: {leaf.dtype}{list(array.shape)}, {kept:,} of {array.size:,} not 0, {leaf.bits or 'all'} bits")


if __name__ == "__main__":
    main(sys.argv[1])
