"""Run small searches of every kind, and print as JSON what they proposed and scored: one process for each mode.

python run.py traces runs
"""

import gc
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen

import jaxhpt

gc.set_threshold(50_000, 20, 20)  # as in conftest.py
SPACE = {"x": jaxhpt.Float(0, 4), "s": jaxhpt.Float(0, 1, step=0.1), "n": jaxhpt.Int(1, 3), "c": ["a", "b", "c"]}
QUIET = {"progress": False}


def quadratic(h, key):
    return (h["x"] - 1) ** 2 + h["s"] + h["n"].astype(jnp.float32) + h["c"].astype(jnp.float32)


def asked(algorithm, trials=24, space=SPACE, **options):
    """Ask and tell until the end."""
    tuner = jaxhpt.Tuner(space, algorithm=algorithm, trials=trials, lanes=4, **QUIET, **options)
    while several := tuner.ask(4):
        tuner.tell(several, [(one.hparams["x"] - 1) ** 2 for one in several])
    return tuner.result


def two_objectives(h, key):
    return {"loss": (h["x"] - 1) ** 2, "size": h["x"] + h["s"]}


def fronts():
    """Search for a front, and ask all that can be asked of it."""
    wanted = {"objectives": {"loss": "min", "size": "min"}, "algorithm": jaxhpt.NSGA2(population=4), **QUIET}
    space = {"x": SPACE["x"], "s": SPACE["s"]}
    result = jaxhpt.minimize(two_objectives, space, trials=16, lanes=4, **wanted)
    volume, chosen = result.hypervolume({"loss": 16.0, "size": 8.0}), result.compromise({"loss": 2.0, "size": 1.0})
    return result, [volume, chosen.id, len(result.pareto_front())]


