"""What may be given as known: results, tables, trials and pairs; what does not fit is left out, never moved."""

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import jaxhpt
from jaxhpt.core.metrics import choose
from jaxhpt.core.space import Space
from jaxhpt.results.prior import known, known_exactly

SPACE = {
    "x": jaxhpt.Float(-2.0, 2.0),
    "step": jaxhpt.Float(0.0, 1.0, step=0.25),
    "n": jaxhpt.Int(1, 9, step=2),
    "kind": ["a", "b"],
    "b": jaxhpt.When("kind", "b", {"depth": jaxhpt.Int(1, 4), "flag": jaxhpt.Bool()}),
    "fixed": 0.9,
}
LOSS = choose(("loss",))


def told(space=SPACE, values=(1.0, 2.0, None, 1e300, 4.0, 5.0), trials=8, **options):
    tuner = jaxhpt.Tuner(
        space, **{"objective": "loss", "algorithm": "random", **options}, trials=trials, progress=False
    )
    tuner.tell(tuner.ask(len(values)), values)
    return tuner


@pytest.fixture(scope="module")
def earlier():
    tuner = told()
    tuner.ask(1)
    return tuner.result


def assert_known(found, result, rows, columns=LOSS):
    np.testing.assert_allclose(found.unit, result.history.unit[rows], atol=1e-6)
    values = [np.nan if t.status == "failed" else t.value for t in (result.trials[row] for row in rows)]
    expected = np.where(np.isnan(values), np.inf, values)
    np.testing.assert_array_equal(np.asarray(found.metrics)[:, 0] * columns.signs[0], expected)


@pytest.mark.parametrize(
    "source",
    [
        lambda r: r,
        lambda r: [r],
        lambda r: r.trials,
        lambda r: r.to_pandas(),
        lambda r: [r.to_pandas()],
        lambda r: r.to_pandas().drop(columns=["trial", "status", "steps"]).iloc[:6],
        lambda r: [(t.hparams, t.metrics) for t in r.trials[:6]],
        lambda r: [*r.trials[:2], *((t.hparams, None if t.status == "failed" else t.value) for t in r.trials[2:6])],
    ],
)
def test_every_kind_of_source_says_the_same(earlier, source):
    assert_known(known_exactly(source(earlier), Space.of(SPACE), LOSS), earlier, range(6))


def test_one_trial_alone(earlier):
    assert_known(known(earlier.trials[1], Space.of(SPACE), LOSS), earlier, [1])


def test_a_table_from_a_file(earlier, tmp_path):
    earlier.to_pandas().to_csv(tmp_path / "trials.csv", index=False)
    table = pd.read_csv(tmp_path / "trials.csv")
    assert_known(known_exactly(table, Space.of(SPACE), LOSS), earlier, range(6))


def test_values_beyond_float32_are_left_out_of_a_search(earlier):
    with pytest.warns(UserWarning, match="1 of 6 trials have values beyond float32"):
        found = known(earlier, Space.of(SPACE), LOSS)
    assert_known(found, earlier, [0, 1, 2, 4, 5])
    assert found.metrics.dtype == jnp.float32


def test_what_ended_early_or_runs_is_no_training_data(earlier):
    table = earlier.to_pandas()
    table.loc[0, "status"] = "stopped"
    assert_known(known_exactly(table, Space.of(SPACE), LOSS), earlier, range(1, 6))


GOOD = {"x": 0.5, "step": 0.25, "n": 3, "kind": "b", "b": {"depth": 2, "flag": True}, "fixed": 0.9}


@pytest.mark.parametrize(
    "change",
    [{"step": 0.3}, {"step": 0.25001}, {"n": 4}, {"x": 2.5}, {"kind": "c"}, {"fixed": 0.8}, {"b": {"depth": 9}}],
)  # fmt: skip
def test_what_does_not_fit_is_left_out_and_never_moved(change):
    bad = {**GOOD, **change, "b": {**GOOD["b"], **change.get("b", {})}}
    with pytest.warns(UserWarning, match="1 of 2 trials do not fit the space and are left out"):
        found = known([(GOOD, 1.0), (bad, 2.0)], Space.of(SPACE), LOSS)
    assert np.asarray(found.metrics).tolist() == [[1.0]]
    with pytest.raises(ValueError, match="inside the space for at least one"):
        known([(bad, 2.0)], Space.of(SPACE), LOSS)


@pytest.mark.parametrize("value", [0.75, np.float32(0.75), 0.75 + 1e-9])
def test_rounding_is_no_misfit(value):
    found = known([({**GOOD, "step": value}, 1.0)], Space.of(SPACE), LOSS)
    assert Space.of(SPACE).label(np.asarray(found.unit[0]))["step"] == 0.75


def test_columns_of_one_name_are_kept_apart():
    space = {"loss": jaxhpt.Float(0, 1), "status": ["x", "y"], "trial": jaxhpt.Int(1, 9)}
    result = told(space, (3.0, None, 5.0), objective="loss").result
    assert_known(known(result.to_pandas(), Space.of(space), LOSS), result, range(3))
    other = choose(("f1",))
    with pytest.raises(ValueError, match="a table with a column 'f1'"):
        known(result.to_pandas(), Space.of(space), other)
    plain = pd.DataFrame({"loss": [0.5], "status": ["x"], "trial": [3]})
    with pytest.raises(ValueError, match="'loss' is a metric and a hyperparameter"):
        known(plain, Space.of(space), LOSS)


def test_a_table_without_a_dimension_is_refused(earlier):
    with pytest.raises(ValueError, match=r"a table with a column 'b\.depth'"):
        known(earlier.to_pandas().drop(columns="b.depth"), Space.of(SPACE), LOSS)


def test_another_search_is_not_mixed_up(earlier):
    with pytest.raises(ValueError, match="metrics that include 'error'"):
        known(earlier, Space.of(SPACE), choose(("error",)))
    with pytest.raises(ValueError, match="structure"):
        known(earlier, Space.of({"y": jaxhpt.Float(-2, 2)}), LOSS)
    with pytest.warns(UserWarning, match="'loss' with direction='min', this one with 'max'"):
        known_exactly(earlier, Space.of(SPACE), choose(("loss",), direction="max"))


def test_the_best_known_may_be_from_before():
    first = told(values=(5.0, 1.0, None))
    good, bad, none = (told(values=v, prior=first.result).result for v in ((0.5, 7.0), (2.0, 3.0), (None, None)))
    assert (good.best_known.value, good.best_known.status) == (0.5, "done")
    assert (bad.best_known.value, bad.best_known.status, bad.best.value) == (1.0, "prior", 2.0)
    assert none.best_known.value == 1.0
    assert first.result.best_known == first.result.best
    with pytest.raises(RuntimeError, match="no trial ended"):
        _ = told(values=(None,)).result.best_known
    exact = told(values=(1e300, 2e300), prior=told(values=(3e300, 1.5e300)).result).result
    assert exact.best_known.value == 1e300
    assert [t.value for t in exact.trials] == [3e300, 1.5e300, 1e300, 2e300]


@pytest.mark.parametrize("prior", [3, "x", {"x": 1.0}, [{"x": 1.0}], [(1, 2, 3)], ({"x": 1.0}, 2.0)])
def test_what_is_no_source(prior):
    with pytest.raises(TypeError, match="prior"):
        known(prior, Space.of(SPACE), LOSS)
