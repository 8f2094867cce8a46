"""Folds: the rows of scikit-learn's where the definitions agree, fair draws where chance decides, errors that help."""

import jax
import numpy as np
import pytest
from sklearn import model_selection

import jaxhpt
from jaxhpt import GroupKFold, Holdout, KFold, StratifiedKFold, TimeSeriesSplit

ROWS = 47
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, ROWS)
TEXTS = np.array(["cat", "dog", "ant"])[LABELS]
GROUPS = RNG.integers(0, 11, ROWS)

PAIRS = {
    "k": (KFold(5, shuffle=False), model_selection.KFold(5), None, None),
    "k, rows to spare": (KFold(7, shuffle=False), model_selection.KFold(7), None, None),
    "stratified": (StratifiedKFold(4, shuffle=False), model_selection.StratifiedKFold(4), LABELS, None),
    "stratified texts": (StratifiedKFold(3, shuffle=False), model_selection.StratifiedKFold(3), TEXTS, None),
    "grouped": (GroupKFold(4, GROUPS), model_selection.GroupKFold(4), None, GROUPS),
    "time": (TimeSeriesSplit(4), model_selection.TimeSeriesSplit(4), None, None),
    "time, all settings": (
        TimeSeriesSplit(3, gap=2, test_size=5, max_train_size=11),
        model_selection.TimeSeriesSplit(3, gap=2, test_size=5, max_train_size=11),
        None,
        None,
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_folds_are_those_of_scikit_learn(name):
    ours, theirs, labels, groups = PAIRS[name]
    split = ours.split(ROWS, labels)
    for fold, (train, valid) in enumerate(theirs.split(np.zeros((ROWS, 1)), labels, groups)):
        np.testing.assert_array_equal(np.flatnonzero(split.train[:, fold]), train)
        np.testing.assert_array_equal(np.flatnonzero(split.valid[:, fold]), valid)
    assert split.train.shape == (ROWS, ours.num)


@pytest.mark.parametrize("folds", [KFold(5), StratifiedKFold(4, labels=LABELS)])
def test_shuffled_folds_are_fair_and_fresh_when_asked(folds):
    split, again = folds.split(ROWS), folds.split(ROWS, again=1)
    assert (split.valid.sum(1) == 1).all()
    assert (split.train == ~split.valid).all()
    sizes = split.valid.sum(0)
    assert sizes.max() - sizes.min() <= 1
    assert (split.valid != again.valid).any()
    assert (split.valid == folds.split(ROWS).valid).all()
    assert (split.valid != type(folds)(folds.k, seed=1, **_labels(folds)).split(ROWS).valid).any()


def _labels(folds):
    return {"labels": folds.labels} if isinstance(folds, StratifiedKFold) else {}


def test_a_stratified_fold_has_its_share_of_each_class():
    for split in (StratifiedKFold(4).split(ROWS, LABELS), StratifiedKFold(4).split(ROWS, LABELS[:, None], again=3)):
        for label in range(3):
            counts = split.valid[label == LABELS].sum(0)
            assert counts.max() - counts.min() <= 1


DEALT = [KFold(5), StratifiedKFold(4, labels=LABELS), GroupKFold(4, GROUPS), Holdout(0.3)]


@pytest.mark.parametrize("folds", DEALT, ids=lambda f: type(f).__name__)
def test_what_a_trace_draws_is_dealt_as_on_the_host(folds):
    deal = folds.deal(ROWS)
    drawn = [np.asarray(jax.jit(deal.drawn)(jax.random.key(seed))) for seed in range(3)]
    assert drawn[0].dtype == np.int8
    assert (drawn[0] != drawn[1]).any()
    for fold in drawn:
        assert np.bincount(fold).tolist() == np.bincount(deal.shuffled((0,))).tolist() or isinstance(folds, GroupKFold)
        if isinstance(folds, StratifiedKFold):
            for label in range(3):
                ours = np.bincount(fold[label == LABELS], minlength=4)
                np.testing.assert_array_equal(ours, folds.split(ROWS).valid[label == LABELS].sum(0))
        if isinstance(folds, GroupKFold):
            assert all(len(np.unique(fold[group == GROUPS])) == 1 for group in np.unique(GROUPS))
            groups = [len(np.unique(GROUPS[fold == k])) for k in range(4)]
            assert max(groups) - min(groups) <= 1


def test_each_row_is_as_likely_to_be_in_each_fold():
    deal = KFold(4).deal(10)
    drawn = jax.vmap(deal.drawn)(jax.random.split(jax.random.key(0), 2000))
    shares = np.stack([np.bincount(column, minlength=4) for column in np.asarray(drawn).T]) / 2000
    np.testing.assert_allclose(shares, np.broadcast_to([0.3, 0.3, 0.2, 0.2], shares.shape), atol=0.05)


def test_holdout_is_one_split():
    split = Holdout(0.25).split(40)
    assert split.valid.shape == (40, 1)
    assert split.valid.sum() == 10
    assert (split.train == ~split.valid).all()


def test_very_many_folds_fit():
    drawn = KFold(300).deal(300).drawn(jax.random.key(0))
    assert sorted(np.asarray(drawn).tolist()) == list(range(300))


ERRORS = {
    r"folds k=1: must be at least 2; for one split say Holdout": lambda: KFold(1),
    r"folds k=2\.5: must be an int": lambda: KFold(2.5),
    r"seed=-1: must be an int of at least 0": lambda: KFold(3, seed=-1),
    r"KFold has no argument 'n_splits'": lambda: KFold(n_splits=3),
    r"at most 3 folds, one for each row": lambda: KFold(4).split(3),
    r"at most 2, one for each group": lambda: GroupKFold(3, [0, 0, 1, 1]).split(4),
    r"folds groups: of shape \(3,\); must be one a row, \(4,\)": lambda: GroupKFold(2, [0, 1, 1]).split(4),
    r"class 'b' has 1 rows, fewer than 2 folds; take fewer": lambda: StratifiedKFold(2).split(5, ["a"] * 4 + ["b"]),
    r"StratifiedKFold needs the class of each row": lambda: StratifiedKFold(2).split(5),
    r"must be classes, not real numbers; take KFold": lambda: StratifiedKFold(2).split(3, [0.5, 1.5, 2.5]),
    r"folds labels: of shape \(4, 2\); must be one a row": lambda: StratifiedKFold(2).split(4, np.eye(4, 2)),
    r"fewer folds, or smaller ones, for 10 rows": lambda: TimeSeriesSplit(5, test_size=2).split(10),
    r"folds gap=-1: must be at least 0": lambda: TimeSeriesSplit(5, gap=-1),
    r"folds test_size=0: must be at least 1": lambda: TimeSeriesSplit(5, test_size=0),
    r"folds share=1\.0: must be above 0 and below 1": lambda: Holdout(1.0),
    r"a share of 3 rows that leaves some on both sides": lambda: Holdout(0.1).split(3),
    r"reshuffle=True: TimeSeriesSplit.* is fixed by the order": lambda: TimeSeriesSplit(2).deal(9),
    r"reshuffle=True: KFold.* is fixed by the order": lambda: KFold(2, shuffle=False).deal(9),
}


@pytest.mark.parametrize("message", ERRORS)
def test_errors(message):
    with pytest.raises((ValueError, TypeError), match=message):
        ERRORS[message]()


def test_they_are_public_and_equal_by_value():
    assert jaxhpt.KFold(5) == KFold(5) != KFold(6)
    assert hash(KFold(5)) == hash(KFold(5))
