"""The site of the documents builds without a warning, tells of all that is public, and loads nothing from elsewhere."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

import jaxhpt

ROOT = pathlib.Path(__file__).parent.parent
MODULES = ("grey", "problems", "traced", *(f"models.{name}" for name in jaxhpt.models.__all__))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site, as `make docs` does."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    ran = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, timeout=300)
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.html")}


@pytest.fixture(scope="module")
def told(site):
    """Return the names that the reference tells of."""
    pages = [text for path, text in site.items() if path.startswith("reference/")]
    return {name for text in pages for name in re.findall(r'<h\d id="jaxhpt\.([\w.]+)"', text)}


def test_every_public_name_is_in_the_reference(told):
    modules = {"grey", "models", "plots", "problems"}
    names = set(jaxhpt.__all__) - modules - {"__version__"}
    assert names - {name.rpartition(".")[2] for name in told} == set()


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_of_a_module_is_in_the_reference(told, module):
    found = jaxhpt
    for part in module.split("."):
        found = getattr(found, part)
    own = [name for name, value in vars(found).items() if getattr(value, "__module__", "") == found.__name__]
    names = {name for name in getattr(found, "__all__", own) if not name.startswith("_")}
    assert names - {name.rpartition(".")[2] for name in told if name.startswith(f"{module}.")} == set()


def test_every_document_is_a_page(site):
    inner = [path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")]
    notebooks = [path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.ipynb")]
    assert {*map(str, inner + notebooks), "index.html", "changelog.html", "contributing.html"} <= site.keys()


def test_pages_load_nothing_from_elsewhere(site):
    loads = re.compile(
        r"<(?:script|img|iframe)[^>]* src=.?https?:|<link[^>]*stylesheet[^>]*https?:|@import|url\(.?https?:"
    )
    assert {path: loads.findall(text) for path, text in site.items() if loads.search(text)} == {}


def test_what_code_in_the_documents_calls_leads_to_the_reference(site):
    assert 'href="reference/search.html#jaxhpt.check.check"' in site["check.html"]


def test_links_to_sources_and_examples_lead_to_pages(site):
    assert 'href="source/jaxhpt/engine/event.py.html"' in site["how_it_works.html"]
    assert 'href="examples/many_series.html"' in site["many.html"]
    assert 'href="how_it_works.html#the-loop"' in site["index.html"]
