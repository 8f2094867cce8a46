"""From a search that is put together to the report of it: what is read from shapes, and what is compiled and run."""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax

from jaxhpt.checking import corners
from jaxhpt.checking.hazard import Hazard
from jaxhpt.checking.of_data import of_data
from jaxhpt.checking.of_functions import Facts, grave, lesser, steps_of
from jaxhpt.checking.of_plan import levels_of, of_plan
from jaxhpt.checking.report import Array, Check, Work, spoken
from jaxhpt.core.checks import leaf_name
from jaxhpt.core.typing import PyTree
from jaxhpt.engine.build import Built
from jaxhpt.models.compiled import analyse
from jaxhpt.training.budget import lengths_of
from jaxhpt.training.memory import footprint, free_bytes, size_of
from jaxhpt.training.replica import Replicas
from jaxhpt.training.task import Task
from jaxhpt.training.work import operations

LARGE = 10 << 20  # bytes of a captured array, from where on it belongs into the data


def report(built: Built, one: Task, replicas: Replicas, seed: int, begun: float, compile: bool) -> Check:
    """Report on a search that is put together.

    Args:
      built: the search.
      one: the task of one model.
      replicas: how many models each trial trains.
      seed: of the trials that are run.
      begun: by the clock, when the dry run began.
      compile: whether to compile, and to train a few settings for a step or two.
    """
    found = _of_shapes(built)
    hazards = list(_hazards(built, one, replicas))
    found["trace_seconds"] = time.perf_counter() - begun
    if not compile:
        return Check(**found, **_not_run(built), hazards=tuple(hazards))
    done = corners.run(built, seed)
    hazards += [*_of_memory(done), *_of_failures(done)]
    return Check(**found, **_ran(built, done), hazards=tuple(hazards))


def _of_shapes(built: Built) -> dict[str, Any]:
    program, structure = built.program, built.structures.first
    state, functions, problem = structure.state, program.pool.functions, program.problem
    weights = built.structures.task.weights
    part = state if weights is None else jax.eval_shape(weights, state)
    need, low = footprint(functions), int(lengths_of(built.structures.length)[0].min())
    captured = [array for name in structure.captured._fields for array in _captured(name, structure.captured)]
    metrics = problem.metrics
    return {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(part)),
        "state_bytes": need.state,
        "state": _largest(arrays(state)),
        "batch": arrays(_batch(built)),
        "valid_data": arrays(built.data.valid),
        "metrics": functions.metrics,
        "objectives": {o.name: o.direction for o in metrics.objectives},
        "models": functions.models,
        "steps": (low, problem.schedule.steps),
        "trials": problem.trials,
        "structures": levels_of(built.structures.space),
        "lanes": problem.lanes,
        "pools": program.pools,
        "microbatch": program.pool.microbatch,
        "interval": problem.schedule.interval,
        "fused": program.fused,
        "lane_bytes": 2 * need.state + max(need.step.lane, need.init.lane, need.evaluate.lane),
        "data_bytes": sum(size_of(leaf) for leaf in jax.tree.leaves(built.data)),
        "free_bytes": free_bytes(jax.local_devices()[0]),
        "captured": _largest(captured),
    }


def _hazards(built: Built, one: Task, replicas: Replicas) -> Iterator[Hazard]:
    functions, facts = built.program.pool.functions, Facts.of(built, replicas)
    yield from grave(functions, facts)
    yield from lesser(functions, facts, steps_of(built.program.problem.trials, facts.steps))
    yield from of_plan(built)
    yield from of_data(one)
    yield from _of_captured(built)


def _of_captured(built: Built) -> Iterator[Hazard]:
    structure = built.structures.first
    for name in structure.captured._fields:
        for array in _captured(name, structure.captured):
            if array.bytes >= LARGE:
                what = f"captured an array {array.dtype}{list(array.shape)} of {spoken(array.bytes)}"
                remedy = "pass it as train_data or valid_data: folds split these, and batches are cut from them"
                yield Hazard("large constant", array.name, what, remedy)


