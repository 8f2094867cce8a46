"""What Optuna's own suite does not ask of a sampler: how it learns, and from what."""

import copy
import pickle

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

import jaxhpt
from jaxhpt.integrations.optuna import Sampler
from jaxhpt.integrations.optuna.space import Column
from jaxhpt.integrations.optuna.view import View, metrics_of, room_for

pytestmark = pytest.mark.usefixtures("quiet")

XY = {"x": FloatDistribution(-2.0, 2.0), "y": FloatDistribution(-2.0, 2.0)}


def bowl(trial):
    return (trial.suggest_float("x", -2, 2) - 1) ** 2 + trial.suggest_float("y", -2, 2) ** 2


def study_of(algorithm="random", **options):
    given = {"seed": 0, "trials": 32, **options}
    directions = given.pop("directions", None)
    return optuna.create_study(sampler=Sampler(algorithm, **given), directions=directions)


def rows_of(study):
    """Return what the one view of a study knows: statuses and settings."""
    (view,) = study.sampler._views.values()
    return view.proposer, np.asarray(view.proposer._state.history.unit)


@pytest.mark.slow
def test_it_learns():
    study = study_of("bayesian", trials=64)
    study.optimize(bowl, n_trials=40)
    assert study.best_value < 1e-3


def test_the_same_seed_is_the_same_study():
    one, two, other = study_of("tpe"), study_of("tpe"), study_of("tpe", seed=1)
    for study in (one, two, other):
        study.optimize(bowl, n_trials=6)
    assert [t.params for t in one.trials] == [t.params for t in two.trials] != [t.params for t in other.trials]


def test_what_others_proposed_is_learned_from():
    study = study_of()
    study.add_trial(create_trial(params={"x": 0.5, "y": 0.25}, distributions=XY, value=3.0))
    study.optimize(bowl, n_trials=2)
    study.enqueue_trial({"x": 1.0, "y": 0.0})
    study.optimize(bowl, n_trials=3)
    proposer, unit = rows_of(study)
    wanted = sorted([(t.params[n] + 2) / 4 for n in "xy"] for t in study.trials)
    np.testing.assert_allclose(sorted(unit[: proposer.count].tolist()), wanted, atol=1e-6)
    np.testing.assert_allclose(np.sort(proposer._scores[: proposer.count - 1, 0]),
                               np.sort([t.value for t in study.trials[:-1]]))  # fmt: skip


def test_pruned_and_failed_trials_count_as_such():
    def objective(trial):
        value = bowl(trial)
        trial.report(value + 5, 1)
        trial.report(value + 1, 2)
        if trial.number % 3 == 1:
            raise optuna.TrialPruned
        return float("nan") if trial.number % 3 == 2 else value

    study = study_of()
    study.optimize(objective, n_trials=9)
    study.ask(XY)
    (view,) = study.sampler._views.values()
    expected = {
        TrialState.COMPLETE: lambda t: t.value,
        TrialState.PRUNED: lambda t: t.intermediate_values[2],
        TrialState.FAIL: lambda t: np.inf,
    }
    wanted = [expected[t.state](t) for t in study.trials[:9] if t.number]
    told = view.proposer._scores[: view.proposer.count, 0]
    np.testing.assert_allclose(sorted(told[np.isfinite(told)]), sorted(v for v in [study.trials[0].value, *wanted]
                                                                        if np.isfinite(v)))  # fmt: skip


def test_several_objectives_and_their_directions():
    study = study_of("nsga2", directions=["minimize", "maximize"])
    study.optimize(lambda t: (bowl(t), t.params["x"]), n_trials=12)
    (view,) = study.sampler._views.values()
    assert [one.direction for one in view.metrics.objectives] == ["min", "max"]
    known = [t.number for t in study.trials[:11]]
    told = sorted(view.proposer._scores[: view.proposer.count, 1][: len(known)])
    np.testing.assert_allclose(told, sorted(-study.trials[n].values[1] for n in known))


@pytest.mark.slow
def test_constraints_are_kept():
    study = study_of("bayesian", constraints_func=lambda t: (t.params["x"],), trials=64)
    study.optimize(bowl, n_trials=30)
    assert study.best_trial.params["x"] <= 0
    assert study.best_value < 1.1  # at the bound it is 1


def test_constraints_of_both_kinds_are_known():
    def objective(trial):
        value = bowl(trial)
        trial.set_constraint("x", trial.params["x"])
        return value

    study = study_of()
    study.optimize(objective, n_trials=4)
    (view,) = study.sampler._views.values()
    assert [one.name for one in view.metrics.constraints] == ["constraint x"]
    with pytest.raises(ValueError, match="constraints_func"):
        study_of(constraints_func=lambda t: (np.nan,)).optimize(bowl, n_trials=1)


