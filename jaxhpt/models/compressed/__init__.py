"""Compressed models: a really small file of a sparse, quantised model, and its size as an objective.

`size_in_bytes` tells, traced, what `export_compressed` will write; `load_compressed` reads it, with NumPy alone. The
page of the documents is `docs/compress.md`.
"""

from jaxhpt.models.compressed.packed import load_compressed
from jaxhpt.models.compressed.writer import export_compressed, size_in_bytes

__all__ = ["export_compressed", "load_compressed", "size_in_bytes"]
