"""Drawings of matplotlib show the figures that are data, and say what is wrong."""

import sys

import matplotlib
import numpy as np
import pytest
import short_runs
from hand_findings import DONE, findings, pareto, population, replicas, single

import jaxhpt
from jaxhpt.core.metrics import MetricSpec, Objective
from jaxhpt.report.drawn import scores, settings, time
from jaxhpt.report.drawn.base import new_axes
from jaxhpt.report.figures.comparison import comparison
from jaxhpt.report.figures.contours import contours
from jaxhpt.report.figures.curves import curves
from jaxhpt.report.figures.distribution import distribution
from jaxhpt.report.figures.endings import endings
from jaxhpt.report.figures.held_out import held_out
from jaxhpt.report.figures.history import history
from jaxhpt.report.figures.importance import importance
from jaxhpt.report.figures.lanes import lanes
from jaxhpt.report.figures.lineage import lineage
from jaxhpt.report.figures.parallel import parallel
from jaxhpt.report.figures.pareto import pareto as front
from jaxhpt.report.figures.rungs import rungs
from jaxhpt.report.figures.slices import slices
from jaxhpt.report.figures.spread import spread

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close():
    yield
    from matplotlib import pyplot

    pyplot.close("all")


@pytest.fixture(scope="module")
def result():
    return short_runs.search(scheduler="asha")


DRAWN = {
    "history": lambda ax: scores.history(history(single()), ax),
    "contours": lambda ax: scores.contours(contours(single()), 0, ax),
    "distribution": lambda ax: scores.distribution(distribution([single(), single()]), ax),
    "comparison": lambda ax: scores.comparison(comparison([single(), single()]), ax),
    "parallel": lambda ax: settings.parallel(parallel(single()), ax),
    "importance": lambda ax: settings.importance(importance(single()), ax),
    "pareto": lambda ax: settings.pareto(front(pareto()), ax),
    "hypervolume": lambda ax: settings.hypervolume(front(pareto()), ax),
    "spread": lambda ax: settings.spread(spread(replicas()), ax),
    "held_out": lambda ax: settings.held_out(held_out(single()), ax),
    "curves": lambda ax: time.curves(curves(single()), ax),
    "lanes": lambda ax: time.lanes(lanes(single()), ax),
    "rungs": lambda ax: time.rungs(rungs(single()), ax),
    "lineage": lambda ax: time.lineage(lineage(population()), 0, ax),
    "endings": lambda ax: time.endings(endings(single()), ax),
}


@pytest.mark.parametrize("name", list(DRAWN))
def test_each_is_drawn(name):
    ax = DRAWN[name](new_axes())
    ax.figure.canvas.draw()
    assert ax.get_title(loc="left")
    assert ax.has_data()


def test_slices_have_axes_for_each_dimension():
    figure = slices(single())
    drawn = scores.slices(figure, scores.axes_of_slices(figure))
    drawn.canvas.draw()
    assert [ax.get_xlabel() for ax in drawn.axes] == ["opt", "lr", "b2", "n"]
    assert drawn.axes[1].get_xscale() == "log"


def test_the_line_of_a_history_is_the_best_so_far():
    ax = scores.history(history(findings([3, 1, 2], [DONE] * 3)), new_axes())
    (line,) = ax.get_lines()
    np.testing.assert_array_equal(line.get_ydata(), [3, 1, 1])


def test_good_trials_that_lie_upon_each_other_are_moved_apart():
    score = np.append(np.linspace(0.5, 0.9, 80), 1 - np.geomspace(1e-3, 0.1, 20))
    metrics = MetricSpec((Objective("accuracy", "max"),))
    ax = scores.history(history(findings(score, [DONE] * 100, metrics=metrics)), new_axes())
    ax.figure.canvas.draw()
    assert ax.get_ylabel() == "accuracy, by the log of the distance to the best"
    high = ax.transAxes.inverted().transform(ax.transData.transform([[0, 0.9], [0, 0.999]]))[:, 1]
    assert high[0] < 0.7
    assert high[1] > 0.95


def test_what_lies_beyond_an_edge_is_a_triangle_at_it():
    score = np.append(np.linspace(-1, 1, 99), 90.0)
    ax = scores.history(history(findings(score, [DONE] * 100)), new_axes())
    _, triangles = ax.collections
    np.testing.assert_allclose(triangles.get_offsets(), [[99, history(findings(score, [DONE] * 100)).objective.high]])


