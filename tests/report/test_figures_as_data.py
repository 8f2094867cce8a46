"""Figures as data: what they show of histories that were written by hand."""

import dataclasses

import numpy as np
import pytest
from hand_findings import DONE, FAILED, NAN, PRIOR, STOPPED, findings, nothing, pareto, population, replicas, single

from jaxhpt.core import pareto as exact
from jaxhpt.core.metrics import MetricSpec, Objective
from jaxhpt.report.axis import Axis, axis_of, objective_axis
from jaxhpt.report.catalogue import figures_of, figures_together
from jaxhpt.report.figures.base import Missing, thinned
from jaxhpt.report.figures.comparison import comparison
from jaxhpt.report.figures.contours import contours
from jaxhpt.report.figures.curves import curves
from jaxhpt.report.figures.distribution import distribution
from jaxhpt.report.figures.endings import endings
from jaxhpt.report.figures.held_out import held_out
from jaxhpt.report.figures.history import history
from jaxhpt.report.figures.importance import importance
from jaxhpt.report.figures.lanes import assigned, lanes
from jaxhpt.report.figures.lineage import lineage
from jaxhpt.report.figures.parallel import parallel
from jaxhpt.report.figures.pareto import hypervolume
from jaxhpt.report.figures.pareto import pareto as front
from jaxhpt.report.figures.rungs import rungs
from jaxhpt.report.figures.slices import slices
from jaxhpt.report.figures.spread import spread
from jaxhpt.report.findings import Again, Facts

same = np.testing.assert_allclose


def test_history_holds_the_best_of_the_trials_that_count():
    figure = history(single())
    same(figure.best, [NAN, 1, 1, 1, 0.5, 0.5])  # a stopped trial is no winner, a failed one neither
    same(figure.tick, [2, 4, 3, 4, 8, 5])
    assert figure.end.tolist() == [2, 3, 4, 4, 5, 8]
    same(figure.best_then, [NAN, NAN, 1, 1, 1, 0.5])


def test_history_of_what_is_maximised_rises():
    figure = history(replicas())
    same(figure.best, [0.9, 0.9, 0.9])
    assert figure.direction == "max"


def test_history_without_done_trials_takes_the_stopped_ones():
    same(history(findings([3, 1, 2], [STOPPED] * 3)).best, [3, 1, 1])


def test_parallel_coordinates_follow_importance_and_leave_out_what_does_not_exist():
    figure = parallel(single())
    assert [axis.name for axis in figure.axes] == ["opt", "lr", "b2", "n", "loss"]
    assert figure.row.tolist() == [5, 3, 0, 1, 4]  # the best last; the failed one is none of them
    same(figure.place[-1], [0.25, 0.5, NAN, 0.25, 0.0])
    same(figure.rank, [0.2, 0.4, 0.6, 0.8, 1.0])


def test_importance_is_as_given():
    figure = importance(single())
    assert figure.names == ("opt", "lr", "b2", "n")
    same(figure.share, [0.6, 0.4, 0, 0])
    assert isinstance(importance(pareto()), Missing)


def test_slices_keep_failed_trials():
    figure = slices(single())
    same(figure.score, [3, 1, NAN, 4, 0.5, 7])
    same(figure.value[1], [1e-4, 1e-2, 1, 0.1, 0.01, 1])


def test_contours_are_smooth_where_trials_are():
    x = np.linspace(0, 1, 40)
    value = np.stack(np.meshgrid(x, x), -1).reshape(-1, 2)
    figure = contours(findings(value[:, 0], [DONE] * len(value), value))
    (pair,) = figure.pairs
    assert (pair.x.name, pair.y.name) == ("x0", "x1")
    assert np.isfinite(pair.rank).all()
    assert (np.diff(pair.rank, axis=1) <= 0).all()  # less is better: ranks fall to the right
    same(pair.rank[0], pair.rank[-1], atol=0.02)
    assert (pair.level[0], pair.level[-1]) == (1, 0)  # what the colours stand for, the worst first


def test_contours_know_nothing_far_from_trials():
    figure = contours(findings([1, 2, 3], [DONE] * 3, [[0.1, 0.1], [0.1, 0.1], [0.12, 0.1]]))
    assert np.isnan(figure.pairs[0].rank[-1, -1])
    assert np.isfinite(figure.pairs[0].rank[3, 3])


