"""What grey models are worth: as forecasts of learning curves, as a reason to stop a trial, as a guide to mutations.

Run: python -m benchmarks.grey [--parts forecast stopping guided] [--settings 2000] [--seeds 30]
         [--tasks 167168 3945 ...] [--algorithm random] [--lanes 4] [--data DIR] [--quick]

Part forecast: the accuracy at epoch 52 of random settings of LCBench's surrogate, forecast from the first 4, 8 and 16
epochs: mean absolute error, Spearman's rank correlation, and the share of the true best twentieth among the quarter
that is forecast to be best; means over the tasks. Part stopping: regret, over the least error that any contender met,
of the best error that any trial reported after a quarter and after all of 6,544 epochs, as the sum over all lanes; all
look at every epoch, but ASHA at its rungs. Part guided: the genetic algorithm, guided by grey relational grades or not,
10 trials at a time: regret of the error at epoch 52. Ranks are of a task's mean regrets. The same seeds give the same
values.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

import jaxhpt
from benchmarks import problems
from benchmarks.common import assemble, data_option, minima, parsed
from benchmarks.fidelity import BUDGET, present, spend, task_of
from benchmarks.records import Table, save
from jaxhpt.grey import forecast, sequences

EXERCISES = {
    "forecast": ("jaxhpt/grey",),
    "stopping": ("jaxhpt/grey", "jaxhpt/schedulers"),
    "guided": ("jaxhpt/grey", "jaxhpt/algorithms/evolution", "jaxhpt/algorithms/hybrids"),
}
QUICK = {"tasks": ["3945"], "settings": 50, "seeds": 2}
AGES = (4, 8, 16)
WINDOW = 4  # of the rolling model
POWERS = np.linspace(0.05, 3.0, 60, dtype=np.float32)
TOP, KEPT = 20, 4  # one in so many is a winner; one in so many is kept
STOPPERS = {
    "no stopping": jaxhpt.MedianStop(eval_interval=1, min_trials=BUDGET),  # reports as the others do
    "median_stop": jaxhpt.MedianStop(eval_interval=1),
    "asha from 2": jaxhpt.ASHA(3, 2),
    "asha from 3": jaxhpt.ASHA(3, 3),
    "grey_stop": jaxhpt.GreyStop(eval_interval=1),
}
BREEDERS = {"genetic": jaxhpt.Genetic(), "grey_guided": jaxhpt.GreyGuided(jaxhpt.Genetic())}
BRED = (200, 1000)  # trials
ALGORITHMS = {"bayesian": jaxhpt.Bayesian(limit=256)}


def _end(curve):
    return jnp.full((*curve.shape[:-1], 1), problems.EPOCH - 1.0)


def power_law(curve):
    """Fit level + slope t^-p by least squares, the power by trying many, and begin at the last report."""
    time = 1.0 + jnp.arange(curve.shape[-1], dtype=jnp.float32)

    def one(power):
        x = jnp.broadcast_to(time**-power, curve.shape)
        slope, level = sequences.line(x, curve, jnp.ones_like(curve))
        error = jnp.sum((curve - slope[..., None] * x - level[..., None]) ** 2, axis=-1)
        return error, curve[..., -1] + slope * (problems.EPOCH**-power - x[..., -1])

    error, ends = jax.lax.map(one, jnp.asarray(POWERS))
    return jnp.take_along_axis(ends, jnp.argmin(error, axis=0)[None], axis=0)[0]


def rolling(curve):
    """Forecast by GM(1,1) of the last reports."""
    last, length = jaxhpt.grey.tail(curve, None, WINDOW)
    place = _end(curve) - (curve.shape[-1] - WINDOW)
    return jaxhpt.grey.GM11.fit(last, length).at(place)[..., 0]


def gains(curve):
    """Add the gains to come, by GM(1,1) as it is but for a rate in bounds, in the direction of the mean gain."""
    change = jnp.diff(curve, axis=-1)
    sums = jnp.cumsum(jnp.abs(change), axis=-1)
    middle = 0.5 * (sums[..., 1:] + sums[..., :-1])
    model = jaxhpt.grey.GM11.fit(jnp.abs(change))
    rate = jnp.clip(model.rate, forecast.SLOWEST, forecast.FASTEST)
    source = model.source + (rate - model.rate) * jnp.mean(middle, axis=-1)
    last, left = change.shape[-1] - 1.0, problems.EPOCH - curve.shape[-1]
    ahead = (source - rate * jnp.abs(change[..., 0])) * jnp.exp(-rate * last) * left * sequences.growth(-rate * left)
    return curve[..., -1] + jnp.sign(jnp.mean(change, axis=-1)) * jnp.maximum(ahead, 0.0)


def tempered(curve):
    """Forecast as GreyStop does, before it has learnt how far to trust it."""
    return curve[..., -1] + jaxhpt.grey.gain_to_come(curve, None, problems.EPOCH)


FORECASTS = {
    "last value": lambda curve: curve[..., -1],
    "best value": lambda curve: jnp.max(curve, axis=-1),
    "power law": power_law,
    "GM(1,1) of the curve": lambda c: jaxhpt.grey.GM11.fit(c).at(_end(c))[..., 0],
    "DGM(1,1) of the curve": lambda c: jaxhpt.grey.DGM11.fit(c).at(_end(c))[..., 0],
    "Verhulst of the curve": lambda c: jaxhpt.grey.Verhulst.fit(c).at(_end(c))[..., 0],
    f"GM(1,1) of the last {WINDOW}": rolling,
    "GM(1,1) of the gains": gains,
    "GM(1,1) of the gains, tempered": tempered,
}


def curves_of(problem):
    """Return a function for accuracies f32[N, EPOCH] of random settings; tasks, being arguments, share it."""

    def curves(key, given, num):
        unit = problem.space.snap(jax.random.uniform(key, (num, problem.space.num_dimensions)))
        epochs = 1.0 + jnp.arange(problems.EPOCH, dtype=jnp.float32)

        def one(row):
            hparams = problem.space.decode(row)
            return 1.0 - jax.vmap(lambda epoch: problem.curve(hparams, given, epoch))(epochs)

        return jax.lax.map(one, unit, batch_size=100)

    return jax.jit(curves, static_argnums=2)


def judged(forecasts, truth):
    """Return the error, the rank correlation and the share of winners kept, of f32[N] each."""
    winners = np.argsort(-truth, kind="stable")[: max(1, len(truth) // TOP)]
    kept = np.argsort(-forecasts, kind="stable")[: max(1, len(truth) // KEPT)]
    ranks = (scipy.stats.rankdata(values) for values in (forecasts, truth))
    return np.abs(np.clip(forecasts, 0.0, 1.0) - truth).mean(), np.corrcoef(*ranks)[0, 1], np.isin(winners, kept).mean()


def forecasting(options):
    """Return how good forecasts are."""
    tasks, curves = present(options), None
    everything = jax.jit(lambda c: jnp.stack([jnp.stack([f(c[:, :k]) for k in AGES]) for f in FORECASTS.values()]))
    found = []
    for task in tasks:
        problem = problems.load(f"lcbench:{task}", options.data)
        curves = curves or curves_of(problem)
        known = curves(jax.random.key(0), jax.tree.map(jnp.asarray, problem.moved(0)), options.settings)
        told, truth = np.asarray(everything(known), np.float64), np.asarray(known[:, -1], np.float64)
        found.append([[judged(one, truth) for one in ages] for ages in told])
    if not tasks:
        return []
    title = (
        f"{options.settings} settings of each of {len(tasks)} tasks, epoch {problems.EPOCH} from the first 4, 8 and 16;"
    )
    title += " absolute error, rank correlation, share of the best twentieth kept in a quarter"
    means, names = np.mean(found, axis=0), ("error", "rank", "kept")
    rows = [
        (name, *(dict(zip(names, age, strict=True)) for age in ages))
        for name, ages in zip(FORECASTS, means, strict=True)
    ]
    form = "{error:.3f} / {rank:.3f} / {kept:.3f}"
    return [Table(title, ("", *(f"from {k}" for k in AGES)), rows, ("{}", form, form, form))]


def search(problem, algorithm, scheduler, options):
    """Return the best errors after each share of the budget, f64[S, 2], and the trials begun in a search."""
    most = BUDGET // 2  # more than are begun
    program, data = assemble(task_of(problem), problem.space, algorithm, most, options.lanes, 0, scheduler, 1)
    best, _, trials = spend(program, data, options.seeds)
    return best, trials


def stopping(options):
    """Return regrets with each way to stop, and how many trials were begun."""
    tasks, algorithm = present(options), ALGORITHMS.get(options.algorithm) or jaxhpt.ALGORITHMS[options.algorithm]()
    if not tasks:
        return []
    regrets, begun = [], []
    for task in tasks:
        problem = problems.load(f"lcbench:{task}", options.data)
        best, trials = zip(*(search(problem, algorithm, s, options) for s in STOPPERS.values()), strict=True)
        regret = 100 * (np.mean(best, axis=1) - np.min(best))
        regrets.append(regret)
        begun.append(trials)
    title = f"{options.algorithm}, {options.lanes} lanes, {options.seeds} seeds; mean regret in hundredths"
    title += f" after {BUDGET // 4} epochs, after {BUDGET}"
    counts = [("trials begun", *np.mean(begun, axis=0))]
    return [
        *regretted(title, tasks, regrets, STOPPERS, ("quarter", "end"), ".2f"),
        Table("trials begun in a search", ("task", *STOPPERS), counts, ("{}", *["{:.0f}"] * len(STOPPERS))),
    ]


def regretted(title, tasks, regrets, contenders, names, digits):
    """Return the tables of regrets f64[tasks, contenders, 2]: each task, the means, the mean ranks."""

    def table(title, rows, digits):
        form = f"{{{names[0]}:{digits}}}, {{{names[1]}:{digits}}}"
        cells = [(label, *(dict(zip(names, pair, strict=True)) for pair in row)) for label, row in rows]
        return Table(title, ("task", *contenders), cells, ("{}", *[form] * len(contenders)))

    ranks = scipy.stats.rankdata(regrets, axis=1).mean(axis=0)
    return [
        table(title, zip(tasks, regrets, strict=True), digits),
        table("means of the above", [("mean", np.mean(regrets, axis=0))], digits),
        table("mean ranks", [("mean rank", ranks)], ".2f"),
    ]


def guided(options):
    """Return regrets of the genetic algorithm, guided and not."""
    tasks = present(options)
    if not tasks:
        return []
    regrets = []
    for task in tasks:
        problem = problems.load(f"lcbench:{task}", options.data)
        best = np.array([[minima(problem, a, n, 10, range(options.seeds))[0] for n in BRED] for a in BREEDERS.values()])
        regret = 100 * (best.mean(axis=2) - best.min())
        regrets.append(regret)
    title = f"{options.seeds} seeds; mean regret in hundredths after {BRED[0]} and {BRED[1]} trials"
    return regretted(title, tasks, regrets, BREEDERS, ("few", "many"), ".3f")


def parse():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--tasks", nargs="+", choices=problems.INSTANCES, metavar="TASK", default=problems.INSTANCES)
    for name, number in (("settings", 2000), ("seeds", 30), ("lanes", 4)):
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--algorithm", choices=jaxhpt.ALGORITHMS, default="random")
    data_option(parser)
    return parsed(parser, QUICK)


PARTS = {"forecast": forecasting, "stopping": stopping, "guided": guided}


def main():
    """Run what the command line asks for."""
    options = parse()
    for part in options.parts:
        if tables := PARTS[part](options):
            save(f"grey-{part}", tables, options, EXERCISES[part])


if __name__ == "__main__":
    main()
