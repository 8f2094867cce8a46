"""What algorithms share that are made of others: every part keeps its own state and notes, and is told everything."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxhpt.algorithms.base import Algorithm, Proposals, no_proposals
from jaxhpt.core.arrays import zeros
from jaxhpt.core.checks import Settings, require
from jaxhpt.core.control import when
from jaxhpt.core.history import History
from jaxhpt.core.problem import Problem
from jaxhpt.core.space import Space
from jaxhpt.core.typing import NOBODY, Array, Key


class Composite(Settings):
    """The part that combinations share.

    The note of a row is a tuple with an element for each part, which means something in the rows of that part alone.
    Authors are numbered through all parts, and theirs; each part is shown its own as if there were no others.
    """

    @property
    def parts(self) -> tuple[Algorithm, ...]:
        """The algorithms it is made of."""
        raise NotImplementedError

    @property
    def learns(self) -> bool:
        """Whether any of them learns from results."""
        return any(getattr(part, "learns", True) for part in self.parts)

    def note(self, problem: Problem) -> tuple:
        """Return those of all parts."""
        return tuple(part.note(problem) for part in self.parts)

    def num_authors(self, problem: Problem) -> int:
        """Return those of all parts."""
        return self._first_author(len(self.parts), problem)

    def num_points(self, space: Space) -> int | None:
        """Return None: there is no end."""
        return None

    def may_repeat(self, problem: Problem) -> bool:
        """Return whether all of its parts may."""
        return all(part.may_repeat(problem) for part in self.parts)

    def begin(self, key: Key, problem: Problem) -> tuple[Any, ...]:
        """Start every part."""
        authors = self.num_authors(problem)
        require(authors <= NOBODY, "algorithms", authors, f"at most {NOBODY}, with those that they are made of")
        return tuple(part.init(jax.random.fold_in(key, i), problem) for i, part in enumerate(self.parts))

    def ask_part(
        self, i: int, key: Key, states: tuple, history: History, problem: Problem, num: int, count: Array
    ) -> tuple[Proposals, tuple]:
        """Ask one part, if it is to propose anything: its proposals, in the notes of all, and the states."""
        part = self.parts[i]

        def ask() -> tuple[Proposals, Any]:
            return part.ask(jax.random.fold_in(key, i), states[i], self._view(i, history, problem), problem, num, count)

        def rest() -> tuple[Proposals, Any]:
            return no_proposals(num, problem.num_dimensions, part.note(problem)), states[i]

        found, state = when(count > 0, ask, rest)
        return self.as_ours(i, found, problem), (*states[:i], state, *states[i + 1 :])

    def as_ours(self, i: int, found: Proposals, problem: Problem) -> Proposals:
        """Put the proposals of a part in the notes and the authors of all."""
        note = list(zeros(self.note(problem), found.valid.shape[0]))
        note[i] = found.note
        return found._replace(note=tuple(note), author=found.author + jnp.int8(self._first_author(i, problem)))

    def tell_parts(self, key: Key, states: tuple, history: History, problem: Problem, finished: Array) -> tuple:
        """Tell every part of all rows that ended."""
        return tuple(
            part.tell(jax.random.fold_in(key, i), states[i], self._view(i, history, problem), problem, finished)
            for i, part in enumerate(self.parts)
        )

    def proposed_by(self, i: int, author: Array, problem: Problem) -> Array:
        """Tell which authors, i8[n], are of a part: bool[n]."""
        return (author >= self._first_author(i, problem)) & (author < self._first_author(i + 1, problem))

    def _first_author(self, i: int, problem: Problem) -> int:
        """Return the number of the first author of a part."""
        return sum(part.num_authors(problem) for part in self.parts[:i])

    def _view(self, i: int, history: History, problem: Problem) -> History:
        """Show a part the history with its own notes and authors."""
        author = history.author - jnp.int8(self._first_author(i, problem))
        mine = self.proposed_by(i, history.author, problem)
        return history._replace(note=history.note[i], author=jnp.where(mine, author, jnp.int8(NOBODY)))


def several(algorithms: tuple[Any, ...]) -> tuple[Algorithm, ...]:
    """Return at least two algorithms as they are; raise where they are not."""
    require(len(algorithms) > 1, "algorithms", algorithms, "at least two")
    for part in algorithms:
        require_algorithm("algorithms", part)
    return algorithms


def require_algorithm(name: str, value: Any) -> None:
    """Raise unless a value is an algorithm."""
    if isinstance(value, type) or not isinstance(value, Algorithm):
        raise TypeError(f"{name}={value!r}: must be an algorithm, such as Genetic()")


def require_endless(name: str, value: Algorithm, space: Space) -> None:
    """Raise where an algorithm has an end."""
    require(value.num_points(space) is None, name, value, "without an end; one that has an end can begin a Chain")


def joined(parts: list[Proposals], which: Array, place: Array) -> Proposals:
    """Put proposals together: of part i32[Q] `which` the one at i32[Q] `place`."""
    both = jax.tree.map(lambda *a: jnp.stack(a), *parts)
    return jax.tree.map(lambda a: a[which, place], both)


def write_fields_of(settings: Any, **fields: Any) -> None:
    """Write fields of a frozen dataclass whose arguments are not its fields one by one."""
    for name, value in fields.items():
        object.__setattr__(settings, name, value)
