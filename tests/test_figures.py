"""Figures in README and docs are those of the result files, and every other number is known to be none.

A figure is quoted as `benchmarks.report` tells. Any other numeral outside of code, and any comparison in words, must
stand within a phrase of `not_figures.toml`, which gives the reason why it is no measurement.
"""

import argparse
import pathlib
import re
import tomllib

import numpy as np
import pytest

from benchmarks import records, report
from benchmarks.records import QUARTILES, RESULTS, Table, load, save, spread

ROOT = pathlib.Path(__file__).parent.parent
RECORDS = load()
DOCUMENTS = [path for path in report.DOCUMENTS if path != report.PAGE]
ALLOWED = tomllib.loads((pathlib.Path(__file__).parent / "not_figures.toml").read_text())
NUMERAL = re.compile(r"(?<![\w.])(?:\d[\d,]*)?\.?\d+(?:e[-+]?\d+)?%?")
WORDS = re.compile(
    r"\b(?:twice|thrice|double|tenfold|hundredfold|per cent|percent"
    r"|(?:two|three|four|five|six|seven|eight|nine|ten|hundred|thousand) times)\b"
)
NOT_PROSE = (
    r"```.*?```",
    report.QUOTE.pattern,
    report.TABLE.pattern,
    r"<!--.*?-->",
    r"\]\([^)]*\)",  # where a link leads
    r"(?m:^ *\d+\. )",  # of a list
)


def prose(text):
    """Return what is left of a document for people to read, in one line."""
    for pattern in NOT_PROSE:
        text = re.sub(pattern, " § ", text, flags=re.DOTALL)
    text = re.sub(r"`([^`]*)`", _code, text)
    return re.sub(r"\s+", " ", text)


def _code(span):
    """Leave code out, but for a bare number, which does not hide in it."""
    return " § " if re.search("[A-Za-z_]", span.group(1)) else span.group(1)


def name_of(path):
    """Return how a document is called: its place in docs, or at the top."""
    return path.relative_to(ROOT / "docs" if ROOT / "docs" in path.parents else ROOT).as_posix()


def phrases(name):
    """Return the phrases of a document that have numbers and are no figures."""
    return [" ".join(phrase.split()) for listed in ALLOWED.get(name, {}).values() for phrase in listed]


def unknown(text, allowed):
    """Return the numerals and comparisons of prose that no phrase has, with what stands around them."""
    spans = [found.span() for phrase in allowed for found in re.finditer(re.escape(phrase), text)]
    return [
        text[max(0, found.start() - 30) : found.end() + 30]
        for pattern in (NUMERAL, WORDS)
        for found in pattern.finditer(text)
        if not any(begin <= found.start() and found.end() <= end for begin, end in spans)
    ]


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_quoted_figure_is_in_its_result_file(path):
    text = path.read_text()
    assert report.filled(text, RECORDS) == text, "python -m benchmarks.report"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_other_number_is_known_to_be_no_figure(path):
    assert unknown(prose(path.read_text()), phrases(name_of(path))) == []


@pytest.mark.parametrize("name", ALLOWED)
def test_no_phrase_is_left_that_no_document_has(name):
    text = prose(next(path for path in DOCUMENTS if name_of(path) == name).read_text())
    assert [phrase for phrase in phrases(name) if phrase not in text] == []


def test_the_page_of_benchmarks_is_that_of_the_result_files():
    told = report.PAGE.read_text()
    for mark in (report.OLDER, report.UNKNOWN):  # the age changes with every commit
        told = told.replace(f" · {mark}", "")
    assert told == report.page(RECORDS, age=lambda record: ""), "python -m benchmarks.report"


def test_one_digit_that_is_changed_is_seen():
    text = (ROOT / "README.md").read_text()
    quoted = [found for found, *_ in report.quotes(text)]
    assert len(quoted) >= 10
    for found in quoted:
        for place in (at for at in range(*found.span(1)) if text[at].isdigit()):
            changed = text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :]
            assert report.filled(changed, RECORDS) != changed
    assert unknown("It is 1.4 times as fast, twice as good, or `3.2` s.", []) != []


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*")), ids=lambda p: p.name)
def test_result_files_say_where_they_come_from(path):
    assert path.suffix == ".json"
    record = RECORDS[path.stem]
    assert record["name"] == path.stem
    assert all([record["commit"], record["date"], record["versions"]["jax"], record["machine"]["cores"]])
    assert all((ROOT / place).exists() for place in record["exercises"]), record["exercises"]
    assert all(len(row) == len(table.columns) for table in record["tables"] for row in table.rows)


def test_a_figure_keeps_its_form():
    forms = {"14,286": 14285.9, "1.20": 1.2, "10.8%": 0.108, ".0042": 0.0042, "-3.322": -3.3224, "2.2 times": 2.171}
    assert {form: report.written(value, form) for form, value in forms.items()} == {form: form for form in forms}
    assert report.written("16 of 17", "3 of 17") == "16 of 17"
    with pytest.raises(ValueError, match="a quoted figure is one"):
        report.written(1.0, "1 to 2")


def test_a_place_is_one_cell(tmp_path):
    options = argparse.Namespace(quick=True, results=tmp_path, seeds=3, data=tmp_path)
    first = Table("best", ("problem", "ours"), [("levy", spread(np.arange(5.0), 2.0))], ("{}", QUARTILES))
    second = Table("ms", ("D", "known", "time"), [("6", "50", np.float32(4.0)), ("6", "200", None)], "{}", labels=2)
    save("mine", [first, second], options, ["jaxhpt"], ["optuna"], ["a note"])
    record = load(tmp_path)["mine"]
    assert record["settings"] == {"seeds": 3}
    assert record["tables"][0].markdown() == first.markdown()
    assert report.cell(record, "levy > ours > median") == 2.0
    assert report.cell(record, "levy > ours > seconds ÷ 6, 50 > time") == 0.5
    for place in ("levi > ours > median", "6, 50 > times"):
        with pytest.raises(ValueError, match="0 cells"):
            report.cell(record, place)
    with pytest.raises(ValueError, match="no result file 'other'"):
        report.filled('[2](benchmarks.md#other "levy > ours > median")', {"mine": record})
    assert "a note" in report.page({"mine": record})


def test_a_result_is_older_where_its_files_have_changed(monkeypatch):
    record = {"commit": "abc", "exercises": ["jaxhpt"]}
    told = {"cat-file": "", "log": "def"}
    monkeypatch.setattr(report, "git", lambda *words: told[words[0]])
    assert report.age(record) == report.OLDER
    told["log"] = ""
    assert report.age(record) == ""
    told["cat-file"] = None  # a shallow clone, or none
    assert report.age(record) == report.age({**record, "commit": None}) == report.UNKNOWN


def test_without_git_the_commit_is_unknown(monkeypatch):
    monkeypatch.setattr(records, "git", lambda *words: None)
    assert records.provenance(["jaxhpt"], [])["commit"] is None
