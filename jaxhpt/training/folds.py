"""Kinds of folds: which rows of one data set a replica trains on, and which it is scored on.

Where the definitions agree, the folds are those of scikit-learn's classes of the same names, row by row: without
shuffling for `KFold` and `StratifiedKFold`, and always for `GroupKFold` and `TimeSeriesSplit`.
"""

import dataclasses
from typing import Any

import numpy as np

from jaxhpt.core.checks import number, require, require_count, require_seed, whole
from jaxhpt.training.splits import Deal, Folds, Split, balanced, classes, cut, one_a_row


@dataclasses.dataclass(frozen=True)
class KFold(Folds):
    """k-fold cross-validation: k parts of equal size, each of them left out by one model.

    Args:
      k: folds, at least 2.
      shuffle: whether rows come into folds by chance; False cuts them in order, wrong for rows sorted by class.
      seed: of that chance.

    Example:
      >>> KFold(3, shuffle=False).split(6).valid.argmax(1)
      array([0, 0, 1, 1, 2, 2])
    """

    k: int = 5
    shuffle: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        _settle(self)

    @property
    def num(self) -> int:
        """Folds of a split."""
        return self.k

    def deal(self, rows: int, labels: Any = None) -> Deal:
        """See `Folds`."""
        if not self.shuffle:
            return super().deal(rows, labels)
        return self._deal(rows, labels)

    def _deal(self, rows: int, labels: Any) -> Deal:
        require(self.k <= rows, "folds", self, f"at most {rows} folds, one for each row of train_data")
        return Deal(np.zeros(rows, np.int32), cut(rows, self.k), np.arange(rows))

    def _folds(self, rows: int, labels: Any, again: int) -> np.ndarray:
        deal = self._deal(rows, labels)
        if self.shuffle:
            return deal.shuffled((self.seed, again))
        return deal.folds(np.argsort(deal.strata, kind="stable"))


@dataclasses.dataclass(frozen=True, eq=False)
class StratifiedKFold(KFold):
    """k-fold cross-validation in which each fold has its share of every class.

    Args:
      k: folds, at least 2.
      shuffle: as in `KFold`.
      seed: as in `KFold`.
      labels: [n] the class of each row; None for the targets of a `FlaxTask`.

    Example:
      >>> StratifiedKFold(2, shuffle=False).split(6, [0, 0, 1, 1, 1, 1]).valid.argmax(1)
      array([0, 1, 0, 0, 1, 1])
    """

    labels: Any = None

    def _deal(self, rows: int, labels: Any) -> Deal:
        require(self.k <= rows, "folds", self.k, f"at most {rows} folds, one for each row of train_data")
        given = self.labels if self.labels is not None else labels
        if given is None:
            raise ValueError("folds: StratifiedKFold needs the class of each row: say StratifiedKFold(k, labels=...)")
        strata = classes(given, rows, self.k)
        ordered = np.sort(strata)
        counts = np.stack([np.bincount(ordered[i :: self.k], minlength=strata.max() + 1) for i in range(self.k)])
        place = np.concatenate([np.repeat(np.arange(self.k), column) for column in counts.T])
        return Deal(strata, place.astype(np.int32), np.arange(rows))


@dataclasses.dataclass(frozen=True, eq=False)
class GroupKFold(Folds):
    """k-fold cross-validation that keeps groups of rows, such as those of one patient, together in one fold.

    The groups are dealt so that the folds have nearly equal rows; a reshuffled split deals equal numbers of groups.

    Args:
      k: folds, at least 2.
      groups: [n] the group of each row: numbers or texts.

    Example:
      >>> GroupKFold(2, groups=["a", "a", "b", "c"]).split(4).valid.argmax(1)
      array([0, 0, 1, 1])
    """

    k: int
    groups: Any

    def __post_init__(self) -> None:
        _settle(self)

    @property
    def num(self) -> int:
        """Folds of a split."""
        return self.k

    def deal(self, rows: int, labels: Any = None) -> Deal:
        """See `Folds`."""
        names, member = np.unique(one_a_row("groups", self.groups, rows), return_inverse=True)
        require(self.k <= len(names), "folds", f"GroupKFold(k={self.k})", f"at most {len(names)}, one for each group")
        return Deal(np.zeros(len(names), np.int32), cut(len(names), self.k), member.reshape(-1))

    def _folds(self, rows: int, labels: Any, again: int) -> np.ndarray:
        deal = self.deal(rows)
        if again:
            return deal.shuffled((again,))
        return balanced(np.bincount(deal.member), self.k)[deal.member]


@dataclasses.dataclass(frozen=True)
class TimeSeriesSplit(Folds):
    """Time-ordered folds: each model trains on rows that come before those it is scored on. Rows must be in order.

    Args:
      k: folds, at least 2.
      gap: rows left out between those trained on and those scored on.
      test_size: rows that each fold is scored on; by default rows / (k + 1).
      max_train_size: most rows that a fold trains on; by default all before.

    Example:
      >>> TimeSeriesSplit(2).split(6).train.T.astype(int)
      array([[1, 1, 0, 0, 0, 0],
             [1, 1, 1, 1, 0, 0]])
    """

    k: int = 5
    gap: int = 0
    test_size: int | None = None
    max_train_size: int | None = None

    def __post_init__(self) -> None:
        _settle(self)
        gap = whole("folds gap", self.gap)
        require(gap >= 0, "folds gap", gap, "at least 0")
        object.__setattr__(self, "gap", gap)
        for name in ("test_size", "max_train_size"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, require_count(f"folds {name}", getattr(self, name)))

    @property
    def num(self) -> int:
        """Folds of a split."""
        return self.k

    def split(self, rows: int, labels: Any = None, again: int = 0) -> Split:
        """See `Folds`."""
        size = self.test_size or rows // (self.k + 1)
        first = rows - self.k * size
        require(size > 0 and first > self.gap, "folds", self, f"fewer folds, or smaller ones, for {rows} rows")
        begin, row = first + size * np.arange(self.k), np.arange(rows)[:, None]
        train = row < begin - self.gap
        if self.max_train_size is not None:
            train &= row >= begin - self.gap - self.max_train_size
        return Split(train, (row >= begin) & (row < begin + size))


@dataclasses.dataclass(frozen=True)
class Holdout(Folds):
    """One split: a share of the rows, drawn by chance, is scored on, the rest trained on.

    Args:
      share: of the rows to be scored on, between 0 and 1.
      seed: of the chance.

    Example:
      >>> int(Holdout(0.25).split(100).valid.sum())
      25
    """

    share: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        require(0 < number("folds share", self.share) < 1, "folds share", self.share, "above 0 and below 1")
        object.__setattr__(self, "seed", require_seed(self.seed))

    @property
    def num(self) -> int:
        """Folds of a split: one."""
        return 1

    def deal(self, rows: int, labels: Any = None) -> Deal:
        """See `Folds`."""
        out = round(self.share * rows)
        require(0 < out < rows, "folds", self, f"a share of {rows} rows that leaves some on both sides")
        return Deal(np.zeros(rows, np.int32), (np.arange(rows) >= out).astype(np.int32), np.arange(rows))

    def _folds(self, rows: int, labels: Any, again: int) -> np.ndarray:
        return self.deal(rows).shuffled((self.seed, again))


def _settle(folds: Any) -> None:
    """Make the fields of folds plain numbers."""
    k = require_count("folds k", folds.k)
    require(k >= 2, "folds k", k, "at least 2; for one split say Holdout(0.2)")
    object.__setattr__(folds, "k", k)
    if hasattr(folds, "seed"):
        object.__setattr__(folds, "seed", require_seed(folds.seed))
