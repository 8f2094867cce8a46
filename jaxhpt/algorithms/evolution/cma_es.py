"""CMA-ES: a normal distribution that learns the shape of the landscape, with restarts.

Hansen, "The CMA evolution strategy: a tutorial", https://arxiv.org/abs/1604.00772 (2016); equation numbers are its.
Auger and Hansen, "A restart CMA evolution strategy with increasing population size",
https://doi.org/10.1109/CEC.2005.1554902 (2005).
Hansen, "Injecting external solutions into CMA-ES", https://arxiv.org/abs/1110.4181 (2011).
"""

import dataclasses
import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt.algorithms.base import (
    AlgorithmDefaults,
    Proposals,
    column,
    fitness,
    is_own,
    proposals,
    require_one_objective,
)
from jaxhpt.algorithms.beliefs import start_of
from jaxhpt.algorithms.evolution.cma_update import (
    CORNER,
    CMAESState,
    missing_variance,
    near_range,
    rates_of,
    stepped,
    updated,
    variance_of,
)
from jaxhpt.core.checks import require, settle_counts, whole
from jaxhpt.core.history import History
from jaxhpt.core.keys import normals
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import NONE, Array, Key

SMALLEST_STEP = 5e-7  # float32 tells apart no less in [0, 1]


class CMAESNote(NamedTuple):
    """How a row was drawn.

    Attributes:
      sample: f32[D] before it was snapped.
      generation: i32[] updates before it.
    """

    sample: Array
    generation: Array


@dataclasses.dataclass(frozen=True)
class CMAES(AlgorithmDefaults):
    """CMA-ES. Choose it for continuous spaces of up to 100 dimensions with valleys, and budgets of 50 D trials or more.

    It learns which way a valley runs, and does not care about monotone changes of the objective. Whole numbers are
    kept moving. Unordered choices are treated in the order they are written: with many of them choose `Genetic`.

    Args:
      population: trials of a generation, at least 4; None is 4 + 3 ln D, or the lanes if they are more.
      sigma: first deviation, in units of the range, in (0, 1].
      restarts: how often the population may double: a run that has converged begins again elsewhere, twice as wide.

    Raises:
      ValueError: a value out of its range; at the start of a search, several objectives.

    Example:
      >>> import jaxhpt
      >>> space = jaxhpt.problems.rosenbrock.space(3)
      >>> result = jaxhpt.minimize(jaxhpt.problems.rosenbrock, space, algorithm="cma_es",
      ...                          trials=2048, lanes=16, progress=False)
      >>> result.best.value < 1e-6
      True

    References:
      See the module.
    """

    population: int | None = None
    sigma: float = 0.2
    restarts: int = 3

    def __post_init__(self) -> None:
        settle_counts(self, "population")
        if self.population is not None:
            require(self.population >= 4, "population", self.population, "at least 4, or None")
        require(0 < self.sigma <= 1, "sigma", self.sigma, "in (0, 1]")
        object.__setattr__(self, "restarts", whole("restarts", self.restarts))
        require(0 <= self.restarts <= 8, "restarts", self.restarts, "a whole number from 0 to 8")

    def note(self, problem: Problem) -> CMAESNote:
        """Return the shapes of how a row is drawn."""
        return CMAESNote(column(jnp.float32, problem.num_dimensions), column(jnp.int32))

    def init(self, key: Key, problem: Problem) -> CMAESState:
        """Start in the middle of the space, or where the best is believed to be."""
        require_one_objective(self, problem)
        size, zero = problem.num_dimensions, jnp.zeros((), jnp.int32)
        first = self._first(problem)
        return CMAESState(
            mean=jnp.asarray(start_of(problem.space)),
            sigma=jnp.full((), self.sigma, jnp.float32),
            axes=jnp.eye(size, dtype=jnp.float32),
            scale=jnp.ones(size, jnp.float32),
            covariance=jnp.eye(size, dtype=jnp.float32),
            path=jnp.zeros((2, size), jnp.float32),
            buffer=jnp.full(first << self.restarts, NONE, jnp.int32),
            filled=zero,
            bests=jnp.full(_memory(size, first), NONE, jnp.int32),
            level=zero,
            generation=zero,
            begun=zero,
        )

    def _first(self, problem: Problem) -> int:
        usual = max(4 + math.floor(3 * math.log(problem.num_dimensions)), problem.lanes)
        return self.population or usual

    def ask(
        self, key: Key, state: CMAESState, history: History, problem: Problem, num: int, count: Array
    ) -> tuple[Proposals, CMAESState]:
        """Draw from the distribution; see `Algorithm.ask`."""
        size = problem.num_dimensions
        normal = normals(key, (2, num, size) if stepped(problem.space) else (1, num, size))
        x = state.mean[None] + state.sigma * (normal[0] * state.scale[None]) @ state.axes.T
        if stepped(problem.space):
            x = x + normal[1] * jnp.sqrt(missing_variance(state, problem.space))[None]
        note = CMAESNote(x, jnp.broadcast_to(state.generation, num))
        return proposals(jnp.clip(x, 0.0, 1.0), note), state

    def tell(self, key: Key, state: CMAESState, history: History, problem: Problem, finished: Array) -> CMAESState:
        """Buffer the rows of this run and those of others, and learn from each generation that is whole."""
        old = is_own(history, finished) & (history.note.generation[finished] < state.begun)
        wanted = (finished < NONE) & ~old
        rows = jnp.sort(jnp.where(wanted, finished, NONE))
        size = state.buffer.shape[0]
        place = jnp.where(rows < NONE, state.filled + jnp.arange(rows.shape[0], dtype=jnp.int32), size + rows.shape[0])
        room = jnp.full(rows.shape, NONE, jnp.int32)
        buffer = jnp.concatenate([state.buffer, room]).at[place].set(rows, mode="drop")
        state = state._replace(buffer=buffer, filled=state.filled + jnp.sum(wanted, dtype=jnp.int32))
        first = self._first(problem)
        learn = [functools.partial(self._learn, history, problem, first << level) for level in range(self.restarts + 1)]

        def step(state: CMAESState) -> CMAESState:
            after = jax.lax.switch(state.level, learn, state)
            return self._restarted(jax.random.fold_in(key, state.generation), after, history, problem)

        state = jax.lax.while_loop(lambda s: s.filled >= first << s.level, step, state)
        return state._replace(buffer=state.buffer[:size])

    def _learn(self, history: History, problem: Problem, num: int, state: CMAESState) -> CMAESState:
        """Learn from the first `num` rows of the buffer, and take them out."""
        rows = state.buffer[:num]
        value = fitness(history, problem, rows)
        order = jnp.argsort(value + _penalty(state, history, problem, rows, value), stable=True).astype(jnp.int32)
        moved = _moved(state, history, problem, rows)[order]
        learned = updated(state, rates_of(problem.num_dimensions, num), moved, problem.space)
        some = jnp.isfinite(value[order[0]])
        state = jax.tree.map(lambda a, b: jnp.where(some, a, b), learned, state)
        index = jnp.arange(state.buffer.shape[0], dtype=jnp.int32) + num
        rest = jnp.where(index < state.buffer.shape[0], state.buffer[jnp.minimum(index, index.shape[0] - 1)], NONE)
        best = jnp.where(some, rows[order[0]], NONE)
        bests = jnp.concatenate([state.bests[1:], best[None]])
        return state._replace(buffer=rest, filled=state.filled - num, bests=bests, generation=state.generation + 1)

    def _restarted(self, key: Key, state: CMAESState, history: History, problem: Problem) -> CMAESState:
        """Begin again elsewhere, with twice the population, where the run has come to its end."""
        value = fitness(history, problem, state.bests)
        flat = jnp.all(jnp.isfinite(value)) & (jnp.max(value) - jnp.min(value) <= 0.0)
        small = state.sigma * jnp.max(state.scale) < SMALLEST_STEP
        ended = (flat | small) & (self.restarts > 0)
        fresh = self.init(key, problem)
        fresh = fresh._replace(
            mean=jax.random.uniform(key, fresh.mean.shape, jnp.float32),
            buffer=state.buffer,
            filled=state.filled,
            level=jnp.minimum(state.level + 1, self.restarts),
            generation=state.generation,
            begun=state.generation,
        )
        return jax.tree.map(lambda a, b: jnp.where(ended, a, b), fresh, state)


