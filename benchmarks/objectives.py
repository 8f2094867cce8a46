"""Several objectives under early stopping: hypervolume over epochs spent, against NSGA-II that trains all to the end.

Run: python -m benchmarks.objectives [--tasks NAME ...] [--contenders NAME ...] [--seeds 10] [--lanes 4] [--data DIR]
         [--quick]

The multi-fidelity multi-objective tasks of CARP-S that are for development and that YAHPO Gym's surrogates can run:
rbv2_xgboost on two data sets, accuracy and memory, where a step is a repetition or a share of the training data; and
that of LCBench, accuracy and cross entropy, where a step is an epoch, on instances that are for development. A search
may spend as many whole trainings as CARP-S allows, as the sum over all lanes; a trial that goes on pays for what it
adds, also where a step is a share of the data.

Only trials that were trained to the end count. The hypervolume is that of their objectives, up to the greatest value of
each among the fronts of all contenders and seeds of the task, as CARP-S has it, over that of the front of them all
together: 1 is all that anyone found. Settings that a booster does not use are part of the space. The data folder is by
default JAXHPT_DATA, else ../shared/data. The same seeds give the same values.
"""

import argparse
import dataclasses
import functools
import importlib.util
import json
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import jaxhpt
from benchmarks import problems
from benchmarks.common import assemble, data_option, parsed
from benchmarks.records import Table, save
from jaxhpt.core.history import Status
from jaxhpt.core.pareto import hypervolume, nondominated
from jaxhpt.engine.loop import begin, dispatch

SHARES = (0.25, 1.0)
RUN_TO_END, POPULATION = "nsga2, to the end", 20
CONTENDERS = {
    RUN_TO_END: (jaxhpt.NSGA2(POPULATION), jaxhpt.RunToEnd()),
    "nsga2, default, to the end": (jaxhpt.NSGA2(), jaxhpt.RunToEnd()),
    "random, to the end": (jaxhpt.Random(), jaxhpt.RunToEnd()),
    "random+asha": (jaxhpt.Random(), jaxhpt.ASHA()),
    "nsga2+asha": (jaxhpt.NSGA2(POPULATION), jaxhpt.ASHA()),
    "nsga2+hyperband": (jaxhpt.NSGA2(POPULATION), jaxhpt.Hyperband()),
    "nsga2+median_stop": (jaxhpt.NSGA2(POPULATION), jaxhpt.MedianStop()),
}
LCBENCH = ("3945", "167168", "189906")  # instances for development
BOOSTED = {"repl": 10, "trainsize": 27}  # steps of a whole training
EXERCISES = ("jaxhpt/schedulers", "jaxhpt/core/pareto.py", "jaxhpt/algorithms/evolution", "benchmarks/problems.py")
QUICK = {"tasks": ["lcbench:3945"], "contenders": [RUN_TO_END, "random+asha"], "seeds": 2, "trainings": 8}


@dataclasses.dataclass(frozen=True)
class Problem:
    """A training of two objectives.

    Attributes:
      space: where.
      evaluate: (steps, data, hparams) -> metrics after so many steps.
      objectives: name to direction.
      steps: of a whole training.
      trainings: whole ones that a search may spend.
    """

    space: dict
    evaluate: Callable
    objectives: dict
    steps: int
    trainings: int


def load(folder):
    """Return the problems whose data is there, by name."""
    about, found = folder / "carps" / "dev.json", {}
    if not about.is_file():
        return found
    for task in json.loads(about.read_text())["tasks"]["multi-fidelity-objective"]:
        if task["scenario"] == "lcbench" and (folder / "yahpo_lcbench" / "weights.npz").is_file():
            found |= {f"lcbench:{name}": _network(folder / "yahpo_lcbench", name, task) for name in LCBENCH}
        elif not task["held_out_instance"] and (folder / task["data"] / "weights.npz").is_file():
            found["{scenario}:{instance}:".format(**task) + task["fidelity"]["name"]] = _boosted(folder, task)
    return found


def _objectives(task):
    return {one["name"]: one["direction"][:3] for one in task["objectives"]}


def _dimension(about):
    if about["type"] == "categorical":
        return about["choices"]
    kind = jaxhpt.Int if about["type"] == "int" else jaxhpt.Float
    return kind(about["low"], about["high"], log=about["log"])


def _network(folder, instance, task):
    """Return LCBench's surrogate of an instance, with the objectives and the budget of CARP-S's task."""
    problem = problems.load(f"lcbench:{instance}", folder.parent)
    given, names = problem.moved(0), tuple(_objectives(task))

    def evaluate(steps, data, hparams):
        return dict(zip(names, problems.validated(hparams, given, steps), strict=True))

    return Problem(problem.space, evaluate, _objectives(task), task["fidelity"]["high"], task["n_trials"])


def _boosted(folder, task):
    """Return the surrogate of gradient boosting; a step is a repetition, or a share of the training data."""
    reader, codes = _reader(folder / task["data"]), json.loads((folder / task["data"] / "encoding.json").read_text())
    fidelity, (weights, _, _) = task["fidelity"]["name"], reader.load()
    weights = {name: jnp.asarray(array) for name, array in weights.items()}
    steps, fixed = BOOSTED[fidelity], {**task["fixed_fidelities"]}
    coded = {n: jnp.array([codes[n][c] for c in task["space"][n]["choices"]], jnp.int32) for n in reader.CATEGORIES[1:]}

    def evaluate(epoch, data, hparams):
        at = {**fixed, fidelity: epoch if fidelity == "repl" else epoch / steps}
        numbers = jnp.stack([jnp.asarray({**hparams, **at}[name], jnp.float32) for name in reader.INPUTS])[None]
        chosen = [coded[name][hparams[name]] for name in coded]
        row = jnp.stack([jnp.int32(codes["task_id"][task["instance"]]), *chosen])[None]
        out = reader.forward(weights, row, numbers * reader.active(row[:, 1], jnp), jnp)[0]
        return {name: out[reader.OUTPUTS.index(name)] for name in _objectives(task)}

    space = {name: _dimension(about) for name, about in task["space"].items()}
    return Problem(space, evaluate, _objectives(task), steps, task["n_trials"])


