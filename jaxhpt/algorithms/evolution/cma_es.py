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
import numpy as np

from jaxhpt.algorithms.base import AlgorithmDefaults, Proposals, fitness, require_one_objective
from jaxhpt.algorithms.variation import genes
from jaxhpt.core.arrays import beside
from jaxhpt.core.checks import require, settle_counts, whole
from jaxhpt.core.history import History
from jaxhpt.core.keys import normals
from jaxhpt.core.problem import Problem
from jaxhpt.core.space import Space
from jaxhpt.core.typing import NONE, Array, Key

LARGEST_SIGMA = 1.0  # a step as wide as the range says nothing
SMALLEST_STEP = 5e-7  # float32 tells apart no less in [0, 1]
SMALLEST_SHARE = 1e-8  # of the largest variance, that float32 still resolves
BIN_SHARE = 0.25  # least deviation of a stepped dimension, in bins: one sample in 20 leaves the middle of its bin
CORNER = 5  # dimensions up to which samples from a corner are often cut off to the corner itself
STAMPS = 2**24  # generations that the float32 of a note tells apart


class CMAESState(NamedTuple):
    """The distribution, and the rows it has not learned from yet.

    Attributes:
      mean: f32[D].
      sigma: f32[] overall step.
      axes: f32[D, D] principal axes, in columns.
      scale: f32[D] deviations along them.
      covariance: f32[D, D].
      path: f32[2, D] evolution paths of the step and of the covariance.
      buffer: i32[N] finished rows to come; NONE for none.
      filled: i32[] how many.
      bests: i32[H] best rows of the latest generations; NONE for none.
      level: i32[] the population has been doubled so often.
      generation: i32[] updates so far.
      begun: i32[] updates before this run began.
    """

    mean: Array
    sigma: Array
    axes: Array
    scale: Array
    covariance: Array
    path: Array
    buffer: Array
    filled: Array
    bests: Array
    level: Array
    generation: Array
    begun: Array