def test_contours_of_dimensions_that_are_named():
    value = np.random.default_rng(0).random((9, 6))
    assert len(contours(findings(value[:, 0], [DONE] * 9, value)).pairs) == 6  # of four
    (pair,) = contours(findings(value[:, 0], [DONE] * 9, value), 0, ("x5", "x1")).pairs
    assert (pair.x.name, pair.y.name) == ("x5", "x1")


def test_curves_end_where_trials_did():
    figure = curves(single())
    assert figure.row.tolist() == [5, 3, 0, 1, 4]
    same(figure.value[-1], [5, 1, 0.5])
    assert figure.steps[-1].tolist() == [1, 2, 4]
    same(figure.value[2], [5, 3, 3])  # the last report stands at the end, too
    assert figure.steps[2].tolist() == [1, 2, 2]
    assert isinstance(curves(replicas()), Missing)


def test_curves_of_many_reports_keep_the_last():
    many = np.arange(100.0)[None, ::-1].repeat(2, 0)
    many[1, 60:] = NAN
    steps = np.arange(1, 101)[None].repeat(2, 0)
    figure = curves(findings([0, 40], [DONE, STOPPED], steps=[100, 60], curve=many, report=steps))
    assert figure.value.shape[1] == 64
    assert figure.reports == 100
    stopped, done = figure.value
    assert (done[0], done[-1]) == (99, 0)
    assert stopped[np.isfinite(stopped)][-1] == 40
    assert figure.steps[0][np.isfinite(stopped)][-1] == 60


def test_distribution_counts_failed_trials_as_never_as_good():
    figure = distribution([single()])
    same(figure.value[0], [0.5, 1, 3, 4])
    same(figure.share[0], [0.2, 0.4, 0.6, 0.8])  # the running one has not ended
    best_first = distribution([replicas()])
    same(best_first.value[0], [0.9, 0.85, 0.5])
    same(best_first.share[0], [1 / 3, 2 / 3, 1])


def test_pareto_grows_to_the_front():
    figure = front(pareto())
    assert figure.row.tolist() == [0, 1, 2, 3]
    assert figure.front.tolist() == [True, False, True, False]
    same(figure.reference, [3.2, 0.8])  # a tenth of the range behind the worst feasible trial
    assert figure.trial.tolist() == [0, 1, 2]
    box = 2.2 * 2.2
    same(figure.volume, [2.2 * 0.2 / box, 2.2 * 0.2 / box, (2.2 * 0.2 + 1.2 * 2.0) / box])


@pytest.mark.parametrize("objectives", [2, 3])
def test_hypervolume_agrees_with_the_one_on_device(objectives):
    points = np.random.default_rng(1).random((40, objectives)).astype(np.float32)
    reference = np.full(objectives, 0.9, np.float32)
    same(hypervolume(points, reference), exact.hypervolume(points, reference), rtol=1e-5)
    points = np.concatenate([points, points.round(1), points[:5]])  # equals, too
    same(hypervolume(points, reference), exact.hypervolume(points, reference), rtol=1e-5)


def test_three_objectives_of_many_trials_are_measured_in_time():
    points = np.random.default_rng(0).random((20_000, 3))
    volume = hypervolume(points, np.ones(3))  # trial by trial it would take half a minute
    drawn = np.random.default_rng(1).random((2000, 3))
    same(volume, np.mean([(points < one).all(axis=1).any() for one in drawn]), atol=0.01)


def test_lanes_are_filled_as_they_get_free():
    first, last = np.array([0, 0, 2, 3, 4]), np.array([4, 2, 3, 5, 6])
    assert assigned(first, last, 1).tolist() == [0, 1, 1, 1, 0]
    assert assigned(first, last, 2).tolist() == [0, 1, 1, 2, 0]  # the third keeps its lane until the next event
    figure = lanes(single())
    assert figure.lane.tolist() == [0, 1, 0, 0, 0, 1]
    assert figure.num == 2


def test_rungs_count_who_came_how_far():
    figure = rungs(single())
    assert figure.steps.tolist() == [1, 2, 4]
    assert figure.reached.tolist() == [6, 3, 2]
    assert figure.stopped.tolist() == [1, 1, 0]
    assert figure.failed.tolist() == [1, 0, 0]
    assert figure.done.tolist() == [0, 0, 2]
    assert figure.running.tolist() == [1, 0, 0]
    assert isinstance(rungs(replicas()), Missing)
    assert isinstance(rungs(population()), Missing)