@functools.cache
def _reader(folder):
    """Load the forward pass that came with the data."""
    spec = importlib.util.spec_from_file_location(f"{folder.name}_reader", folder / "reader.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ends(problem, algorithm, scheduler, options):
    """Return what whole trainings came to, minimised, after each share of the budget: a list [S][2] of f32[n, 2]."""
    task = jaxhpt.Task(
        init=lambda key, h: jnp.float32(0.0), step=lambda step, rows, h, key: step + 1.0, steps=problem.steps,
        evaluate=problem.evaluate, objectives=problem.objectives,
    )  # fmt: skip
    trainings = options.trainings or problem.trainings
    budget, shortest = trainings * problem.steps, -(-problem.steps // 27)
    program, data = assemble(task, problem.space, algorithm, budget // shortest, options.lanes, scheduler=scheduler)
    lanes, interval = program.problem.lanes, program.problem.schedule.interval
    events, found = [round(share * budget / (lanes * interval)) for share in SHARES], []
    for seed in range(options.seeds):
        carry, told = begin(program, jax.random.key(seed)), []
        for until, done in zip(events, (0, *events), strict=False):
            carry, _ = dispatch(program, carry, data, jnp.int32(until - done))
            history = jax.device_get(carry.study.history)
            told.append(history.metrics[history.status == Status.DONE, :2])
        found.append(told)
    return found


def volumes(found):
    """Return the normalised hypervolumes f64[S, 2] of each contender; see the module."""
    fronts = {name: [[_front(told) for told in one] for one in runs] for name, runs in found.items()}
    points = np.concatenate([front for runs in fronts.values() for one in runs for front in one])
    corner, ideal = points.max(axis=0), points.min(axis=0)
    width = np.where(corner > ideal, corner - ideal, 1.0)

    def volume(front):
        unit = jnp.asarray((front - ideal) / width, jnp.float32)
        return float(hypervolume(unit, jnp.ones(2, jnp.float32))) if len(front) else 0.0

    best = volume(_front(points))
    return {name: np.array([[volume(f) / best for f in one] for one in runs]) for name, runs in fronts.items()}


def _front(told):
    if not len(told):
        return told
    return np.unique(told[np.asarray(nondominated(jnp.asarray(told), jnp.ones(len(told), bool)))], axis=0)


def compare(options):
    """Return the hypervolumes of all contenders on every task, and who was ahead of NSGA-II that trains to the end."""
    loaded, rows, means, counts = load(options.data), [], [], []
    for name in options.tasks or loaded:
        if name not in loaded:
            print(f"{name}: skipped, no data in {options.data}", flush=True)
            continue
        found = {c: ends(loaded[name], *CONTENDERS[c], options) for c in options.contenders}
        reached = volumes(found)
        rows.append((name, *(_cell(reached[c]) for c in options.contenders)))
        means.append([reached[c].mean(axis=0) for c in options.contenders])
        counts.append([np.mean([len(told[-1]) for told in found[c]]) for c in options.contenders])
        print(name, *(f"{c} {reached[c].mean(axis=0).round(3)}" for c in options.contenders), sep="; ", flush=True)
    return _tables(options, rows, np.array(means), np.array(counts)) if rows else []


def _cell(reached):
    (quarter, whole), spread = np.median(reached, axis=0), np.subtract(*np.percentile(reached[:, 1], [75, 25]))
    return {"quarter": quarter, "end": whole, "spread": spread}


def _tables(options, rows, means, counts):
    names = options.contenders
    title = f"median hypervolume after a quarter and all of the budget, interquartile range; {options.seeds} seeds"
    form = "{quarter:.3f}, {end:.3f} ({spread:.2f})"
    tables = [Table(f"{title}, {options.lanes} lanes", ("task", *names), rows, ("{}", *[form] * len(names)))]
    total = [
        (
            n,
            *means[:, i].mean(axis=0),
            *np.sum(means[:, i] > means[:, names.index(RUN_TO_END)], axis=0),
            counts[:, i].mean(),
        )
        for i, n in enumerate(names)
    ]
    head = ("", "mean, a quarter", "mean, the end", "tasks ahead, a quarter", "tasks ahead, the end", "whole trainings")
    title = f"mean hypervolume over {len(rows)} tasks, and tasks whose mean is above that of {RUN_TO_END}"
    return [*tables, Table(title, head, total, ("{}", "{:.3f}", "{:.3f}", "{}", "{}", "{:.0f}"))]


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", metavar="NAME", help="of all whose data is there")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, metavar="NAME", help="; ".join(CONTENDERS))
    for name, number, about in (
        ("seeds", 10, "of each contender"), ("lanes", 4, "side by side"),
        ("trainings", None, "whole ones; by default as many as CARP-S allows"),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=number, help=about)
    data_option(parser)
    options = parsed(parser, QUICK)
    options.contenders = list(dict.fromkeys([RUN_TO_END, *(options.contenders or CONTENDERS)]))
    if tables := compare(options):
        save("objectives", tables, options, EXERCISES)


if __name__ == "__main__":
    main()
