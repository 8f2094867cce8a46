"""Citations: BibTeX that is whole, and that agrees with the docstrings wherever a publication is named."""

import ast
import dataclasses
import importlib
import pathlib
import re

import pytest

import jaxhpt
from jaxhpt import ALGORITHMS, SCHEDULERS
from jaxhpt.citation import PARTS, PRACTICES, RESTS_ON, bibtex, cite
from jaxhpt.references import REFERENCES

ROOT = pathlib.Path(__file__).parent.parent / "jaxhpt"
COMBINED = [jaxhpt.Chain, jaxhpt.GreyGuided, jaxhpt.Portfolio, jaxhpt.Refine, jaxhpt.Screen]
CLASSES = [*ALGORITHMS.values(), *SCHEDULERS.values(), *COMBINED]
NOTHING = {"Chain", "Grid", "RunToEnd"}
every_class = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
every_reference = pytest.mark.parametrize("reference", REFERENCES.values(), ids=lambda reference: reference.key)
NAMED = re.compile(r'([A-Z][^"]*?), "([^"]+?),?",?\s(.*?)\((\d{4})\)')  # authors, "title", place, link (year)


def docstrings():
    """Return all docstrings of the package, each in one line."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                found.append(" ".join((ast.get_docstring(node) or "").split()))
    return found


DOCSTRINGS = docstrings()


def keys_of(text):
    return re.findall(r"^@\w+\{(\w+),$", text, re.MULTILINE)


@every_class
def test_every_method_is_cited_or_said_to_rest_on_nothing(kind):
    assert kind in RESTS_ON
    found = keys_of(cite(kind))
    assert (found == []) == (kind.__name__ in NOTHING)
    assert len(found) == len(set(found))
    assert set(RESTS_ON[kind]) <= set(found) <= REFERENCES.keys()


@every_class
def test_every_link_in_the_module_of_a_method_is_in_its_citation(kind):
    module = importlib.import_module(kind.__module__)
    links = re.findall(r"https://\S+?(?=[,;.]?\s|[,;.]?$)", module.__doc__)
    text = cite(kind)
    for link in links:
        assert f"  url = {{{link}}}," in text, link


@every_reference
def test_a_reference_agrees_with_every_docstring_that_names_it(reference):
    """The year, the beginning of the title and the first author are those of the docstrings; none is named nowhere."""
    mark = reference.link or f'"{reference.title}"'
    named = 0
    for text in DOCSTRINGS:
        for found in NAMED.finditer(text):
            if mark not in found.group(0):
                continue
            authors, title, _, year = found.groups()
            named += 1
            assert reference.title.lower().startswith(title.split(" - ")[0].lower()), title
            assert int(year) == reference.year
            first = reference.authors.split(" and ")[0].split()[-1]
            assert re.search(rf"\b{first}\b", authors), authors
    assert named > 0


@every_reference
def test_an_entry_is_whole(reference):
    text = bibtex(reference)
    assert text.count("{") == text.count("}")
    assert text.isascii()
    assert re.match(rf"@{reference.kind}\{{{reference.key},\n", text)
    wanted = {"article": "journal", "inproceedings": "booktitle", "book": "publisher", "misc": "eprint"}
    for field in ("author", "title", "year", wanted[reference.kind]):
        assert re.search(rf"^  {field} = \{{.+\}},$", text, re.MULTILINE), field
    assert reference.key.startswith(re.sub(r"\W|\\.", "", reference.authors.split(" and ")[0].split()[-1]).lower())
    assert str(reference.year) in reference.key


def test_every_reference_is_of_some_method_or_practice():
    assert {key for keys in (*RESTS_ON.values(), *PRACTICES.values()) for key in keys} == REFERENCES.keys()


@pytest.mark.parametrize(("practice", "module"), [("beliefs", "algorithms.beliefs"), ("mup", "models.mup")])
def test_a_practice_is_cited_by_its_name_as_its_module_does(practice, module):
    text = importlib.import_module(f"jaxhpt.{module}").__doc__
    assert [REFERENCES[key].link in text for key in keys_of(cite(practice))] == [True] * len(PRACTICES[practice])


def test_what_is_believed_of_a_space_is_cited_with_the_method_that_searches_it():
    believed = {"x": jaxhpt.Float(0, 1, near=0.5), "y": jaxhpt.Float(0, 1)}
    assert keys_of(cite("tpe", believed)) == [*keys_of(cite("tpe")), *PRACTICES["beliefs"]]
    assert cite("tpe", {"y": believed["y"]}) == cite("tpe")


def test_an_entry_by_hand():
    assert (
        cite("early_stopping")
        == """\
