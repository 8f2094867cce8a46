"""Magnitude pruning: how sparse each layer is, as a hyperparameter of one compiled program.

`masks` keeps an exact number of the largest weights, also where the sparsity is traced. `gradual` and `lottery` wrap an
optax optimiser, so that they go with any model and any training step: the masks are part of the optimiser's state, and
weights that are pruned are 0 after every update. The page of the documents is `docs/compress.md`.

References:
  Han et al., "Learning both weights and connections for efficient neural networks",
  https://arxiv.org/abs/1506.02626 (2015): pruning by magnitude.
  Zhu and Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model compression",
  https://arxiv.org/abs/1710.01878 (2017): the cubic schedule.
  Frankle and Carbin, "The lottery ticket hypothesis: finding sparse, trainable neural networks",
  https://arxiv.org/abs/1803.03635 (2019): rewinding.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax

from jaxhpt.core.checks import plain, require, whole
from jaxhpt.core.typing import Array, PyTree
from jaxhpt.models.leaves import named, per_leaf
from jaxhpt.models.magnitude import Number, apply, cubic_sparsity, masks, share

T = TypeVar("T")

__all__ = ["LotteryState", "PrunedState", "apply", "cubic_sparsity", "gradual", "lottery", "masks"]


class PrunedState(NamedTuple):
    """State of `gradual`.

    Attributes:
      inner: of the optimiser.
      masks: bool arrays, True where a weight is kept; bool[] for leaves that are not pruned.
      step: i32[], updates so far.
    """

    inner: PyTree
    masks: PyTree
    step: Array


class LotteryState(NamedTuple):
    """State of `lottery`.

    Attributes:
      inner: of the optimiser.
      masks: as in `PrunedState`.
      step: i32[], updates so far.
      early: weights, and state of the optimiser, that are gone back to.
    """

    inner: PyTree
    masks: PyTree
    step: Array
    early: tuple[PyTree, PyTree]


def gradual(
    optimizer: optax.GradientTransformation,
    sparsity: Any,
    begin: Number,
    end: Number,
    every: Number = 10,
    initial: Number = 0.0,
) -> optax.GradientTransformationExtraArgs:
    """Gradual magnitude pruning: an optimiser whose weights become sparse while they train.

    From `begin` to `end` the masks are made anew every so many updates, and at `end`, to the sparsity of
    `cubic_sparsity`; what is pruned stays so. Before and after, the optimiser works on what is left.

    Args:
      optimizer: of optax.
      sparsity: at the end, as in `masks`; may be traced.
      begin: updates before it begins; may be traced.
      end: updates after which it has ended; may be traced. A training that is shorter ends with denser weights.
      every: updates between two masks; may be traced. Those between cost no more than the product with the masks.
      initial: sparsity at `begin`.

    Returns:
      An optax optimiser. Its updates need the weights: `update(grads, state, params)`.

    Raises:
      ValueError: a number out of its range, a name of nothing; an update without weights.

    References:
      Zhu and Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model compression",
      https://arxiv.org/abs/1710.01878 (2017).

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> optimizer = gradual(optax.sgd(0.1), 0.75, begin=0, end=2, every=1)
      >>> w = jnp.arange(1.0, 9.0).reshape(2, 4)
      >>> state = optimizer.init(w)
      >>> for _ in range(3):
      ...     updates, state = optimizer.update(jnp.ones_like(w), state, w)
      ...     w = optax.apply_updates(w, updates)
      >>> int((w != 0).sum())
      2
    """
    inner = optax.with_extra_args_support(optimizer)
    begin, end, every = _step("begin", begin, 0), _step("end", end, 0), _step("every", every, 1)
    low = share("initial", initial)

    def init(params: PyTree) -> PrunedState:
        return PrunedState(inner.init(params), _unpruned(params, sparsity), jnp.int32(0))

    def update(grads: PyTree, state: PrunedState, params: PyTree | None = None, **extra: Any) -> tuple:
        params = _weights(params)
        updates, kept = inner.update(apply(grads, state.masks), state.inner, params, **extra)
        moved = _moved(params, updates)
        now = state.step
        due = (now >= begin) & (now <= end) & (((now - begin) % every == 0) | (now == end))

        def prune(before: PyTree) -> PyTree:
            shares = _shares(sparsity, params, lambda final: cubic_sparsity(now, final, begin, end, low))
            return masks(moved, shares, before)

        new = _if_any(due, prune, state.masks)
        return _only_kept(updates, new, params), PrunedState(kept, new, now + 1)

    return optax.GradientTransformationExtraArgs(init, update)


def lottery(
    optimizer: optax.GradientTransformation, sparsity: Any, rounds: int, steps: Number, rewind_to: Number = 0
) -> optax.GradientTransformationExtraArgs:
    """Iterative magnitude pruning with rewinding: an optimiser that finds a lottery ticket.

    Every `steps` updates, `rounds` times, an equal share of the weights that are left is pruned, and those that stay go
    back to what they were after `rewind_to` updates, with the state of the optimiser, schedules too. The last training
    begins after rounds * steps updates: give it as many again.

    Args:
      optimizer: of optax.
      sparsity: at the end, as in `masks`; may be traced.
      rounds: how often it is pruned, at least 1; may be traced.
      steps: updates of a round, at least 1; may be traced.
      rewind_to: updates after which the early weights are kept; 0 for the initial ones; may be traced.

    Returns:
      An optax optimiser. Its updates need the weights: `update(grads, state, params)`.

    Raises:
      ValueError: a number out of its range, a name of nothing; an update without weights.

    References:
      Frankle and Carbin, "The lottery ticket hypothesis: finding sparse, trainable neural networks",
      https://arxiv.org/abs/1803.03635 (2019).
      Frankle et al., "Linear mode connectivity and the lottery ticket hypothesis",
      https://arxiv.org/abs/1912.05671 (2020): rewinding to early weights instead of the initial ones.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> optimizer = lottery(optax.sgd(1.0), 0.5, rounds=1, steps=2)
      >>> w = jnp.asarray([[1.0, 4.0]])
      >>> state = optimizer.init(w)
      >>> for _ in range(2):
      ...     updates, state = optimizer.update(jnp.asarray([[-3.0, 1.0]]), state, w)
      ...     w = optax.apply_updates(w, updates)
      >>> w.tolist()  # it had come to [[7, 2]]
      [[1.0, 0.0]]
    """
    inner = optax.with_extra_args_support(optimizer)
    count, steps, early_at = _step("rounds", rounds, 1), _step("steps", steps, 1), _step("rewind_to", rewind_to, 0)

    def init(params: PyTree) -> LotteryState:
        state = inner.init(params)
        return LotteryState(state, _unpruned(params, sparsity), jnp.int32(0), (params, state))

    def update(grads: PyTree, state: LotteryState, params: PyTree | None = None, **extra: Any) -> tuple:
        params = _weights(params)
        updates, kept = inner.update(apply(grads, state.masks), state.inner, params, **extra)
        moved, now = _moved(params, updates), state.step + 1
        early = jax.tree.map(lambda a, b: jnp.where(now == early_at, a, b), (moved, kept), state.early)
        due = (now % steps == 0) & (now <= count * steps)

        def rewind(before: tuple) -> tuple:
            left = (now // steps).astype(jnp.float32) / jnp.asarray(count).astype(jnp.float32)
            shares = _shares(sparsity, params, lambda final: 1 - (1 - jnp.asarray(final).astype(jnp.float32)) ** left)
            return masks(moved, shares, before[0]), jax.tree.map(jnp.subtract, early[0], params), early[1]

        new, updates, kept = _if_any(due, rewind, (state.masks, updates, kept))
        return _only_kept(updates, new, params), LotteryState(kept, new, now, early)

    return optax.GradientTransformationExtraArgs(init, update)


def _shares(sparsity: Any, params: PyTree, now: Callable[[Any], Any]) -> dict[str, Any]:
    """Return the sparsity of each weight that is pruned, by name: what `now` makes of the one at the end."""
    final = zip(named(params), per_leaf("sparsity", sparsity, params, share), strict=True)
    return {leaf.name: now(value) for leaf, value in final if value is not None}


def _if_any(due: Array, compute: Callable[[T], T], value: T) -> T:
    """Compute a new value of an old one where it is due: a loop of one round or none.

    Unlike a branch it stays one under `vmap`: where no lane is due nothing is computed, else each lane selects its own.
    What is dear must depend on the old value, or the compiler moves it out of the loop, where it is always computed.
    """

    def once(carry: tuple[Array, T]) -> tuple[Array, T]:
        return jnp.zeros_like(carry[0]), compute(carry[1])

    return jax.lax.while_loop(lambda carry: carry[0], once, (due, value))[1]


def _weights(params: PyTree | None) -> PyTree:
    if params is None:
        raise ValueError("params=None: pruning needs the weights; call update(grads, state, params)")
    return params


def _moved(params: PyTree, updates: PyTree) -> PyTree:
    """Return weights after an update, in their own dtypes."""
    return jax.tree.map(lambda p, u: p + u.astype(p.dtype), params, updates)


def _only_kept(updates: PyTree, masks: PyTree, params: PyTree) -> PyTree:
    """Let an update bring what is pruned to 0, exactly."""
    return jax.tree.map(lambda u, m, p: jnp.where(m, u.astype(p.dtype), -p), updates, masks, params)


def _unpruned(params: PyTree, sparsity: Any) -> PyTree:
    """Return masks that keep all, in the shapes that those of this sparsity will have."""
    shares, (leaves, structure) = per_leaf("sparsity", sparsity, params, share), jax.tree.flatten(params)
    shapes = [() if s is None else leaf.shape for leaf, s in zip(leaves, shares, strict=True)]
    return jax.tree.unflatten(structure, [jnp.ones(shape, bool) for shape in shapes])


def _step(name: str, value: Any, least: int) -> Any:
    """Return a number of steps, plain or traced."""
    found = plain(value)
    if isinstance(found, jax.Array):
        return jnp.round(found).astype(jnp.int32)
    count = whole(name, found, f"an int of at least {least}")
    require(count >= least, name, value, f"at least {least}")
    return count
