"""The code in README and docs runs, commands in them are known, and links between documents lead somewhere."""

import argparse
import importlib
import itertools
import os
import pathlib
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytest

import jaxhpt
from jaxhpt import cli

ROOT = pathlib.Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^( *)```(\w*)([^\n]*)\n(.*?)^\1```(?:\n+\1```text\n(.*?)^\1```)?", re.DOTALL | re.MULTILINE)
LINE = re.compile(
    r"`((?:jaxhpt [a-z]|make [a-z]|python (?:examples/|-m benchmarks\.[a-z]))[^`]*)`"
)  # of a command in prose
OTHERS = {"Optuna": "optuna", "Keras Tuner": "keras_tuner", "Hyperoptax": "hyperoptax"}
THEIRS = {"gcloud", "git", "mlflow", "optuna-dashboard", "srun", "tensorboard", "tail", "wandb"}  # programs of others
WHOLE = "<!-- one program -->"  # in a document whose blocks go on with what those before them made
SMALL = {  # sizes of what takes long, as they stand in a document, and here
    "tuner.md": {"trials=64, workers=8": "trials=4, workers=2"},
    "tutorial.md": {
        "steps=240": "steps=90",
        "trials=128": "trials=16",
        "trials=256": "trials=32",
        "trials=64": "trials=8",
    },
}


def name_of(path):
    """Return how a document is called: its place in docs, or at the top."""
    return path.relative_to(ROOT / "docs" if ROOT / "docs" in path.parents else ROOT).as_posix()


class Block(NamedTuple):
    """A block of code of a document, with what stands behind its language, and what it prints, if that is told."""

    language: str
    title: str
    code: str
    prints: str | None

    @property
    def is_program(self):
        return "__main__" in self.code


def blocks_of(path):
    """Yield the blocks of a document; those of Python as one where they are one program."""
    text = path.read_text()
    for whole, part in SMALL.get(name_of(path), {}).items():
        assert whole in text, whole
        text = text.replace(whole, part)
    found = [
        Block(language, title.strip(), textwrap.dedent(code), textwrap.dedent(prints) or None)
        for _, language, title, code, prints in FENCE.findall(text)
    ]
    if WHOLE in text:
        parts = [block for block in found if block.language == "python"]
        prints = "".join(block.prints or "" for block in parts) or None
        found = [Block("python", "", "\n".join(block.code for block in parts), prints)]
    return found


def blocks(wanted):
    """Return the blocks of all documents that are wanted, as parameters of a test."""
    for path in DOCUMENTS:
        if path.name != "recipes.md":  # its blocks run in test_recipes.py, at a smaller size
            found = (block for block in blocks_of(path) if block.language == "python")
            yield from (
                pytest.param(block, id=f"{name_of(path)}-{number}")
                for number, block in enumerate(found)
                if wanted(block)
            )


def ours(block):
    return not block.title and not block.is_program


@pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")  # by MLflow, of SQLAlchemy
@pytest.mark.parametrize("block", list(blocks(ours)))
def test_the_code_in_the_documents_runs(block, capsys, monkeypatch):
    monkeypatch.setattr(jax.distributed, "initialize", lambda *args, **kwargs: None)  # of several machines
    exec(compile(block.code, "document", "exec"), {"__name__": "document"})
    if block.prints:
        assert capsys.readouterr().out == block.prints


@pytest.mark.parametrize("block", list(blocks(lambda block: not block.title and block.is_program)))
def test_programs_in_the_documents_run(block, tmp_path):
    (tmp_path / "program.py").write_text(block.code)
    here = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, tmp_path / "program.py"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, env=here)
    assert ran.returncode == 0, ran.stderr
    assert "4 trials" in ran.stdout


@pytest.mark.parametrize("block", list(blocks(lambda block: block.title and "Ray Tune" not in block.title)))
def test_the_code_of_other_libraries_runs_where_they_are(block):
    """It stands beside ours; the title says whose it is."""
    code = compile(block.code, "document", "exec")
    found = re.fullmatch('title="(.*)"', block.title)
    pytest.importorskip(OTHERS[found.group(1)])
    exec(code, {"__name__": "document"})


@pytest.mark.slow  # it starts processes, and takes over signals
@pytest.mark.parametrize("block", list(blocks(lambda block: "Ray Tune" in block.title)))
def test_the_code_of_ray_runs(block, tmp_path):
    here = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    command = [sys.executable, "-c", block.code]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600, env=here, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert "{'lr': " in ran.stdout


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_there_is_no_code_that_is_not_looked_at(path):
    assert {block.language for block in blocks_of(path)} <= {"python", "bash", "text"}


class ParsedError(Exception):
    """The options of a command were right."""


@pytest.fixture
def only_parsed(monkeypatch):
    """Let a command end as soon as it has read its options."""

    def parse(parser, *args, **kwargs):
        parse_args(parser, *args, **kwargs)
        raise ParsedError

    parse_args = argparse.ArgumentParser.parse_args
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse)


def commands():
    """Return the commands of all documents, as parameters of a test."""
    for path in DOCUMENTS:
        text = path.read_text() if path.name != "benchmarks.md" else ""
        whole = "".join(block.code for block in blocks_of(path) if block.language == "bash").replace("\\\n", "")
        for line in dict.fromkeys([*whole.splitlines(), *LINE.findall(FENCE.sub("", text))]):
            if words := list(
                itertools.takewhile(lambda word: word not in ("|", ">"), shlex.split(line, comments=True))
            ):
                yield pytest.param(words, id=f"{name_of(path)}-{' '.join(words)}")


@pytest.mark.parametrize("words", list(commands()))
def test_commands_in_the_documents_are_known(words, monkeypatch, only_parsed):
    match words:
        case ["make", target]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        case ["pip", "install", what]:
            extras = re.fullmatch(r"(?:\.|jaxhpt)\[(.*)\]", what).group(1).split(",")
            project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
            assert set(extras) <= project["optional-dependencies"].keys()
        case ["python", "-c", code]:
            exec(compile(code, "document", "exec"), {"__name__": "document"})
        case ["python", "-m", module, *options]:
            assert options_are_known(module, options, monkeypatch)
        case ["python", file, *_] if file.startswith("examples/"):
            assert (ROOT / file).exists()
        case ["jaxhpt", *options]:
            with pytest.raises(ParsedError):
                cli.main(options)
        case _:
            assert words[0] in THEIRS, "a command of no kind that is known here"


def options_are_known(module, options, monkeypatch):
    """Let a module read its options, if it has some."""
    main = importlib.import_module(module).main
    if not options:
        return True
    monkeypatch.setattr(sys, "argv", [module, *options])
    with pytest.raises(ParsedError):
        main()
    return True


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_between_documents_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target


def headings(path):
    """Return the anchors of a document, as GitHub makes them of its headings."""
    lines = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    texts = re.findall(r"^#+ (.*)$", lines, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts}


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_into_documents_lead_to_a_heading(path):
    for target, anchor in re.findall(r"\]\(([\w./-]*)#([^)\s]+)", path.read_text()):
        assert anchor in headings(path.parent / target if target else path), f"{target}#{anchor}"


def test_the_readme_names_the_test_command():
    assert "make test" in (ROOT / "README.md").read_text()
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 125


def test_the_scheduler_of_the_guide_stops_what_it_says():
    code = next(block.code for block in blocks_of(ROOT / "CONTRIBUTING.md") if "class StopBelow(" in block.code)
    found = {"__name__": __name__}
    exec(compile(code, "document", "exec"), found)
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
