"""Findings written by hand, of which tests of reports know what a figure must show."""

import dataclasses

import numpy as np

from jaxhpt.core.constraints import Constraint
from jaxhpt.core.metrics import MetricSpec, Objective
from jaxhpt.core.spread import Spread
from jaxhpt.report.findings import Axis, Facts, Findings, Shares

RUNNING, DONE, STOPPED, FAILED, PRIOR = 1, 2, 3, 4, 5
NAN = np.nan
NASTY = "</script><img src=x onerror=alert(1)>"


def findings(score, status, value=None, metrics=None, parent=None, steps=None, start=None, **more):
    """Return findings of N trials: scores [N, K] of minimised metrics, a status each, and what else is wanted."""
    score, status = np.asarray(score, float), np.asarray(status, np.int8)
    score = score[:, None] if score.ndim == 1 else score
    num = len(score)
    metrics = metrics or MetricSpec((Objective("loss", "min"),), tuple(f"m{i}" for i in range(1, score.shape[1])))
    value = np.linspace(0, 1, num)[:, None] if value is None else np.asarray(value, float)
    axes = more.pop("axes", tuple(Axis(f"x{i}", 0.0, 1.0) for i in range(value.shape[1])))
    steps = np.full(num, 4) if steps is None else np.asarray(steps)
    fitness = np.where(np.isfinite(score[:, 0]), score[:, 0] * metrics.objectives[0].sign, np.inf)
    done = np.where(status == DONE, fitness, np.inf)
    best = int(done.argmin()) if num and np.isfinite(done).any() and len(metrics.objectives) == 1 else -1
    made = Findings(
        name="",
        axes=axes,
        metrics=metrics,
        trial=np.arange(num),
        status=status,
        unit=np.stack([axis.place(value[:, i]) for i, axis in enumerate(axes)], 1),
        value=value,
        score=score,
        fitness=fitness,
        feasible=np.ones(num, bool),
        steps=steps,
        start=np.zeros(num, int) if start is None else np.asarray(start),
        born=np.zeros(num, int),
        parent=np.full(num, -1) if parent is None else np.asarray(parent),
        report=steps[:, None],
        curve=np.where(np.isfinite(score[:, :1]), score[:, :1], NAN),
        front=np.zeros(0, int),
        best=best,
        facts=Facts(trials=num, wanted=num, seconds=2.0, lanes=2, interval=1, longest=4, device="cpu"),
    )
    return dataclasses.replace(made, **more)


def single():
    """Return a search of six trials that were done, stopped and failed, in a space of four dimensions, one missing."""
    axes = (
        Axis("lr", 1e-4, 1.0, log=True),
        Axis("opt", 0, 1, texts=("sgd", NASTY)),
        Axis("b2", 0.9, 1.0),
        Axis("n", 1, 9, whole=True),
    )
    value = [
        [1e-4, 0, NAN, 1],
        [1e-2, 1, 0.9, 9],
        [1.0, 1, 1.0, 5],
        [0.1, 0, NAN, 2],
        [0.01, 0, NAN, 3],
        [1, 1, 0.95, 4],
    ]
    curve = [[5, 3, NAN], [6, 2, 1.0], [NAN, NAN, NAN], [4, NAN, NAN], [5, 1, 0.5], [7, NAN, NAN]]
    shares = Shares("loss", "permutation", ("opt", "lr", "b2", "n"), np.array([0.6, 0.4, 0, 0]), np.full(4, NAN))
    return findings(
        [[3, 4], [1, 2], [NAN, NAN], [4, 4], [0.5, 1.5], [7, NAN]],
        [STOPPED, DONE, FAILED, STOPPED, DONE, RUNNING],
        value,
        metrics=MetricSpec((Objective("loss", "min"),), ("test_loss",)),
        axes=axes,
        steps=[2, 4, 1, 1, 4, 1],
        start=[0, 0, 2, 3, 4, 4],
        curve=np.array(curve),
        report=np.array([[1, 2, 2], [1, 2, 4], [1, 1, 1], [1, 1, 1], [1, 2, 4], [1, 1, 1]]),
        shares=(shares,),
    )


def pareto():
    """Return five trials of two objectives: 0 and 2 are the front, 3 breaks a constraint, 4 failed."""
    metrics = MetricSpec(
        (Objective("error", "min"), Objective("speed", "max")), ("size",), (Constraint("size", "<=", 3.0),)
    )
    score = [[1, 1, 1], [3, 1, 1], [2, 3, 1], [0, 9, 9], [NAN, NAN, NAN]]
    feasible = np.array([True, True, True, False, False])
    made = findings(score, [DONE] * 4 + [FAILED], metrics=metrics, value=np.full((5, 2), 0.5))
    return dataclasses.replace(made, feasible=feasible, front=np.array([0, 2]))


def population():
    """Return a population of two, where 2 goes on from 1 in the place of 0, and 3 from 2 in the place of 1."""
    return findings(
        [3, 2, 0.5, 1.0],
        [STOPPED, STOPPED, DONE, DONE],
        [[0.1], [0.4], [0.5], [0.9]],
        parent=[-1, -1, 1, 2],
        steps=[2, 3, 4, 4],
        start=[0, 0, 2, 3],
        born=np.array([0, 0, 2, 3]),
        curve=np.array([[5, 3, NAN], [4, 2, NAN], [NAN, 1, 0.5], [NAN, NAN, 1.0]]),
        report=np.array([[1, 2, 4]] * 4),
    )


def replicas():
    """Return three trials of four models each, with their spread."""
    metrics = MetricSpec((Objective("acc", "max"),), ("acc_std",), (), (Spread("acc", "acc_std", 4),))
    return findings([[0.9, 0.2], [0.85, 0.1], [0.5, 0.1]], [DONE] * 3, metrics=metrics)


def nothing():
    """Return a search in which no trial has ended."""
    return findings(np.zeros((0, 1)), [], np.zeros((0, 1)))


def nasty():
    """Return a search whose names and texts would be code on a page that let them."""
    metrics = MetricSpec((Objective(NASTY, "min"),), ("a\u2028b",))
    axes = (Axis(f"x{NASTY}", 0, 1, texts=(NASTY, "<!--")),)
    made = findings([[1, 2], [3, 4]], [DONE] * 2, [[0], [1]], metrics=metrics, axes=axes)
    return dataclasses.replace(made, name=NASTY, facts=Facts(device=NASTY, memory=(NASTY,), algorithm=NASTY))


def many_trials(num, seed=0):
    """Return a search of many trials in six dimensions, some of which failed."""
    value = np.random.default_rng(seed).random((num, 6))
    score = np.where(value[:, :1] > 0.97, NAN, value[:, :2] + value[:, 2:4])
    return findings(score, np.where(np.isnan(score[:, 0]), 4, DONE), value)
