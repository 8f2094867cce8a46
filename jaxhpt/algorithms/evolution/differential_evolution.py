"""Differential evolution: current-to-pbest/1/bin with an archive, its rates learned from what succeeded (SHADE).

Storn and Price, "Differential evolution", https://doi.org/10.1023/A:1008202821328 (1997).
Zhang and Sanderson, "JADE: adaptive differential evolution with optional external archive",
https://doi.org/10.1109/TEVC.2009.2014613 (2009).
Tanabe and Fukunaga, "Success-history based parameter adaptation for differential evolution",
https://doi.org/10.1109/CEC.2013.6557555 (2013).
"""

import dataclasses
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
from jaxhpt.algorithms.initial_design import initial_design
from jaxhpt.algorithms.variation import Mutation, distinct, genes, halves, pick, settle
from jaxhpt.core.arrays import exclusive_count
from jaxhpt.core.checks import require, settle_counts
from jaxhpt.core.history import History
from jaxhpt.core.keys import uniforms, words
from jaxhpt.core.problem import Problem
from jaxhpt.core.space import Space
from jaxhpt.core.typing import NONE, Array, Key

MEMORY = 6  # pairs of rates remembered, H of SHADE
SPREAD = 0.1  # of the rates around a remembered pair
LARGEST_GAIN = 1e10  # of a child over its target, as a weight: leaving an infeasible region is no more than that


class Gains(NamedTuple):
    """Sums over the children since the memory last moved.

    Attributes:
      num_scored: i32[] children that did not fail.
      weight: f32[2] of gain times weight, and of gain times rate.
      square: f32[2] of gain times their squares.
    """

    num_scored: Array
    weight: Array
    square: Array


class DifferentialEvolutionState(NamedTuple):
    """What the history does not tell.

    Attributes:
      scramble: key of the first generation.
      members: i32[P] rows of the population; NONE while unfilled.
      archive: i32[P] rows that were replaced; NONE for none.
      archived: i32[] rows ever put there.
      memory: f32[2, H] weights and crossover rates that succeeded.
      place: i32[] of the memory that is overwritten next.
      gains: sums for it.
    """

    scramble: Key
    members: Array
    archive: Array
    archived: Array
    memory: Array
    place: Array
    gains: Gains


class DifferentialEvolutionNote(NamedTuple):
    """How a child was made.

    Attributes:
      rates: f32[2] its weight and crossover rate.
      slot: i32[] the place of its target in the population.
    """

    rates: Array
    slot: Array


class _Draw(NamedTuple):
    """What one child is made of: rows f32[Q, D], rates f32[Q]."""

    target: Array
    best: Array
    a: Array
    b: Array
    weight: Array
    rate: Array


