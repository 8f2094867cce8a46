"""Make docs/benchmarks.md of the result files, and fill in the figures that README and docs quote.

Run: python -m benchmarks.report

A quoted figure is a link to its table, whose title says where in it: the row, the column and, where a cell has several
numbers, the name of one; `÷` between two places is their ratio:

  [14,286](docs/benchmarks.md#throughput-h100 "lanes loop, 4096 > trials/s")
  [120](docs/benchmarks.md#throughput-h100 "lanes loop, 4096 > trials/s ÷ Optuna + jitted > trials/s")
  [1.2](docs/benchmarks.md#bayesian-batch "levy > jaxhpt bayesian > seconds")

The text keeps its form: decimals, commas, per cent. A whole table stands below a comment with its file and its place
there, `<!-- table: grey-forecast 0 -->`, and so does what code prints: `<!-- prints: readme -->`,
`<!-- prints: tutorial 2 -->`.
`tests/test_figures.py` fails where a text is not what this command would write, or where a document has a figure that
is not quoted so.
"""

import re

from benchmarks.records import ROOT, git, load

PAGE = ROOT / "docs" / "benchmarks.md"
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ORDER = (
    "throughput", "compile", "layout", "wide", "many", "scaling", "architecture", "masked", "share", "bayesian",
    "suggest", "hybrids", "ablation", "evolution", "generations", "tabular", "fidelity", "grey", "importance",
    "generalise", "large", "latency", "checkpoints",
)  # fmt: skip
HEAD = """# Benchmarks

All figures, as the benchmarks wrote them. Each table says what made it. `python -m benchmarks.<name>` makes it anew,
`--quick` tries it in a minute or so, and `python -m benchmarks.report` writes this page.

- Ratios are within one run. Times leave compilation out unless they say otherwise.
- Seeds from 10,000 on chose no setting of ours. Optima of test functions are moved with the seed.
- Peers run in their default *and* in the best setting we found; the heads of columns say which. An ordered list of
  values is given to a peer as whole numbers, its places.
- Results that are transcribed were Markdown before they were data; peers had one setting then, which columns name.
- **Older** marks a result whose commit is before a change of the code that it measures.
"""
OLDER = "**older than the code it measures**"
UNKNOWN = "age unknown"
TABLE = re.compile(r"(<!-- table: ([\w.-]+) (\d+) -->\n)\n?((?:\|[^\n]*\n)*)")
PRINTS = re.compile(r"(<!-- prints: ([\w.-]+)(?: (\d+))? -->\n```text\n)(.*?)(```)", re.DOTALL)
QUOTE = re.compile(r'\[([^\]\[]*)\]\(([^)\s]*benchmarks\.md)#([\w.-]+) "([^"]*)"\)')
NUMBER = re.compile(r"[-+]?(?:\d[\d,]*)?\.?\d+(?:e[-+]?\d+)?")


def age(record):
    """Return OLDER, UNKNOWN or "": whether files that a benchmark exercises changed since it ran."""
    commit = (record["commit"] or "").removesuffix("+")
    if not commit or git("cat-file", "-e", commit) is None:
        return UNKNOWN
    changed = git("log", "--format=%h", f"{commit}..HEAD", "--", *record["exercises"])
    return UNKNOWN if changed is None else OLDER if changed else ""


def page(records, age=age):
    """Return the text of docs/benchmarks.md."""
    names = sorted(records, key=lambda name: (_place(name), name))
    listed = "\n".join(f"- [{name}](#{name})" for name in names)
    return "\n".join([HEAD, listed, "", *(section(records[name], age(records[name])) for name in names)])


def _place(name):
    kind = name.split("-")[0]
    return ORDER.index(kind) if kind in ORDER else len(ORDER)


def section(record, mark):
    """Return the Markdown of one result file."""
    parts = [f"## {record['name']}\n", origin(record, mark), *(f"\n{note}" for note in record["notes"])]
    for table in record["tables"]:
        parts += [f"\n**{table.title}**\n", table.markdown(), *(f"\n{line}" for line in table.lines)]
    return "\n".join(parts) + "\n"


def origin(record, mark):
    """Return the line that says where a result comes from."""
    machine, versions = record["machine"], record["versions"]
    where = ", ".join([machine["device"], f"{machine['cores']} cores", *filter(None, [machine["cpu"]])])
    told = " ".join(f"{name} {version}" for name, version in versions.items())
    settings = [f"--{k.replace('_', '-')}{_value(v)}" for k, v in record["settings"].items() if v not in (None, False)]
    command = f"`{' '.join(['python -m', record['benchmark'], *settings])}`"
    said = [command, f"commit {record['commit'] or 'unknown'}, {record['date']}", where]
    said += [f"Python {record['python']} {told}", *filter(None, [record.get("transcribed"), mark])]
    return " · ".join(said)


def _value(value):
    return "" if value is True else f" {' '.join(map(str, value)) if isinstance(value, list) else value}"


def quotes(text):
    """Return the figures a text quotes: (match, text, result file, place in it)."""
    return [(found, found.group(1), found.group(3), found.group(4)) for found in QUOTE.finditer(text)]


def cell(record, place):
    """Return what stands at "row > column" or "row > column > name" of a result file; a ratio where there is a ÷."""
    if "÷" in place:
        above, below = (cell(record, part.strip()) for part in place.split("÷"))
        return above / below
    row, column, *name = (part.strip() for part in place.split(" > "))
    found = [
        raw[table.columns.index(column)]
        for table in record["tables"]
        for raw, texts in zip(table.rows, table.shown(), strict=True)
        if table.label(texts) == row and column in table.columns
    ]
    if len(found) != 1:
        raise ValueError(f"{record['name']}: {len(found)} cells are at {place!r}; one is wanted")
    return found[0][name[0]] if name else found[0]


def written(value, like):
    """Write a value in the form of a text: its decimals, commas, per cent, and what stands around its number."""
    if isinstance(value, str):
        return value
    numbers = list(NUMBER.finditer(like))
    if len(numbers) != 1:
        raise ValueError(f"{like!r} has {len(numbers)} numbers; a quoted figure is one")
    number, old = numbers[0], numbers[0].group()
    per_cent = like[number.end() : number.end() + 1] == "%"
    digits = len(old.partition(".")[2])
    new = f"{100 * value if per_cent else value:{',' if ',' in old else ''}.{digits}f}"
    new = new.replace("0.", ".", 1) if re.match(r"[-+]?\.", old) and abs(value) < 1 else new
    return like[: number.start()] + new + like[number.end() :]


def filled(text, records):
    """Return a text with its quoted figures, its tables and what its code prints as the result files have them."""

    def one(found):
        text, target, name, place = found.groups()
        if name not in records:
            raise ValueError(f"no result file {name!r} for the figure {text!r}")
        return f'[{written(cell(records[name], place), text)}]({target}#{name} "{place}")'

    def whole(found):
        begin, name, place, _ = found.groups()
        return f"{begin}\n{records[name]['tables'][int(place)].markdown()}\n"

    def printed(found):
        begin, name, place, _, end = found.groups()
        return "".join([begin, *(f"{line}\n" for line in records[name]["tables"][int(place or 0)].lines), end])

    return PRINTS.sub(printed, TABLE.sub(whole, QUOTE.sub(one, text)))


def main():
    """Write the page, and the figures in the other documents."""
    records = load()
    PAGE.write_text(page(records))
    for path in DOCUMENTS:
        if path != PAGE:
            path.write_text(filled(path.read_text(), records))


if __name__ == "__main__":
    main()
