"""Masked models of Flax: modules of the user's own classes, whose call sees masked weights."""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx

from jaxhpt.core.typing import Array, Hparams, PyTree
from jaxhpt.models.masking.masked import Masked, cut, mask_tree, named_leaves, refilled, verify
from jaxhpt.models.masking.plan import Plan
from jaxhpt.models.masking.sizes import at

_NORMS = (linen.LayerNorm, linen.RMSNorm, nnx.LayerNorm, nnx.RMSNorm)  # over units; others keep channels apart
_IN_EVALUATION = {"train": False, "training": False, "is_training": False, "deterministic": True}
_PARAMS = "params."
_KINDS = "a function hparams -> linen module, or a function (hparams, rngs) -> nnx module"


class Held:
    """What a masked module belongs to, and its values: kept out of Flax's sight, which would take arrays for state."""

    def __init__(self, model: Any, hparams: Hparams) -> None:
        self.model, self.hparams = model, hparams
        self.values = model.sizes.of(hparams)


class MaskedLinen(Masked):
    """A function hparams -> linen module, masked; see `masked`."""

    def __call__(self, hparams: Hparams) -> linen.Module:
        """Build the widest module; its `init` and `apply` mask the variables."""
        held = Held(self, hparams)
        with at(held.values):
            module = self._module(self.sizes.widest(hparams))
        made = _masked_linen(type(module))(**_fields(module))
        object.__setattr__(made, "_held", held)
        return made

    def _module(self, hparams: Hparams) -> linen.Module:
        module = self.make(hparams)
        if not isinstance(module, linen.Module):
            raise TypeError(f"make: a function of hparams alone returned {type(module).__name__}; must be a linen module")
        return module

    def plan(self, shapes: Mapping[str, tuple], held: Held, args: tuple, kwargs: dict[str, Any]) -> Plan:
        """Return the laws of variables of these shapes, given what the call was given."""
        hparams, told = held.hparams, _in_evaluation(kwargs)
        zeros = jax.tree.map(lambda a: jnp.zeros(np.shape(a), jnp.result_type(a)), args)

        def build(setting: dict[str, Any]) -> PyTree:
            with at({name: np.int32(value) for name, value in setting.items()}):
                return self._module({**hparams, **setting}).init(jax.random.key(0), *zeros, **told)

        def check(plan: Plan) -> None:
            least = {name: np.int32(value) for name, value in self.sizes.least.items()}

            def wide(variables: PyTree, given: tuple) -> PyTree:
                masked = {**variables, "params": mask_tree(plan, least, variables.get("params", {}), _PARAMS)}
                with _linen_norms(plan, least):
                    return self._module(self.sizes.widest(hparams)).apply(masked, *given, **told)

            def small(variables: PyTree, given: tuple) -> PyTree:
                return self._module({**hparams, **self.sizes.least}).apply(variables, *given, **told)

            like = jax.eval_shape(lambda: build(self.sizes.most))
            verify(plan, wide, small, lambda whole: _cut_dicts(plan, least, whole), like, args)

        return self._plan(shapes, build, check)

    def shrink(self, state: Mapping[str, Any], hparams: Hparams) -> dict[str, Any]:
        """Return the variables of the small module; see `shrink`."""
        leaves, values = named_leaves(state), self.sizes.of(hparams)
        plan = self._known(leaves)
        if plan is None:
            raise ValueError(
                "state: of shapes that this masked model has not met; shrink with the object that was searched with, or "
                "call model(hparams).apply(state, inputs) once"
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
    def init_with_output(self: Any, rngs: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        plain, told = kind(**_fields(self)), {k: v for k, v in kwargs.items() if k not in ("method", "mutable")}
        held = self._held
        with at(held.values):
            _, shapes = jax.eval_shape(lambda: plain.init_with_output(rngs, *args, **kwargs))
            plan = held.model.plan(_shapes(shapes), held, args, told)
            with _linen_norms(plan, held.values):
                outputs, variables = plain.init_with_output(rngs, *args, **kwargs)
        params = mask_tree(plan, held.values, variables["params"], _PARAMS, initial=True)
        return outputs, {**variables, "params": params}

    @linen.nowrap
    def init(self: Any, rngs: Any, *args: Any, **kwargs: Any) -> Any:
        return init_with_output(self, rngs, *args, **kwargs)[1]

    @linen.nowrap
    def apply(self: Any, variables: Any, *args: Any, **kwargs: Any) -> Any:
        plain, held = kind(**_fields(self)), self._held
        told = {k: v for k, v in kwargs.items() if k not in ("method", "mutable", "rngs", "capture_intermediates")}
        plan = held.model.plan(_shapes(variables), held, args, told)
        masked = {**variables, "params": mask_tree(plan, held.values, variables["params"], _PARAMS)}
        with at(held.values), _linen_norms(plan, held.values):
            return plain.apply(masked, *args, **kwargs)

    namespace = {"init_with_output": init_with_output, "init": init, "apply": apply, "__module__": kind.__module__}
    return type(f"Masked{kind.__name__}", (kind,), namespace)


def _fields(module: Any) -> dict[str, Any]:
    return {name: getattr(module, name) for name in module.__dataclass_fields__ if name != "parent"}


def _shapes(tree: PyTree) -> dict[str, tuple]:
    return {name: tuple(np.shape(leaf)) for name, leaf in named_leaves(tree).items()}


def _in_evaluation(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Tell a call to be one of evaluation: dropout would draw other numbers in the small model."""
    return {name: _IN_EVALUATION.get(name, value) for name, value in kwargs.items()}


def _unit_mask(plan: Plan, values: Mapping[str, Any], path: str) -> Array | None:
    """Return the units that a norm of this path sees: bool[features]; None where it sees them all."""
    for part in ("scale", "bias"):
        name = f"{path}.{part}" if path else part
        if name in plan.laws and plan.laws[name].names:
            return plan.axis_mask(name, len(plan.laws[name].shape) - 1, values)
    return None


def _beside(mask: Array, x: Array) -> Array:
    return jnp.broadcast_to(mask.reshape((1,) * (x.ndim - 1) + mask.shape), x.shape)


@contextlib.contextmanager
def _linen_norms(plan: Plan, values: Mapping[str, Any]) -> Iterator[None]:
    """Let norms over units see those in use only."""

    def intercept(call: Callable, args: tuple, kwargs: dict, context: Any) -> Any:
        if isinstance(context.module, _NORMS) and context.method_name == "__call__":
            mask = _unit_mask(plan, values, _PARAMS + ".".join(context.module.path))
            if mask is not None and kwargs.get("mask") is None:
                kwargs = {**kwargs, "mask": _beside(mask, args[0])}
        return call(*args, **kwargs)

    with linen.intercept_methods(intercept):
        yield


class MaskedNnx(Masked):
    """A function (hparams, rngs) -> nnx module, masked; see `masked`."""

    def __init__(self, make: Callable, sizes: Any, by_name: bool) -> None:
        super().__init__(make, sizes)
        self.by_name = by_name  # whether `make` takes rngs by name
        self._looked: list[Plan] = []  # laws of models whose calls were compared

    def __call__(self, hparams: Hparams, rngs: nnx.Rngs) -> nnx.Module:
        """Build the widest module; its call masks the weights."""
        held = Held(self, hparams)
        with at(held.values):
            module = self._module(self.sizes.widest(hparams), rngs)
        plan = self.plan(module, held)
        module.__class__ = _masked_nnx(type(module))
        object.__setattr__(module, "_held", held)
        _set(module, mask_tree(plan, held.values, _weights(module), initial=True))
        return module

    def _module(self, hparams: Hparams, rngs: nnx.Rngs) -> Any:
        module = self.make(hparams, rngs=rngs) if self.by_name else self.make(hparams, rngs)
        if not isinstance(module, nnx.Module):
            raise TypeError(f"make: a function of hparams and rngs returned {type(module).__name__}; must be an nnx module")
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
        if any(plan is known for known in self._looked):
            return plan
        hparams, told = held.hparams, _in_evaluation(kwargs)
        least = {name: np.int32(value) for name, value in self.sizes.least.items()}

        def wide(state: PyTree, given: tuple) -> PyTree:
            module = _filled(self._module(self.sizes.widest(hparams), nnx.Rngs(0)), named_leaves(state))
            _set(module, mask_tree(plan, least, _weights(module)))
            with _nnx_norms(module, plan, least):
                return module(*given, **told)

        def small(leaves: dict[str, Any], given: tuple) -> PyTree:
            return _filled(self._module({**hparams, **self.sizes.least}, nnx.Rngs(0)), leaves)(*given, **told)

        def part(state: PyTree) -> dict[str, Any]:
            return cut(plan, least, named_leaves(state))

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
        _set(self, mask_tree(plan, held.values, weights))
        try:
            with at(held.values), _nnx_norms(self, plan, held.values):
                return kind.__call__(self, *args, **kwargs)
        finally:
            _set(self, weights)

    return type(f"Masked{kind.__name__}", (kind,), {"__call__": call, "__module__": kind.__module__})


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
        mask = _unit_mask(plan, values, ".".join(map(str, path))) if type(layer) in _NORMS else None
        if mask is not None:
            changed.append((layer, type(layer)))
            layer.__class__ = _norm_of_some(type(layer), mask)
    try:
        yield
    finally:
        for layer, kind in changed:
            layer.__class__ = kind


def _norm_of_some(kind: type, units: Array) -> type:
    class Some(kind):  # type: ignore[misc, valid-type]
        def __call__(self, x: Array, *, mask: Array | None = None) -> Array:
            return super().__call__(x, mask=_beside(units, x) if mask is None else mask)

    return Some


def flax_model(make: Any, sizes: Any) -> MaskedLinen | MaskedNnx:
    """Tell linen from nnx by what a function takes.

    Raises:
      TypeError: it is neither.
    """
    if isinstance(make, type | linen.Module | nnx.Module) or not callable(make):
        raise TypeError(f"make={make!r}: must be {_KINDS}")
    signature = inspect.signature(make)
    parameters = signature.parameters.values()
    if any(p.name == "rngs" for p in parameters):
        return MaskedNnx(make, sizes, by_name=True)
    needed = [p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(needed) not in (1, 2):
        raise TypeError(f"make={make!r}: takes {signature}; must be {_KINDS}")
    return MaskedLinen(make, sizes) if len(needed) == 1 else MaskedNnx(make, sizes, by_name=False)
