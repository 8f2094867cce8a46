"""The masked model: the widest one, of which masks make the small one exactly."""

import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.arrays import full_precision
from jaxhpt.core.checks import leaf_name
from jaxhpt.core.typing import Array, Hparams, Key, PyTree
from jaxhpt.models.masking import dims
from jaxhpt.models.masking.draws import closed, drawn
from jaxhpt.models.masking.plan import Plan, measure
from jaxhpt.models.masking.sizes import at

_REASONS = (
    "What to look for: units that are not the first of their axis (flatten images with masking.flatten, put what is "
    "masked last in a concatenation), a size that the call computes with (ask masking.active; heads, not their size, "
    "groups of a fixed group_size, linen's norms over units with a scale or bias), layers in a row without a residual "
    "connection (masking.where_active)"
)
_LOCK = threading.RLock()  # pools may trace in threads
ARRAYS = (np.ndarray, np.generic, jax.Array, jax.ShapeDtypeStruct)


class Masked:
    """What masked models of all kinds share: sizes, and the laws of the weights, found out once.

    Equal to itself alone.

    Attributes:
      make: the user's function.
      sizes: with their values.
    """

    def __init__(self, make: Callable, sizes: Any) -> None:
        if not callable(make):
            raise TypeError(f"make={make!r}: must be a function that builds the model from its hyperparameters")
        self.make, self.sizes = make, dims.read(sizes)
        self._plans: dict[tuple, Plan] = {}

    def _plan(self, shapes: Mapping[str, tuple], build: Callable[[dict[str, Any]], PyTree], verify: Any = None) -> Plan:
        """Return the laws of a model whose widest form has leaves of these shapes; `verify` looks at new ones."""
        key = tuple(sorted((name, tuple(shape)) for name, shape in shapes.items()))
        with _LOCK:
            if key not in self._plans:
                plan = measure(self.sizes, lambda setting: drawn(lambda: build(dict(setting))))
                if verify is not None:
                    verify(plan)
                self._plans[key] = plan
            return self._plans[key]

    def _known(self, leaves: Mapping[str, Any]) -> Plan | None:
        """Return the laws of a state, where they are known."""
        shapes = {name: tuple(np.shape(leaf)) for name, leaf in leaves.items()}
        for key, plan in self._plans.items():
            known = dict(key)
            if all(known.get(name) == shape for name, shape in shapes.items()):
                return plan
        return None


