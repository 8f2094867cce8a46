"""The house: folders are floors, imports go down only, and inside a folder nobody goes round in a circle."""

import ast
import graphlib
import pathlib
import re

import pytest

from jaxhpt import ALGORITHMS

ROOT = pathlib.Path(__file__).parent.parent / "jaxhpt"
FILES = sorted(path for path in ROOT.rglob("*.py"))
FLOORS = [  # the lowest first; folders of one floor do not know each other
    {"core", "version", "references"},
    {"surrogates", "grey", "models", "problems"},
    {"algorithms", "schedulers", "training"},
    {"engine"},
    {"report"},
    {"results"},
    {"store"},
    {"integrations", "checking"},
    {"arguments", "reporting"},
    {"plots"},
    {"search", "search_many", "tuner", "check", "citation"},
    {"cli"},
    {"__init__", "__main__"},
]
STOREYS = [{"sampling", "evolution"}, {"model_based"}, {"hybrids"}]  # of `algorithms`, above the files that all share
LONGEST = 300


def floor_of(module):
    """Return a number that imports may not raise, and the folder: names of modules -> (floor, room)."""
    parts = module.split(".")[1:] or ["__init__"]
    floor = next((i for i, rooms in enumerate(FLOORS) if parts[0] in rooms), None)
    assert floor is not None, f"{module} has no floor: add the new folder to FLOORS"
    storey = next((i + 1 for i, rooms in enumerate(STOREYS) if parts[1:2] and parts[1] in rooms), 0)
    return (floor, storey), ".".join(parts[:2] if storey else parts[:1])


def module_of(path):
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path):
    """Yield the modules of the house that a file imports."""
    known = {module_of(file) for file in FILES}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "jaxhpt":
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in known else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "jaxhpt")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down_only(path):
    if path.name == "__init__.py" and path.parent != ROOT:
        return  # it names what its folder holds
    floor, room = floor_of(module_of(path))
    for other in imports_of(path):
        below, its_room = floor_of(other)
        assert below < floor or its_room == room, f"{module_of(path)} imports {other}, which is not below it"


def test_there_is_no_circle():
    graph = {module_of(p): set(imports_of(p)) for p in FILES if p.name != "__init__.py"}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises where there is one


def test_no_file_is_too_long_to_be_read_at_once():
    assert {str(p.relative_to(ROOT)): n for p in FILES if (n := len(p.read_text().splitlines())) > LONGEST} == {}


def test_only_rooms_that_know_flax_models_import_flax():
    users = {str(p.relative_to(ROOT)) for p in FILES if "from flax" in p.read_text() or "import flax" in p.read_text()}
    masks = {f"models/masking/masked_{kind}.py" for kind in ("flax", "linen", "nnx")}
    mup = {f"models/mup/{name}.py" for name in ("initial", "weights")}
    assert users == {
        "training/flax_task.py",
        "training/flax_models.py",
        "training/traced.py",
        "models/cost.py",
        "models/quantize.py",
        "results/exporting.py",
        *masks,
        *mup,
    }


def test_only_the_engine_compiles():
    """But for what is measured alone, as its user would compile it."""
    alone = {ROOT / "models" / "compiled.py", ROOT / "results" / "exporting.py"}
    callers = {p.parent for p in FILES if "jax.jit" in code_of(p) and p not in alone}
    assert callers == {ROOT / "engine"}


def test_only_one_room_branches():
    """Elsewhere a branch would be computed whole as soon as many searches are mapped over."""
    callers = {str(p.relative_to(ROOT)) for p in FILES if re.search(r"lax\.cond\b|import cond\b", code_of(p))}
    assert callers - {"training/calling.py"} == {"core/control.py"}  # that one tells users of it


def test_the_way_in_and_the_engine_know_no_algorithm_by_name():
    names = {kind.__module__.split(".")[-1] for kind in ALGORITHMS.values()} - {"auto"}  # lanes="auto" is another
    for path in (ROOT / "search.py", *sorted((ROOT / "engine").glob("*.py"))):
        code = code_of(path).lower().replace("_", "")
        for name in names:
            assert name.replace("_", "") not in code, (path.name, name)


def code_of(path):
    """Return a file's code without docstrings and comments."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = ""
    return ast.unparse(tree)
