"""Masked linen modules: `init` and `apply` mask the variables of the user's own module."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen

from jaxhpt.core.typing import Hparams, PyTree
from jaxhpt.models.masking.flax_parts import Held, beside, in_evaluation, unit_mask_of
from jaxhpt.models.masking.masked import ARRAYS, Masked, cut, mask_tree, named_leaves, verify
from jaxhpt.models.masking.plan import Plan
from jaxhpt.models.masking.sizes import at

_NORMS = (linen.LayerNorm, linen.RMSNorm)  # over units; others keep channels apart
PARAMS = "params."


class MaskedLinen(Masked):
    """A function hparams -> linen module, masked; see `masked`."""

    def __init__(self, make: Callable, sizes: Any, check: bool) -> None:
        super().__init__(make, sizes)
        self.check = check  # whether calls are compared with those of the small model

    def __call__(self, hparams: Hparams) -> linen.Module:
        """Build the widest module; its `init` and `apply` mask the variables."""
        held = Held(self, hparams)
        with at(held.values):
            module = self._module(self.sizes.widest(hparams))
        kind: Any = type(module)
        made = _masked_linen(kind)(**_fields(module))
        object.__setattr__(made, "_held", held)
        return made

    def _module(self, hparams: Hparams) -> linen.Module:
        module = self.make(hparams)
        if not isinstance(module, linen.Module):
            raise TypeError(
                f"make: a function of hparams alone returned {type(module).__name__}; must be a linen module"
            )
        return module

    def plan(self, shapes: Mapping[str, tuple], held: Held, args: tuple, kwargs: dict[str, Any]) -> Plan:
        """Return the laws of variables of these shapes, given what the call was given."""
        hparams, told = held.hparams, in_evaluation(kwargs)
        zeros = jax.tree.map(lambda a: jnp.zeros(np.shape(a), a.dtype) if isinstance(a, ARRAYS) else a, args)

        def build(setting: dict[str, Any]) -> PyTree:
            with at({name: np.int32(value) for name, value in setting.items()}):
                return self._module({**hparams, **setting}).init(jax.random.key(0), *zeros, **told)

        def check(plan: Plan) -> None:
            middle, rngs = self.sizes.middle_values, {"params": jax.random.key(0)}  # also for streams it has not

            def wide(variables: PyTree, given: tuple) -> PyTree:
                masked = {**variables, "params": mask_tree(plan, middle, variables.get("params", {}), PARAMS)}
                with _linen_norms(plan, middle):
                    return self._module(self.sizes.widest(hparams)).apply(masked, *given, rngs=rngs, **told)

            def small(variables: PyTree, given: tuple) -> PyTree:
                return self._module({**hparams, **self.sizes.middle}).apply(variables, *given, rngs=rngs, **told)

            like = jax.eval_shape(lambda: build(self.sizes.most))
            verify(plan, wide, small, lambda whole: _cut_dicts(plan, middle, whole), like, args)

        return self._plan(shapes, build, check if self.check else None)

    def shrink(self, state: Mapping[str, Any], hparams: Hparams) -> dict[str, Any]:
        """Return the variables of the small module; see `shrink`."""
        leaves, values = named_leaves(state), self.sizes.of(hparams)
        plan = self._known(leaves)
        if plan is None:
            raise ValueError(
                "state: of shapes that this masked model has not met; shrink with the object that was searched with, "
                "or call model(hparams).apply(state, inputs) once"
            )
        return _cut_dicts(plan, values, state)


def _cut_dicts(plan: Plan, values: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables of the small module: parts of arrays, without the layers that it does not have."""
    kept = cut(plan, values, named_leaves(state))

    def part(path: tuple[str, ...], tree: Any) -> Any:
        if not isinstance(tree, Mapping):
            return kept.get(".".join(path))
        found = {key: part((*path, key), value) for key, value in tree.items()}
        return {key: value for key, value in found.items() if value is not None} or (None if tree else {})

    found: dict[str, Any] = part((), state) or {}
    return found


@functools.cache
def _masked_linen(kind: type) -> type:
    """Make the class of masked modules of a class."""

    @linen.nowrap
    def init(self: Any, rngs: Any, *args: Any, **kwargs: Any) -> Any:
        plain, told = kind(**_fields(self)), {k: v for k, v in kwargs.items() if k not in ("mutable",)}
        held = self._held
        with at(held.values):
            variables = plain.init(rngs, *args, **kwargs)
        plan = held.model.plan(_shapes(variables), held, args, told)
        return {**variables, "params": mask_tree(plan, held.values, variables["params"], PARAMS, initial=True)}

    @linen.nowrap
    def init_with_output(self: Any, rngs: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        variables = init(self, rngs, *args, **kwargs)
        told = {name: value for name, value in kwargs.items() if name != "mutable"}
        return apply(self, variables, *args, rngs=rngs, **told), variables

    @linen.nowrap
    def apply(self: Any, variables: Any, *args: Any, **kwargs: Any) -> Any:
        plain, held = kind(**_fields(self)), self._held
        told = {k: v for k, v in kwargs.items() if k not in ("mutable", "rngs", "capture_intermediates")}
        plan = held.model.plan(_shapes(variables), held, args, told)
        masked = {**variables, "params": mask_tree(plan, held.values, variables["params"], PARAMS)}
        with at(held.values), _linen_norms(plan, held.values):
            return plain.apply(masked, *args, **kwargs)

    namespace = {"init_with_output": init_with_output, "init": init, "apply": apply, "__module__": kind.__module__}
    return type(f"Masked{kind.__name__}", (kind,), namespace)


def _fields(module: Any) -> dict[str, Any]:
    return {name: getattr(module, name) for name in module.__dataclass_fields__ if name != "parent"}


def _shapes(tree: PyTree) -> dict[str, tuple]:
    return {name: tuple(np.shape(leaf)) for name, leaf in named_leaves(tree).items()}


@contextlib.contextmanager
def _linen_norms(plan: Plan, values: Mapping[str, Any]) -> Iterator[None]:
    """Let norms over units see those in use only."""

    def intercept(call: Callable, args: tuple, kwargs: dict, context: Any) -> Any:
        if isinstance(context.module, _NORMS) and context.method_name == "__call__":
            mask = unit_mask_of(plan, values, PARAMS + ".".join(context.module.path))
            if mask is not None and kwargs.get("mask") is None:
                kwargs = {**kwargs, "mask": beside(mask, args[0])}
        return call(*args, **kwargs)

    with linen.intercept_methods(intercept):
        yield
