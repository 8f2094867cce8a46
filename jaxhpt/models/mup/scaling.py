"""Learning rates under maximal update parametrisation: an optax transformation around any other."""

from typing import Any, cast

import jax
import optax

from jaxhpt.core.typing import Array, PyTree
from jaxhpt.models.mup.infinite import Widths, known

_RULES = ("adam", "sgd")


def scaled(optimizer: optax.GradientTransformation, widths: Widths, rule: str) -> optax.GradientTransformationExtraArgs:
    """Give each weight the learning rate of maximal update parametrisation, as a multiple of the optimiser's own.

    The optimiser works on the weights before their multipliers (table 8), whose gradients it sees, so that clipping and
    Adam's epsilon are those of that table, and on weights divided by their rates, so that decay, of `optax.adamw` or
    `optax.add_decayed_weights`, stays learning rate times decay at each width. It may hold traced values, as in
    `jaxhpt.FlaxTask(model, lambda h: mup.scaled(optax.adam(h["lr"]), widths, "adam"))`.

    Args:
      optimizer: optax's, learning rate and schedule included.
      widths: of this model, as `mup.widths` found them.
      rule: "adam" for optimisers whose update does not grow with the gradient: Adam, AdamW, RMSprop, Adagrad, Lion and
        their like; "sgd" for those whose update is in proportion to it, with momentum or without. Neither fits those
        that scale their update by the weights' own norms, as LAMB, LARS and Adafactor do.

    Returns:
      The transformation; at the base width it is the optimiser.

    Raises:
      TypeError: `optimizer` is no optax optimiser, or `widths` none of ours.
      ValueError: an unknown rule; weights of other names or shapes than those of `widths`; an update without weights.

    Example:
      >>> import jax, optax
      >>> from jaxhpt.models import mup
      >>> init = lambda width: {"w": jax.random.normal(jax.random.key(0), (width, width))}
      >>> optimizer = mup.scaled(optax.adam(0.1), mup.widths(init, base=4, width=32), "adam")
      >>> weights = init(32)
      >>> updates, state = optimizer.update(weights, optimizer.init(weights), weights)
      >>> print(f"{abs(updates['w']).mean():.4f}")  # an eighth of .1
      0.0125

    References:
      Yang et al., "Tensor Programs V", https://arxiv.org/abs/2203.03466 (2022), tables 3 and 8, appendix B.
    """
    if not isinstance(optimizer, optax.GradientTransformation):
        raise TypeError(f"optimizer={optimizer!r}: must be an optax optimiser, such as optax.adam(1e-3)")
    if not isinstance(widths, Widths):
        raise TypeError(f"widths={widths!r}: must be what mup.widths returned")
    if rule not in _RULES:
        raise ValueError(f'rule={rule!r}: must be "adam" (the update does not grow with the gradient) or "sgd"')
    inner = optax.with_extra_args_support(optimizer)

    def init(params: PyTree) -> Any:
        return inner.init(_each(params, widths, lambda w: 1.0 / w.step(rule)))

    def update(updates: PyTree, state: Any, params: PyTree = None, **extra: Any) -> tuple[PyTree, Any]:
        if params is None:
            raise ValueError("params=None: say optimizer.update(gradients, state, params); their names tell the rates")
        grads = _each(updates, widths, lambda w: w.multiplier)
        if "grad" in extra:
            extra["grad"] = _each(extra["grad"], widths, lambda w: w.multiplier)
        found, state = inner.update(grads, state, _each(params, widths, lambda w: 1.0 / w.step(rule)), **extra)
        return _each(found, widths, lambda w: w.step(rule)), state

    return optax.GradientTransformationExtraArgs(init, update)


def scale_leaf(leaf: Array, factor: float) -> Array:
    """Multiply an array by a plain number in its own dtype; not at all by 1, so that bits stay."""
    return leaf if factor == 1.0 else leaf * jax.numpy.asarray(factor, leaf.dtype)


def _each(tree: PyTree, widths: Widths, factor: Any) -> PyTree:
    def one(path: tuple, leaf: Array) -> Array:
        return scale_leaf(leaf, cast(float, factor(known(widths, path, leaf))))

    return jax.tree_util.tree_map_with_path(one, tree)
