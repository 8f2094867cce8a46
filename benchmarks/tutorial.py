"""What the blocks of the tutorial print.

Run: python -m benchmarks.tutorial [--quick]

They are one program, as a reader would run them; `python -m benchmarks.report` puts what each prints below it. With
--quick they are compiled and not run.
"""

import argparse
import contextlib
import io
import re

from benchmarks.common import parsed
from benchmarks.records import ROOT, Table, save

EXERCISES = ("jaxhpt",)


def blocks():
    """Return the blocks of Python of the tutorial."""
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "tutorial.md").read_text(), re.DOTALL)


def printed():
    """Run them one after the other; return the lines of each that prints."""
    names = {"__name__": "tutorial"}
    for code in blocks():
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(code, "tutorial.md", "exec"), names)
        if lines := tuple(line.rstrip() for line in out.getvalue().splitlines()):
            yield lines


def main():
    """Run what the command line asks for."""
    options = parsed(argparse.ArgumentParser(description=__doc__), {})
    if options.quick:
        compile("\n".join(blocks()), "tutorial.md", "exec")
        return
    tables = [
        Table(f"block {number} of those that print", ("lines", "printed"), [("of text", len(lines))], lines=lines)
        for number, lines in enumerate(printed())
    ]
    save("tutorial", tables, options, EXERCISES)


if __name__ == "__main__":
    main()