@dataclasses.dataclass(frozen=True)
class DifferentialEvolution(AlgorithmDefaults):
    """Differential evolution that learns its own rates. Choose it for continuous, rugged spaces of 5 to 50 dimensions.

    Every child competes with one member, its target. Unordered dimensions are taken from the parents where they
    agree, and drawn anew where they do not.

    Args:
      population: members, at least 4: the larger, the wider and the slower the search.
      pbest_rate: share of the population that children are drawn towards, in (0, 1].

    Raises:
      ValueError: a value out of its range; at the start of a search, several objectives.

    Example:
      >>> import jaxhpt
      >>> space = jaxhpt.problems.rosenbrock.space(4)
      >>> result = jaxhpt.minimize(jaxhpt.problems.rosenbrock, space, algorithm="differential_evolution",
      ...                          trials=4096, lanes=32, seed=1, progress=False)
      >>> result.best.value < 1
      True

    References:
      See the module.
    """

    population: int = 32
    pbest_rate: float = 0.15

    def __post_init__(self) -> None:
        settle_counts(self, "population")
        require(self.population >= 4, "population", self.population, "at least 4")
        require(0 < self.pbest_rate <= 1, "pbest_rate", self.pbest_rate, "in (0, 1]")

    def note(self, problem: Problem) -> DifferentialEvolutionNote:
        """Return the shapes of how a child is made."""
        return DifferentialEvolutionNote(column(jnp.float32, 2), column(jnp.int32))

    def init(self, key: Key, problem: Problem) -> DifferentialEvolutionState:
        """Start without members."""
        require_one_objective(self, problem)
        zero, none = jnp.zeros((), jnp.int32), jnp.full(self.population, NONE, jnp.int32)
        memory = jnp.full((2, MEMORY), 0.5, jnp.float32)
        return DifferentialEvolutionState(key, none, none, zero, memory, zero, _no_gains())

    def ask(
        self, key: Key, state: DifferentialEvolutionState, history: History, problem: Problem, num: int, count: Array
    ) -> tuple[Proposals, DifferentialEvolutionState]:
        """Make a child for each of the next targets; see `Algorithm.ask`."""
        draws, cross, again = jax.random.split(key, 3)
        index = history.next_rows(num)
        slot = index % self.population
        draw = self._draw(draws, state, history, problem, slot)
        child = _cross(cross, draw, problem.space)
        child = self._begun(child, state, problem, index, slot)
        child = distinct(again, child, history, problem, count, Mutation())
        note = DifferentialEvolutionNote(jnp.stack([draw.weight, draw.rate], axis=1), slot)
        return proposals(child, note), state

    def tell(
        self, key: Key, state: DifferentialEvolutionState, history: History, problem: Problem, finished: Array
    ) -> DifferentialEvolutionState:
        """Let each finished child replace its target if it is no worse, and learn from the gains."""
        value, members = fitness(history, problem, finished), fitness(history, problem, state.members)
        note, own = jax.tree.map(lambda a: a[finished], history.note), is_own(history, finished)
        slot = self._slots(note.slot, own, (finished < NONE) & ~own, members)
        rival = members[slot]
        state = self._learn(state, note.rates, own & jnp.isfinite(value), rival - value)
        return self._replace(state, problem, finished, slot, value, (value <= rival) & jnp.isfinite(value))

    def _slots(self, noted: Array, own: Array, foreign: Array, members: Array) -> Array:
        """Return the place each finished row competes for: its target's; the worst ones for rows of others."""
        _, worst = jax.lax.top_k(members, self.population)
        return jnp.where(own, noted, worst[exclusive_count(foreign) % self.population])

    def _replace(
        self,
        state: DifferentialEvolutionState,
        problem: Problem,
        rows: Array,
        slot: Array,
        value: Array,
        better: Array,
    ) -> DifferentialEvolutionState:
        """Put the best of the better rows in each place, and what was there in the archive."""
        size = self.population
        least = jnp.full(size, jnp.inf, jnp.float32).at[jnp.where(better, slot, size)].min(value, mode="drop")
        wins = better & (value == least[slot])
        winner = jnp.full(size, NONE, jnp.int32).at[jnp.where(wins, slot, size)].min(rows, mode="drop")
        new, old = winner < NONE, state.members < NONE
        leaves = new & old
        place = jnp.where(leaves, (state.archived + exclusive_count(leaves)) % size, size)
        return state._replace(
            members=jnp.where(new, winner, state.members),
            archive=state.archive.at[place].set(state.members, mode="drop"),
            archived=state.archived + jnp.sum(leaves, dtype=jnp.int32),
        )

    def _learn(
        self, state: DifferentialEvolutionState, rates: Array, scored: Array, gain: Array
    ) -> DifferentialEvolutionState:
        """Move the memory by the weighted Lehmer mean of the successes, once a generation: Eqs. (7) to (9) of SHADE."""
        gained = jnp.where(scored & (gain > 0) & jnp.isfinite(gain), jnp.minimum(gain, LARGEST_GAIN), 0.0)
        rates = jnp.where(gained[:, None] > 0, rates, 0.0)
        gains = Gains(
            state.gains.num_scored + jnp.sum(scored, dtype=jnp.int32),
            state.gains.weight + gained @ rates,
            state.gains.square + gained @ rates**2,
        )
        whole = gains.num_scored >= self.population
        move = whole & (gains.weight[0] > 0)
        mean = gains.square / jnp.where(gains.weight > 0, gains.weight, 1.0)
        memory = jnp.where(move, state.memory.at[:, state.place].set(mean), state.memory)
        kept = jax.tree.map(lambda zero, sum: jnp.where(whole, zero, sum), _no_gains(), gains)
        place = jnp.where(move, (state.place + 1) % MEMORY, state.place)
        return state._replace(memory=memory, place=place, gains=kept)

    def _draw(
        self, key: Key, state: DifferentialEvolutionState, history: History, problem: Problem, slot: Array
    ) -> _Draw:
        """Draw partners and rates: Eqs. (1) to (3) of SHADE."""
        size = self.population
        uniform = uniforms(key, (6, slot.shape[0]))
        _, order = jax.lax.top_k(-fitness(history, problem, state.members), size)
        ordered = state.members[order]
        alive = jnp.sum(state.members < NONE, dtype=jnp.int32)
        target = state.members[slot]
        pool = jnp.concatenate([ordered, state.archive])
        near = jnp.maximum(
            jnp.round(self.pbest_rate * alive.astype(jnp.float32)).astype(jnp.int32), jnp.minimum(alive, 2)
        )
        first = _other(uniform[1], alive, ordered, target)
        old = jnp.minimum(state.archived, size)
        second = jnp.floor(uniform[2] * (alive + old).astype(jnp.float32)).astype(jnp.int32)
        second = jnp.where(second < alive, second, second - alive + size)
        rows = jnp.stack(
            [target, ordered[jnp.floor(uniform[0] * near.astype(jnp.float32)).astype(jnp.int32)], first, pool[second]]
        )
        unit = history.unit[rows]
        memory = state.memory[:, jnp.floor(uniform[3] * MEMORY).astype(jnp.int32)]
        weight = _weight(uniform[4], memory[0])
        rate = jnp.clip(memory[1] + SPREAD * jax.scipy.special.ndtri(uniform[5]), 0.0, 1.0)
        return _Draw(unit[0], unit[1], unit[2], unit[3], weight, rate)

    def _begun(
        self, child: Array, state: DifferentialEvolutionState, problem: Problem, index: Array, slot: Array
    ) -> Array:
        """Put design points where the target is not there yet, and everywhere while there are fewer than 4 members."""
        unfilled = state.members == NONE
        few = jnp.sum(~unfilled, dtype=jnp.int32) < 4
        return initial_design(state.scramble, index, few | unfilled[slot], child, problem.space)


