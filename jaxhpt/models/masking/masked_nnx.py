"""Masked nnx modules: of the user's own class, but for a call that masks the weights."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import flax
import jax
import numpy as np
from flax import nnx

from jaxhpt.core.typing import Array, Hparams, PyTree
from jaxhpt.models.masking.flax_parts import Held, beside, in_evaluation, unit_mask_of
from jaxhpt.models.masking.masked import Masked, cut, mask_tree, named_leaves, refilled, verify
from jaxhpt.models.masking.plan import Plan
from jaxhpt.models.masking.sizes import Size, at, unit_mask

_NORMS = (nnx.LayerNorm, nnx.RMSNorm)  # over units; others keep channels apart


class MaskedNnx(Masked):
    """A function (hparams, rngs) -> nnx module, masked; see `masked`."""

    def __init__(self, make: Callable, sizes: Any, check: bool, by_name: bool) -> None:
        super().__init__(make, sizes)
        self.check = check  # whether calls are compared with those of the small model
        self.by_name = by_name  # whether `make` takes rngs by name
        self._looked: list[Plan] = []  # laws of models whose calls were compared

    def __call__(self, hparams: Hparams, rngs: nnx.Rngs) -> nnx.Module:
        """Build the widest module; its call masks the weights."""
        held = Held(self, hparams)
        with at(held.values):
            module = self._module(self.sizes.widest(hparams), rngs)
        plan = self.plan(module, held)
        kind: Any = type(module)
        module.__class__ = _masked_nnx(kind)
        object.__setattr__(module, "_held", held)
        _set(module, mask_tree(plan, held.values, _weights(module), initial=True))
        return module

    def _module(self, hparams: Hparams, rngs: nnx.Rngs) -> Any:
        module = self.make(hparams, rngs=rngs) if self.by_name else self.make(hparams, rngs)
        if not isinstance(module, nnx.Module):
            raise TypeError(
                f"make: a function of hparams and rngs returned {type(module).__name__}; must be an nnx module"
            )
        return module

    def plan(self, module: nnx.Module, held: Held) -> Plan:
        """Return the laws of a module of the widest sizes."""
        hparams = held.hparams

        def build(setting: dict[str, Any]) -> PyTree:
            with at({name: np.int32(value) for name, value in setting.items()}):
                return _state(self._module({**hparams, **setting}, nnx.Rngs(0)))

        return self._plan({k: np.shape(v) for k, v in named_leaves(_state(module)).items()}, build)

    def verified(self, module: Any, held: Held, args: tuple, kwargs: dict[str, Any]) -> Plan:
        """Return the laws, after a first look at whether the call of the masked module is that of the small one."""
        plan = self.plan(module, held)
        if not self.check or any(plan is known for known in self._looked):
            return plan
        hparams, told = held.hparams, in_evaluation(kwargs)
        middle = self.sizes.middle_values

        def wide(state: PyTree, given: tuple) -> PyTree:
            module = _filled(self._module(self.sizes.widest(hparams), nnx.Rngs(0)), named_leaves(state))
            _set(module, mask_tree(plan, middle, _weights(module)))
            with _nnx_norms(module, plan, middle):
                return module(*given, **told)

        def small(leaves: dict[str, Any], given: tuple) -> PyTree:
            return _filled(self._module({**hparams, **self.sizes.middle}, nnx.Rngs(0)), leaves)(*given, **told)

        def part(state: PyTree) -> dict[str, Any]:
            return cut(plan, middle, named_leaves(state))

        like = jax.eval_shape(lambda: _state(self._module({**hparams, **self.sizes.most}, nnx.Rngs(0))))
        verify(plan, wide, small, part, like, args)
        self._looked.append(plan)
        return plan

    def shrink(self, state: nnx.Module, hparams: Hparams) -> nnx.Module:
        """Return the small module; see `shrink`."""
        if not isinstance(state, nnx.Module):
            raise TypeError(f"state={state!r}: must be the nnx module, such as result.best_state")
        values, leaves = self.sizes.of(hparams), named_leaves(_state(state))
        plan = self.plan(state, Held(self, hparams))
        small = self._module({**hparams, **{k: int(v) for k, v in values.items()}}, nnx.Rngs(0))
        return _filled(small, cut(plan, values, leaves))


@functools.cache
def _masked_nnx(kind: type) -> type:
    """Make the class of masked modules of a class."""

    @functools.wraps(kind.__call__)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        held = self._held
        plan = held.model.verified(self, held, args, kwargs)
        weights = _weights(self)
        try:
            _set(self, mask_tree(plan, held.values, weights))
        except flax.errors.TraceContextError:  # a trace around a module that was made outside: a copy can be masked
            return _of_copy(call, self, args, kwargs)
        try:
            with at(held.values), _nnx_norms(self, plan, held.values):
                return kind.__call__(self, *args, **kwargs)
        finally:
            _set(self, weights)

    return type(f"Masked{kind.__name__}", (kind,), {"__call__": call, "__module__": kind.__module__})


def _of_copy(call: Callable, module: nnx.Module, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Call a copy of a module; what it changes of itself, such as statistics, is changed in the module, too.

    Raises:
      flax.errors.TraceContextError: that cannot be changed here.
    """
    copy, rest = nnx.clone(module), nnx.Not(nnx.Param)
    before = jax.tree.leaves(nnx.state(copy, rest))
    found = call(copy, *args, **kwargs)
    after = nnx.state(copy, rest)
    if any(one is not other for one, other in zip(before, jax.tree.leaves(after), strict=True)):
        nnx.update(module, after)
    return found


def _state(module: nnx.Module) -> PyTree:
    return nnx.to_pure_dict(nnx.state(module, nnx.Not(nnx.RngState)))


def _weights(module: nnx.Module) -> PyTree:
    return nnx.to_pure_dict(nnx.state(module, nnx.Param))


def _set(module: nnx.Module, tree: PyTree, kind: Any = nnx.Param) -> None:
    state = nnx.state(module, kind)
    nnx.replace_by_pure_dict(state, tree)
    nnx.update(module, state)


def _filled(module: Any, leaves: Mapping[str, Any]) -> Any:
    """Put leaves by name into a module, and set it to evaluation."""
    _set(module, refilled(_state(module), leaves), nnx.Not(nnx.RngState))
    module.eval()
    return module


@contextlib.contextmanager
def _nnx_norms(module: nnx.Module, plan: Plan, values: Mapping[str, Any]) -> Iterator[None]:
    """As `_linen_norms`. nnx has no interceptors, so the layers change class for the call."""
    changed = []
    for path, layer in nnx.iter_modules(module):
        mask = _units(layer, plan, values, path) if type(layer) in _NORMS else None
        if mask is not None:
            changed.append((layer, type(layer)))
            layer.__class__ = _norm_of_some(type(layer), mask)
    try:
        yield
    finally:
        for layer, kind in changed:
            layer.__class__ = kind


def _units(layer: Any, plan: Plan, values: Mapping[str, Any], path: tuple) -> Array | None:
    """Return the units that a norm sees, also one without weights; None where it sees them all."""
    known = unit_mask_of(plan, values, ".".join(map(str, path)))
    if known is None and isinstance(layer.num_features, Size):
        with at(values):
            return unit_mask(layer.num_features)
    return known


def _norm_of_some(kind: type, units: Array) -> type:
    class Some(kind):
        def __call__(self, x: Array, *, mask: Array | None = None) -> Array:
            return super().__call__(x, mask=beside(units, x) if mask is None else mask)

    return Some
