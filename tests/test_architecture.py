"""The floors of the house: imports go down only, and the wings do not know each other."""

import ast
import pathlib

import pytest

from jaxhpt import ALGORITHMS

ROOT = pathlib.Path(__file__).parent.parent / "jaxhpt"
FILES = sorted(ROOT.rglob("*.py"))
FLOORS = {
    0: {"typing", "numerics", "hashing", "checks", "keys", "jaxprs", "version", "decoding", "ranges", "values"},
    1: {"dimension", "choice", "dimensions", "space", "problem", "history", "objectives", "pareto", "problems", "lanes"}
    | {"constraints", "told"},
    2: {"designs", "surrogates"},
    3: {"algorithms", "schedulers", "training"},
    4: {"report"},
    5: {"carry", "judge", "loop", "driver", "lineage", "stats", "structures", "checkpoint", "prior", "result"}
    | {"importance", "table", "trial", "kept", "asking"},
    6: {"search", "tuner"},
    7: {"__init__"},
}
FLOOR = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
WINGS = FLOORS[3]


def room_of(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        if isinstance(node, ast.ImportFrom) and node.module == "jaxhpt":
            names = [f"jaxhpt.{alias.name}" for alias in node.names]
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from (name.split(".")[1] for name in names if name.startswith("jaxhpt."))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down_only(path):
    room = room_of(path)
    for other in imported_rooms(path):
        assert other in FLOOR, f"{other} has no floor: add the new room to FLOORS"
        same_house = other == room or (FLOOR[other] == FLOOR[room] and room not in WINGS)
        assert FLOOR[other] < FLOOR[room] or same_house, f"{room} (floor {FLOOR[room]}) imports {other}"


def test_only_the_training_wing_imports_flax():
    users = {str(p.relative_to(ROOT)) for p in FILES if "from flax" in p.read_text() or "import flax" in p.read_text()}
    assert users == {"training/flax_task.py", "training/flax_models.py", "training/traced.py"}


def test_only_the_loop_compiles():
    callers = {str(p.relative_to(ROOT)) for p in FILES if "jax.jit" in code_of(p)}
    assert callers <= {"loop.py", "asking.py"}


def test_the_way_in_and_the_loop_know_no_algorithm_by_name():
    names = {kind.__module__.split(".")[-1] for kind in ALGORITHMS.values()} - {"auto"}  # lanes="auto" is another
    for path in (ROOT / "search.py", ROOT / "loop.py"):
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