class _Rates(NamedTuple):
    """Constants of one population size, Eqs. (49) to (58)."""

    weights: np.ndarray  # f32[N], the negative ones last
    parents: int
    mass: float  # mu_eff
    step: float  # c_sigma
    damping: float
    path: float  # c_c
    one: float  # c_1
    rank: float  # c_mu
    length: float  # expected length of a standard normal vector


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

    def num_notes(self, problem: Problem) -> int:
        """Return D + 1: the sample before it was snapped, and its generation."""
        return problem.num_dimensions + 1

    def init(self, key: Key, problem: Problem) -> CMAESState:
        """Start in the middle of the space."""
        require_one_objective(self, problem)
        size, zero = problem.num_dimensions, jnp.zeros((), jnp.int32)
        first = self._first(problem)
        return CMAESState(
            mean=jnp.full(size, 0.5, jnp.float32),
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
        normal = normals(key, (2, num, size) if _stepped(problem.space) else (1, num, size))
        x = state.mean[None] + state.sigma * (normal[0] * state.scale[None]) @ state.axes.T
        if _stepped(problem.space):
            x = x + normal[1] * jnp.sqrt(_missing(state, problem.space))[None]
        stamp = jnp.full((num, 1), state.generation, jnp.float32)
        note = jnp.concatenate([x, stamp], axis=1)
        return Proposals(jnp.clip(x, 0.0, 1.0), note, jnp.ones(num, bool)), state

    def tell(self, key: Key, state: CMAESState, history: History, problem: Problem, finished: Array) -> CMAESState:
        """Buffer the rows of this run and those of others, and learn from each generation that is whole."""
        stamp = history.note[finished, -1]
        own = jnp.isfinite(stamp)
        wanted = (finished < NONE) & (~own | (stamp >= state.begun.astype(jnp.float32)))
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
        learned = _update(state, _rates(problem.num_dimensions, num), moved, problem.space)
        some = jnp.isfinite(value[order[0]])
        state = jax.tree.map(lambda a, b: jnp.where(some, a, b), learned, state)
        index = jnp.arange(state.buffer.shape[0], dtype=jnp.int32) + num
        rest = jnp.where(index < state.buffer.shape[0], state.buffer[jnp.minimum(index, index.shape[0] - 1)], NONE)
        best = jnp.where(some, rows[order[0]], NONE)
        bests = jnp.concatenate([state.bests[1:], best[None]])
        return state._replace(
            buffer=rest, filled=state.filled - num, bests=bests, generation=(state.generation + 1) % STAMPS
        )

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


@functools.cache
def _rates(size: int, num: int) -> _Rates:
    """Return the constants for D = `size` and a population of `num`."""
    raw = math.log((num + 1) / 2) - np.log(np.arange(1, num + 1))
    parents = num // 2
    better, worse = raw[:parents], raw[parents:]
    mass, other = better.sum() ** 2 / (better**2).sum(), worse.sum() ** 2 / (worse**2).sum()
    path = (4 + mass / size) / (size + 4 + 2 * mass / size)
    step = (mass + 2) / (size + mass + 5)
    damping = 1 + 2 * max(0.0, math.sqrt((mass - 1) / (size + 1)) - 1) + step
    one = 2 / ((size + 1.3) ** 2 + mass)
    rank = min(1 - one, 2 * (0.25 + mass + 1 / mass - 2) / ((size + 2) ** 2 + mass))
    against = min(1 + one / rank, 1 + 2 * other / (other + 2), (1 - one - rank) / (size * rank))
    positive, negative = np.maximum(raw, 0) / raw[raw > 0].sum(), np.minimum(raw, 0) / -raw[raw < 0].sum()
    weights = (positive + against * negative).astype(np.float32)
    length = math.sqrt(size) * (1 - 1 / (4 * size) + 1 / (21 * size**2))
    mass, step, damping, path, one, rank = map(float, (mass, step, damping, path, one, rank))
    return _Rates(weights, parents, mass, step, damping, path, one, rank, length)


def _stepped(space: Space) -> bool:
    return bool(np.isfinite(genes(space).levels).any())


def _variance(state: CMAESState) -> Array:
    """Return the variance of each dimension, f32[D]."""
    return state.sigma**2 * jnp.diag(state.covariance)


def _near(x: Array, state: CMAESState) -> Array:
    """Clip f32[..., D] to the range, and in many dimensions to a margin around it.

    The margin is as many deviations wide as it takes to be cut off in all dimensions as often as in a few without it:
    an optimum in a corner is then met exactly.
    """
    deviations = jax.scipy.special.ndtri(jnp.float32(0.5 ** min(1.0, CORNER / x.shape[-1])))
    margin = beside(jnp.minimum(deviations * jnp.sqrt(_variance(state)), 0.5), x)
    return jnp.clip(x, -margin, 1.0 + margin)


def _missing(state: CMAESState, space: Space) -> Array:
    """Return the variance that stepped dimensions lack to leave their bins, f32[D]."""
    least = (BIN_SHARE / genes(space).levels) ** 2
    return jnp.maximum(least - _variance(state), 0.0)


def _moved(state: CMAESState, history: History, problem: Problem, rows: Array) -> Array:
    """Return the steps from the mean to rows, f32[N, D]; shortened where the row was not drawn from here."""
    sample, stamp = _samples(history, problem, rows), history.note[rows, -1]
    own = jnp.isfinite(sample[:, 0])
    x = jnp.where(own[:, None], sample, history.unit[rows])
    moved = x - state.mean[None]
    white = (moved / state.sigma) @ state.axes / state.scale[None]
    length = jnp.sqrt(jnp.sum(white**2, axis=1))
    size = problem.num_dimensions
    limit = math.sqrt(size) + 2 * size / (size + 2)
    fresh = own & (stamp == state.generation.astype(jnp.float32))
    share = jnp.where(fresh, 1.0, jnp.minimum(1.0, limit / jnp.maximum(length, 1e-30)))
    return moved * share[:, None]


def _samples(history: History, problem: Problem, rows: Array) -> Array:
    """Return what was drawn for rows before it was snapped, f32[N, D]; NaN where that is not what was tried.

    So it is for rows of others, and in finite spaces for those that were moved because they were repeats.
    """
    sample, space = history.note[rows, :-1], problem.space
    if space.size is None:
        return sample
    tried = jnp.all(space.snap(jnp.clip(sample, 0.0, 1.0)) == history.unit[rows], axis=1)
    return jnp.where(tried[:, None], sample, jnp.nan)


def _penalty(state: CMAESState, history: History, problem: Problem, rows: Array, value: Array) -> Array:
    """Return what leaving [0, 1] costs in the ranking, f32[N]: rows were tried at the border that they crossed.

    In units of the generation's own spread, so that beyond the border the landscape rises. Less in many dimensions,
    where it would outweigh the objective as soon as several borders are met.

    References:
      Hansen et al., "A method for handling uncertainty in evolutionary optimization",
      https://doi.org/10.1109/TEVC.2008.924423 (2009), on boundaries.
    """
    x = _samples(history, problem, rows)
    beyond = jnp.where(jnp.isnan(x), 0.0, x - _near(x, state))
    far = jnp.sum(beyond**2, axis=1) / jnp.mean(_variance(state)) / max(1.0, x.shape[1] / CORNER) ** 2
    ordered, num = jnp.sort(value), jnp.sum(jnp.isfinite(value), dtype=jnp.int32)
    spread = ordered[jnp.maximum(3 * num // 4 - 1, 0)] - ordered[num // 4]
    return jnp.where(jnp.isfinite(spread) & (far > 0), 2.0 * spread * far, 0.0)


def _update(state: CMAESState, rates: _Rates, moved: Array, space: Space) -> CMAESState:
    """Learn from one generation: steps from the mean f32[N, D], best first. Eqs. (41) to (47)."""
    weights, size = jnp.asarray(rates.weights), state.mean.shape[0]
    y = moved / state.sigma
    if _stepped(space):  # as if the deviation that was lent to leave a bin had been the distribution's own
        variance = _variance(state)
        y = y * jnp.sqrt(variance / (variance + _missing(state, space)))[None]
    chosen = rates.weights[: rates.parents]
    mean = _near(state.mean + chosen @ moved[: rates.parents], state)
    step = chosen @ y[: rates.parents]
    white = state.axes @ ((step @ state.axes) / state.scale)
    path = (1 - rates.step) * state.path[0] + math.sqrt(rates.step * (2 - rates.step) * rates.mass) * white
    length = jnp.sqrt(jnp.sum(path**2))
    age = (state.generation - state.begun + 1).astype(jnp.float32)
    usual = jnp.sqrt(1.0 - (1.0 - rates.step) ** (2.0 * age)) * (1.4 + 2.0 / (size + 1.0)) * rates.length
    held = (length < usual).astype(jnp.float32)  # h_sigma
    along = (1 - rates.path) * state.path[1] + held * math.sqrt(rates.path * (2 - rates.path) * rates.mass) * step
    lengths = jnp.sum(((y @ state.axes) / state.scale[None]) ** 2, axis=1)
    each = jnp.where(weights >= 0, weights, weights * size / jnp.maximum(lengths, 1e-12))
    keep = 1 + rates.one * (1 - held) * rates.path * (2 - rates.path) - rates.one - rates.rank * weights.sum()
    covariance = keep * state.covariance + rates.one * jnp.outer(along, along) + rates.rank * (y.T * each[None]) @ y
    covariance = (covariance + covariance.T) / 2
    variances, axes = jnp.linalg.eigh(covariance)
    variances = jnp.maximum(variances, SMALLEST_SHARE * variances[-1])
    grown = state.sigma * jnp.exp(jnp.minimum(1.0, rates.step / rates.damping * (length / rates.length - 1)))
    return state._replace(
        mean=mean,
        sigma=jnp.minimum(grown, LARGEST_SIGMA),
        axes=axes,
        scale=jnp.sqrt(variances),
        covariance=covariance,
        path=jnp.stack([path, along]),
    )
