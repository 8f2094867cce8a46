"""No setting twice: while an untried one of a finite space is left, only who means to repeat proposes a tried one."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt import (
    NSGA2,
    TPE,
    Bayesian,
    Bool,
    Chain,
    Choice,
    DifferentialEvolution,
    Float,
    Genetic,
    GreyGuided,
    Grid,
    Int,
    Mix,
    QuasiRandom,
    Random,
    Refine,
    Screen,
    Space,
    When,
    history,
)
from jaxhpt.algorithms import ALGORITHMS
from jaxhpt.algorithms.base import proposals
from jaxhpt.algorithms.settings import settings
from jaxhpt.algorithms.untried import FEW, propose, untried
from jaxhpt.history import Status
from jaxhpt.objectives import choose
from jaxhpt.problem import Problem

KEY = jax.random.key(0)
WHEN = {"k": ["a", "b", "c"], "w": When("k", "a", {"n": Int(1, 6), "f": Bool(), "v": When("f", True, [1, 2, 3])})}
SPACES = {
    "switch": {"f": Bool()},
    "int": {"a": Int(-3, 9)},
    "log": {"a": Int(1, 64, log=True)},
    "cube": {"a": Int(0, 2), "b": Int(0, 2), "c": Int(0, 2)},
    "when": WHEN,
    "mixed": {"a": Choice([3, 1, 2]), "b": Float(0.0, 1.0, step=0.25), "c": Int(1, 5, log=True), "d": Bool()},
}
SIZES = {"switch": 2, "int": 13, "log": 64, "cube": 27, "when": 26, "mixed": 150}
LARGE = Space.of({"a": Int(0, 99), "b": Int(1, 99, log=True), "c": Bool()})  # 19,800 settings
QUICK = Bayesian(limit=64, candidates=64, refined=4, refit_steps=2)
NAMED = {name: kind() for name, kind in ALGORITHMS.items() if name not in ("auto", "random")}
COMBINED = {
    "chain": Chain(Random(), Genetic(), trials=5),
    "mix": Mix(Random(), TPE(), DifferentialEvolution()),
    "screen": Screen(Random(), factor=2, model=QUICK),
    "refine": Refine(Random(), share=0.5),
    "grey": GreyGuided(NSGA2()),
}
EVERY = {**NAMED, "bayesian": QUICK, **COMBINED}


def value(hparams):
    """Return a value that depends on all that exists, of any structure."""
    leaves = [leaf for leaf in jax.tree.leaves(hparams) if leaf is not None]
    return sum((i + 1) * (ord(v) - 98.0 if isinstance(v, str) else float(v)) for i, v in enumerate(leaves))


def all_of(space):
    return settings(Space.of(space), 10**6)


def asked_until_none_is_left(algorithm, name, num, prior=None, untold=0):
    """Ask a tuner for all settings of a space, `num` at once; every fifth fails, and `untold` go on running."""
    known = 0 if prior is None else len(prior)
    tuner = jaxhpt.Tuner(SPACES[name], algorithm=algorithm, trials=SIZES[name] - known, prior=prior, lanes=num)
    running = []
    while found := tuner.ask(num):
        running += found
        done, running = running[: len(running) - untold], running[max(len(running) - untold, 0) :]
        tuner.tell(done, [None if t.id % 5 == 4 else value(t.hparams) for t in done])
    return tuner


def assert_every_setting_was_tried_once(past, name, space):
    rows = np.asarray(past.unit)[: int(past.count)]
    assert len(rows) == SIZES[name]
    assert len(np.unique(rows, axis=0)) == SIZES[name]
    assert {tuple(row) for row in rows.tolist()} == {tuple(row) for row in all_of(space).tolist()}


@pytest.mark.parametrize("space", SPACES)
def test_the_table_holds_every_setting_once(space):
    found, made = all_of(SPACES[space]), Space.of(SPACES[space])
    assert found.dtype == np.float32
    assert len(found) == SIZES[space]
    np.testing.assert_array_equal(np.unique(found, axis=0), np.unique(made.grid(1000), axis=0))
    np.testing.assert_array_equal(made.snap(jnp.asarray(found)), found)
    assert settings(made, SIZES[space] - 1) is None


def test_a_table_takes_no_longer_than_its_settings_though_the_combinations_are_without_number():
    parts = {f"p{i}": When("k", i, {"a": Int(1, 5), "b": Int(1, 2)}) for i in range(40)}
    space = Space.of({"k": list(range(40)), **parts})
    assert space.size == 40 * 10**40
    assert len(settings(space, 1000)) == 400


def test_a_continuous_space_has_no_table():
    assert settings(Space.of({"a": Int(0, 3), "b": Float(0, 1)}), 100) is None


@pytest.mark.parametrize("num", [1, 3, 8])
@pytest.mark.parametrize("name", EVERY)
def test_a_tuner_asks_for_every_setting_once(name, num):
    space = "cube"
    past = asked_until_none_is_left(EVERY[name], space, num).result.history
    assert_every_setting_was_tried_once(past, space, SPACES[space])
