"""What the methods of `Result.importance` tell, and how well each tells dimensions with an effect from those without.

Run: python -m benchmarks.importance [--seeds 8] [--data DIR] [--quick]

Part shares: the share of each dimension of a few functions by 128 random trials, the last of them a real task, by the
surrogate of LCBench; it is skipped without its data. Part apart: functions of 8 and 20 dimensions of which two have an
effect, one rising and one with its optimum inside, and noise of half their deviation; the share of pairs, of one with
and one without an effect, that come in the right order (.5 is chance), and the share of importance that goes to those
without. Deng's textbook grade is that of the range images of a dimension and of the score, the better of both
directions; on curves, Deng's coefficients stand in the place of squares, with 16 shuffles for chance.
"""

import argparse
import functools
import time

import jax
import jax.numpy as jnp
import numpy as np

import jaxhpt
from benchmarks import problems
from benchmarks.common import data_option, parsed
from benchmarks.records import Table, save
from jaxhpt.core.history import Status
from jaxhpt.grey import larger_is_better, relational_grade, undirected
from jaxhpt.results.importance import importance_of
from jaxhpt.surrogates.influence import importance

TRIALS = 128
LINE = {name: jaxhpt.Float(0, 1) for name in ("a", "b", "c", "idle")}
FUNCTIONS = {
    "rising: 3 a + b": lambda h: 3 * h["a"] + h["b"] + 0 * h["c"] + 0 * h["idle"],
    "optimum inside: 9 (a - 1/2)^2 + b": lambda h: 9 * (h["a"] - 0.5) ** 2 + h["b"] + 0 * h["c"] + 0 * h["idle"],
    "together: (a - 1/2) (b - 1/2) + c / 4": lambda h: (h["a"] - 0.5) * (h["b"] - 0.5) + h["c"] / 4 + 0 * h["idle"],
}
CURVE = 16
EXERCISES = ("jaxhpt/results/importance.py", "jaxhpt/surrogates", "jaxhpt/grey")
QUICK = {"seeds": 1}


@jax.jit
def textbook(unit, score):
    """Return Deng's grades of plain values, less their least, as shares."""
    ones = jnp.ones(score.shape[0], bool)
    y = larger_is_better(score[:, None], ones)[:, 0]
    return _shared(undirected(relational_grade, larger_is_better(unit, ones), y, ones))


def _shared(grades):
    return grades / jnp.sum(grades)


@jax.jit
def on_curves(unit, score):
    """Return Deng's grades of response curves beyond the mean and the deviation of shuffled ones, as shares."""
    y = larger_is_better(score[:, None], jnp.ones(score.shape[0], bool))[:, 0]
    num = score.shape[0]
    place = jnp.clip(jnp.floor(unit * CURVE), 0, CURVE - 1)
    near = jnp.exp(-0.5 * ((place[:, None] - place[None]) / CURVE / (0.3 * num**-0.2)) ** 2)
    smooth = near / (jnp.sum(near, axis=1, keepdims=True) + 1.0)

    def grades(y):
        curves = jnp.mean(y) + jnp.einsum("kjd,j->kd", smooth, y - jnp.mean(y))
        return jnp.mean(0.5 / (jnp.abs(y[:, None] - curves) + 0.5), axis=0)

    keys = jax.random.split(jax.random.key(0), 16)
    chance = jax.vmap(lambda key: grades(jax.random.permutation(key, y)))(keys)
    beyond = jnp.maximum(grades(y) - jnp.mean(chance, axis=0) - jnp.std(chance, axis=0), 0.0)
    return jnp.where(jnp.sum(beyond) > 0, beyond / jnp.sum(beyond), 1.0 / beyond.shape[0])


def found(function, space):
    """Search at random."""
    return jaxhpt.minimize(
        lambda h, key: function(h), space, trials=TRIALS, lanes=32, algorithm="random", progress=False
    )


def shares(name, function, space):
    """Return the shares of one function by each method, and the seconds of the first call and the second.

    They are rows: (name, method, shares by the space's names), and (name, method, seconds, seconds).
    """
    result = found(function, space)
    rows, seconds = [], []
    for method in ("permutation", "grey"):
        taken = []
        for _ in range(2):
            begun = time.perf_counter()
            share = result.importance(method)
            taken.append(time.perf_counter() - begun)
        rows.append((name, method, share))
        seconds.append((name, method, *taken))
    plain = np.asarray(textbook(result.history.unit, result.history.metrics[:, 0]))
    rows.append((name, "Deng's textbook grade, as a share", dict(zip(result.space.names, plain, strict=True))))
    return rows, seconds


