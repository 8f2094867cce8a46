"""Matrix products: whole float32 where trials are compared, the user's own precision where models train."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr

import jaxhpt
from jaxhpt.algorithms import ALGORITHMS
from jaxhpt.core.history import Known
from jaxhpt.engine import asking
from jaxhpt.engine.build import build
from jaxhpt.engine.loop import begin, run_event
from jaxhpt.results import importance
from jaxhpt.schedulers import SCHEDULERS, RunToEnd
from jaxhpt.training.layout import Layout

SPACE = {"lr": jaxhpt.Float(1e-3, 0.3, log=True), "scale": jaxhpt.Float(0.1, 1.0)}
WHOLE = (jax.lax.Precision.HIGHEST, jax.lax.Precision.HIGHEST)
WITH_A_MODEL = [
    *(kind() for name, kind in ALGORITHMS.items() if name not in ("auto", "nsga2")),
    jaxhpt.Bayesian(acquisition="thompson"),
    jaxhpt.Screen(jaxhpt.Genetic()),
]


def products(jaxpr):
    """Yield the precision of each matrix product, of all programs inside, too."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation.params["precision"]
        for value in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda v: isinstance(v, Jaxpr)):
            inner = value.jaxpr if isinstance(value, ClosedJaxpr) else value
            if isinstance(inner, Jaxpr):
                yield from products(inner)


def of(function, *args):
    """Return the precisions of all products of a function."""
    return list(products(jax.make_jaxpr(function)(*args).jaxpr))


def assembled(task, algorithm, scheduler, prior=0):
    """Return the program and the data of a search of 32 trials on 4 lanes."""
    program, data, *_ = build(task, jaxhpt.Space.of(SPACE), 32, algorithm, scheduler, Layout(4, execution="fused"))
    study = dataclasses.replace(program.study, problem=dataclasses.replace(program.study.problem, prior=prior))
    return dataclasses.replace(program, study=study), data


def traced(task, algorithm, scheduler=None):
    """Return the precisions of all products of an event."""
    program, data = assembled(task, algorithm, scheduler or RunToEnd())
    carry = jax.eval_shape(functools.partial(begin.call, program), jax.random.key(0))
    return of(functools.partial(run_event, program), carry, data)


@pytest.fixture(scope="module")
def training(linear):
    """Return the precisions of training and scoring alone."""
    found = traced(linear, jaxhpt.Random())
    assert found
    assert WHOLE not in found
    return found


@pytest.mark.parametrize("algorithm", WITH_A_MODEL, ids=lambda a: type(a).__name__)
def test_products_of_algorithms_are_whole_and_those_of_training_as_they_were(linear, training, algorithm):
    rest = [precision for precision in traced(linear, algorithm) if precision != WHOLE]
    assert rest == training


@pytest.mark.parametrize("name", SCHEDULERS)
def test_products_of_schedulers_are_whole_and_those_of_training_as_they_were(linear, training, name):
    rest = [p for p in traced(linear, jaxhpt.Random(), SCHEDULERS[name]()) if p != WHOLE]
    assert rest == training


def test_products_of_what_is_told_before_a_search_are_whole(linear):
    program, _ = assembled(linear, jaxhpt.CMAES(population=4), RunToEnd(), prior=8)
    known = Known(jnp.zeros((8, 2)), jnp.zeros((8, 2)))
    found = of(functools.partial(begin.call, program), jax.random.key(0), known)
    assert found
    assert set(found) == {WHOLE}


@pytest.mark.parametrize("algorithm", [jaxhpt.Bayesian(), jaxhpt.CMAES(population=4)], ids=["bayesian", "cma_es"])
def test_products_of_a_tuner_are_whole(linear, algorithm):
    problem, key = assembled(linear, algorithm, RunToEnd())[0].study.problem, jax.random.key(0)
    state = jax.eval_shape(functools.partial(asking._begin, algorithm, problem), key, None)
    rows, scores = jnp.arange(4), jax.ShapeDtypeStruct((problem.capacity, 2), jnp.float32)
    asked = of(functools.partial(asking._ask, algorithm, problem, 4, False), key, state, jnp.int32(4))
    told = of(functools.partial(asking._tell, algorithm, problem), key, state, scores, rows, jnp.ones(4, jnp.int8))
    assert asked + told
    assert set(asked + told) == {WHOLE}


def test_products_of_importance_are_whole(linear):
    program, _ = assembled(linear, jaxhpt.Random(), RunToEnd())
    problem, counts = program.problem, jnp.ones(32, bool)
    history = jax.eval_shape(functools.partial(begin.call, program), jax.random.key(0)).study.history
    for measure in (importance._grey, importance._permutation):
        found = of(functools.partial(measure, problem, 32, 0), history, jnp.arange(16), counts)
        assert found
        assert set(found) == {WHOLE}
