"""What was trained, for others: weights by Orbax, and a prediction that needs no code of the model."""

import importlib.util
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxhpt.core.keys import bare
from jaxhpt.core.typing import PyTree

WEIGHTS, PREDICT = "weights", "predict.jax"


def export(path: str | pathlib.Path, state: Any, predict: Callable | None, example: Any) -> None:
    """Write weights, and a prediction if any; see `Result.export_best`."""
    if (predict is None) != (example is None):
        raise ValueError("predict and example: give both, or none")
    if predict is not None and importlib.util.find_spec("flatbuffers") is None:
        raise ImportError("predict: jax.export writes by flatbuffers: pip install jaxhpt[export]")
    folder = pathlib.Path(path).absolute()
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"path={str(path)!r}: must be a new folder, or an empty one")
    predicted = None if predict is None else _predicted(state, predict, example)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as unfinished:  # all of it, or none
        whole = pathlib.Path(unfinished) / folder.name
        whole.mkdir()
        _save(whole / WEIGHTS, state)
        if predicted is not None:
            (whole / PREDICT).write_bytes(predicted)
        whole.replace(folder)


def _predicted(state: Any, predict: Callable, example: Any) -> bytes:
    """Return a prediction as `jax.export` writes it, with the weights in it."""
    from flax import nnx

    leaves, treedef = jax.tree.flatten(state, is_leaf=lambda part: isinstance(part, nnx.Module))
    parts = [nnx.split(leaf) if isinstance(leaf, nnx.Module) else leaf for leaf in leaves]

    def again(*inputs: Any) -> Any:  # a module may change itself only within the trace that made it
        models = [nnx.merge(*part, copy=True) if type(part) is tuple else part for part in parts]
        return predict(jax.tree.unflatten(treedef, models), *inputs)

    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), example)
    return bytes(jax.export.export(jax.jit(again))(shapes).serialize())


def _save(folder: pathlib.Path, state: PyTree) -> None:
    """Write arrays by Orbax, which has none without numbers: None stands there; of a module of nnx its arrays alone."""
    import orbax.checkpoint as orbax
    from flax import nnx

    def arrays(part: Any) -> Any:
        return nnx.to_pure_dict(nnx.state(part)) if isinstance(part, nnx.Module) else part

    state = jax.tree.map(arrays, state, is_leaf=lambda part: isinstance(part, nnx.Module))
    full = jax.tree.map(lambda leaf: bare(leaf) if np.size(leaf) else None, state)
    with orbax.Checkpointer(orbax.PyTreeCheckpointHandler()) as writer:
        writer.save(folder, jax.device_get(full))
