"""Hyperoptax's own benchmark, for hyperoptax and jaxhpt: part hyperoptax of `benchmarks.bayesian`.

As in its notebooks/performance.ipynb (version 0.2.0): the greatest value of -(1.4 - 3 x) sin(18 y) for x in [2, 4] and
y in [0, 2], 50 evaluations, 5 seeds. The notebook prints a median regret of .0014 and 92.8 evaluations a second, its
seeds side by side by `vmap`, compilation counted; it counts one of each 4 evaluations, as its optimiser makes 4 at a
time unless told otherwise. Here everybody makes 50, one at a time. Its defaults are probability of improvement and a
Matern-1/2 process; expected improvement and Matern-5/2 are what the notebook says it shows, so both run. The lighter
jaxhpt asks its model about 256 places instead of 2,048, and takes 5 steps of the fit instead of 6.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import jaxhpt
from benchmarks.common import ALL, assemble, missing, timed
from benchmarks.records import Table
from jaxhpt.engine.loop import begin, dispatch

RANGES = {"x": (2.0, 4.0), "y": (0.0, 2.0)}
EVALUATIONS, WARMUP, SEEDS, REPEATS = 50, 3, 5, 5
PUBLISHED = 0.0014  # median regret


def value(hparams, xp=jnp):
    """Return what is to be large."""
    return -(1.4 - 3.0 * hparams["x"]) * xp.sin(18.0 * hparams["y"])


def greatest():
    """Return the maximum, on a fine grid in double precision."""
    x, y = (np.linspace(*RANGES[name], points) for name, points in (("x", 101), ("y", 200_001)))
    return max(value({"x": at, "y": y}, np).max() for at in x)


def ours(**settings):
    """Return a search by jaxhpt: key -> values f32[50]."""
    space = {name: jaxhpt.Float(*ends) for name, ends in RANGES.items()}
    task = jaxhpt.Task(
        init=lambda key, h: jnp.zeros(()), step=lambda state, rows, h, key: state, steps=1,
        evaluate=lambda state, data, h: {"value": value(h)}, direction="max",
    )  # fmt: skip
    program, data = assemble(task, space, jaxhpt.Bayesian(**settings), EVALUATIONS, 1)

    def search(key):
        carry, _ = dispatch.call(program, begin.call(program, key), data, ALL)
        return -carry.study.history.metrics[:, 0]

    return search


def theirs(**settings):
    """Return a search by hyperoptax: as `ours`."""
    from hyperoptax import BayesianSearch, LinearSpace

    space = {name: LinearSpace(*ends) for name, ends in RANGES.items()}
    state, optimizer = BayesianSearch.init(space, n_max=EVALUATIONS, n_warmup=WARMUP, n_parallel=1, **settings)

    def search(key):
        _, (_, results) = optimizer.optimize_scan(state, key, lambda key, h: value(h), EVALUATIONS)
        return results[:, 0]

    return search


def contenders():
    """Return what runs, by name: a function that makes a search."""
    light = functools.partial(ours, candidates=256, num_ascents=16, refit_steps=5)
    own = {"jaxhpt bayesian": ours, "the same, lighter": light}
    if missing("hyperoptax"):
        return own
    from hyperoptax import EI, Matern

    shown = {"acquisition": EI(xi=0.01), "kernel": Matern(length_scale=1.0, nu=2.5)}
    return {
        **own,
        "hyperoptax, its defaults": theirs,
        "hyperoptax, EI and Matern-5/2": functools.partial(theirs, **shown),
    }


def measure(name):
    """Run one contender: values f32[S, 50], and evaluations a second of four kinds; or why it cannot run."""
    try:
        search = contenders()[name]()
        keys, rates = jax.random.split(jax.random.key(0), SEEDS), []
        for program in (jax.jit(lambda k: jax.lax.map(search, k)), jax.jit(jax.vmap(search))):
            first, values = timed(program, keys)
            again = np.median([timed(program, keys)[0] for _ in range(REPEATS)])
            rates += [SEEDS * EVALUATIONS / seconds for seconds in (again, first)]
        return values, rates
    except (TypeError, AttributeError, NotImplementedError, ValueError) as error:
        if not name.startswith("hyperoptax"):
            raise
        return f"{type(error).__name__}: {error}", None


def compare(part, options, pool):
    """Return regrets and evaluations a second."""
    names, rows = list(contenders()), []
    if missing("hyperoptax"):
        print("hyperoptax: skipped, not installed")
    for name in names:
        values, rates = pool.apply(measure, (name,))  # one after the other, as times count
        if rates is None:
            print(f"{name}: does not run here: {values}")
            continue
        regrets = np.maximum(greatest() - np.maximum.accumulate(np.asarray(values, np.float64), axis=1), 0.0)
        last, reached = regrets[:, -1], 1 + np.median(np.sum(regrets > PUBLISHED, axis=1))
        reached = int(reached) if reached <= EVALUATIONS else None
        rows.append((name, np.median(last), last.mean(), last.max(), reached, *rates))
    title = f"-(1.4 - 3 x) sin(18 y): regret after {EVALUATIONS} evaluations, {SEEDS} seeds, and evaluations a second,"
    title += f" seeds one after the other or side by side; published: {PUBLISHED} and 92.8"
    times = [f"{how}, {what}" for how in ("in turn", "side by side") for what in ("compiled", "with compilation")]
    head = ("", "median", "mean", "worst", f"evaluations to {PUBLISHED}", *times)
    return [Table(title, head, rows, ("{}", *["{:.2g}"] * 3, "{}", *["{:.4g}"] * 4))]
