"""Programs on disk: another process compiles none of them; what cannot be shared is not kept; no search is harmed."""

import concurrent.futures
import dataclasses
import functools
import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

import jaxhpt
from jaxhpt.engine import cache, compiling
from jaxhpt.engine.compiling import Function
from jaxhpt.engine.state import Study

HERE = pathlib.Path(__file__).parent
KEPT = ("copies", "fused", "a model")


def process(home, *names, **environment):
    """Return what the searches of these names compiled and found in a process; all of them where none is named."""
    here = {**os.environ, "PYTHONPATH": str(HERE.parents[1]), "JAXHPT_CACHE": "on", "JAXHPT_CACHE_DIR": str(home)}
    command = [sys.executable, "-W", "error", str(HERE / "cache_runs.py"), *names]
    done = subprocess.run(command, env={**here, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("cache") / "not" / "there"


@pytest.fixture(scope="module")
def first(home):
    """Return what two processes found that ran at once, in a cache that was empty."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda names: process(home, *names), ((), KEPT[:2])))


@pytest.fixture(scope="module")
def second(home, first):
    return process(home)


def test_another_process_loads_all_programs_and_compiles_none(first, second):
    assert all(first[0][name]["compiled"] or first[1][name]["compiled"] for name in KEPT[:2])
    assert first[0][KEPT[2]]["compiled"]
    assert [second[name]["compiled"] for name in KEPT] == [[], [], []]


def test_what_is_loaded_finds_the_same_bits(first, second):
    for run in first:
        for name, found in run.items():
            assert found["bits"] == second[name]["bits"], name


def test_what_is_not_ours_or_calls_the_host_is_compiled_again(second):
    assert {"begin", "propose", "settle"} <= set(second["own"]["compiled"])
    assert {"advance"} <= set(second["callback"]["compiled"]) <= {"fill", "advance"}


def test_nothing_of_the_users_own_compilations_is_kept_and_nothing_half_written(home, first, second):
    names = [path.name for path in home.iterdir()]
    assert all(cache.KEPT.fullmatch(name) and not name.startswith(".") for name in names)
    assert 0 < len(names) <= sum(len(found["compiled"]) for run in first for found in run.values())
    assert home.stat().st_mode & 0o777 == 0o700


def test_other_settings_of_jax_are_other_programs_which_work(home, second):
    wide = process(home, *KEPT, JAX_ENABLE_X64="1")
    for name in KEPT:
        assert wide[name]["compiled"]
        assert wide[name]["bits"] == second[name]["bits"]


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Return a folder that is the cache of this process."""
    monkeypatch.setenv("JAXHPT_CACHE", "on")
    monkeypatch.setenv("JAXHPT_CACHE_DIR", str(tmp_path / "kept"))
    compiling.forget()
    return tmp_path / "kept"


@pytest.fixture
def compiled(monkeypatch):
    names, whole = [], Function._compiled

    def counted(self, static, rest):
        names.append(self.call.__name__)
        return whole(self, static, rest)

    monkeypatch.setattr(Function, "_compiled", counted)
    return names


def cube(power, x):
    return x**power


CUBE = Function(cube, 1)


def ask(power=3):
    """Run a small program, as a new process would."""
    compiling.forget()
    return float(CUBE(power, jnp.float32(2)))


def test_a_program_is_kept_and_found(kept, compiled):
    assert ask() == 8
    (path,) = kept.iterdir()
    os.utime(path, (0, 0))
    assert ask() == 8
    assert compiled == ["cube"]
    assert path.stat().st_mtime > 0  # those not used for longest go first
    assert ask(2) == 4
    assert compiled == ["cube"] * 2


@pytest.mark.parametrize("word", ["off", "OFF", "0", "false", "no"])
def test_off_keeps_nothing_and_reads_nothing(kept, compiled, monkeypatch, word):
    monkeypatch.setenv("JAXHPT_CACHE", word)
    assert ask() == 8
    assert not kept.exists()
    monkeypatch.setenv("JAXHPT_CACHE", "on")
    ask()
    assert len(list(kept.iterdir())) == 1
    monkeypatch.setenv("JAXHPT_CACHE", word)
    ask()
    assert compiled == ["cube"] * 3


def damage(content, how):
    if how == "empty":
        return b""
    if how == "text":
        return b"not a program"
    if how == "truncated":
        return content[: len(content) // 2]
    if how == "an end missing":
        return content[:-1]
    places = np.random.default_rng(0).integers(0, len(content), 8)
    changed = bytearray(content)
    for place in places:
        changed[place] ^= 0xFF
    return bytes(changed)


@pytest.mark.parametrize("how", ["empty", "text", "truncated", "an end missing", "flipped"])
def test_a_damaged_file_is_replaced(kept, compiled, how):
    ask()
    (path,) = kept.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole, how))
    assert ask() == 8
    assert compiled == ["cube"] * 2
    assert path.read_bytes() != damage(whole, how)
    assert ask() == 8
    assert compiled == ["cube"] * 2


def test_a_folder_that_is_read_only_serves(kept, compiled, monkeypatch):
    ask()
    (path,) = kept.iterdir()

    def refused(*args, **kwargs):
        raise PermissionError("read-only file system")

    for name in ("touch", "unlink", "mkdir"):
        monkeypatch.setattr(pathlib.Path, name, refused)
    monkeypatch.setattr(cache.tempfile, "NamedTemporaryFile", refused)
    assert ask() == 8
    assert compiled == ["cube"]
    assert ask(2) == 4
    assert list(kept.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_keeps_nothing(kept, compiled):
    kept.write_text("a file")
    assert ask() == 8
    assert ask() == 8
    assert kept.read_text() == "a file"


def test_a_disk_that_is_full_leaves_nothing_half_written(kept, monkeypatch):
    def full(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert ask() == 8
    assert list(kept.iterdir()) == []


def test_a_user_without_a_home_keeps_nothing(kept, monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("JAXHPT_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(pathlib.Path, "home", homeless)
    assert cache.folder() is None
    assert ask() == 8


def test_the_folder_is_where_the_system_keeps_caches(kept, monkeypatch, tmp_path):
    monkeypatch.delenv("JAXHPT_CACHE_DIR")
    monkeypatch.setattr(pathlib.Path, "home", lambda: tmp_path)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache.folder() == tmp_path / ".cache" / "jaxhpt"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    assert cache.folder() == tmp_path / "mine" / "jaxhpt"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache.folder() == tmp_path / "Library" / "Caches" / "jaxhpt"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache.folder() == tmp_path / "local" / "jaxhpt"
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert cache.folder() is None


def test_programs_not_used_for_longest_go_and_other_files_stay(kept, monkeypatch):
    kept.mkdir()
    (kept / "thesis.txt").write_text("x" * 10_000)
    os.utime(kept / "thesis.txt", (0, 0))
    ask(2)
    (old,) = (path for path in kept.iterdir() if path.name != "thesis.txt")
    os.utime(old, (1, 1))
    monkeypatch.setattr(cache, "MOST_BYTES", old.stat().st_size * 3 // 2)
    ask(3)
    assert not old.exists()
    assert len(list(kept.iterdir())) == 2
    assert (kept / "thesis.txt").exists()


def test_a_cache_of_the_users_own_serves_and_ours_rests(kept, tmp_path):
    theirs, settings = tmp_path / "theirs", {"jax_persistent_cache_min_compile_time_secs": 0.0}
    settings |= {"jax_compilation_cache_dir": str(theirs), "jax_persistent_cache_min_entry_size_bytes": -1}
    before = {name: jax.config.values[name] for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    try:
        assert ask(5) == 32
        assert any("cube" in path.name for path in theirs.iterdir())
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
    assert not kept.exists()


def test_a_program_that_calls_what_another_process_may_not_have_is_not_kept(kept):
    def host(x):
        return jax.pure_callback(np.sin, jax.ShapeDtypeStruct((), jnp.float32), x)

    def watched(x):
        jax.debug.callback(lambda value: None, x)
        return x

    def solved(x):
        return jnp.linalg.cholesky(x * jnp.eye(2))[0, 0]

    assert float(Function(host, 0)(jnp.float32(0))) == 0
    assert float(Function(watched, 0)(jnp.float32(1))) == 1
    assert not kept.exists()
    assert float(Function(solved, 0)(jnp.float32(4))) == 2
    assert len(list(kept.iterdir())) == 1


@dataclasses.dataclass(frozen=True)
class Own(jaxhpt.Random):
    """An algorithm of the user's own."""


@functools.cache
def search_of(algorithm="random", scheduler="run_to_end"):
    options = {"algorithm": algorithm, "scheduler": scheduler, "trials": 4, "lanes": 2, "interval": 1}
    return jaxhpt.search(
        lambda s, batch, h, key: s + 1, {"x": jaxhpt.Float(0, 1), "c": ["a", "b"]},
        init=lambda key, h: h["x"] + h["c"],
        evaluate=lambda s, data, h: s, steps=30, direction="min", progress=False, **options,
    )._run.program  # fmt: skip


def test_all_that_is_ours_can_be_spelled():
    program = search_of()
    assert cache.key_of(program)
    for name, kind in jaxhpt.ALGORITHMS.items():
        assert cache.key_of(dataclasses.replace(program.study, algorithm=kind())), name
    for name, kind in jaxhpt.SCHEDULERS.items():
        assert cache.key_of(dataclasses.replace(program.study, scheduler=kind())), name


@pytest.mark.parametrize(
    "algorithm", [Own(), jaxhpt.Portfolio(Own(), jaxhpt.Random()), jaxhpt.Refine(Own())], ids=["own", "one of", "in"]
)
def test_what_is_the_users_own_cannot(algorithm):
    assert cache.key_of(Study(search_of().study.problem, algorithm, jaxhpt.RunToEnd())) is None


def test_a_key_tells_apart_what_is_compiled_apart(monkeypatch):
    def key():
        cache._environment.cache_clear()
        return cache.key_of("module", "name", (1,), ())

    first = key()
    assert first == key()
    assert len({first, cache.key_of("module", "name", (2,), ()), cache.key_of("module", "name", (1.0,), ())}) == 3
    with jax.default_matmul_precision("highest"):
        assert key() != first
    with jax.transfer_guard("log"), jax.log_compiles(True):
        assert key() == first
    for name, value in (("jax.__version__", "0.0.1"), ("jaxlib.__version__", "0.0.1")):
        with monkeypatch.context() as patch:
            patch.setattr(name, value)
            assert key() != first
    for name, value in (("XLA_FLAGS", "--xla_cpu_max_isa=SSE4_2"), ("JAXHPT_CACHE_DIR", "elsewhere")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert (key() == first) == (name == "JAXHPT_CACHE_DIR")
    with monkeypatch.context() as patch:
        patch.setattr(cache, "_processor", lambda: "another")
        assert key() != first
    assert key() == first


@dataclasses.dataclass(frozen=True)
class Holds:
    """Not ours."""

    what: object


@pytest.mark.parametrize(
    "value",
    [object(), Holds(1), len, lambda: 0, {1}, jnp.ones(2), (1, [Holds(2)])],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_spelling_is_refused(value):
    with pytest.raises(cache.NotPortableError):
        cache.spelled(value)


def test_values_that_differ_are_spelled_apart():
    values = [None, True, 1, 1.0, "1", b"1", (1,), [1], {"a": 1}, {"a": 2}, np.float32(1), np.float64(1), np.ones(1)]
    values += [
        np.zeros(1),
        np.ones(2),
        np.ones((1, 1)),
        np.dtype(np.float32),
        float("nan"),
        jaxhpt.Random,
        (1, 1),
        ((1,), 1),
    ]
    values += [jax.ShapeDtypeStruct((2,), jnp.float32), jax.ShapeDtypeStruct((2,), jnp.int32), jaxhpt.Random()]
    values += [jax.tree.structure((1, 2)), jax.tree.structure([1, 2]), jaxhpt.Genetic(), jaxhpt.Genetic(population=7)]
    assert len({cache.spelled(value) for value in values}) == len(values)
