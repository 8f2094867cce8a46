"""Genetic algorithm: select, cross and mutate the best of the history, generation after generation.

Holland, "Adaptation in natural and artificial systems", https://doi.org/10.7551/mitpress/1090.001.0001 (1975).
Deb and Agrawal, "Simulated binary crossover for continuous search space", Complex Systems 9,
https://www.complex-systems.com/abstracts/v09_i02_a02/ (1995).
Baker, "Reducing bias and inefficiency in the selection algorithm", https://dl.acm.org/doi/10.5555/42512.42515 (1987),
for the even spread of the draws.
"""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.algorithms import operators
from jaxhpt.algorithms.base import (
    AlgorithmDefaults,
    Proposals,
    by_fitness,
    column,
    fitness,
    is_own,
    proposals,
    require_one_objective,
)
from jaxhpt.algorithms.initial_design import initial_design
from jaxhpt.algorithms.variation import Focus, Mutation, Parents, distinct, genes, halves, meet, pick, settle
from jaxhpt.core.arrays import compact
from jaxhpt.core.checks import require, settle_counts, suggest, whole
from jaxhpt.core.history import History
from jaxhpt.core.keys import words
from jaxhpt.core.problem import Problem
from jaxhpt.core.space import Space
from jaxhpt.core.typing import NONE, Array, Key

CROSSOVERS = ("one_point", "simulated_binary", "uniform")
MUTATIONS = ("gaussian", "polynomial")
LEARNING_RATE = 0.22  # of self-adaptive rates: the deviation of a step of the logarithm
MAX_RATE = 0.5
PLASTIC = np.array([0xC13FA9A9, 0x91E10DA5], np.uint32)  # shares of 2^32 whose multiples fill the square evenly


class GeneticState(NamedTuple):
    """What the history does not tell.

    Attributes:
      scramble: key of the first generation.
      members: i32[P] rows of the population, best first; NONE for none.
    """

    scramble: Key
    members: Array


