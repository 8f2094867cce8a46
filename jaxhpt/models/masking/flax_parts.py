"""What masked modules of both kinds of Flax share."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from jaxhpt.core.typing import Array, Hparams
from jaxhpt.models.masking.plan import Plan

_EVALUATION = {"train": False, "training": False, "is_training": False, "deterministic": True}


class Held:
    """What a masked module belongs to, and its values: kept out of Flax's sight, which would take arrays for state."""

    def __init__(self, model: Any, hparams: Hparams) -> None:
        self.model, self.hparams = model, hparams
        self.values = model.sizes.of(hparams)


def in_evaluation(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Tell a call to be one of evaluation: dropout would draw other numbers in the small model."""
    return {name: _EVALUATION.get(name, value) for name, value in kwargs.items()}


def unit_mask_of(plan: Plan, values: Mapping[str, Any], path: str) -> Array | None:
    """Return the units that a norm of this path sees: bool[features]; None where it sees them all."""
    for part in ("scale", "bias"):
        name = f"{path}.{part}" if path else part
        if name in plan.laws and plan.laws[name].names:
            return plan.axis_mask(name, len(plan.laws[name].shape) - 1, values)
    return None


def beside(mask: Array, x: Array) -> Array:
    """Give a mask of units, bool[features], the shape of [..., features]."""
    return jnp.broadcast_to(mask.reshape((1,) * (x.ndim - 1) + mask.shape), x.shape)
