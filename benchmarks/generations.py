"""Milliseconds a generation on a cheap objective: what an algorithm costs by itself.

Run: python -m benchmarks.generations [--repeats 20] [--quick]

The sphere in 20 dimensions, populations of 256, 200 generations in one dispatch or one scan; compilation is not
counted. evosax samples, scores and learns, and keeps no past; jaxhpt also keeps every trial, and runs the lanes.
pymoo runs 50 generations, with one numpy call for each. CMA-ES runs without restarts, so that every generation has
256 trials. Then what a generation costs after 1,000 and after 100,000 trials, and on a space of mixed types. The
contenders take turns, and the ratios are medians over the turns, so that a busy moment of the machine does not decide.
"""

import argparse
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

import jaxhpt
from benchmarks.common import assemble, missing, parsed, take_turns, timed
from benchmarks.records import Table, save
from jaxhpt.engine.loop import begin, dispatch
from jaxhpt.training.blackbox import blackbox_task

POPULATION = 256
GENERATIONS = 200
SLOW_GENERATIONS = 50  # where one takes 10 ms and more
SPHERE = jaxhpt.problems.sphere
FLOATS = SPHERE.space(20)
MIXED = {
    **{f"x{i}": jaxhpt.Int(-5, 5) for i in range(5)},
    **{f"x{i}": [-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0] for i in range(5, 10)},
    **{f"x{i}": jaxhpt.Float(-5.12, 5.12) for i in range(10, 20)},
}
PAST = (1_000, 100_000)
WINDOW = 10  # generations timed after so many trials
METHODS = {"genetic": "SimpleGA", "differential_evolution": "DifferentialEvolution", "cma_es": "CMA_ES"}
SEVERAL = {"a": "min", "b": "min"}
PEERS = ("evosax", "pymoo")
EXERCISES = (
    "jaxhpt/algorithms/evolution", "jaxhpt/algorithms/sampling", "jaxhpt/algorithms/base.py", "jaxhpt/engine",
    "jaxhpt/core",
)  # fmt: skip
QUICK = {"repeats": 1}


def algorithm(name):
    """Our algorithm, with the population of all contenders where it has one."""
    settings, kind = {"population": POPULATION, "restarts": 0}, jaxhpt.ALGORITHMS[name]
    return kind(**{f.name: settings[f.name] for f in dataclasses.fields(kind) if f.name in settings})


def ours(name, space=None):
    """jaxhpt: milliseconds a generation."""
    result = jaxhpt.minimize(
        SPHERE, space or FLOATS, algorithm=algorithm(name), lanes=POPULATION, trials=POPULATION * GENERATIONS,
        events_per_dispatch="all", progress=False,
    )  # fmt: skip
    return 1e3 * result.stats.seconds / GENERATIONS


@functools.cache
def _evosax(name):
    """Return a jitted run of all generations: key -> the best value."""
    from evosax.algorithms import algorithms

    strategy = algorithms[name](population_size=POPULATION, solution=jnp.zeros(20))
    params = strategy.default_params

    def fitness(x):
        return jnp.sum(x**2, axis=-1)

    def generation(state, key):
        asked, told = jax.random.split(key)
        population, state = strategy.ask(asked, state, params)
        state, _ = strategy.tell(told, population, fitness(population), state, params)
        return state, None

    @jax.jit
    def run(key):
        start, first, rest = jax.random.split(key, 3)
        population = jax.random.uniform(first, (POPULATION, 20), minval=-5.12, maxval=5.12)
        begun = (jnp.zeros(20),) if name == "CMA_ES" else (population, fitness(population))
        state = strategy.init(start, *begun, params)
        return jax.lax.scan(generation, state, jax.random.split(rest, GENERATIONS))[0].best_fitness

    jax.block_until_ready(run(jax.random.key(0)))
    return run


def evosax(name):
    """evosax: milliseconds a generation; None without it."""
    return None if missing("evosax") else 1e3 * timed(_evosax(METHODS[name]), jax.random.key(1))[0] / GENERATIONS


def pymoo(name, population):
    """pymoo: milliseconds a generation; None without it."""
    if missing("pymoo"):
        return None
    from pymoo.algorithms.soo.nonconvex.de import DE
    from pymoo.algorithms.soo.nonconvex.ga import GA
    from pymoo.optimize import minimize
    from pymoo.problems.functional import FunctionalProblem

    kind = {"genetic": GA, "differential_evolution": DE}[name]
    problem = FunctionalProblem(20, lambda x: (x**2).sum(-1), xl=-5.12, xu=5.12, elementwise=False)
    run = functools.partial(minimize, problem, kind(pop_size=population), ("n_gen", SLOW_GENERATIONS), seed=1)
    return 1e3 * timed(lambda: run().F)[0] / SLOW_GENERATIONS