def test_rungs_count_a_trial_that_went_on_once():
    paused = findings(
        [3, 1, 2], [STOPPED, DONE, STOPPED], [[0.1], [0.1], [0.7]], parent=[-1, 0, -1], steps=[2, 4, 2],
        born=np.array([0, 2, 0]),
    )  # fmt: skip
    figure = rungs(paused)
    assert figure.reached.tolist() == [2, 1]
    assert figure.stopped.tolist() == [1, 0]


def test_lineage_leads_to_the_winner():
    figure = lineage(population())
    assert figure.parent.tolist() == [-1, -1, 1, 2]
    assert figure.winner.tolist() == [1, 2]
    assert figure.first.tolist() == [0, 0, 2, 3]
    same(figure.place[0], [0.1, 0.4, 0.5, 0.9])
    assert figure.family.tolist() == [0, 1, 2, 3]
    assert isinstance(lineage(single()), Missing)


def test_endings_add_up():
    figure = endings(single())
    assert figure.names == ("done", "stopped", "failed")
    assert figure.count.tolist() == [2, 2, 1]
    assert figure.tick.tolist() == [2, 3, 4, 8]
    assert figure.ended.tolist() == [[0, 0, 1, 2], [1, 1, 2, 2], [0, 1, 1, 1]]
    assert figure.running == 1


def test_spread_tells_what_chance_may_have_ordered():
    figure = spread(replicas())
    assert figure.row.tolist() == [0, 1, 2]
    same(figure.error, [0.1, 0.05, 0.05])
    assert figure.within == 2
    assert isinstance(spread(single()), Missing)


def test_held_out_shows_a_test_metric():
    figure = held_out(single())
    assert (figure.chosen.name, figure.other.name) == ("loss", "test_loss")
    assert figure.row.tolist() == [1, 4]
    assert figure.best.tolist() == [0, 1]
    assert figure.gap == 1.0  # looks better than it is


def test_held_out_shows_a_confirmation():
    again = dataclasses.replace(replicas(), again=Again(np.array([0, 1]), np.array([0.8, NAN])))
    figure = held_out(again)
    assert figure.row.tolist() == [0, 1]
    same(figure.fresh, [0.8, NAN])
    same(figure.gap, 0.1)  # maximised: fresh is lower
    assert isinstance(held_out(replicas()), Missing)


@pytest.mark.parametrize(("objective", "other", "found"), [
    ("val_loss", "test_loss", 1), ("loss", "test_loss", 1), ("test_loss", "loss", None), ("loss", "size", None),
])  # fmt: skip
def test_the_test_metric_is_known_by_its_name(objective, other, found):
    metrics = MetricSpec((Objective(objective, "min"),), (other,))
    figure = held_out(findings([[1, 2]], [DONE], metrics=metrics))
    assert isinstance(figure, Missing) == (found is None)


def test_searches_are_compared_where_they_get_better():
    one, other = (
        dataclasses.replace(findings(v, [DONE] * len(v)), name=n) for v, n in (([3, 3, 1, 2], "a"), ([2], "b"))
    )
    figure = comparison([one, other])
    assert figure.names == ("a", "b")
    assert figure.count[0].tolist() == [1, 3, 4]
    same(figure.best[0], [3, 1, 1])
    same(figure.best[1], [2])


def test_what_was_known_before_a_search_is_no_trial_of_it():
    one = findings([9, 9, 3, 2], [PRIOR, PRIOR, DONE, DONE])
    assert comparison([one, one]).count[0].tolist() == [1, 2]
    ended = findings([0.1, NAN, NAN], [PRIOR, STOPPED, FAILED], parent=[-1, -1, 1])
    assert lineage(ended).winner.tolist() == [0]


def test_of_many_searches_the_best_half_is_drawn_and_others_are_spread():
    figure = comparison([findings([float(v), 0.5 * v], [DONE] * 2) for v in range(1, 501)])
    assert (len(figure.names), figure.of) == (200, 500)
    assert figure.search.tolist()[:100] == list(range(100))
    assert figure.search[-1] == 499
    same(figure.best[-1], [500, 250])


