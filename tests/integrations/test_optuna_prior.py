"""Studies of Optuna as what is known before a search."""

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

import jaxhpt
from jaxhpt.core.metrics import choose
from jaxhpt.core.space import Space
from jaxhpt.integrations.optuna import from_optuna, to_optuna
from jaxhpt.results.prior import known_exactly

pytestmark = pytest.mark.usefixtures("quiet")

SPACE = {"opt": {"lr": jaxhpt.Float(1e-3, 1.0, log=True)}, "units": jaxhpt.Int(1, 8), "act": [abs, round], "k": 3}
KINDS = {
    "opt.lr": FloatDistribution(1e-3, 1.0, log=True),
    "units": IntDistribution(1, 8),
    "act": CategoricalDistribution(["abs", "round"]),
}
PARAMS = {"opt.lr": 0.1, "units": 4, "act": "round"}
SETTING = {"opt": {"lr": 0.1}, "units": 4, "act": round, "k": 3}


def study_with(*trials, directions=("minimize",)):
    study = optuna.create_study(directions=directions)
    for values, more in trials:
        given = {"params": PARAMS, "distributions": KINDS, "values": values, **more}
        study.add_trial(create_trial(**given))
    return study


def test_complete_and_failed_trials_count_in_the_structure_of_the_space():
    failed, pruned = {"state": TrialState.FAIL}, {"state": TrialState.PRUNED, "intermediate_values": {1: 3.0}}
    study = study_with(([0.5], {}), (None, failed), (None, pruned))
    assert from_optuna(study, SPACE) == [(SETTING, 0.5), (SETTING, None)]
    tuner = jaxhpt.Tuner(SPACE, algorithm="random", trials=4, prior=from_optuna(study, SPACE), progress=False)
    assert [(t.status, t.hparams["act"]) for t in tuner.result.trials] == [("prior", round)] * 2


def test_several_objectives_keep_their_sign_and_get_names():
    study = study_with(([0.5, 7.0], {"user_attrs": {"cost": 2.0, "note": "x"}}), directions=("minimize", "maximize"))
    pairs = from_optuna(study, SPACE, {"loss": "min", "score": "max"})
    assert pairs == [(SETTING, {"loss": 0.5, "score": 7.0, "cost": 2.0})]
    metrics = choose(("loss", "score", "cost"), objectives={"loss": "min", "score": "max"})
    np.testing.assert_array_equal(known_exactly(pairs, Space.of(SPACE), metrics).metrics, [[0.5, -7.0, 2.0]])
    with pytest.raises(ValueError, match=r"objectives=.*must be the directions of the study, \['min', 'max'\]"):
        from_optuna(study, SPACE, {"loss": "min", "score": "min"})
    with pytest.raises(ValueError, match=r"objectives=None: must be a name for each of the 2 values"):
        from_optuna(study, SPACE)
    with pytest.raises(TypeError, match="objectives='loss'"):
        from_optuna(study, SPACE, "loss")


def test_what_does_not_fit_is_named():
    study = study_with(([0.5], {}))
    with pytest.raises(ValueError, match=r"space=\['units'\].*name them in ignore"):
        from_optuna(study, {"opt": SPACE["opt"], "act": SPACE["act"]})
    smaller = {"opt": SPACE["opt"], "act": SPACE["act"]}
    assert from_optuna(study, smaller, ignore=["units"]) == [({"opt": {"lr": 0.1}, "act": round}, 0.5)]
    with pytest.raises(ValueError, match=r"study=\['width'\]"):
        from_optuna(study, {**SPACE, "width": jaxhpt.Int(1, 3)})
    with pytest.raises(ValueError, match="one with a trial that is complete"):
        from_optuna(optuna.create_study(), SPACE)


def test_there_and_back_is_the_same():
    space = {"x": jaxhpt.Float(0, 3), "rule": ["a", "b"], "b": jaxhpt.When("rule", "b", {"n": jaxhpt.Int(1, 4)})}
    tuner = jaxhpt.Tuner(space, objective="loss", algorithm="random", trials=12, progress=False)
    trials = tuner.ask(12)
    tuner.tell(trials, [None if t.id == 3 else t.hparams["x"] for t in trials])
    pairs = from_optuna(to_optuna(tuner.result), space)
    metrics = choose(("loss",), "loss")
    one, two = (known_exactly(prior, Space.of(space), metrics) for prior in (tuner.result, pairs))
    np.testing.assert_allclose(one.unit, two.unit, atol=1e-6)
    np.testing.assert_array_equal(one.metrics, two.metrics)
