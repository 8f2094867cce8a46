"""The code in README and docs runs, and every link between documents leads somewhere."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^ *```python\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def blocks():
    for path in DOCUMENTS:
        if path.name == "recipes.md":  # its blocks run in test_recipes.py, at a smaller size
            continue
        for number, match in enumerate(BLOCK.finditer(path.read_text())):
            yield pytest.param(match.group(1), id=f"{path.name}-{number}")


@pytest.mark.parametrize("code", list(blocks()))
def test_the_code_in_the_documents_runs(code, capsys):
    indent = len(code) - len(code.lstrip(" "))
    plain = "\n".join(line[indent:] for line in code.splitlines())
    exec(compile(plain, "document", "exec"), {"__name__": "document"})


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_links_between_documents_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target


def headings(path):
    """Return the anchors of a document, as GitHub makes them of its headings."""
    lines = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    texts = re.findall(r"^#+ (.*)$", lines, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_links_into_documents_lead_to_a_heading(path):
    for target, anchor in re.findall(r"\]\(([\w./-]*)#([^)\s]+)", path.read_text()):
        assert anchor in headings(path.parent / target if target else path), f"{target}#{anchor}"


def test_the_readme_names_the_test_command():
    assert "make test" in (ROOT / "README.md").read_text()
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 110
