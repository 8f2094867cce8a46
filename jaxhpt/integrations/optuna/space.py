"""Dimensions as Optuna's distributions, and the other way round."""

import dataclasses
import math
import warnings
from typing import Any

from jaxhpt.core.dimension import Dimension
from jaxhpt.core.dimensions import Choice, Float, Int
from jaxhpt.core.space import Space
from jaxhpt.integrations.extra import extra

with extra("optuna"):
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution


def distributions_of(space: Space) -> dict[str, BaseDistribution]:
    """Return the distribution of each dimension, by its name."""
    return {name: distribution_of(one) for name, one in zip(space.names, space.dimensions, strict=True)}


def distribution_of(dimension: Dimension) -> BaseDistribution:
    """Return the distribution that has the values of a dimension; functions and classes are there by their names.

    Example:
      >>> distribution_of(Float(1e-3, 1.0, log=True))
      FloatDistribution(high=1.0, log=True, low=0.001, step=None)
    """
    if isinstance(dimension, Float):
        return _float(dimension)
    if isinstance(dimension, Int):
        return IntDistribution(dimension.low, dimension.high, dimension.log, dimension.step)
    assert isinstance(dimension, Choice)
    return CategoricalDistribution(_choices(dimension))


def _float(dimension: Float) -> FloatDistribution:
    """Return the distribution of a range; without its steps where Optuna, which divides decimals, finds fewer."""
    low, high, step = dimension.low, dimension.high, dimension.step
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it moves the end to the last step, by a rounding
        found = FloatDistribution(low, high, dimension.log, step)
    whole = step is None or round((found.high - low) / step) + 1 == dimension.levels
    return found if whole else FloatDistribution(low, high)


def _choices(dimension: Choice) -> tuple[Any, ...]:
    """Return the values as Optuna takes them: as they are if all are plain, else as texts, each another one."""
    plain = all(value is None or isinstance(value, bool | int | float | str) for value in dimension.values)
    return dimension.values if plain else dimension.texts


def params_of(row: list[Any], space: Space, distributions: dict[str, BaseDistribution]) -> dict[str, Any]:
    """Return one setting as Optuna's parameters: those that exist.

    Args:
      row: D plain values, as `Space.label_rows` gives them.
      space: of the search.
      distributions: of the space.
    """
    return {
        name: _param(value, dimension, distributions[name])
        for name, value, dimension in zip(space.names, row, space.dimensions, strict=True)
        if value is not None or (isinstance(dimension, Choice) and None in dimension.values)
    }


def _param(value: Any, dimension: Dimension, distribution: Any) -> Any:
    """Return a value that its distribution holds: float32 may lie a little beside an end or a step."""
    if isinstance(dimension, Choice):
        place = dimension.find(value)
        assert place is not None
        return distribution.choices[place]
    return _held(value, distribution)


@dataclasses.dataclass(frozen=True)
class Column:
    """How one of Optuna's distributions is a dimension.

    Attributes:
      distribution: of Optuna.
      dimension: of a space; `Float(0, 1)` where nothing closer has the values.
      scaled: whether that is so, and values are scaled to [0, 1] here.
    """

    distribution: BaseDistribution
    dimension: Dimension
    scaled: bool

    @classmethod
    def of(cls, distribution: Any) -> "Column":
        """Choose the dimension.

        Raises:
          TypeError: an unknown kind of distribution.
        """
        try:
            return cls(distribution, _dimension(distribution), False)
        except ValueError:  # wider, narrower or finer than float32 tells apart
            return cls(distribution, Float(0.0, 1.0), True)

    def given(self, value: Any) -> Any:
        """Return a parameter as the space has it."""
        found: Any = self.distribution
        if isinstance(found, CategoricalDistribution):
            return self.dimension.values[int(found.to_internal_repr(value))]  # type: ignore[attr-defined]
        if not self.scaled:
            return value
        low, high = _ends(found)
        return (_scale(value, found.log) - low) / (high - low)

    def param(self, value: Any) -> Any:
        """Return a value of the space as Optuna's parameter, one that its distribution holds."""
        found: Any = self.distribution
        if isinstance(found, CategoricalDistribution):
            return found.choices[self.dimension.find(value)]  # type: ignore[attr-defined]
        if self.scaled:
            low, high = _ends(found)
            place = low + value * (high - low)
            value = math.exp(place) if found.log else place
        return _held(value, found)


def _dimension(distribution: Any) -> Dimension:
    if isinstance(distribution, FloatDistribution):
        return Float(distribution.low, distribution.high, distribution.log, distribution.step)
    if isinstance(distribution, IntDistribution):
        return Int(distribution.low, distribution.high, distribution.log, distribution.step)
    if isinstance(distribution, CategoricalDistribution):
        return _choice(distribution.choices)
    raise TypeError(f"distribution={distribution!r}: must be a Float-, Int- or CategoricalDistribution")


def _choice(choices: Any) -> Choice:
    """Return numbers as they are, so that those that rise have an order, and anything else by its place."""
    if all(type(value) in (int, float) for value in choices):
        try:
            return Choice(list(choices))
        except ValueError:  # numbers that float32 does not tell apart
            pass
    return Choice([f"{place}" for place in range(len(choices))])


def _held(value: Any, distribution: Any) -> Any:
    """Return the nearest number that a distribution holds."""
    low, high, step = distribution.low, distribution.high, distribution.step
    if step is not None:
        value = low + step * round((value - low) / step)
    value = min(max(value, low), high)
    return int(value) if isinstance(distribution, IntDistribution) else float(value)


def _scale(value: float, log: bool) -> float:
    return math.log(value) if log else value


def _ends(distribution: Any) -> tuple[float, float]:
    return _scale(distribution.low, distribution.log), _scale(distribution.high, distribution.log)
