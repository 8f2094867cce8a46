"""What each heuristic of Bayesian optimisation is worth: each off, one at a time, on tasks that chose none of them.

Run: python -m benchmarks.ablation [--seeds 20] [--first 10000] [--groups taskset nb201 xgboost functions]
         [--heuristics log_tail ascent ...] [--data DIR]

For each seed two tasks of each group are searched, in turn through all of them, with 80 trials and 8 lanes. Each
search is compared with the one of the same task and seed in which nothing is off. What counts is how much is left to
the best there is, by the decimal logarithm: of tables the share of settings that are at least as good as the one found,
of the others the regret or value. A difference above 0 says that the search is worse without the heuristic. DIR is by
default JAXHPT_DATA, else ../shared/data; a group without data is skipped.
"""

import argparse
import contextlib
import dataclasses
import os
import sys
import time
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

import jaxhpt
from benchmarks.ablation_tasks import GROUPS, load
from benchmarks.common import ALL, assemble, data_option, first_option, parsed
from benchmarks.records import Table, save
from jaxhpt.algorithms.model_based import batch
from jaxhpt.engine import compiling
from jaxhpt.engine.loop import begin, dispatch
from jaxhpt.surrogates.config import CONFIG

TASKS = 2  # of a group, for each seed
TRIALS, LANES = 80, 8
EXERCISES = ("jaxhpt/surrogates", "jaxhpt/algorithms/model_based", "benchmarks/ablation_tasks.py")
QUICK = {"seeds": 1, "groups": ["functions"], "heuristics": ["ascent"]}
DIFFERENCE = "{mean:+.3f} +- {error:.3f}"


def _by_mean(score, tried, num):
    return jax.lax.top_k(-jnp.where(tried, jnp.inf, jnp.mean(score, axis=0)), num)[1]


def _constants(**changed):
    """Return what replaces constants wherever they are read."""
    config = dataclasses.replace(CONFIG, **changed)
    readers = [m for name, m in sys.modules.items() if name.startswith("jaxhpt.") and hasattr(m, "CONFIG")]
    return [(module, "CONFIG", config) for module in readers]


HEURISTICS = {  # what it is; what replaces parts of the package; settings
    "log_tail": ("the worst three quarters of the scores are bent", _constants(tail_from=1), {}),
    "ascent": ("the most promising follow the gradient", _constants(num_ascent_steps=0), {}),
    "drawn_beta": ("each pick draws how bold it is", [], {"ucb_beta": (3.0**0.5, 3.0**0.5)}),
    "quartered": ("a shortlist for some parameters, not the mean", [(batch, "_promising", _by_mean)], {}),
}


def searches(group, heuristic, options):
    """Search with a heuristic off: what is left for each task and seed, f64[S * TASKS], and the seconds of a search."""
    _, patches, settings = heuristic
    with contextlib.ExitStack() as stack:
        for module, name, value in patches:
            stack.enter_context(mock.patch.object(module, name, value))
        # No program knows what was replaced: none may be found that was compiled before, nor be kept.
        stack.enter_context(mock.patch.dict(os.environ, {"JAXHPT_CACHE": "off"}))
        compiling.forget()
        jax.clear_caches()
        return _run(group, jaxhpt.Bayesian(**settings), options)


def _run(group, algorithm, options):
    function, left, seconds = group.function, [], []
    task = jaxhpt.Task(
        init=lambda key, h: jnp.zeros(()), step=lambda state, rows, h, key: state, steps=1,
        evaluate=lambda state, rows, h: {"loss": function(h, jax.tree.map(lambda a: a[0], rows))},
        valid_data=_one_row(group.arrays(group.tasks[0], 0)),
    )  # fmt: skip
    program, data = assemble(task, group.space, algorithm, TRIALS, LANES)
    dispatch(program, begin(program, jax.random.key(0)), data, jnp.int32(0))  # compiles
    for i in range(options.seeds * TASKS):
        name, seed = group.tasks[i % len(group.tasks)], options.first + i // TASKS
        given = data._replace(valid=_one_row(group.arrays(name, seed)))
        carry, began = begin(program, jax.random.key(seed)), time.process_time()
        carry, _ = dispatch(program, carry, given, ALL)
        left.append(group.decades(name, float(np.nanmin(carry.study.history.metrics[:, 0]))))
        seconds.append(time.process_time() - began)
    return np.array(left), float(np.median(seconds))


def _one_row(arrays):
    return jax.tree.map(lambda a: jnp.asarray(a)[None], arrays)  # data of a task has a leading axis


def compare(name, options):
    """Return by how much more is left without each heuristic, on one group: f64[S * TASKS] each; {} without data."""
    group = load(name, options.data)
    if group is None:
        print(f"{name}: skipped, no data in {options.data}")
        return {}
    whole, _ = searches(group, ("", [], {}), options)
    worse = {}
    for heuristic in options.heuristics:
        left, seconds = searches(group, HEURISTICS[heuristic], options)
        worse[heuristic] = left - whole
        print(f"{name} without {heuristic}: {DIFFERENCE.format(**cell(worse[heuristic]))}, {seconds:.2f} s", flush=True)
    return worse


def cell(worse):
    """Return the mean of differences, and its standard error."""
    return {"mean": np.mean(worse), "error": np.std(worse, ddof=1) / len(worse) ** 0.5}


def tabulated(found):
    """Make the table of all heuristics: of each group, and of all groups together."""
    rows = []
    for heuristic in next(iter(found.values())):
        worse = [group[heuristic] for group in found.values()]
        rows.append((heuristic, HEURISTICS[heuristic][0], *map(cell, worse), cell(np.concatenate(worse))))
    title = "without one of them: what more is left to the best there is, decimal logarithm, and its standard error"
    head = ("without", "what it is", *found, "all")
    return Table(title, head, rows, ("{}", "{}", *[DIFFERENCE] * (len(found) + 1)), labels=2)


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--heuristics", nargs="+", choices=HEURISTICS, default=list(HEURISTICS))
    first_option(parser)
    data_option(parser)
    options = parsed(parser, QUICK)
    found = {name: worse for name in options.groups if (worse := compare(name, options))}
    if found:
        save("ablation-left", [tabulated(found)], options, EXERCISES)


if __name__ == "__main__":
    main()
