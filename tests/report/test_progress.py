"""Progress: a live line in a terminal, plain lines in a log, nothing when not wanted."""

import io

import pytest
from rich.console import Console

import jaxhpt
from jaxhpt.report.progress import display
from jaxhpt.report.snapshot import Snapshot

EARLY = Snapshot(1024, 64, 0, 0, 64, 64, "accuracy", None, None, 0.5, 10)
LATER = Snapshot(1024, 576, 512, 3, 64, 64, "accuracy", 0.98765432, 17, 8.0, 90)


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
