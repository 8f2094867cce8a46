"""The page of a report: one file of HTML that needs nothing else."""

import base64
import datetime
import functools
import hashlib
import html
import importlib.resources
import string
from collections.abc import Sequence

from jaxhpt.report.findings import Findings
from jaxhpt.report.header import header, searched
from jaxhpt.report.payload import payload
from jaxhpt.version import __version__

SCRIPTS = ("data.js", "svg.js", "scores.js", "settings.js", "time.js", "table.js", "main.js")


def page(searches: Sequence[Findings], title: str = "", reload: float = 0.0) -> str:
    """Return the page of one search, or of several.

    Args:
      searches: at least one.
      title: of the page; empty for one that is made of what was searched.
      reload: seconds after which the page looks at itself again; 0 for never.

    Returns:
      HTML.
    """
    about = title or (searches[0].name if len(searches) == 1 else "")
    title = title or " \u2013 ".join(filter(None, [about, searched(searches)]))
    script, made = _script(), datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    return string.Template(_part("page.html")).substitute(
        title=html.escape(title),
        eyebrow=f"<b>jaxhpt</b> {html.escape(about)}",
        header=header(searches),
        footer=html.escape(f"Written {made} by jaxhpt {__version__}. All of it is in this file."),
        style=_part("style.css"),
        script=script,
        script_hash=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
        data=inert(payload(searches, title=title, reload=reload)),
    )


def inert(text: str) -> str:
    """Return JSON that means the same and cannot end the element that it stands in."""
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


@functools.cache
def _part(name: str) -> str:
    return importlib.resources.files("jaxhpt.report.html").joinpath(name).read_text("utf-8")


@functools.cache
def _script() -> str:
    return '"use strict";\n(() => {\n' + "\n".join(_part(name) for name in SCRIPTS) + "\n})();"
