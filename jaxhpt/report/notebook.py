"""What a notebook shows of a search: a headline, a line of the best so far, the best trials; without script."""

import html

import numpy as np

from jaxhpt.report.figures.base import best_so_far
from jaxhpt.report.findings import Findings
from jaxhpt.report.header import facts, headline, number, setting

SHOWN, COLUMNS = 5, 12
WIDE, HIGH, POINTS = 240, 44, 400
ACCENT = "#3b78d8"  # to be seen on light and on dark
CELL = "padding:3px 14px 3px 0;text-align:right;border:0;background:none;white-space:nowrap"


def snippet(findings: Findings) -> str:
    """Return HTML for a notebook."""
    about, value, more = map(html.escape, headline(findings))
    ran = " &middot; ".join(f"{html.escape(name)} {html.escape(text)}" for name, text, _ in facts(findings))
    return (
        '<div style="font-variant-numeric:tabular-nums;line-height:1.5">'
        f'<div style="opacity:.65">{about}</div>'
        f'<span style="font-size:26px;font-weight:600">{value}</span> <span style="opacity:.65">{more}</span><br>'
        f"{sparkline(findings)}{_table(findings)}"
        f'<div style="opacity:.65;font-size:90%">{ran}</div></div>'
    )


def sparkline(findings: Findings) -> str:
    """Return the best so far of the first objective as a small SVG; nothing where there is none."""
    best = best_so_far(findings, 0, np.arange(len(findings.trial)))
    there = np.flatnonzero(np.isfinite(best))
    if len(there) < 2:
        return ""
    steps = there[np.unique(np.linspace(0, len(there) - 1, POINTS).astype(int))]
    x = 1 + steps / max(1, len(best) - 1) * (WIDE - 2)
    y = HIGH - 2 - _share(best[steps]) * (HIGH - 4)
    line = f"M{x[0]:.1f} {y[0]:.1f}" + "".join(f"H{a:.1f}V{b:.1f}" for a, b in zip(x[1:], y[1:], strict=True))
    name = html.escape(f"best {findings.metrics.objectives[0].name} so far")
    return (
        f'<svg width="{WIDE}" height="{HIGH}" viewBox="0 0 {WIDE} {HIGH}" role="img" aria-label="{name}">'
        f'<path d="{line}" fill="none" stroke="{ACCENT}" stroke-width="1.5"/></svg>'
    )


def _share(value: np.ndarray) -> np.ndarray:
    """Return how high values are between the lowest and the highest; on a logarithmic scale where they span decades."""
    if value.min() > 0 and value.max() > 100 * value.min():
        value = np.log(value)
    width = value.max() - value.min()
    share: np.ndarray = (value - value.min()) / (width if width > 0 else 1.0)
    return share


def _table(findings: Findings) -> str:
    rows = findings.front[:SHOWN]
    if len(findings.metrics.objectives) == 1:
        order = np.argsort(np.where(findings.counted(), findings.fitness, np.inf), kind="stable")[:SHOWN]
        rows = order[findings.counted()[order]]
    if not len(rows):
        return ""
    names = ["trial", *findings.metrics.names, *(axis.name for axis in findings.axes)][:COLUMNS]
    body = [_cells(findings, int(row))[:COLUMNS] for row in rows]
    head = "".join(f'<th style="{CELL};opacity:.65;font-weight:500">{html.escape(name)}</th>' for name in names)
    lines = ["".join(f'<td style="{CELL}">{html.escape(cell)}</td>' for cell in row) for row in body]
    return f'<table style="border:0;margin:4px 0"><tr>{head}</tr><tr>{"</tr><tr>".join(lines)}</tr></table>'


def _cells(findings: Findings, row: int) -> list[str]:
    settings = [text or number(None) for _, text in setting(findings, row)]
    return [f"{findings.trial[row]:,}", *map(number, findings.score[row]), *settings]