class Net(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.Dense(3)(x)


def flax():
    """Train a small linen model under a scheduler, and train its best trial again."""
    rows = np.random.default_rng(0)
    data = rows.normal(size=(24, 4)).astype(np.float32), rows.integers(0, 3, 24).astype(np.int32)
    task = jaxhpt.FlaxTask(
        Net(), lambda h: optax.sgd(h["lr"], momentum=0.9), train_data=data, valid_data=data, batch_size=8, steps=6
    )
    lr = jaxhpt.Float(1e-2, 0.3, log=True)
    result = jaxhpt.search(task, {"lr": lr}, algorithm="random", scheduler="asha", trials=6, lanes=3, **QUIET)
    again = result.replay(result.best)
    leaves = jax.tree.leaves((jax.tree.leaves(result.best_state), jax.tree.leaves(again)))
    return result, [str(leaf.dtype) for leaf in leaves if hasattr(leaf, "dtype")]


def replicas():
    """Train trials of several seeds and folds, confirm the best of them, and measure it on other data."""
    rows = np.random.default_rng(0)
    data = rows.normal(size=(24, 4)).astype(np.float32), rows.integers(0, 3, 24).astype(np.int32)
    task = jaxhpt.FlaxTask(Net(), lambda h: optax.sgd(h["lr"]), train_data=data, batch_size=8, steps=6)
    space, folds = {"lr": jaxhpt.Float(1e-2, 0.3, log=True)}, jaxhpt.StratifiedKFold(2)
    wanted = {"seeds": 2, "folds": folds, "reshuffle": True, "reduce": "bound", "confirm": 2, "scheduler": "asha"}
    result = jaxhpt.search(task, space, algorithm="random", trials=6, lanes=3, **wanted, **QUIET)
    return result, [result.overtuning().gap, result.overtuning(data).gap, result.replay(result.best)[1]]


def many():
    """Search for two data sets of unequal lengths at once, one of which does not fill a batch."""
    rows = np.random.default_rng(0)
    x, y = rows.normal(size=(24, 4)).astype(np.float32), rows.integers(0, 3, 24).astype(np.int32)
    sets = [(x, y), (x[:6], y[:6])]
    task = jaxhpt.FlaxTask(Net(), lambda h: optax.sgd(h["lr"]), train_data=sets[0], valid_data=sets[0], batch_size=8)
    space, known = {"lr": jaxhpt.Float(1e-2, 0.3, log=True), "epochs": [1, 2]}, [({"lr": 0.1, "epochs": 1}, 0.5)]
    given = {"train_data": sets, "valid_data": sets, "prior": known, "first": [{"lr": 0.2, "epochs": 2}]}
    one, other = jaxhpt.search_many(task, space, algorithm="genetic", trials=6, lanes=2, **given, **QUIET)
    return one, [other.history.metrics.tolist(), other.replay(other.best)[1]]


def runs():
    """Yield a name, a result, and what else was found out, of searches that do most on the host."""
    first = jaxhpt.minimize(quadratic, SPACE, trials=20, lanes=4, algorithm="genetic", **QUIET)
    yield "minimize", first, [first.best.id, first.importance("grey")]
    more = {"algorithm": "quasi_random", "prior": first, "seed": 1, **QUIET}
    yield "minimize with a prior", jaxhpt.minimize(quadratic, SPACE, trials=8, lanes=4, **more), []
    yield "random", asked("random"), []
    yield "flax", *flax()
    yield "many", *many()


def runs_of_algorithms():
    """Yield the same of searches with the larger algorithms."""
    yield "auto", jaxhpt.minimize(quadratic, SPACE, trials=20, lanes=4, algorithm="auto", **QUIET), []
    for name in ("cma_es", "tpe", "bayesian"):
        yield name, asked(name), []
    believed = {**SPACE, "x": jaxhpt.Float(0, 4, near=1.5, trust="high"), "c": jaxhpt.Choice(["a", "b"], near="b")}
    yield "tpe with beliefs", asked("tpe", space=believed), []
    genetic = asked("genetic", 40)
    yield "genetic", genetic, [genetic.importance("permutation")]
    yield "nsga2", *fronts()
    yield "replicas", *replicas()


def runs_without_jit():
    """Yield the same of searches that are short enough to go step by step."""
    small = {"x": SPACE["x"], "n": SPACE["n"]}
    for name in ("random", "genetic", "tpe"):
        yield f"tuner, {name}", asked(name, 6, small), []
    plain = lambda h, key: (h["x"] - 1) ** 2 + h["n"].astype(jnp.float32)  # noqa: E731
    yield "minimize", jaxhpt.minimize(plain, small, trials=6, lanes=3, algorithm="quasi_random", **QUIET), []


def runs_of_other_dtypes():
    """Yield searches whose functions return what is no float32."""
    kinds = {
        "numpy float64": lambda x: x * np.float64(2),
        "float64": lambda x: x.astype(jnp.float64) * 2,
        "float16": lambda x: x.astype(jnp.float16),
        "bfloat16": lambda x: x.astype(jnp.bfloat16),
        "int64": lambda x: x.astype(jnp.int64),
        "bool": lambda x: x > 2,
        "a choice of two Python numbers": lambda x: jnp.where(x > 2, 1.0, 2.0),
    }
    for name, kind in kinds.items():
        yield f"maximize, {name}", *blackbox(kind)
        yield f"search, {name}", *scored(kind)


FEW = {"algorithm": "random", "trials": 4, "lanes": 2, **QUIET}


def blackbox(kind):
    return jaxhpt.maximize(lambda h, key: kind(h["x"]), {"x": SPACE["x"]}, **FEW), []


def scored(kind):
    return jaxhpt.search(
        lambda state, batch, h, key: state - h["x"], {"x": SPACE["x"]}, init=lambda key, h: jnp.float32(4.0),
        evaluate=lambda state, data, h: {"loss": kind(state)}, steps=2, **FEW,
    ), []  # fmt: skip


def shown(result, more):
    """Return what a search proposed and scored, to the bit."""
    count = int(result.history.num_rows)
    columns = {name: np.asarray(getattr(result.history, name))[:count] for name in ("unit", "metrics")}
    dtypes = {name: str(column.dtype) for name, column in columns.items()}
    return {"dtypes": dtypes, **{name: column.tobytes().hex() for name, column in columns.items()}, "more": more}


KINDS = (runs, runs_of_algorithms, runs_without_jit, runs_of_other_dtypes)
WHAT = {kind.__name__: kind for kind in KINDS}

if __name__ == "__main__":
    import traces  # beside this file, which is no package

    answer = {}
    for what in sys.argv[1:]:
        answer[what] = traces.faults() if what == "traces" else {n: shown(r, more) for n, r, more in WHAT[what]()}
    print(json.dumps(answer))