def named_leaves(tree: PyTree) -> dict[str, Any]:
    """Return the leaves of a pytree by name."""
    return {leaf_name(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}


def mask_tree(plan: Plan, values: Mapping[str, Any], tree: PyTree, prefix: str = "", initial: bool = False) -> PyTree:
    """Set the entries of a pytree that the small model does not have to 0.

    Args:
      plan: the laws.
      values: of the sizes: i32[] each.
      tree: leaves of the widest model.
      prefix: of their names in the plan.
      initial: whether they were just drawn, and get the scale that they have in the small model; NaN where a size is
        none of its values, so that the trial fails.
    """
    known: Any = plan.sizes.has(values) if initial else True

    def one(path: tuple, leaf: Array) -> Array:
        name = prefix + leaf_name(path)
        if name not in plan.laws:
            return leaf
        if initial:
            leaf = leaf * jnp.where(known, plan.scale(name, values), jnp.float32(jnp.nan)).astype(leaf.dtype)
        return jnp.where(plan.mask(name, values), leaf, jnp.zeros_like(leaf))

    return jax.tree_util.tree_map_with_path(one, tree)


def cut(plan: Plan, values: Mapping[str, Any], leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the small model has of the leaves of the widest, by name: parts of them."""
    kept = {}
    for name, leaf in leaves.items():
        if name not in plan.laws:
            kept[name] = leaf
        elif bool(plan.present(name, values)):
            kept[name] = leaf[tuple(slice(0, int(size)) for size in plan.shape(name, values))]
    return kept


def refilled(tree: PyTree, leaves: Mapping[str, Any]) -> PyTree:
    """Put leaves by name into a pytree."""
    return jax.tree_util.tree_map_with_path(lambda path, _: leaves[leaf_name(path)], tree)


def verify(plan: Plan, wide: Callable, small: Callable, part: Callable, like: PyTree, args: PyTree) -> None:
    """Compare the masked model with the really small one, at sizes in the middle and weights drawn at random.

    Equal outputs at random weights are equal functions, so gradients are equal, too. At the least sizes a norm over one
    unit might hide the others.

    Args:
      plan: the laws.
      wide: (state, args) -> outputs, of the masked model at its middle sizes.
      small: (state, args) -> outputs, of the small one.
      part: state of the widest -> that of the small one.
      like: the state of the widest: shapes and dtypes.
      args: of the call: arrays, or their shapes.

    Raises:
      ValueError: outputs that differ.
    """
    random = np.random.default_rng(0)
    with jax.ensure_compile_time_eval():
        state = jax.tree.map(lambda leaf: _random(random, leaf), like)
        leaves, structure = jax.tree.flatten(args)
        inputs = {i: _random(random, leaf, args=True) for i, leaf in enumerate(leaves) if isinstance(leaf, ARRAYS)}
        smaller = part(state)

    def called(function: Callable) -> Callable:
        """Let a function take arrays alone; what else it is called with stays plain."""
        return lambda state, inputs: function(
            state, jax.tree.unflatten(structure, [inputs.get(i, leaf) for i, leaf in enumerate(leaves)])
        )

    with at(plan.sizes.middle_values):
        ours, coarse = _once(called(wide), state, inputs)
    theirs, _ = _once(called(small), smaller, inputs)
    near = 5e-2 if coarse else 2e-3
    shapes = [[leaf.shape[1:] for leaf in jax.tree.leaves(out)] for out in (ours, theirs)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"the model returns {shapes[1]} at {plan.sizes.middle} and {shapes[0]} where that is masked in the widest: "
            "what it returns must not depend on its sizes"
        )
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        size = float(np.max(np.abs(b), initial=0.0, where=np.isfinite(b)))
        if not np.allclose(a, b, rtol=near, atol=near * size, equal_nan=True):
            off = float(np.max(np.abs(a - b), initial=0.0, where=np.isfinite(a - b)))
            raise ValueError(
                f"the masked model is not the small one at {plan.sizes.middle}: for weights and inputs drawn at random "
                f"its outputs, of {size:.2g} at most, are off by {off:.2g}. {_REASONS}"
            )


def _random(random: np.random.Generator, leaf: Any, args: bool = False) -> Any:
    """Draw an array like another: floats, above 0 where they may be variances; whole numbers and keys as they are."""
    dtype, shape = jnp.result_type(leaf), np.shape(leaf)
    if jnp.issubdtype(dtype, jnp.floating):
        values = random.normal(size=shape)
        return jnp.asarray(values if args else 0.3 * values if len(shape) > 1 else 0.3 + np.abs(values), dtype)
    concrete = not isinstance(leaf, jax.ShapeDtypeStruct | jax.core.Tracer)
    return leaf if concrete else jnp.zeros(shape, dtype)


@full_precision
def _once(function: Callable, *args: Any) -> tuple[PyTree, bool]:
    """Run a function as one program; tell, too, whether it computes in half precision."""
    with jax.ensure_compile_time_eval():
        single = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], args)
    jaxpr, consts, structure = closed(lambda *rows: jax.lax.map(lambda row: function(*row), rows), *single)
    with jax.ensure_compile_time_eval():
        leaves = jax.core.eval_jaxpr(jaxpr, consts, *jax.tree.leaves(single))
    return jax.tree.unflatten(structure, leaves), re.search(r"\bb?f16\[", str(jaxpr)) is not None


class MaskedWeights(Masked):
    """A masked model in plain JAX: weights as a pytree, and the functions that make and mask them.

    See `masked_weights`.
    """

    def _build(self, hparams: Hparams) -> Callable[[dict[str, Any]], PyTree]:
        return lambda setting: self.make(jax.random.key(0), {**hparams, **setting})

    def _laws(self, weights: PyTree, hparams: Hparams) -> Plan:
        shapes = {name: np.shape(leaf) for name, leaf in named_leaves(weights).items()}
        return self._plan(shapes, self._build(hparams))

    def init(self, key: Key, hparams: Hparams) -> PyTree:
        """Draw the weights of the widest model, as large as in the small one, and 0 where that has none."""
        values = self.sizes.of(hparams)
        weights = self.make(key, self.sizes.widest(hparams))
        return mask_tree(self._laws(weights, hparams), values, weights, initial=True)

    def mask(self, weights: PyTree, hparams: Hparams) -> PyTree:
        """Set the weights that the small model does not have to 0; so are their gradients."""
        return mask_tree(self._laws(weights, hparams), self.sizes.of(hparams), weights)

    def shrink(self, weights: PyTree, hparams: Hparams) -> PyTree:
        """Return the weights of the small model; see `shrink`."""
        values = self.sizes.of(hparams)
        small = self._shapes(hparams, values)
        return refilled(small, cut(self._laws(weights, hparams), values, named_leaves(weights)))

    def _shapes(self, hparams: Hparams, values: Mapping[str, Any]) -> PyTree:
        return jax.eval_shape(lambda: self._build(hparams)({name: int(value) for name, value in values.items()}))

    def check(self, forward: Callable, weights: PyTree, hparams: Hparams, *args: Any) -> None:
        """Compare the masked model with the small one, at sizes in the middle and weights drawn at random.

        Args:
          forward: (weights, hparams, *args) -> outputs, arrays whose shapes do not depend on sizes.
          weights: of `init`; their shapes count.
          hparams: of a trial.
          *args: arrays.

        Raises:
          ValueError: outputs that differ.
        """
        plan, shapes = self._laws(weights, hparams), self._shapes(hparams, self.sizes.middle)
        middle = self.sizes.middle_values

        def wide(whole: PyTree, given: tuple) -> PyTree:
            return forward(mask_tree(plan, middle, whole), {**hparams, **middle}, *given)

        def small(part: PyTree, given: tuple) -> PyTree:
            return forward(part, {**hparams, **middle}, *given)

        def part(whole: PyTree) -> PyTree:
            return refilled(shapes, cut(plan, middle, named_leaves(whole)))

        verify(plan, wide, small, part, weights, args)


def masked_weights(init: Callable, sizes: Any) -> MaskedWeights:
    """Mask a model in plain JAX, whose weights are a pytree.

    `.init(key, hparams)` draws the weights of the widest model, `.mask(weights, hparams)`, in the loss and the
    evaluation, sets to 0 what the small one does not have, and with it the gradients. What averages over units asks
    `unit_mask(hparams["width"], most)`; `.check(forward, weights, hparams, x)` tells whether anything was forgotten.

    Args:
      init: (key, hparams) -> pytree of arrays. It sees sizes as ints.
      sizes: name -> `Int` or list of whole numbers, as in the space, at the top of it.

    Raises:
      TypeError: no function, a size that is no such dimension.
      ValueError: once it is called, weights that are no part of the widest model's, or are not drawn one by one.

    Example:
      >>> import jax
      >>> from jaxhpt.models import masking
      >>> net = masking.masked_weights(lambda key, h: {"w": jax.random.normal(key, (3, h["width"]))}, {"width": [2, 4]})
      >>> weights = net.init(jax.random.key(0), {"width": 2})
      >>> (weights["w"] != 0).sum(axis=0).tolist()
      [3, 3, 0, 0]
      >>> masking.shrink(net, weights, {"width": 2})["w"].shape
      (3, 2)
    """
    return MaskedWeights(init, sizes)
