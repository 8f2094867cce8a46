"""A space as algorithms see it: rows in [0, 1], and what tells its settings apart, but not the values they stand for.

Spaces that differ in the ends of continuous ranges alone, or in the values of steps, are one encoded space: what is
compiled for it serves all of them. What is believed of it stays with it, as places.
"""

import dataclasses

from jaxhpt.core.choice import Choice
from jaxhpt.core.dimension import Dimension
from jaxhpt.core.dimensions import Float, Int
from jaxhpt.core.space import Space


def encoded(space: Space) -> Space:
    """Return the space without ends, values, names and constants."""
    bare = space.bare()
    dimensions = tuple(map(_encoded, bare.dimensions))
    return dataclasses.replace(bare, names=tuple(map(str, range(len(dimensions)))), dimensions=dimensions)


def _encoded(dimension: Dimension) -> Dimension:
    """Return the simplest dimension of the same bins and order."""
    if dimension.levels is None:
        return Float(0.0, 1.0)
    if not dimension.even:
        return dataclasses.replace(dimension, near=None, trust=None)  # type: ignore[type-var]
    places = list(range(dimension.levels))
    if isinstance(dimension, Choice):
        named = places if dimension.ordered else [str(place) for place in places]
        return Choice(named, structural=dimension.structural)
    return Int(0, places[-1], structural=dimension.structural)
