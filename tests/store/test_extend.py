"""A run that goes on in a wider space learns from what it knows: it is ahead of one that begins there anew."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt.core.containing import moved, require_contained
from jaxhpt.core.space import Space

KNOWN, NEW, SEEDS = 40, 20, 5


def space(wide):
    low, high, kinds = (-4.0, 8.0, ["a", "b", "c"]) if wide else (0.0, 2.0, ["a", "b"])
    rate = jaxhpt.Float(1e-3 if wide else 1e-2, 1.0, log=True)
    return {"x": jaxhpt.Float(low, high), "y": jaxhpt.Float(-3.0, 3.0), "kind": kinds, "rate": rate}


def loss(state, data, h):
    """The best lies outside of the narrow space."""
    kind = jnp.where(h["kind"] == "b", 0.0, 0.3)
    return (h["x"] - 2.5) ** 2 + (h["y"] - 1) ** 2 + kind + 0.1 * (jnp.log(h["rate"]) + 3) ** 2 + 0.0 * state


def search(wide, trials, algorithm, seed, run_dir=None, **options):
    given = {"init": lambda key, h: jnp.float32(0), "evaluate": loss, "steps": 1, "direction": "min", "lanes": 4}
    given |= {"trials": trials, "algorithm": algorithm, "seed": seed, "run_dir": run_dir, "progress": False}
    return jaxhpt.search(lambda s, batch, h, key: s, space(wide), execution="split", **given, **options)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["genetic", "cma_es", "bayesian", "tpe", "differential_evolution"])
def test_it_is_ahead_of_one_that_begins_anew(tmp_path, algorithm):
    ahead, anew = [], []
    for seed in range(SEEDS):
        first = search(False, KNOWN, algorithm, seed, tmp_path / str(seed))
        result = search(True, KNOWN + NEW, algorithm, seed, tmp_path / str(seed), extend=True)
        for before, after in zip(first.trials, result.trials, strict=False):
            assert before.value == after.value
            assert after.hparams["kind"] == before.hparams["kind"]
            assert after.hparams["x"] == pytest.approx(before.hparams["x"], abs=1e-5)
        ahead.append(min(trial.value for trial in result.trials[KNOWN:]))
        anew.append(search(True, NEW, algorithm, seed).best.value)
    assert np.median(ahead) < np.median(anew)


SPACES = [
    ({"x": jaxhpt.Int(1, 4)}, {"x": jaxhpt.Int(0, 9)}),
    ({"x": jaxhpt.Int(2, 9, log=True)}, {"x": jaxhpt.Int(1, 30, log=True)}),
    ({"x": jaxhpt.Float(0.0, 1.0, step=0.25)}, {"x": jaxhpt.Float(-1.0, 2.0, step=0.25)}),
    ({"x": jaxhpt.Float(0.1, 1.0, log=True)}, {"x": jaxhpt.Float(0.01, 10.0, log=True)}),
    ({"x": [1, 2, 4]}, {"x": [1, 2, 4, 8]}),
    ({"x": ["a", "b"]}, {"x": ["c", "a", "b"]}),
    ({"x": jaxhpt.Choice([len, abs])}, {"x": jaxhpt.Choice([len, abs, sum])}),
    (
        {"k": ["a", "b"], "x": jaxhpt.When("k", "b", {"y": jaxhpt.Int(1, 3)})},
        {"k": ["a", "b"], "x": jaxhpt.When("k", "b", {"y": jaxhpt.Int(1, 8)})},
    ),
]


@pytest.mark.parametrize(("old", "new"), SPACES)
def test_settings_stay_what_they_are(old, new):
    old, new = Space.of(old), Space.of(new)
    require_contained(old, new)
    rows = np.asarray(old.snap(np.random.default_rng(0).random((64, old.num_dimensions), np.float32)))
    there = moved(rows, old, new)
    for before, after in zip(old.label_rows(rows), new.label_rows(there), strict=True):
        assert after == pytest.approx(before) if isinstance(before[0], float) else after == before
    np.testing.assert_array_equal(there, np.asarray(new.snap(there)))


@pytest.mark.parametrize(("old", "new"), [(new, old) for old, new in SPACES])
def test_a_narrower_space_is_refused(old, new):
    with pytest.raises(ValueError, match=r"extend .*: must be .* with a wider range or more choices"):
        require_contained(Space.of(old), Space.of(new))


@pytest.mark.parametrize(
    "new",
    [
        {"y": jaxhpt.Float(0, 1)}, {"x": jaxhpt.Float(0, 1), "y": jaxhpt.Float(0, 1)}, {"x": jaxhpt.Int(0, 1)},
        {"x": jaxhpt.Float(0.0, 2.0, step=0.5)}, {"x": [0.0, 1.0]},
    ],
)  # fmt: skip
def test_another_space_is_refused(new):
    with pytest.raises(ValueError, match="extend"):
        require_contained(Space.of({"x": jaxhpt.Float(0.0, 1.0)}), Space.of(new))
