"""Bytes, accuracy on fresh rows and latency of compressed nets beside dense ones: `examples/compress.py`, measured.

Run: python -m benchmarks.compress [--seeds 5] [--trials 64] [--quick]

Latency is the median of warm calls of a jitted predict: the file is unpacked to dense arrays when it is loaded, so that
it should be the same.
"""

import argparse
import contextlib
import pathlib
import sys
import tempfile

import numpy as np

from benchmarks.records import Table, save

sys.path.append(str(pathlib.Path(__file__).parent.parent / "examples"))
RANGE = "{median:.4g} [{low:.4g}, {high:.4g}]"


def cell(values):
    """Return a cell for `RANGE`: median and range."""
    return {"median": float(np.median(values)), "low": float(min(values)), "high": float(max(values))}


def main():
    """Run the example, and keep its table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--results", type=pathlib.Path)
    options = parser.parse_args()
    import compress
    from compress_file import latency, loaded

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        sizes = (16, 40, 1, 500, 40) if options.quick else (options.trials, 1500, options.seeds)
        found = compress.main(*sizes)
        rows = []
        for name, cells in found.items():
            bytes_, accuracy, seconds = (cell(column) for column in zip(*cells, strict=True))
            rows.append((name, bytes_, accuracy, seconds, *(latency(loaded(f"{name}.npz"), n) for n in (1, 128))))
    columns = ("net", "bytes", "accuracy", "seconds", "us, 1 row", "us, 128 rows")
    title = "Files of dense nets and of the best small ones that two searches found: medians and ranges over seeds"
    formats = ("{}", "{median:,.0f} [{low:,.0f}, {high:,.0f}]", RANGE, RANGE, "{:.0f}", "{:.0f}")
    notes = ["Accuracy is that of 20,000 rows generated with another seed; the dense net at one rate learns "
             "of 4,000 rows, the others of 3,000, and 1,000 choose among the trials of a search."]  # fmt: skip
    save("compress", [Table(title, columns, rows, formats)], options, ["jaxhpt/models", "examples/compress.py"],
         notes=notes)  # fmt: skip


if __name__ == "__main__":
    main()