@dataclasses.dataclass(frozen=True)
class Genetic(AlgorithmDefaults):
    """A genetic algorithm for mixed spaces. Choose it for choices and whole numbers, noise, and wide lanes.

    The first generation is a quasi-random design. Every later child has two parents among the best finished trials,
    and starts as soon as a lane is free: with as many lanes as members this is the textbook's generation.

    Args:
      population: members, at least 2: the larger, the wider and the slower the search.
      selection: "tournament", the best of a few members drawn; or "truncation", any of the better part.
      pressure: above 1: members of a tournament; or the population over its part that has children, so that 2 is
        the better half.
      crossover: "simulated_binary" (unordered dimensions take either parent's value), "uniform" or "one_point".
      crossover_rate: share of the children that are crossed at all, in [0, 1].
      mutation: of ordered dimensions, "polynomial" or "gaussian"; of an unordered Choice another value is drawn.
      mutation_rate: chance of each gene, in [0, 1]; None is 1 / D.
      eta: distribution index of simulated binary crossover, >= 0: the larger, the nearer to the parents.
      mutation_eta: distribution index of polynomial mutation, >= 0: the larger, the smaller the steps.
      sigma: deviation of Gaussian mutation, in units of the range.
      elites: members that outlive their generation, from 0 to `population`; None is all, so that the population is
        the best so far. Fewer forget, which noisy objectives may need.
      adaptive: let every trial inherit, and mutate, a mutation rate of its own.
      avoid_duplicates: mutate a child again that was tried before, so that no setting of a finite space is repeated
        while others are left; False repeats it, with new seeds.

    Raises:
      ValueError: a value out of its range, an unknown name; at the start of a search, several objectives.

    Example:
      >>> import jaxhpt
      >>> space = {"x": jaxhpt.Float(-5, 5), "kind": ["a", "b", "c"]}
      >>> result = jaxhpt.minimize(lambda h, key: h["x"] ** 2 + h["kind"], space,
      ...                          algorithm=jaxhpt.Genetic(population=32), trials=512, progress=False)
      >>> result.best.hparams["kind"], result.best.value < 0.01
      ('a', True)

    References:
      See the module.
    """

    population: int = 20
    selection: str = "tournament"
    pressure: float = 2.0
    crossover: str = "simulated_binary"
    crossover_rate: float = 0.9
    mutation: str = "polynomial"
    mutation_rate: float | None = None
    eta: float = 15.0
    mutation_eta: float = 10.0
    sigma: float = 0.1
    elites: int | None = None
    adaptive: bool = False
    avoid_duplicates: bool = True
    _usual: ClassVar[float] = 1.0  # genes of a child that are mutated, where `mutation_rate` is None

    def __post_init__(self) -> None:
        settle_counts(self, "population")
        require(self.population >= 2, "population", self.population, "at least 2")
        names = {"selection": operators.SELECTIONS, "crossover": CROSSOVERS, "mutation": MUTATIONS}
        for field, known in names.items():
            value = getattr(self, field)
            require(value in known, field, value, f"known; {suggest(str(value), known)}")
        require(self.pressure > 1, "pressure", self.pressure, "above 1")
        require(0 <= self.crossover_rate <= 1, "crossover_rate", self.crossover_rate, "in [0, 1]")
        rate = self.mutation_rate
        require(rate is None or 0 <= rate <= 1, "mutation_rate", rate, "in [0, 1], or None for 1 / D")
        for field in ("eta", "mutation_eta"):
            require(getattr(self, field) >= 0, field, getattr(self, field), "at least 0")
        require(self.sigma > 0, "sigma", self.sigma, "above 0")
        if self.elites is not None:
            object.__setattr__(self, "elites", whole("elites", self.elites))
        kept = self.elites
        require(kept is None or 0 <= kept <= self.population, "elites", kept, "from 0 to the population, or None")

    def note(self, problem: Problem) -> Any:
        """Return the shape of a trial's mutation rate, where each keeps its own."""
        return column(jnp.float32) if self.adaptive else ()

    def may_repeat(self, problem: Problem) -> bool:
        """Return whether it does not avoid duplicates."""
        return not self.avoid_duplicates

    def init(self, key: Key, problem: Problem) -> GeneticState:
        """Start without members."""
        require_one_objective(self, problem)
        return self._begin(key, problem)

    def _begin(self, key: Key, problem: Problem) -> GeneticState:
        none = jnp.full(self.population, NONE, jnp.int32)
        return GeneticState(key, none)

    def ask(
        self, key: Key, state: GeneticState, history: History, problem: Problem, num: int, count: Array
    ) -> tuple[Proposals, GeneticState]:
        """Breed, or lay out the first generation; see `Algorithm.ask`."""
        return self.steered(key, state, history, problem, num, count, None)

    def steered(
        self,
        key: Key,
        state: GeneticState,
        history: History,
        problem: Problem,
        num: int,
        count: Array,
        focus: Focus | None,
    ) -> tuple[Proposals, GeneticState]:
        """Breed as `ask` does, with mutations where a focus says; see `Steerable`."""
        breed, again = jax.random.split(key)
        child, rate = self._breed(breed, state, history, problem, num, focus)
        child = self._begun(child, state, history, problem)
        if self.avoid_duplicates:
            child = distinct(again, child, history, problem, count, self._mutation)
        return proposals(child, rate if self.adaptive else ()), state

    def tell(self, key: Key, state: GeneticState, history: History, problem: Problem, finished: Array) -> GeneticState:
        """Merge the finished rows into the population."""
        rows = jnp.concatenate([state.members, finished])
        ranked = self.ranked(history, problem, rows)
        return state._replace(members=ranked[: self.population])

    def ranked(self, history: History, problem: Problem, rows: Array) -> Array:
        """Order candidates for the population: rows i32[n] -> i32[n], best first, NONE for those that failed."""
        if self.elites is None or self.elites == self.population:
            return by_fitness(history, problem, rows, self.population)
        return self._by_generation(rows, fitness(history, problem, rows), problem)

    def _by_generation(self, rows: Array, value: Array, problem: Problem) -> Array:
        """Let the elites survive, and of the others the youngest generations."""
        order = jnp.lexsort((rows, value)).astype(jnp.int32)
        rows, value = rows[order], value[order]
        elite = jnp.arange(rows.shape[0], dtype=jnp.int32) < (self.elites or 0)
        young = jnp.where(elite, -NONE, -(rows // self.population))
        chosen = jnp.lexsort((value, young, ~jnp.isfinite(value)))[: self.population].astype(jnp.int32)
        kept = jnp.zeros(rows.shape, bool).at[chosen].set(True)
        return jnp.where(jnp.isfinite(value), rows, NONE)[compact(kept)]

    @property
    def _mutation(self) -> Mutation:
        return Mutation(self.mutation, self.mutation_eta, self.sigma)

    def _begun(self, child: Array, state: GeneticState, history: History, problem: Problem) -> Array:
        """Put design points in the places of the first generation, and of all while too few trials succeeded."""
        index = history.next_rows(child.shape[0])
        few = jnp.sum(state.members < NONE, dtype=jnp.int32) < max(2, self.population // 4)
        return initial_design(state.scramble, index, few | (index < self.population), child, problem.space)

    def _breed(
        self, key: Key, state: GeneticState, history: History, problem: Problem, num: int, focus: Focus | None
    ) -> tuple[Array, Array]:
        """Return snapped children f32[num, D] and their mutation rates f32[num]."""
        size, space = problem.num_dimensions, problem.space
        drawn = words(key, (num, 2 * size + 4))
        a, b, inherited = self._parents(drawn[0, :2], num, state, history, problem)
        pair = drawn[
            jnp.arange(num, dtype=jnp.int32) // 2
        ]  # two children share their parents and what is drawn to cross them
        crossed = halves(pair[:, 2]).high < self.crossover_rate
        parents = meet(a, b, space)
        child = jnp.where(crossed[:, None], self._cross(pair[:, 4 : 4 + size], parents, space), parents.a)
        forced = halves(drawn[:, 2]).low
        rate = self._rate(inherited, halves(drawn[:, 3]).high, size)
        amount, gene = halves(drawn[:, 4 + size :])
        certain = jnp.where(crossed, jnp.inf, forced) if self.avoid_duplicates else None
        mask = pick(gene, rate[:, None], certain, None if focus is None else focus.weight)
        mutated = self._mutation(amount, child, space)
        child = jnp.where(mask, mutated if focus is None else focus.within(mutated, child, space), child)
        return settle(child, parents.known, amount, space), rate

    def _parents(
        self, drawn: Array, num: int, state: GeneticState, history: History, problem: Problem
    ) -> tuple[Array, Array, Array]:
        """Select: u32[2] -> two rows f32[Q, D] each, and the first one's mutation rate f32[Q].

        The draws of one event are spread evenly, so that no member has more children than its share by luck alone.
        The second child of a pair has the same parents in turned roles: what one does not inherit, the other does.
        """
        index = jnp.arange(num, dtype=jnp.uint32)
        alive = jnp.sum(state.members < NONE, dtype=jnp.int32)
        spread = drawn[None] + (index // 2)[:, None] * PLASTIC[None]
        uniform = (spread >> 8).astype(jnp.float32) * jnp.float32(2**-24)
        ranks = operators.SELECTIONS[self.selection](uniform, jnp.maximum(alive, 1), self.pressure)
        first, second = ranks[:, 0], ranks[:, 1]
        other = jnp.where(first > 0, first - 1, jnp.minimum(1, jnp.maximum(alive - 1, 0)))  # as good, or the next
        second = jnp.where(first == second, other, second)
        turned = index % 2 == 1
        first, second = jnp.where(turned, second, first), jnp.where(turned, first, second)
        rows = state.members[jnp.stack([first, second])]
        unit = history.unit[rows]
        usual = jnp.full(first.shape, self._usual_rate(problem), jnp.float32)
        rate = jnp.where(is_own(history, rows[0]), history.note[rows[0]], usual) if self.adaptive else usual
        return unit[0], unit[1], rate

    def _rate(self, inherited: Array, uniform: Array, size: int) -> Array:
        """Return each child's mutation rate, f32[Q]."""
        if not self.adaptive:
            return inherited
        rate = inherited * jnp.exp(LEARNING_RATE * jax.scipy.special.ndtri(uniform))
        return jnp.clip(rate, 0.25 / size, MAX_RATE)

    def _usual_rate(self, problem: Problem) -> float:
        return self._usual / problem.num_dimensions if self.mutation_rate is None else self.mutation_rate

    def _cross(self, drawn: Array, parents: Parents, space: Space) -> Array:
        """Cross parents: u32[Q, D] -> f32[Q, D] in [0, 1]."""
        a, b, _ = parents
        uniform, other = halves(drawn)
        if self.crossover == "one_point":
            return operators.one_point_crossover(uniform[:, 0], a, b)
        either = operators.uniform_crossover(other, a, b)
        if self.crossover == "uniform":
            return either
        far = operators.uniform_crossover(1.0 - other, a, b)
        near = operators.simulated_binary_crossover(uniform, either, far, self.eta)
        blended = jnp.where(drawn & 1 == 1, near, a)  # half of the genes are left as they are
        return jnp.where(genes(space).unordered, either, blended)
