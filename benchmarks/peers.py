"""Searches by other packages on `benchmarks.problems`, each in its default and in the best setting we found.

Optuna 5's TPE is multivariate by default, with a constant liar: best one trial at a time on our standard functions.
Independent dimensions come far lower in batches of 32, there too with the liar. Groups are for conditional spaces. Its
CMA-ES takes a population of 4 + 3 ln D by default, best one trial at a time; 32 is better in batches of 32. Its GP
expects noise by default, and there is none here. An ordered list of values is given to a peer as whole numbers, its
places.
"""

import functools
import time
import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Peer(NamedTuple):
    """A contender: its name in tables, the packages it needs, one of Optuna's samplers and its settings."""

    label: str
    needs: tuple
    sampler: str = ""
    settings: Any = ()


PEERS = {
    "tpe": Peer("optuna tpe, default", ("optuna",), "TPESampler"),
    "tpe_independent": Peer("optuna tpe, multivariate=False", ("optuna",), "TPESampler", (("multivariate", False),)),
    "cma_es": Peer("optuna cma_es, default", ("optuna", "cmaes"), "CmaEsSampler"),
    "cma_es_32": Peer("optuna cma_es, popsize=32", ("optuna", "cmaes"), "CmaEsSampler", (("popsize", 32),)),
    "gp": Peer("optuna gp, default", ("optuna", "torch"), "GPSampler"),
    "gp_exact": Peer(
        "optuna gp, deterministic_objective", ("optuna", "torch"), "GPSampler", (("deterministic_objective", True),)
    ),
    "botorch": Peer("botorch, log-EI", ("botorch",)),
}
SLOW = ("gp", "gp_exact", "botorch")


def search(problem, name, part, seeds):
    """Let another package minimise with each of S seeds: the best values f64[S], and the median seconds of a search.

    Seconds are the processor's, as in `benchmarks.common.minima`.

    Args:
      problem: of `benchmarks.problems`.
      name: of PEERS.
      part: has `trials`, and `batch`, which are proposed before any of them is told.
      seeds: S of them.
    """
    run = botorch_search if name == "botorch" else functools.partial(optuna_search, kind=name)
    function, best, seconds = jax.jit(problem.function), [], []
    for seed in seeds:
        moved = jax.tree.map(jnp.asarray, problem.moved(seed))
        began = time.process_time()
        best.append(run(problem, lambda h, moved=moved: float(function(h, moved)), part=part, seed=seed))
        seconds.append(time.process_time() - began)
    return np.array(best), np.median(seconds)


def sampler(kind, seed):
    """Make one of Optuna's samplers."""
    import optuna

    peer = PEERS[kind]
    return getattr(optuna.samplers, peer.sampler)(seed=seed, **dict(peer.settings))


def optuna_search(problem, value, part, seed, kind):
    """Let Optuna minimise `value`: the best."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study, ranges = optuna.create_study(sampler=sampler(kind, seed)), problem.distributions()
    for begun in range(0, part.trials, part.batch):
        asked = [study.ask(ranges) for _ in range(min(part.batch, part.trials - begun))]
        for trial in asked:
            study.tell(trial, value(problem.decoded(trial.params)))
    return study.best_value


def botorch_search(problem, value, part, seed):
    """Let BoTorch minimise `value`, one at a time, after as many Sobol points as we take: the best."""
    import torch

    warnings.simplefilter("ignore")  # of the process, about the scale of its own data
    torch.manual_seed(seed)
    dimensions = problem.space.num_dimensions
    sobol = torch.quasirandom.SobolEngine(dimensions, scramble=True, seed=seed)
    unit, decode = sobol.draw(max(8, min(2 * dimensions, 64)), dtype=torch.double), jax.jit(problem.space.decode)
    values = [value(decode(row.numpy().astype(np.float32))) for row in unit]
    while len(values) < part.trials:
        row = _most_promising(unit, torch.tensor(values, dtype=torch.double)[:, None])
        unit = torch.cat([unit, row])
        values.append(value(decode(row[0].numpy().astype(np.float32))))
    return min(values)


def _most_promising(unit, values):
    """Fit BoTorch's default process, and return where log expected improvement is largest: [1, D]."""
    import torch
    from botorch.acquisition import LogExpectedImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.transforms import Standardize
    from botorch.optim import optimize_acqf
    from gpytorch.mlls import ExactMarginalLogLikelihood

    model = SingleTaskGP(unit, -values, outcome_transform=Standardize(m=1))
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    bounds = torch.stack([torch.zeros_like(unit[0]), torch.ones_like(unit[0])])
    improvement = LogExpectedImprovement(model, best_f=(-values).max())
    return optimize_acqf(improvement, bounds, q=1, num_restarts=10, raw_samples=512)[0].detach()