def test_the_room_doubles_and_nothing_is_forgotten():
    study = study_of(trials=4)
    study.optimize(bowl, n_trials=11)
    proposer, _ = rows_of(study)
    assert proposer.room == 16
    assert proposer.count == 11
    assert [room_for(n, 4) for n in (0, 3, 4, 7, 8)] == [4, 4, 8, 8, 16]


def test_a_space_that_changes_is_another_view():
    study = study_of()
    study.optimize(bowl, n_trials=3)
    study.optimize(lambda t: bowl(t) + t.suggest_float("z", 0, 1), n_trials=3)
    study.optimize(lambda t: t.suggest_float("x", -2, 2), n_trials=3)
    assert len(study.sampler._views) == 2  # of x and y, and of x
    assert {len(t.params) for t in study.trials} == {1, 2, 3}


def test_threads_share_it():
    study = study_of("tpe", lanes=4)
    study.optimize(bowl, n_trials=16, n_jobs=4)
    assert len({tuple(t.params.values()) for t in study.trials}) == 16


def test_trials_that_run_elsewhere_are_known():
    study = study_of()
    study.optimize(bowl, n_trials=2)
    asked = [study.ask(XY) for _ in range(3)]
    proposer, _ = rows_of(study)
    assert proposer.count == 5
    for trial in asked[::-1]:
        study.tell(trial, 1.0)
    study.ask(XY)
    assert (proposer._status[:5] > 1).all()


def test_it_is_copied_and_pickled():
    study = study_of("tpe")
    study.optimize(bowl, n_trials=3)
    for sampler in (copy.deepcopy(study.sampler), pickle.loads(pickle.dumps(study.sampler))):
        optuna.create_study(sampler=sampler).optimize(bowl, n_trials=3)


def test_where_nothing_is_left_it_draws_at_random():
    study = study_of("grid")
    study.optimize(lambda t: t.suggest_categorical("a", [0, 1]) + t.suggest_int("b", 0, 1), n_trials=7)
    assert len({tuple(t.params.values()) for t in study.trials[:5]}) == 4


@pytest.mark.parametrize(
    ("distribution", "value"),
    [
        (IntDistribution(0, 2**40), 2**39 + 1),
        (IntDistribution(1, 10**6, log=True), 1000),
        (FloatDistribution(1.0, 1.0 + 1e-7), 1.0 + 5e-8),
        (FloatDistribution(1e-300, 1e300, log=True), 1e10),
        (FloatDistribution(0.0, 0.3, step=0.1), 0.2),
        (CategoricalDistribution([None, 1, "a"]), None),
        (CategoricalDistribution([16, 32, 64]), 32),
        (CategoricalDistribution([0.1, 0.1 + 1e-12]), 0.1),
    ],
)
def test_what_float32_cannot_hold_is_scaled(distribution, value):
    column = Column.of(distribution)
    unit = column.dimension.encode(column.given(value))
    back = column.param(column.dimension.label(np.float32(unit)))
    assert type(back) is type(value)
    assert distribution._contains(distribution.to_internal_repr(back))
    wide = isinstance(distribution, IntDistribution) or getattr(distribution, "log", False)
    assert back == value or back == pytest.approx(value, rel=1e-3 if wide else 1e-7)


def test_choices_of_rising_numbers_have_an_order():
    assert Column.of(CategoricalDistribution([16, 32, 64])).dimension.ordered
    assert not Column.of(CategoricalDistribution(["16", "32"])).dimension.ordered


def test_a_view_of_many_trials_is_made_at_once():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(bowl, n_trials=70)
    trials = study.get_trials()
    view = View(jaxhpt.Random(), XY, metrics_of(study.directions, trials), 128, 1, jaxhpt.core.keys.root_of(0))
    view.learn(trials, 70)
    assert view.proposer.count == 70
    np.testing.assert_allclose(view.proposer._scores[:70, 0], [t.value for t in trials])


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="algorithm='bayesain': unknown; did you mean 'bayesian'"):
        Sampler("bayesain")
    with pytest.raises(TypeError, match=r"trials=0\.5"):
        Sampler(trials=0.5)
    with pytest.raises(ValueError, match="constraints_func=3"):
        Sampler(constraints_func=3)
    with pytest.raises(ValueError, match=r"algorithm=CMAES: follows one objective, of 2"):
        study_of("cma_es", directions=["minimize"] * 2).optimize(lambda t: (bowl(t), 1.0), n_trials=2)