def test_nothing_to_show_is_said_of_every_figure():
    entries, missing = figures_of(nothing(), nothing())
    assert entries == []
    assert all(one.why for one in missing)
    together, left = figures_together([nothing(), nothing()])
    assert together == []
    assert len(left) == 2


def test_all_failed():
    failed = findings([NAN, NAN], [FAILED] * 2)
    entries, _ = figures_of(failed, failed)
    assert {entry.name for entry in entries} == {"endings", "lanes"}


def test_the_best_half_is_kept_and_others_are_spread():
    fitness = np.arange(100.0)[::-1]
    rows = thinned(fitness, np.arange(100), 20)
    assert len(rows) == 20
    assert set(range(90, 100)) <= set(rows.tolist())
    assert rows.min() == 0
    assert (np.diff(rows) > 0).all()


def test_an_axis_is_logarithmic_where_values_span_decades():
    assert axis_of("loss", [0.001, 1.0]).log
    assert not axis_of("loss", [-0.001, 1000.0]).log
    assert not axis_of("loss", [NAN]).log


def test_an_axis_is_cut_where_it_is_worse_alone():
    values = np.append(np.linspace(-1, 1, 99), 90.0)
    assert axis_of("loss", values, "min").high < 3
    assert axis_of("loss", values, "min").cut
    assert axis_of("gain", values, "max").high == 90
    assert axis_of("loss", values).high == 90


def squashed(sign=1.0):
    """Return values of which a fifth are good, each ten times as near to the best as the one before."""
    return sign * np.append(0.5 + 0.4 * np.linspace(0, 1, 80), 1 - np.geomspace(1e-3, 0.1, 19)), sign * 1.0


@pytest.mark.parametrize(("direction", "sign"), [("max", 1.0), ("min", -1.0)])
def test_good_values_that_lie_upon_each_other_are_moved_apart(direction, sign):
    value, best = squashed(sign)
    axis = objective_axis("accuracy", np.append(value, best), direction)
    assert (axis.near > 0, axis.best) == (True, "high" if direction == "max" else "low")
    assert (np.diff(axis.place(np.sort(value))) >= 0).all()
    same(axis.place(np.array([best, NAN])), [1 if direction == "max" else 0, NAN])
    assert abs(float(axis.place(np.array(sign * 0.9)) - axis.place(np.array(best)))) > 0.3  # a fifth before
    same(axis.back(axis.along(value)), value)


def test_ticks_reach_both_ends_and_are_round():
    axis = objective_axis("accuracy", np.append(squashed()[0], 1.0), "max")
    assert (axis.ticks[0], axis.ticks[-1]) == (axis.low, axis.high) == (0.5, 1.0)
    assert (np.diff(axis.ticks) > 0).all()
    assert (np.diff(axis.place(np.array(axis.ticks))) > 0.05).all()
    assert all(len(f"{tick:.12g}") <= 6 for tick in axis.ticks)


def test_values_far_out_lie_at_the_end_of_what_is_moved_apart():
    value = np.append(1e-200 * np.linspace(1, 1.2, 30), [1e-199 * 10**k for k in range(3)])
    axis = objective_axis("loss", -np.append(value, 0.0), "max")
    same(axis.place(np.array([-1.7e308, 0.0])), [0, 1])


def test_good_values_with_room_stay_as_they_are():
    assert not objective_axis("loss", np.linspace(0, 1, 99), "min").near
    assert objective_axis("loss", np.geomspace(1e-4, 1, 99), "min").log
    assert not objective_axis("loss", np.random.default_rng(0).normal(size=256), "min").near
    assert not objective_axis("loss", np.full(99, 0.1), "min").near
    assert not objective_axis("loss", [NAN], "min").near


def test_places_on_an_axis():
    same(Axis("x", 1e-4, 1.0, log=True).place(np.array([1e-4, 1e-2, 1.0, NAN])), [0, 0.5, 1, NAN])
    same(Axis("x", 0, 1, texts=("a", "b")).place(np.array([0.0, 1.0])), [0.25, 0.75])
    same(Axis("x", 2.0, 2.0).place(np.array([2.0, NAN])), [0.5, NAN])


def test_facts_have_defaults():
    assert Facts().ended == "finished"