def test_lines_that_are_the_same_are_both_seen():
    first, second = scores.comparison(comparison([single(), single()]), new_axes()).get_lines()
    assert first.get_linestyle() == "-"
    assert second.get_linestyle() == "--"


def test_the_winner_of_a_lineage_ends_where_its_child_began():
    ax = time.lineage(lineage(population()), 0, new_axes())
    *_, first, second = ax.get_lines()
    assert list(first.get_xdata()) == [0, 2]
    assert list(second.get_xdata()) == [2, 2, 4]


def test_axes_may_be_given_and_are_returned(result):
    ax = new_axes()
    assert jaxhpt.plots.history(result, ax=ax) is ax
    assert jaxhpt.plots.rungs(result).get_title(loc="left") == "Flow through the rungs"
    assert jaxhpt.plots.slices(result).axes
    assert len(jaxhpt.plots.comparison({"a": result, "b": result}).get_lines()) == 2


@pytest.mark.parametrize(("given", "drawn"), [
    ({}, ("a", "b")), ({"x": "c"}, ("c", "a")), ({"y": "a"}, ("b", "a")), ({"x": "c", "y": "b"}, ("c", "b")),
])  # fmt: skip
def test_contours_are_over_dimensions_of_which_some_are_named(given, drawn):
    space = {name: jaxhpt.Float(0, 1) for name in "abc"}
    found = jaxhpt.minimize(lambda h, key: h["a"] + h["b"] * h["c"], space, trials=16, progress=False)
    ax = jaxhpt.plots.contours(found, **given)
    assert (ax.get_xlabel(), ax.get_ylabel()) == drawn


@pytest.mark.parametrize(("name", "why"), [
    ("pareto", "the search has one objective"), ("contours", "the space has one dimension"),
    ("lineage", "no trial went on"), ("spread", "each trial trained one model"), ("held_out", "all figures chose"),
])  # fmt: skip
def test_nothing_to_show_is_an_error_that_says_why(result, name, why):
    with pytest.raises(ValueError, match=f"{name}: nothing to show: {why}"):
        getattr(jaxhpt.plots, name)(result)


def test_dollars_in_names_are_no_maths():
    name, space = r"$\no$", {r"a$\no$": jaxhpt.Float(0, 1), "b": jaxhpt.Choice([r"$\no$", "c"])}
    found = jaxhpt.minimize(
        lambda h, key: {name: h[r"a$\no$"] + (h["b"] == "c")}, space, objective=name, trials=16, progress=False
    )
    for draw in (jaxhpt.plots.history, jaxhpt.plots.parallel, jaxhpt.plots.contours, jaxhpt.plots.importance):
        draw(found).figure.canvas.draw()
    ax = jaxhpt.plots.comparison({name: found, "other": found})
    ax.figure.canvas.draw()
    assert ax.get_ylabel() == r"\$\no\$"


def test_wrong_names_are_errors(result):
    with pytest.raises(ValueError, match="objective='los': unknown; did you mean 'loss'"):
        jaxhpt.plots.history(result, objective="los")
    with pytest.raises(ValueError, match="must be two dimensions of"):
        jaxhpt.plots.contours(result, "lr", "size")
    other = jaxhpt.maximize(lambda h, key: h["x"], {"x": jaxhpt.Float(0, 1)}, trials=8, progress=False)
    with pytest.raises(ValueError, match="results: comparison is of searches with the same objectives"):
        jaxhpt.plots.comparison([result, other])
    with pytest.raises(TypeError, match="results=3: must be a Result, a list"):
        jaxhpt.plots.distribution(3)


def test_without_matplotlib_the_error_names_the_extra(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'jaxhpt\[plots\]'"):
        jaxhpt.plots.history(result)


@pytest.mark.parametrize("score", [[1e-300, 1.0, 1e250], [5e-324, 1.0, 1.7e308], [-1.7e308, 0.0, 1.7e308]])
def test_the_largest_and_the_least_of_numbers_are_drawn(score):
    ax = scores.history(history(findings(score, [DONE] * 3)), new_axes())
    assert np.isfinite(ax.get_ylim()).all()
    ax.figure.canvas.draw()
