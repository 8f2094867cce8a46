"""Checkpoints of a run, by Orbax: written in the background, whole or not at all; the latest sound one is read."""

import concurrent.futures
import json
import logging
import pathlib
import shutil
import warnings
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxhpt.engine.carrying import Carried
from jaxhpt.store.files import RunError

KEPT = 3
STATE, FACTS = "state", "facts"


class Checkpoints:
    """The latest checkpoints in a folder.

    Args:
      folder: where; made at the first save.
      readonly: whether others may be writing there, so that nothing is changed.
    """

    def __init__(self, folder: pathlib.Path, readonly: bool = False) -> None:
        self._folder, self._readonly, self._manager = folder, readonly, None
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="jaxhpt-checkpoint")
        self._saving: concurrent.futures.Future | None = None

    @property
    def busy(self) -> bool:
        """Whether one is being written."""
        return self._saving is not None and not self._saving.done()

    def save(self, carried: Carried) -> None:
        """Begin to write one; the arrays must not change any more.

        Raises:
          OSError and others: what went wrong with the one before.
        """
        self.wait()
        self._saving = self._thread.submit(self._save, carried)

    def when_done(self, call: Callable[[], None]) -> None:
        """Call a function once what is being written is there, or has failed."""
        if self._saving is not None:
            self._saving.add_done_callback(lambda _: call())

    def wait(self) -> None:
        """Wait until the latest is written.

        Raises:
          OSError and others: it was not.
        """
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.result()

    def close(self) -> None:
        """Wait, and let go."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()
            if self._manager is not None:
                self._manager.close()

    def _save(self, carried: Carried) -> None:
        import orbax.checkpoint as orbax

        full = {_name(i): array for i, array in enumerate(carried.arrays) if array.size}
        shapes = [[array.dtype.str, list(array.shape)] for array in carried.arrays]
        facts = {"facts": carried.facts, "shapes": shapes, "check": _check(carried.arrays)}
        given = orbax.args.Composite(**{STATE: orbax.args.PyTreeSave(full), FACTS: orbax.args.JsonSave(_sealed(facts))})
        manager = self._opened()
        manager.save(max([*manager.all_steps(), 0]) + 1, args=given, force=True)

    def _opened(self) -> Any:
        if self._manager is None:
            import orbax.checkpoint as orbax

            logging.getLogger("absl").setLevel(logging.ERROR)
            options = orbax.CheckpointManagerOptions(
                max_to_keep=KEPT, create=True, enable_async_checkpointing=False, read_only=self._readonly
            )
            state = orbax.PyTreeCheckpointHandler(
                use_compression=False
            )  # weights hardly get smaller, and it takes long
            kinds = {STATE: state, FACTS: orbax.JsonCheckpointHandler()}
            self._manager = orbax.CheckpointManager(self._folder.absolute(), options=options, item_handlers=kinds)
        return self._manager

    def latest(self) -> Carried | None:
        """Read the latest that is sound; None where there is none. Of those that are not, a warning tells.

        Raises:
          RunError: there are some, and none is sound.
        """
        seen, damaged = set[int](), False
        while steps := sorted(
            self._steps() - seen, reverse=True
        ):  # another process may write and remove some meanwhile
            for step in steps:
                seen.add(step)
                try:
                    return self._read(step)
                except Exception as error:  # a damaged file may raise anything
                    damaged |= self._told(step, error)
        if damaged:
            raise RunError(f"{self._folder}: all checkpoints are damaged; remove the folder to begin anew")
        return None

    def _steps(self) -> set[int]:
        return {int(path.name) for path in self._folder.glob("*") if path.name.isdigit()}

    def _told(self, step: int, error: Exception) -> bool:
        """Tell of a damaged checkpoint, and put it out of the way; return whether it is still there to be damaged."""
        folder = self._folder / str(step)
        if not folder.exists():
            return False
        reason = f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
        warnings.warn(f"{folder}: damaged, the one before is taken ({reason})", stacklevel=3)
        if not self._readonly:
            shutil.rmtree(folder, ignore_errors=True)
        return True

    def _read(self, step: int) -> Carried:
        import orbax.checkpoint as orbax

        wanted = {STATE: orbax.args.PyTreeRestore(), FACTS: orbax.args.JsonRestore()}
        found = self._opened().restore(step, args=orbax.args.Composite(**wanted))
        told = _opened_seal(found[FACTS])
        arrays = [_array(found[STATE], i, *shape) for i, shape in enumerate(told["shapes"])]
        if _check(arrays) != told["check"]:
            raise RunError("its numbers are not those that were written")
        return Carried(arrays, told["facts"])


def _name(place: int) -> str:
    return f"{place:06d}"


def _array(found: Any, place: int, dtype: str, shape: list[int]) -> np.ndarray:
    array = np.asarray(found[_name(place)]) if np.prod(shape, dtype=int) else np.zeros(shape, dtype)
    if (array.dtype.str, list(array.shape)) != (dtype, shape):
        raise RunError(f"array {place} is {array.dtype}{list(array.shape)}, not {dtype}{shape}")
    return array


def _check(arrays: list[np.ndarray]) -> list[int]:
    """Return a checksum of each array: Orbax keeps none of what is not compressed."""
    return [zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data) for array in arrays]


def _sealed(facts: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(facts)
    return {"text": text, "check": zlib.crc32(text.encode())}


def _opened_seal(sealed: Any) -> Any:
    if zlib.crc32(sealed["text"].encode()) != sealed["check"]:
        raise RunError("its facts are not those that were written")
    return json.loads(sealed["text"])
