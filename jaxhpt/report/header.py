"""The head of a page, which needs no script: what was found, and how the search ran."""

import html
from collections.abc import Iterable, Sequence

import numpy as np

from jaxhpt.engine.endings import phrase
from jaxhpt.report.findings import RUNNING, Findings

FRONT, MANY = 5, 8  # trials of a front; dimensions that are many
FEW = 4  # searches of which each is named
NONE_SHOWN = "\u2013"
GOALS = {"min": "minimised", "max": "maximised"}
ALONE = "RunToEnd"  # the scheduler that stops nothing


def header(searches: Sequence[Findings]) -> str:
    """Return the head of a page as HTML."""
    if len(searches) > 1:
        return _of_several(searches)
    (findings,) = searches
    many = " many" if len(findings.axes) > MANY else ""
    return f'<div class="head{many}"><div>{_found(findings)}</div>{_settings(findings)}</div>{_facts(findings)}'


def number(value: float | None, digits: int = 5) -> str:
    """Write a number for a person; a dash for none.

    Example:
      >>> number(0.0123456), number(1234567.0)
      ('0.012346', '1,234,567')
    """
    if value is None or not np.isfinite(value):
        return NONE_SHOWN
    if float(value).is_integer() and abs(value) < 1e7:
        return f"{int(value):,}"
    return f"{value:.{digits}g}"


def duration(seconds: float) -> str:
    """Write a time for a person.

    Example:
      >>> duration(0.25), duration(75), duration(7380)
      ('0.25 s', '1 min 15 s', '2 h 3 min')
    """
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else number(value, 3)


def setting(findings: Findings, row: int) -> list[tuple[str, str]]:
    """Return the settings of a trial as names and texts; an empty text where a dimension did not exist."""
    found = []
    for axis, value in zip(findings.axes, findings.value[row], strict=True):
        text = "" if np.isnan(value) else axis.texts[int(value)] if axis.texts else number(value)
        found.append((axis.name, text))
    return found


def headline(findings: Findings) -> tuple[str, str, str]:
    """Return what a search is about, what it found, and one line more: texts."""
    objectives = findings.metrics.objectives
    if len(objectives) > 1:
        names = ", ".join(f"{o.name} ({o.direction})" for o in objectives)
        return names, f"{len(findings.front)} trials", "on the Pareto front"
    name, direction = objectives[0].name, "lowest" if objectives[0].direction == "min" else "highest"
    if findings.best < 0:
        return f"{direction} {name}", NONE_SHOWN, "no trial has ended with a finite value yet"
    row = findings.best
    again = findings.again.value[findings.again.row == row]
    more = f"; {number(again[0])} when trained again" if len(again) else ""
    broken = "" if findings.feasible[row] else "; it breaks a constraint"
    return f"{direction} {name}", number(findings.score[row, 0]), f"trial {findings.trial[row]:,}{more}{broken}"


def searched(searches: Sequence[Findings]) -> str:
    """Say what was searched: how many trials, by which algorithm, and for what."""
    if len(searches) > 1:
        return f"{len(searches):,} searches: {_goal(searches)}"
    told = searches[0].facts
    by = f" by {told.algorithm}" if told.algorithm else ""
    under = f" with {told.scheduler}" if told.scheduler and told.scheduler != ALONE else ""
    return f"{told.trials:,} {'trial' if told.trials == 1 else 'trials'}{by}{under}: {_goal(searches)}"


def _goal(searches: Sequence[Findings]) -> str:
    if not _alike(searches):
        return "several objectives"
    return " and ".join(f"{o.name}, {GOALS[o.direction]}" for o in searches[0].metrics.objectives)


def _found(findings: Findings) -> str:
    about, value, more = map(html.escape, headline(findings))
    state = '<span class="state">running</span>' if findings.running else ""
    under = f"{about}, {more}" if len(findings.metrics.objectives) == 1 else more
    return f'<h1>{html.escape(searched([findings]))}{state}</h1><p class="big">{value}</p><p class="under">{under}</p>'


def _settings(findings: Findings) -> str:
    """Return the settings of the best trial, or the first ones of the front."""
    if len(findings.metrics.objectives) > 1:
        return _front(findings)
    if findings.best < 0:
        return ""
    pairs = [
        (name, html.escape(text) or '<span class="none">none</span>') for name, text in setting(findings, findings.best)
    ]
    return f'<dl class="best">{_list(pairs)}</dl>'