def _memory(size: int, num: int) -> int:
    """Generations without any change of the best after which a run has come to its end."""
    return 10 + math.ceil(30 * size / num)


def _moved(state: CMAESState, history: History, problem: Problem, rows: Array) -> Array:
    """Return the steps from the mean to rows, f32[N, D]; shortened where the row was not drawn from here."""
    sample, own = _samples(history, problem, rows)
    x = jnp.where(own[:, None], sample, history.unit[rows])
    moved = x - state.mean[None]
    white = (moved / state.sigma) @ state.axes / state.scale[None]
    length = jnp.sqrt(jnp.sum(white**2, axis=1))
    size = problem.num_dimensions
    limit = math.sqrt(size) + 2 * size / (size + 2)
    fresh = own & (history.note.generation[rows] == state.generation)
    share = jnp.where(fresh, 1.0, jnp.minimum(1.0, limit / jnp.maximum(length, 1e-30)))
    return moved * share[:, None]


def _samples(history: History, problem: Problem, rows: Array) -> tuple[Array, Array]:
    """Return what was drawn for rows before it was snapped, f32[N, D], and whether that is what was tried, bool[N].

    It is not for rows of others, and in finite spaces for those that were moved because they were repeats.
    """
    sample, own, space = history.note.sample[rows], is_own(history, rows), problem.space
    if space.size is None:
        return sample, own
    return sample, own & jnp.all(space.snap(jnp.clip(sample, 0.0, 1.0)) == history.unit[rows], axis=1)


def _penalty(state: CMAESState, history: History, problem: Problem, rows: Array, value: Array) -> Array:
    """Return what leaving [0, 1] costs in the ranking, f32[N]: rows were tried at the border that they crossed.

    In units of the generation's own spread, so that beyond the border the landscape rises. Less in many dimensions,
    where it would outweigh the objective as soon as several borders are met.

    References:
      Hansen et al., "A method for handling uncertainty in evolutionary optimization",
      https://doi.org/10.1109/TEVC.2008.924423 (2009), on boundaries.
    """
    x, own = _samples(history, problem, rows)
    beyond = jnp.where(own[:, None], x - near_range(x, state), 0.0)
    far = jnp.sum(beyond**2, axis=1) / jnp.mean(variance_of(state)) / max(1.0, x.shape[1] / CORNER) ** 2
    ordered, num = jnp.sort(value), jnp.sum(jnp.isfinite(value), dtype=jnp.int32)
    spread = ordered[jnp.maximum(3 * num // 4 - 1, 0)] - ordered[num // 4]
    return jnp.where(jnp.isfinite(spread) & (far > 0), 2.0 * spread * far, 0.0)
