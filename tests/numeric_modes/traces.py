"""Trace every algorithm and scheduler, compile nothing, and tell what a numeric mode breaks.

A trace fails where a loop or a branch ends in other dtypes than it began with, and under strict promotion where arrays
of unequal dtype or rank meet. Besides, what is wider than 32 bits is told, with the line that made it.
"""

import dataclasses
import functools
import traceback

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr
from kinds import ALGORITHMS, BELIEVED, MIXED, SEVERAL, score, task

import jaxhpt
from jaxhpt import grey
from jaxhpt.algorithms.base import Designed
from jaxhpt.core.history import Known
from jaxhpt.core.pareto import hypervolume, nondominated
from jaxhpt.engine import asking, event, loop
from jaxhpt.engine.build import build
from jaxhpt.results import importance
from jaxhpt.training.layout import Layout
from jaxhpt.training.replica import Replicas, replicated

PLAIN = {"x": jaxhpt.Float(0, 1), "y": jaxhpt.Float(0, 1)}
FINITE = {"a": [1, 2], "b": jaxhpt.Int(0, 2), "c": ["a", "b", "c"]}
ASKED = ("bayesian", "genetic", "chain")  # by a `Tuner`, too, which lets them propose as an event does
BOUNDED = {"objective": "loss", "constraints": {"size": ("<=", 1.0)}}
# JAX counts places in 64 bits by itself, when it sorts or takes; what is done with numbers shows in other operations.
NUMBERING = {"iota", "sort", "add", "select_n", "broadcast_in_dim", "slice"}
# Of two Python numbers one is chosen: what it meets next decides the dtype.
CHOOSING = {"select_n", "broadcast_in_dim", "convert_element_type"}


def folded(**replicas):
    return replicated(
        jaxhpt.Task(
            lambda key, h: {"w": jax.random.normal(key, (4,), jnp.float32)},
            lambda state, batch, h, key: {"w": state["w"] - jaxhpt.batch_mean(batch.data, batch)},
            lambda state, rows, h: jaxhpt.batch_mean(jnp.sum(rows.data * state["w"][None], axis=1), rows) + score(h),
            train_data=np.zeros((50, 4), np.float32), batch_size=16, steps=24,
        ), Replicas(**replicas),
    )  # fmt: skip


def built(task, space, algorithm, scheduler):
    """Return a search of 32 trials on 4 lanes in 2 pools, which train two lanes at a time, and its data."""
    layout = Layout(4, cores=2, microbatch=1)
    program, data, *_ = build(task, jaxhpt.Space.of(space), 32, algorithm, scheduler, layout)
    return program, data


def parts(algorithm, scheduler, space, prior=0, asked=False, **options):
    """Yield the parts of a search of 32 trials on 4 lanes that are compiled: a name, a function, and its arguments."""
    program, data = built(task(**options), space, algorithm, scheduler)
    problem = dataclasses.replace(program.study.problem, prior=prior)
    program = dataclasses.replace(program, study=dataclasses.replace(program.study, problem=problem))
    key, none = jax.random.key(0), jnp.zeros((prior, 2), jnp.float32)
    known = Known(jnp.zeros((prior, problem.num_dimensions), jnp.float32), none) if prior else None
    yield "begin", functools.partial(loop.begin.call, program), (key, known)
    carry = jax.eval_shape(functools.partial(loop.begin.call, program), key, known)
    yield "event", functools.partial(loop.run_event, program), (carry, data)
    if isinstance(algorithm, Designed):
        yield "design", functools.partial(event.propose, program.study, True), (carry.study,)
    if not asked:
        return
    state = jax.eval_shape(functools.partial(asking._begin, algorithm, problem), key, known)
    for designed in (True, False) if isinstance(algorithm, Designed) else (False,):
        ask = functools.partial(asking._ask, algorithm, problem, 4, designed)
        yield "ask", ask, (key, state, jnp.int32(4))
    told = (jax.ShapeDtypeStruct((problem.capacity, 2), jnp.float32), jnp.arange(4, dtype=jnp.int32))
    yield "tell", functools.partial(asking._tell, algorithm, problem), (key, state, *told, jnp.ones(4, jnp.int8))


def cases():
    """Yield a name and the arguments of `parts` for all that is traced."""
    whole = jaxhpt.RunToEnd()
    for name, algorithm in ALGORITHMS.items():
        yield f"{name}, mixed", (algorithm, whole, MIXED), {"prior": 8, "asked": name in ASKED}
        if name in ("bayesian", "cma_es", "genetic", "grid", "tpe", "differential_evolution"):
            yield f"{name}, plain", (algorithm, whole, PLAIN), BOUNDED
            yield f"{name}, finite", (algorithm, whole, FINITE), {}
    for name in ("random", "quasi_random", "cma_es", "bayesian", "tpe"):
        yield f"{name}, beliefs", (ALGORITHMS[name], whole, BELIEVED), {}
    for name in ("nsga2", "bayesian", "tpe"):
        yield f"{name}, two objectives", (ALGORITHMS[name], whole, PLAIN), SEVERAL
    ehvi = jaxhpt.Bayesian(acquisition="log_ehvi")
    yield "log_ehvi", (ehvi, whole, MIXED), SEVERAL
    schedulers = {name: kind() for name, kind in jaxhpt.SCHEDULERS.items() if name != "run_to_end"}
    schedulers |= {"tournament": jaxhpt.PBT(exploit="tournament"), "promote": jaxhpt.Hyperband(promote=True)}
    for name, scheduler in schedulers.items():
        yield f"{name}", (jaxhpt.Random(), scheduler, MIXED), {"steps": "n"}
    for name in ("asha", "median_stop", "pbt", "promote"):
        yield (
            f"{name}, two objectives",
            (jaxhpt.Random(), schedulers[name], MIXED),
            {**SEVERAL, "constraints": BOUNDED["constraints"]},
        )
    yield "bayesian under asha", (jaxhpt.Bayesian(), jaxhpt.ASHA(), MIXED), {}
    yield "tpe under hyperband", (jaxhpt.TPE(), jaxhpt.Hyperband(), MIXED), {}