def all_shares(options):
    """Return the shares of every function, and the seconds."""
    real = problems.load(problems.PUBLISHED, options.data)
    jobs = [(name, function, LINE) for name, function in FUNCTIONS.items()]
    if real is None:
        print(f"{problems.PUBLISHED}: skipped, no data in {options.data}")
    else:
        given = real.moved(0)
        jobs.append((f"{real.name}, the error of a network", lambda h: real.function(h, given), real.space))
    done = [shares(*job) for job in jobs]
    title, tables = f"shares by {TRIALS} random trials", []
    for part in (done[: len(FUNCTIONS)], done[len(FUNCTIONS) :]):
        if part:
            names = list(part[0][0][0][2])
            rows = [(name, method, *(share[n] for n in names)) for rows, _ in part for name, method, share in rows]
            tables.append(Table(title, ("function", "method", *names), rows, ("{}", "{}", *["{:.2f}"] * len(names)), 2))
    head = ("function", "method", "first", "second")
    rows, formats = [row for _, seconds in done for row in seconds], ("{}", "{}", "{:.1f}", "{:.3f}")
    return [*tables, Table("seconds of the first call, with compilation, and of the second", head, rows, formats, 2)]


def drawn(num, dimensions, seed):
    """Return random settings and noisy scores; dimensions 0 and 1 have an effect."""
    rng = np.random.default_rng(seed)
    unit = rng.random((num, dimensions)).astype(np.float32)
    value = 2 * unit[:, 0] + 6 * (unit[:, 1] - 0.5) ** 2
    return unit, (value + 0.5 * value.std() * rng.standard_normal(num)).astype(np.float32)


@functools.cache
def told(dimensions, trials):
    """Return a function of settings and scores to the shares by permutation."""
    names = [f"x{i:02d}" for i in range(dimensions)]
    space = {name: jaxhpt.Float(0, 1) for name in names}

    def by_permutation(unit, score):
        tuner = jaxhpt.Tuner(space, algorithm="random", trials=trials)
        result = tuner.result
        history = result.history._replace(
            unit=unit,
            metrics=score[:, None],
            status=np.full(trials, Status.DONE, np.int8),
            num_rows=np.int32(trials),
        )
        by_name = importance_of(history, tuner.problem, "permutation", None)
        return np.array([by_name[name] for name in names])

    return by_permutation


def apart(options):
    """Return how well each method tells dimensions apart."""
    rows = []
    for num in (30, 100):
        for dimensions in (8, 20):
            space = jaxhpt.Space.of({f"x{i:02d}": jaxhpt.Float(0, 1) for i in range(dimensions)})
            grey = jax.jit(functools.partial(importance, mask=jnp.ones(num, bool), space=space))
            methods = (textbook, on_curves, grey, told(dimensions, num))
            cells = [_apart(method, num, dimensions, options.seeds) for method in methods]
            rows.append((str(num), str(dimensions), *cells))
    title = f"{options.seeds} seeds: pairs in the right order, and importance that goes astray"
    head = ("trials", "dimensions", "Deng's textbook grade", "Deng's, on curves", "grey", "permutation")
    return [Table(title, head, rows, ("{}", "{}", *["{ordered:.2f}, {astray:.2f}"] * 4), labels=2)]


def _apart(method, num, dimensions, seeds):
    ordered, astray = [], []
    for seed in range(seeds):
        share = np.asarray(method(*drawn(num, dimensions, seed)))
        with_effect, without = share[:2, None], share[None, 2:]
        ordered.append(np.mean(with_effect > without) + np.mean(with_effect == without) / 2)
        astray.append(without.sum())
    return {"ordered": np.mean(ordered), "astray": np.mean(astray)}


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    data_option(parser)
    options = parsed(parser, QUICK)
    save("importance-shares", all_shares(options), options, EXERCISES)
    save("importance-apart", apart(options), options, EXERCISES)


if __name__ == "__main__":
    main()