@inproceedings{prechelt1998early,
  author = {Lutz Prechelt},
  title = {{Early stopping - but when?}},
  year = {1998},
  booktitle = {Neural Networks: Tricks of the Trade},
  doi = {10.1007/978-3-642-35289-8_5},
  url = {https://doi.org/10.1007/978-3-642-35289-8_5},
}"""
    )


def test_a_name_a_class_and_an_instance_give_the_same():
    for name, kind in {**ALGORITHMS, **SCHEDULERS}.items():
        assert cite(name) == cite(kind) == cite(kind())


def test_what_is_made_of_others_gives_their_entries_too_each_once():
    inner = jaxhpt.Chain(jaxhpt.Grid(), jaxhpt.GreyGuided(jaxhpt.Genetic()))
    found = keys_of(cite(jaxhpt.Portfolio(jaxhpt.TPE(), jaxhpt.Refine(inner), jaxhpt.TPE())))
    expected = [jaxhpt.Portfolio, jaxhpt.TPE, jaxhpt.Refine, jaxhpt.GreyGuided, jaxhpt.Genetic]
    assert found == [key for kind in expected for key in keys_of(cite(kind))]
    screened = keys_of(cite(jaxhpt.Screen(jaxhpt.DifferentialEvolution())))
    assert set(screened) == {
        key for kind in (jaxhpt.Screen, jaxhpt.Bayesian, jaxhpt.DifferentialEvolution) for key in keys_of(cite(kind))
    }


def test_what_a_class_inherits_from_is_cited_with_it():
    assert keys_of(cite("hyperband")) == ["li2018hyperband", *keys_of(cite("asha"))]
    assert set(keys_of(cite("nsga2"))) > set(keys_of(cite("genetic")))

    @dataclasses.dataclass(frozen=True)
    class Mine(jaxhpt.CMAES):
        """One of a user's own."""

    assert cite(Mine) == cite(Mine()) == cite("cma_es")


def test_auto_gives_all_that_it_may_choose():
    text = pathlib.Path(ROOT / "algorithms" / "hybrids" / "auto.py").read_text()
    chosen = set(re.findall(r"\b([A-Z]\w+)\(", text.split("def chosen")[1].split("def ")[0]))
    assert chosen == {kind.__name__ for kind in PARTS[jaxhpt.Auto]} | {"Grid"}
    for kind in PARTS[jaxhpt.Auto]:
        assert set(keys_of(cite(kind))) <= set(keys_of(cite("auto")))


class Foreign:
    """Nothing that is known."""


@pytest.mark.parametrize(
    ("method", "error", "message"),
    [
        ("baysian", ValueError, r"method='baysian': unknown; did you mean 'bayesian'\? choose one of"),
        (Foreign, TypeError, r"method of .*\.Foreign: must be, or inherit from, one of ALGORITHMS, SCHEDULERS or"),
        (Foreign(), TypeError, r"method of .*\.Foreign: must be"),
        (None, TypeError, r"method of builtins.NoneType: must be"),
        (3, TypeError, r"method of builtins.int: must be"),
    ],
)
def test_what_is_not_known_is_told(method, error, message):
    with pytest.raises(error, match=message):
        cite(method)
