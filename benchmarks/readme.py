"""What the twenty lines of the README print.

Run: python -m benchmarks.readme [--quick]

They run in a process of their own, as a user would run them; `python -m benchmarks.report` puts what they print into
the README. With --quick they are compiled and not run.
"""

import argparse
import re
import subprocess
import sys

from benchmarks.common import parsed
from benchmarks.records import ROOT, Table, save

EXERCISES = ("jaxhpt",)


def code():
    """Return the first block of Python in the README."""
    return re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL).group(1)


def main():
    """Run what the command line asks for."""
    options = parsed(argparse.ArgumentParser(description=__doc__), {})
    if options.quick:
        compile(code(), "README.md", "exec")
        return
    done = subprocess.run([sys.executable, "-c", code()], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = tuple(line.rstrip() for line in done.stdout.splitlines())
    title = "the twenty lines of the README, compilation and all"
    save("readme", [Table(title, ("lines", "printed"), [("of text", len(lines))], lines=lines)], options, EXERCISES)


if __name__ == "__main__":
    main()
