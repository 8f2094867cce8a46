"""Progress: a live line in a terminal, plain lines in a log, nothing when not wanted."""

import dataclasses
import io
import re
import time

import pytest
from rich.console import Console

import jaxhpt
from jaxhpt.engine.snapshot import Snapshot
from jaxhpt.report import progress
from jaxhpt.report.live import Beneath
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


def test_a_log_of_ascii_gets_no_other_signs():
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="backslashreplace")
    lines = display(True, Console(file=file, force_terminal=False))
    lines.update(LATER)
    file.flush()
    assert file.buffer.getvalue().startswith(b"jaxhpt: 512/1,024 trials, 64/64 lanes busy, best accuracy 0.98765, ")


@pytest.mark.parametrize("terminal", [False, True])
def test_a_name_is_no_markup(terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=140, legacy_windows=False)
    lines = display(True, console)
    lines.update(dataclasses.replace(LATER, objective="acc[top][/]"))
    lines.close()
    assert "best acc[top][/] 0.98765" in console.file.getvalue()


def test_a_signal_is_answered_beneath_the_live_line_until_the_end():
    console = Console(file=io.StringIO(), force_terminal=True, width=140, legacy_windows=False)
    live = display(True, console)
    live.update(LATER)
    live.ending("ending in order; again to end at once")
    live._progress.refresh()
    assert "jaxhpt: ending in order; again to end at once" in plain(console.file.getvalue())
    console.file.truncate(0)
    live.close()
    assert "again" not in console.file.getvalue()


@pytest.mark.parametrize("wanted", [True, False])
def test_a_signal_is_answered_at_once_elsewhere(wanted, capfd):
    display(wanted, Console(file=io.StringIO(), force_terminal=False)).ending("ending in order")
    assert capfd.readouterr().err == "\njaxhpt: ending in order\n"


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


def test_beneath_the_bar_stand_the_best_the_lanes_and_the_ends():
    beneath, shares = Beneath(), (0.0, 0.5, 1.0, -1.0)
    assert beneath.lines(40) == []
    for best in (8.0, 4.0, 1.0):
        beneath.see(dataclasses.replace(LATER, best_value=best, done=400, stopped=109, failed=3, shares=shares))
    ended = ("ended", "400 trained · 109 stopped · 3 failed")
    assert beneath.lines(40) == [("best", "█▄▁▁"), ("lanes", "▁▅█·"), ended]
    assert beneath.lines(2)[:2] == [("best", "▄▁"), ("lanes", "▃█")]
    assert [name for name, _ in beneath.lines(40, ended=True)] == ["best", "ended"]


def test_a_long_search_keeps_a_short_line():
    beneath = Beneath()
    for i in range(5000):
        beneath.see(dataclasses.replace(LATER, best_value=float(-i)))
    (line,) = [text for name, text in beneath.lines(60) if name == "best"]
    assert len(line) == 60
    assert (line[0], line[-1]) == ("█", "▁")
    assert list(line) == sorted(line, reverse=True)


@pytest.mark.parametrize(("height", "lines"), [(24, 3), (5, 1)])
def test_a_terminal_shows_them_where_it_has_room(height, lines):
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=height, legacy_windows=False)
    live = display(True, console)
    for best in (2.0, 1.0):
        live.update(dataclasses.replace(LATER, best_value=best, done=500, shares=(0.5,) * 64))
    live.close()
    last = plain(console.file.getvalue()).replace("\r", "\n").split("searching")[-1].split("searched")[-1]
    assert len([line for line in last.splitlines() if line.strip()]) == lines


def test_a_notebook_gets_lines_that_are_written_anew(monkeypatch):
    pytest.importorskip("IPython")
    told = []

    class Handle:
        def update(self, html):
            told.append(html.data)

    monkeypatch.setattr("IPython.display.display", lambda *_, **__: Handle())
    live = display(True, Console(force_jupyter=True, file=io.StringIO()))
    live.compiling()
    live.update(dataclasses.replace(LATER, objective="<b>", shares=(0.5, -1.0)))
    live.close()
    assert "compiling ..." in told[0]
    assert "best &lt;b&gt; 0.98765" in told[1]
    assert "lanes  ▅·" in told[1]
    assert "lanes" not in told[2].replace("64/64 lanes", "")
