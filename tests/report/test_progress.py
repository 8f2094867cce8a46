"""Progress: a live line in a terminal, plain lines in a log, nothing when not wanted."""

import io
import re
import time

import pytest
from rich.console import Console

import jaxhpt
from jaxhpt.engine.snapshot import Snapshot
from jaxhpt.report import progress
from jaxhpt.report.progress import display

EARLY = Snapshot(1024, 64, 0, 0, 64, 64, "accuracy", None, None, 0.5, 10)
LATER = Snapshot(1024, 576, 512, 3, 64, 64, "accuracy", 0.98765432, 17, 8.0, 90)


def plain(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def shown(terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=140, legacy_windows=False)
    live = display(True, console)
    live.compiling()
    if terminal:
        live._progress.refresh()
    for snapshot in (EARLY, LATER):
        live.update(snapshot)
    live.close()
    return console.file.getvalue()


def test_a_log_gets_plain_lines():
    lines = shown(terminal=False).splitlines()
    assert lines[0] == "jaxhpt: compiling ..."
    assert lines[1] == "jaxhpt: 0/1,024 trials · 64/64 lanes busy · 0.0 trials/s · 0.5 s"
    facts = ["512/1,024 trials", "64/64 lanes busy", "best accuracy 0.98765", "64.0 trials/s", "8 s left", "3 failed"]
    assert lines[2] == "jaxhpt: " + " · ".join(facts)
    assert len(lines) == 3


def test_a_terminal_gets_one_live_line():
    text = shown(terminal=True)
    assert "compiling ..." in text
    for fact in ("512/1,024 trials", "64/64 lanes", "best accuracy 0.98765", "64.0 trials/s", "8 s left", "searched"):
        assert fact in text
    assert "\x1b[" in text


@pytest.mark.parametrize("width", [60, 80, 100])
def test_the_live_line_fits_and_keeps_what_matters_most(width):
    console = Console(file=io.StringIO(), force_terminal=True, width=width, legacy_windows=False)
    live = display(True, console)
    live.update(LATER)
    live.close()
    lines = plain(console.file.getvalue()).replace("\r", "\n").splitlines()
    assert max(map(len, lines)) <= width
    line = [line for line in lines if "trials" in line][-1]
    assert "…" not in line
    facts = ["512/1,024 trials", "8 s left", *["best accuracy 0.98765"] * (width >= 80), *["64/64"] * (width >= 100)]
    assert all(fact in line for fact in facts)


def test_seconds_go_by_while_it_compiles(monkeypatch):
    text = shown_while_compiling(terminal=True)
    assert re.search(r"compiling \.\.\..* 1 s", text)
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.25)
    lines = shown_while_compiling(terminal=False).splitlines()
    assert lines[0] == "jaxhpt: compiling ..."
    assert lines[1] == "jaxhpt: compiling ... 0 s"
    assert "jaxhpt: compiling ... 1 s" in lines
    assert "compiling" not in lines[-1]


def shown_while_compiling(terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=80, legacy_windows=False)
    live = display(True, console)
    live.compiling()
    time.sleep(1.2)
    live.update(LATER)
    live.close()
    return plain(console.file.getvalue())


def test_two_at_once_do_not_fight_for_the_line():
    console = Console(file=io.StringIO(), force_terminal=True, width=80, legacy_windows=False)
    one, two = display(True, console), display(True, console)
    two.update(LATER)
    two.close()
    one.close()
    assert "512/1,024 trials" in console.file.getvalue()


def test_nothing_is_shown_when_not_wanted(capsys):
    jaxhpt.minimize(lambda h, key: h["x"], {"x": jaxhpt.Float(0, 1)}, trials=4, progress=False)
    assert capsys.readouterr() == ("", "")


def test_a_search_reports_to_stderr(capsys):
    jaxhpt.minimize(lambda h, key: h["x"], {"x": jaxhpt.Float(0, 1)}, trials=4)
    out, err = capsys.readouterr()
    assert out == ""
    assert "4/4 trials" in err


def test_pace_and_time_left_follow_from_the_counts():
    assert LATER.trials_per_second == 64.0
    assert LATER.eta == pytest.approx(8.0)
    assert EARLY.eta is None