def compare(repeats):
    """Return the milliseconds of a generation of all contenders, and each beside ours."""
    contenders = {}
    for name in METHODS:
        contenders[name, f"jaxhpt, {POPULATION}"] = functools.partial(ours, name)
        contenders[name, f"evosax {METHODS[name]}, {POPULATION}"] = functools.partial(evosax, name)
        for population in (POPULATION, 100) if name != "cma_es" else ():
            contenders[name, f"pymoo, {population}"] = functools.partial(pymoo, name, population)
    times = take_turns(repeats, contenders)
    base = {name: runs for (name, who), runs in times.items() if who.startswith("jaxhpt")}
    rows = [(*key, np.median(runs), np.median(base[key[0]] / runs)) for key, runs in times.items()]
    for name, who in contenders.keys() - times.keys():
        print(f"{name}, {who}: skipped, not installed")
    title = f"sphere, 20 dimensions, {GENERATIONS} generations, everything in one dispatch"
    head = ("method", "contender, population", "ms a generation", "jaxhpt's / its")
    return Table(title, head, rows, ("{}", "{}", "{:.3f}", "{:.2f}"), labels=2)


def _job(name):
    """Return the sphere, or two where an algorithm is for several objectives."""
    if name != "nsga2":
        return dataclasses.replace(blackbox_task(SPHERE, jaxhpt.Space.of(FLOATS)), direction="min")

    def two(hparams, key):
        x = jnp.stack(list(hparams.values()))
        return {"a": jnp.sum(x**2), "b": jnp.sum((x - 1.0) ** 2)}

    return dataclasses.replace(blackbox_task(two, jaxhpt.Space.of(FLOATS)), objectives=SEVERAL)


def reached(name, past, room):
    """Run a search with room for `room` trials until `past` are done; return how to time what comes next, in ms."""
    events, most = (-(-trials // POPULATION) for trials in (past, room))
    program, data = assemble(_job(name), FLOATS, algorithm(name), POPULATION * (most + WINDOW), POPULATION)
    carry, _ = dispatch(program, begin(program, jax.random.key(0)), data, jnp.int32(events))
    run = dispatch.program(program, carry, data, jnp.int32(WINDOW))

    def window():
        again = jax.block_until_ready(jax.tree.map(lambda a: a.copy(), carry))  # the program takes what it is given
        return 1e3 * timed(run, again, data, jnp.int32(WINDOW))[0] / WINDOW

    window()
    return window


def after_many(names, repeats):
    """Return what a generation costs early and late, and in a search with room for no more than the early trials."""
    few, many = PAST
    rows = []
    for name in names:
        places = {"small": (few, few), "early": (few, many), "late": (many, many)}
        times = take_turns(repeats, {place: reached(name, *where) for place, where in places.items()})
        small, early, late = (times[place] for place in places)
        ratios = [np.median(late / base) for base in (early, small)]
        rows.append((name, *(np.median(runs) for runs in (small, early, late)), *ratios))
    title = f"ms a generation of {POPULATION} after {few:,} and {many:,} trials; room: trials the search has in all"
    heads = [f"{past:,} past, room {room:,}" for past, room in ((few, few), (few, many), (many, many))]
    head = ("algorithm", *heads, "late/early", "late/early, small room")
    return Table(title, head, rows, ("{}", *["{:.3f}"] * 3, *["{:.2f}"] * 2))


def mixed_types(names, repeats):
    """Return what a space of 5 whole numbers, 5 choices and 10 reals costs, beside 20 reals."""
    contenders = {}
    for name in names:
        contenders[name, "floats"] = functools.partial(ours, name)
        contenders[name, "mixed"] = functools.partial(ours, name, MIXED)
    times = take_turns(repeats, contenders)
    rows = []
    for name in names:
        floats, mixed = times[name, "floats"], times[name, "mixed"]
        rows.append((name, np.median(floats), np.median(mixed), np.median(mixed / floats)))
    title = "ms a generation: 20 Floats, and 5 Ints, 5 Choices and 10 Floats"
    head = ("algorithm", "20 Floats", "mixed", "mixed/floats")
    return Table(title, head, rows, ("{}", "{:.3f}", "{:.3f}", "{:.2f}"))


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    options = parsed(parser, QUICK)
    tables = [compare(options.repeats), mixed_types([*METHODS], options.repeats)]
    if not options.quick:
        tables.insert(1, after_many([name for name in jaxhpt.ALGORITHMS if name != "grid"], options.repeats))
    save("generations", tables, options, EXERCISES, PEERS)


if __name__ == "__main__":
    main()