def replicas():
    """Yield events of trials of several models: a name, a function, and its arguments."""
    for seeds, kind, reshuffle, reduce in (
        (2, jaxhpt.KFold(3), True, "worst"),
        (1, jaxhpt.TimeSeriesSplit(2), False, "bound"),
    ):
        own = folded(seeds=seeds, folds=kind, reshuffle=reshuffle, reduce=reduce)
        program, data = built(own, MIXED, jaxhpt.Random(), jaxhpt.RunToEnd())
        carry = jax.eval_shape(functools.partial(loop.begin.call, program), jax.random.key(0), None)
        yield f"event of {kind}", functools.partial(loop.run_event, program), (carry, data)


def functions():
    """Yield what is no part of a search: a name, a function, and its arguments."""
    yield from replicas()
    program, _ = built(task(), MIXED, jaxhpt.Random(), jaxhpt.RunToEnd())
    history = jax.eval_shape(functools.partial(loop.begin.call, program), jax.random.key(0), None).study.history
    given = (history, jnp.arange(16, dtype=jnp.int32), jnp.ones(32, bool))
    for measure in (importance._grey, importance._permutation):
        yield f"importance{measure.__name__}", functools.partial(measure, program.problem, 32, 0), given
    f32 = functools.partial(jax.ShapeDtypeStruct, dtype=jnp.float32)
    for num in (1, 2, 3):
        yield f"hypervolume of {num}", hypervolume, (f32((16, num)), f32((num,)))
    yield "nondominated", nondominated, (f32((16, 2)), jnp.ones(16, bool))
    yield "compromise", grey.compromise, (f32((16, 2)), f32((2,)))
    x, y, weight = f32((16, 3)), f32((16,)), jnp.ones(16, bool)
    for kind in ("relational_grade", "absolute_grade", "relative_grade"):
        undirected = functools.partial(grey.undirected, getattr(grey, kind))
        yield kind, undirected, (x, y, weight)
    for kind in (grey.GM11, grey.DGM11, grey.Verhulst):
        yield kind.__name__, lambda x, kind=kind: kind.fit(x).at(x), (x,)
    yield "class_ratios_hold", grey.class_ratios_hold, (x,)
    yield "nominal_is_best", grey.nominal_is_best, (x, f32((3,)), weight)
    for name, function in vars(jaxhpt.problems).items():
        if isinstance(function, jaxhpt.problems.TestFunction):
            yield f"problem {name}", function.function, (f32((function.dimensions or 4,)),)


def equations(jaxpr, outer="?"):
    """Yield each equation, of all programs inside, too, and the line of the library that made it."""
    for equation in jaxpr.eqns:
        frames = equation.source_info.traceback.frames if equation.source_info.traceback else []
        lines = [f"{f.file_name.split('/jaxhpt/')[1]}:{f.line_num}" for f in frames if "/jaxhpt/" in f.file_name]
        line = lines[0] if lines else outer
        yield equation, line
        for value in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda v: isinstance(v, Jaxpr)):
            inner = value.jaxpr if isinstance(value, ClosedJaxpr) else value
            if isinstance(inner, Jaxpr):
                yield from equations(inner, line)


def is_wide(variable, operation):
    """Tell whether a value is wider than 32 bits, and not so only between two of JAX's own steps."""
    dtype = str(getattr(variable.aval, "dtype", ""))
    if dtype == "float64":
        return not (variable.aval.weak_type and operation in CHOOSING)
    return dtype in ("int64", "uint64", "complex128") and operation not in NUMBERING


def faults_of(function, args):
    """Return what is wrong with a function: a list of messages."""
    try:
        traced = jax.make_jaxpr(function)(*args).jaxpr
    except Exception as error:
        lines = [f for f in traceback.extract_tb(error.__traceback__) if "/jaxhpt/" in f.filename]
        where = f"{lines[-1].filename.split('/jaxhpt/')[1]}:{lines[-1].lineno}" if lines else "?"
        return [f"{where}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"]
    found = {}
    for equation, line in equations(traced):
        operation = equation.primitive.name
        if "jaxpr" in equation.params or "branches" in equation.params or operation in ("while", "custom_jvp_call"):
            continue
        for variable in equation.outvars:
            if is_wide(variable, operation):
                found[f"{line}: {variable.aval.dtype} comes from {operation}"] = None
    return list(found)


def faults():
    """Return all that is wrong: message -> the first place it was met in."""
    found = {}
    for name, args, options in cases():
        for part, function, given in parts(*args, **options):
            for message in faults_of(function, given):
                found.setdefault(message, f"{name}: {part}")
    for name, function, given in functions():
        for message in faults_of(function, given):
            found.setdefault(message, name)
    return found