def _no_gains() -> Gains:
    return Gains(jnp.zeros((), jnp.int32), jnp.zeros(2, jnp.float32), jnp.zeros(2, jnp.float32))


def _other(uniform: Array, alive: Array, ordered: Array, target: Array) -> Array:
    """Draw a member that is not the target: rows i32[Q]."""
    index = jnp.floor(uniform * alive.astype(jnp.float32)).astype(jnp.int32)
    itself = ordered[index] == target
    return ordered[jnp.where(itself, (index + 1) % jnp.maximum(alive, 1), index)]


def _weight(uniform: Array, centre: Array) -> Array:
    """Draw weights from a Cauchy distribution cut off at 0, at most 1: f32[Q]."""
    below = 0.5 + jnp.arctan(-centre / SPREAD) / jnp.pi
    inside = below + (1.0 - below) * uniform
    return jnp.clip(centre + SPREAD * jnp.tan(jnp.pi * (inside - 0.5)), 1e-3, 1.0)


def _cross(key: Key, draw: _Draw, space: Space) -> Array:
    """Mutate towards the best and cross with the target, gene by gene: snapped f32[Q, D]."""
    num, size = draw.target.shape
    drawn = words(key, (num, size + 1))
    chance, amount = halves(drawn[:, :size])
    weight = draw.weight[:, None]
    mutant = draw.target + weight * (draw.best - draw.target) + weight * (draw.a - draw.b)
    mutant = jnp.where(mutant < 0, draw.target / 2, jnp.where(mutant > 1, (draw.target + 1) / 2, mutant))
    unordered, _ = genes(space)
    if unordered.any():
        agreed = jnp.where(amount < weight, draw.best, draw.target)
        mutant = jnp.where(unordered, jnp.where(draw.a == draw.b, agreed, amount), mutant)
    crossed = pick(chance, draw.rate[:, None], halves(drawn[:, size]).high)
    child = jnp.where(crossed, mutant, draw.target)
    known = None
    if any(space.conditions):
        rows = (draw.target, draw.best, draw.a, draw.b)
        known = jnp.stack([space.active(row) for row in rows]).any(axis=0)
    return settle(child, known, amount, space)