def _of_memory(done: corners.Ran) -> list[Hazard]:
    """Tell that memory does not suffice for the programs as they are laid out."""
    if not done.lacking:
        return []
    remedy = "a search goes on with fewer lanes, or smaller groups; or give a smaller batch_size= or less valid_data="
    return [Hazard("memory", "lanes", done.lacking, remedy)]


def _of_failures(done: corners.Ran) -> list[Hazard]:
    """Tell that nothing that was tried is finite: some may be, at the ends of a range that is too wide."""
    if not done.settings or len(done.failed) < len(done.settings):
        return []
    what = f"all {len(done.settings)} settings that were tried are NaN or infinite after {done.steps} steps"
    remedy = "look at init, train_step and the objective with one setting, and for NaN in the data"
    return [Hazard("nothing finite", "tried", what, remedy, grave=True)]


def _ran(built: Built, done: corners.Ran) -> dict[str, Any]:
    training, evaluation = _work(built, _analysed)
    return {
        "training": training,
        "evaluation": evaluation,
        "program_bytes": done.bytes,
        "compile_seconds": done.seconds,
        "compiled": done.compiled,
        "tried": tuple(done.settings),
        "tried_steps": done.steps,
        "failed": tuple(done.failed),
    }


def _not_run(built: Built) -> dict[str, Any]:
    training, evaluation = _work(built, lambda *given: ())
    kept: dict[str, Any] = {"training": training, "evaluation": evaluation, "program_bytes": None}
    return kept | {"compile_seconds": None, "compiled": False, "tried": (), "tried_steps": 0, "failed": ()}


def _work(built: Built, count: Callable) -> tuple[Work, Work]:
    """Return the work of a training step and of an evaluation of one lane, which `count` may count, too."""
    structure = built.structures.first
    functions, kept = structure.functions, structure.captured
    trees = functions.step.tokens[0].children(), functions.evaluate.tokens[0].children()
    parts = ((functions.step, kept.step, trees[0]), (functions.evaluate, kept.evaluate, trees[1]))
    training, evaluation = (Work(operations(f.jaxpr), *count(f, constants, t)) for f, constants, t in parts)
    return training, evaluation


def _analysed(traced: Any, constants: tuple, trees: Any) -> tuple[float, float]:
    """Return FLOPs and bytes moved of a call, by the compiler."""
    leaves = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in traced.jaxpr.invars]
    given, begun = [], 0
    for tree in trees:
        given.append(jax.tree.unflatten(tree, leaves[begun : begun + tree.num_leaves]))
        begun += tree.num_leaves
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of loops of unknown length there is a hazard
        found = analyse(lambda kept, *given: traced(kept, *given), constants, *given)
    return found.flops, found.bytes_moved


def _batch(built: Built) -> PyTree:
    """Return the shapes of a batch."""
    step = built.program.pool.functions.step
    tree = step.tokens[0].children()[2]
    begun = sum(child.num_leaves for child in step.tokens[0].children()[:2])
    leaves = [v.aval for v in step.jaxpr.invars[begun : begun + tree.num_leaves]]
    return jax.tree.unflatten(tree, leaves)


def arrays(tree: PyTree) -> tuple[Array, ...]:
    """Describe the arrays of a pytree."""
    return tuple(_described(leaf_name(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree))


def _captured(name: str, captured: Any) -> list[Array]:
    function = {"step": "train_step", "generate": "batches"}.get(name, name)
    return [_described(function, array) for array in getattr(captured, name)]


def _described(name: str, leaf: Any) -> Array:
    return Array(name, tuple(leaf.shape), str(leaf.dtype), size_of(leaf))


def _largest(found: Iterable[Array]) -> tuple[Array, ...]:
    return tuple(sorted(found, key=lambda array: -array.bytes))
