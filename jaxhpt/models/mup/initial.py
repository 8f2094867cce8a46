"""Initial weights at the scale that they have under maximal update parametrisation."""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import jax
from flax import linen, nnx

from jaxhpt.core.typing import Array, PyTree
from jaxhpt.models.mup.infinite import Widths, known
from jaxhpt.models.mup.scaling import scale_leaf
from jaxhpt.models.mup.weights import PARAMS, has_collections

Model = TypeVar("Model")


def initialised(model: Model, widths: Widths) -> Model:
    """Give a fresh model the initial scales of maximal update parametrisation.

    Of an nnx module that was just made the weights are rescaled, in place; of a linen module the `init` of what is
    returned rescales; fresh weights, or linen's variables, are rescaled. Once: what is rescaled twice is wrong.

    Args:
      model: an nnx module, a linen module, linen's variables, or a pytree of weights.
      widths: of this model, as `mup.widths` found them.

    Returns:
      The nnx module itself, a linen module of a subclass of its class, or a new pytree.

    Raises:
      ValueError: weights of other names or shapes than those of `widths`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxhpt.models import mup
      >>> init = lambda width: {"w": jax.random.normal(jax.random.key(0), (width, 1)) / width**0.5}
      >>> found = mup.widths(init, base=4, width=64)
      >>> weights = mup.initialised(init(64), found)
      >>> float((weights["w"] / init(64)["w"]).mean().round(3))
      0.25
    """
    if isinstance(model, nnx.Module):
        nnx.update(model, rescaled(nnx.state(model, nnx.Param), widths))
        return model
    if isinstance(model, linen.Module):
        return _rescaling(model, widths)
    tree: Any = model
    if has_collections(tree):
        return cast(Model, {**tree, PARAMS: rescaled(tree[PARAMS], widths)})
    return cast(Model, rescaled(tree, widths))


def rescaled(weights: PyTree, widths: Widths) -> Any:
    """Multiply a pytree of weights, as they were drawn, by their factors."""

    def one(path: tuple, leaf: Array) -> Array:
        return scale_leaf(leaf, known(widths, path, leaf).initial)

    return jax.tree_util.tree_map_with_path(one, weights)


def _rescaling(model: Any, widths: Widths) -> Any:
    """Return a linen module of a subclass whose `init` rescales."""
    kind: Any = type(model)

    def plain(self: Any) -> linen.Module:
        made: linen.Module = kind(**_fields(self))
        return made

    @linen.nowrap
    def init(self: Any, rngs: Any, *args: Any, **kwargs: Any) -> Any:
        return initialised(plain(self).init(rngs, *args, **kwargs), widths)

    @linen.nowrap
    def init_with_output(self: Any, rngs: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        variables: Mapping[str, Any] = init(self, rngs, *args, **kwargs)
        told = {name: value for name, value in kwargs.items() if name != "mutable"}
        return plain(self).apply(variables, *args, rngs=rngs, **told), variables

    namespace = {"init": init, "init_with_output": init_with_output, "__module__": kind.__module__}
    return type(f"Mup{kind.__name__}", (kind,), namespace)(**_fields(model))


def _fields(module: Any) -> dict[str, Any]:
    return {name: getattr(module, name) for name in module.__dataclass_fields__ if name != "parent"}