def _front(findings: Findings) -> str:
    names = [objective.name for objective in findings.metrics.objectives]
    rows = [
        [f"{findings.trial[row]:,}", *(number(v) for v in findings.score[row, : len(names)])]
        + [text or NONE_SHOWN for _, text in setting(findings, row)]
        for row in findings.front[np.unique(np.linspace(0, len(findings.front) - 1, FRONT).astype(int))]
    ] if len(findings.front) else []  # fmt: skip
    return table(["trial", *names, *(axis.name for axis in findings.axes)], rows) if rows else ""


def table(names: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table of texts."""
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in names)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table class="plain"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def facts(findings: Findings) -> list[tuple[str, str, str]]:
    """Return how a search ran: name, text, and a smaller one each."""
    told = findings.facts
    of = f" of {told.wanted:,}" if told.trials != told.wanted else ""
    failed = f"{told.failed:,} failed" if told.failed else ""
    copied = f"{told.copies:,} copies" if told.copies else ""
    found = [("Trials", f"{told.trials:,}{of}", ", ".join(filter(None, [failed, copied])))]
    if told.seconds:
        pace = "" if findings.running else f"{_rate(told.trials / told.seconds)} trials/s, "
        pace += f"compiled in {duration(told.compile_seconds)}" if told.compile_seconds else ""
        found.append(("Time", duration(told.seconds), pace.removesuffix(", ")))
    if told.algorithm:
        found.append(("Algorithm", told.algorithm, told.scheduler))
    busy = f", {told.lanes_busy:.0%} busy" if told.seconds else ""
    found.append(("Lanes", f"{told.lanes:,}", f"places that train at once{busy}"))
    if told.device:
        found.append(("Device", told.device, f"{told.devices} of them" if told.devices > 1 else ""))
    if told.ended not in ("finished", RUNNING):
        found.append(("Ended", phrase(told.ended), ""))
    return found


def _facts(findings: Findings) -> str:
    pairs = [(name, f"{html.escape(text)}<small>{html.escape(more)}</small>") for name, text, more in facts(findings)]
    notes = "".join(f'<p class="note">{html.escape(line)}</p>' for line in findings.facts.memory)
    return f'<dl class="facts">{_list(pairs)}</dl>{notes}'


def _list(pairs: Iterable[tuple[str, str]]) -> str:
    return "".join(f"<div><dt>{html.escape(name)}</dt><dd>{value}</dd></div>" for name, value in pairs)


def _of_several(searches: Sequence[Findings]) -> str:
    trials, failed = (sum(getattr(f.facts, name) for f in searches) for name in ("trials", "failed"))
    running = '<span class="state">running</span>' if any(f.running for f in searches) else ""
    pairs = [
        ("Trials", f"{trials:,}<small>{failed:,} failed</small>" if failed else f"{trials:,}"),
        *_in_common(searches),
    ]
    return (
        f'<h1>{html.escape(_goal(searches))}{running}</h1><p class="big">{len(searches):,} searches</p>'
        f'<p class="under">{html.escape(_bests(searches))}</p><dl class="facts">{_list(pairs)}</dl>'
    )


def _in_common(searches: Sequence[Findings]) -> list[tuple[str, str]]:
    """Return facts that are the same for all searches."""
    told = [facts(findings) for findings in searches]
    same = [fact for fact in told[0] if fact[0] not in ("Trials", "Time") and all(fact in one for one in told)]
    return [(name, f"{html.escape(text)}<small>{html.escape(more)}</small>") for name, text, more in same]


def _bests(searches: Sequence[Findings]) -> str:
    """Say what searches of one objective found."""
    there = [findings for findings in searches if findings.best >= 0]
    if not there or not _alike(searches) or len(searches[0].metrics.objectives) > 1:
        return ""
    best = [findings.score[findings.best, 0] for findings in there]
    if len(searches) <= FEW:
        named = (f"{f.name or NONE_SHOWN} {number(value)}" for f, value in zip(there, best, strict=True))
        return f"the best of each: {', '.join(named)}"
    low, middle, high = map(number, np.quantile(best, [0, 0.5, 1]))
    return f"the best of each from {low} to {high}, median {middle}"


def _alike(searches: Sequence[Findings]) -> bool:
    return all(findings.metrics.objectives == searches[0].metrics.objectives for findings in searches)
