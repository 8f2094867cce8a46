"""Whatever bytes stand in a run, reading it ends in a result or a clear error."""

import contextlib
import json
import random
import shutil
import warnings

import numpy as np
import pytest
import short_runs as runs
from random_spaces import spec

import jaxhpt
from jaxhpt.core.space import Space
from jaxhpt.results.saved import SavedError


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz") / "run"
    result = runs.cut(folder, 3)
    result.save(folder.parent / "saved.npz")
    return folder


def changed(rng, content):
    """Return bytes with a few of them turned, left out, doubled or put elsewhere."""
    content = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(max(1, len(content)))
        match rng.randrange(5):
            case 0 if content:
                content[place] ^= 1 << rng.randrange(8)
            case 1:
                del content[place : place + rng.randint(1, 40)]
            case 2:
                content[place:place] = content[place : place + rng.randint(1, 40)]
            case 3:
                content[place:place] = rng.choice([b"null", b"-1", b"1e999", b"[]", b"{}", b'"', b"\n", b"9" * 30])
            case _:
                del content[place:]
    return bytes(content)


def tried(rng, written, folder):
    """Change a file of a run, and read it; return whether that gave a result."""
    shutil.copytree(written, folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    named = [path for path in files if path.name in ("manifest.json", "trials.jsonl", "metadata", "_METADATA")]
    path = rng.choice(named if rng.random() < 0.7 else files)
    path.write_bytes(changed(rng, path.read_bytes()))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = jaxhpt.load(folder)
        assert 0 <= result.stats.trials <= 40
        repr(result), result.trials
        return True
    except ValueError:
        return False
    finally:
        shutil.rmtree(folder)


def fuzz(times, seed, written, tmp_path):
    rng = random.Random(seed)
    return [tried(rng, written, tmp_path / "copy") for _ in range(times)]


def test_damaged_runs(written, tmp_path):
    found = fuzz(40, 0, written, tmp_path)
    assert 0 < sum(found) < 40


@pytest.mark.slow
def test_two_thousand_damaged_runs(written, tmp_path):
    fuzz(2000, 1, written, tmp_path)


@pytest.mark.parametrize("times", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_damaged_files_of_results(written, tmp_path, times):
    rng, path = random.Random(times), tmp_path / "result.npz"
    content = (written.parent / "saved.npz").read_bytes()
    for _ in range(times):
        path.write_bytes(changed(rng, content))
        with contextlib.suppress(SavedError):
            repr(jaxhpt.load(path))


@pytest.mark.parametrize("seed", range(2))
def test_any_space_is_read_back_as_an_equal_one(seed):
    rng = random.Random(seed)
    for _ in range(25):
        space = Space.of(spec(rng))
        again = Space.from_spec(json.loads(json.dumps(space.to_spec())))
        assert (again, hash(again)) == (space, hash(space))
        rows = np.random.default_rng(seed).random((8, space.num_dimensions), np.float32)
        assert repr(again.labels(again.snap(rows))) == repr(space.labels(space.snap(rows)))


@pytest.mark.parametrize("bad", [3, {}, {"dimensions": []}, {"dimensions": [{"name": "x", "kind": "Lambda"}]}, None])
def test_what_is_no_space_is_said(bad):
    with pytest.raises(ValueError, match="spec"):
        Space.from_spec(bad)


def test_functions_come_back_by_their_names():
    import jax.numpy as jnp

    space = Space.of({"act": jaxhpt.Choice([jnp.tanh, len], structural=True), "f": abs, "x": jaxhpt.Float(0, 1)})
    again = Space.from_spec(json.loads(json.dumps(space.to_spec())))
    assert [value.__name__ for value in (again.label([0.9, 0.5])["act"], again.constants["f"])] == ["len", "abs"]
    assert [value.__name__ for value in again.dimensions[0].values] == ["tanh", "len"]
