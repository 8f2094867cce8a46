"""A notebook as Markdown: its text, its code, and what that printed and drew."""

import json


def page(path):
    """Return the Markdown of a notebook, with a link to the file itself."""
    cells = json.loads(path.read_text())["cells"]
    return "\n\n".join(part for cell in cells for part in _parts(cell))


def _parts(cell):
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return [source]
    return [f"```python\n{source}\n```", *filter(None, map(_shown, cell["outputs"]))]


def _shown(output):
    """Return one output: a picture where there is one, else text."""
    data = output.get("data", {})
    if "image/png" in data:
        return f'<img alt="" src="data:image/png;base64,{"".join(data["image/png"]).strip()}">'
    text = "".join(output.get("text", data.get("text/plain", ""))).strip("\n")
    return f"```text\n{text}\n```" if text else ""
