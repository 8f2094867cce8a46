"""The code in README and docs runs, and every link between documents leads somewhere."""

import pathlib
import re
import textwrap

import jax.numpy as jnp
import pytest

import jaxhpt

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


def test_the_scheduler_of_the_guide_stops_what_it_says():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    code = next(match.group(1) for match in BLOCK.finditer(text) if "class StopBelow(" in match.group(1))
    found = {"__name__": __name__}
    exec(compile(textwrap.dedent(code), "document", "exec"), found)
    result = jaxhpt.search(
        lambda state, batch, h, key: state + h["speed"], {"speed": jaxhpt.Float(0.0, 0.2)}, steps=20, trials=24,
        lanes=6,
        init=lambda key, h: jnp.float32(0.0), evaluate=lambda state, valid, h: {"accuracy": state},
        objectives={"accuracy": "max"}, algorithm="random", scheduler=found["StopBelow"](0.5, 5), progress=False,
    )  # fmt: skip
    assert {trial.status for trial in result.trials} == {"done", "stopped"}
    for trial in result.trials[:-6]:  # the last ones may be spared
        slow = 5 * trial.hparams["speed"] < 0.5
        assert (trial.status, trial.steps) == (("stopped", 5) if slow else ("done", 20)), trial
