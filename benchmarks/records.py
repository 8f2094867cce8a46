"""What a benchmark found, as data: tables with the commit, the machine, the versions and the settings they come from.

`save` prints tables and writes them to `benchmarks/results/<name>.json`; `benchmarks.report` makes `docs/benchmarks.md`
of these files, and fills in the figures that README and docs quote.
"""

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
from typing import Any, NamedTuple

import numpy as np

ROOT = pathlib.Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
QUARTILES = "{median:.4g} [{low:.3g}, {high:.3g}], {seconds:.2f} s"
OURS = ("jaxhpt", "jax", "jaxlib", "flax", "optax", "numpy")


class Table(NamedTuple):
    """One table of a result file.

    Attributes:
      title: what its cells are.
      columns: their heads, C texts.
      rows: each C cells: a text, a number, a dict of numbers by name, or None where nothing was measured.
      formats: how cells are shown, for `str.format`: one for all columns, or C of them. A dict's numbers go by name.
      labels: how many leading columns name a row.
      lines: what is to be said below it.
    """

    title: str
    columns: tuple
    rows: list
    formats: str | tuple = "{}"
    labels: int = 1
    lines: tuple = ()

    def shown(self):
        """Return the rows as texts."""
        formats = [self.formats] * len(self.columns) if isinstance(self.formats, str) else self.formats
        return [[shown(cell, form) for cell, form in zip(row, formats, strict=True)] for row in self.rows]

    def label(self, row):
        """Return the name of one of `shown`'s rows."""
        return ", ".join(row[: self.labels])

    def markdown(self):
        """Return it in Markdown, columns aligned."""
        cells = [list(self.columns), *self.shown()]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
        return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])


def shown(cell, form):
    """Write one cell."""
    if cell is None:
        return "-"
    if isinstance(cell, str):
        return cell
    return form.format(**cell) if isinstance(cell, dict) else form.format(cell)


def spread(best, seconds):
    """Return a cell for `QUARTILES`: of values f64[S], and the seconds of a search."""
    low, median, high = np.quantile(best, [0.25, 0.5, 0.75])
    return {"median": median, "low": low, "high": high, "seconds": seconds}


def save(name, tables, options, exercises, peers=(), notes=()):
    """Print tables, and write them as a result file; with --quick only where --results says where to.

    Args:
      name: of the file; that of an accelerator is added to it.
      tables: each a `Table`.
      options: the command line, whose values are kept as settings; `options.seeds` among them.
      exercises: files and folders of the repository that the figures depend on, beside the benchmark's own module.
      peers: packages whose versions matter.
      notes: sentences that a reader of the figures must know.

    Example:
      save("suggest", [Table("ms a trial", ("known", "ms"), [(50, 11.2)], "{:.3g}")], options, ["jaxhpt/surrogates"])
    """
    for table in tables:
        print(f"\n{table.title}\n{table.markdown()}", *table.lines, sep="\n", flush=True)
    if options.quick and options.results is None:
        return
    spec = sys.modules["__main__"].__spec__
    module = spec.name if spec else "benchmarks"
    watched = [*exercises, f"{module.replace('.', '/')}.py"]
    kept = {k: v for k, v in vars(options).items() if k not in ("quick", "results") and not isinstance(v, pathlib.Path)}
    record = {
        "name": name + accelerator(),
        "benchmark": module,
        **provenance(watched, peers),
        "settings": kept,
        "exercises": watched,
        "notes": list(notes),
        "tables": [table._asdict() for table in tables],
    }
    write(record, options.results or RESULTS)


def write(record, folder):
    """Write a result file."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(plain(record), indent=1, ensure_ascii=False)
    for broken, joined in ((r"([\[{])\n {5,}", r"\1"), (r"\n {4,}([\]}])", r"\1"), (r"\n {5,}", " ")):
        text = re.sub(broken, joined, text)  # a row of a table is a line
    (folder / f"{record['name']}.json").write_text(text + "\n")


def plain(value: Any):
    """Return a value as JSON takes it: numbers of six digits, and no arrays."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [plain(v) for v in value]
    if isinstance(value, (bool, str, int)) or value is None:
        return value
    if isinstance(value, np.integer):
        return int(value)
    return float(f"{float(value):.6g}")


def read(path):
    """Return a result file as a dict, its tables as `Table`s."""
    record = json.loads(path.read_text())
    record["tables"] = [Table(**table) for table in record["tables"]]
    return record


def load(folder=RESULTS):
    """Return all result files, name -> record."""
    return {path.stem: read(path) for path in sorted(folder.glob("*.json"))}


def git(*words):
    """Return what git says, None where it cannot."""
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def provenance(watched, peers):
    """Return commit, date, machine and versions as they are now."""
    commit = git("rev-parse", "--short", "HEAD")
    if commit and git("status", "--porcelain", "--", *watched):
        commit += "+"  # with changes that are not committed
    return {
        "commit": commit,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "python": platform.python_version(),
        "versions": {package: v for package in (*OURS, *peers) if (v := version(package))},
    }


def machine():
    """Describe the device, the cores and the CPU."""
    import jax

    return {"device": f"{jax.devices()[0].device_kind} x{jax.device_count()}", "cores": _cores(), "cpu": _cpu()}


def accelerator():
    """Return what tells this machine's result files from a CPU's: "", or such as "-h100"."""
    import jax

    device = jax.devices()[0]
    if device.platform == "cpu":
        return ""
    found = re.search(r"[a-z]+\d+\w*", device.device_kind.lower())
    return "-" + (found.group() if found else device.platform)


def _cores():
    """Return the cores that the process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _cpu():
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or None
    found = re.search(r"model name\s*: (.*)", text)
    return found.group(1) if found else platform.machine()


def version(package):
    """Return a package's version, None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
