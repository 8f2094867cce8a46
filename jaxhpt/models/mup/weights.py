"""The weights of a model of any kind, and their names: the same in nnx's state, linen's variables and plain trees."""

from collections.abc import Mapping
from typing import Any

import jax
from flax import nnx

from jaxhpt.core.checks import leaf_name
from jaxhpt.core.typing import PyTree

PARAMS = "params"


def weights_of(model: Any) -> PyTree:
    """Return the weights of an nnx module, those among linen's variables, or the pytree as it is."""
    if isinstance(model, nnx.Module):
        return nnx.state(model, nnx.Param)
    return model[PARAMS] if has_collections(model) else model


def has_collections(tree: Any) -> bool:
    """Tell linen's variables, whose weights are one collection of several, from weights."""
    return isinstance(tree, Mapping) and isinstance(tree.get(PARAMS), Mapping)


def named_weights(tree: PyTree) -> dict[str, Any]:
    """Return the leaves of a pytree of weights by name, in its order."""
    paths = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {weight_name(path): leaf for path, leaf in paths}


def weight_name(path: tuple) -> str:
    """Name a leaf by its place: a box around it, as nnx's state has them, counts for nothing."""
    boxed = isinstance(path[-1], jax.tree_util.GetAttrKey) and path[-1].name == "value" if path else False
    return leaf_name(path[:-1] if boxed else path)
