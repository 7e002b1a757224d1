"""L4. Saving and restoring plain trees of arrays (Orbax)."""

import errno
import hashlib
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from ddad_jax.errors import InputError, is_of_disk

_TORN = ".orbax-checkpoint-tmp"
"""In the name of what is not a whole checkpoint."""


class Checkpoints:
    """Numbered checkpoints in one folder; a save is complete or absent, so a kill leaves the one before.

    Of several processes that share the folder one saves and any restores, whenever it likes: trees are whole on each
    of them, so that no checkpoint needs their company.

    Args:
      folder: made when the first checkpoint is saved.
      keep: how many of the newest stay; None for all (adaptation keeps every epoch).
    """

    def __init__(self, folder: Path | str, keep: int | None = 2) -> None:
        self.folder = Path(folder).absolute()
        self.keep = keep
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._begun: Future[None] | None = None

    def steps(self) -> list[int]:
        """Numbers of the complete checkpoints, rising; one that is being written is waited for."""
        self.wait()
        return self._complete()

    def _complete(self) -> list[int]:
        if not self.folder.is_dir():
            return []
        return sorted(int(p.name) for p in self.folder.iterdir() if p.name.isdigit())

    def save(self, step: int, tree: Any) -> None:
        """Write ``tree`` as number ``step``; an existing one of that number is replaced.

        Raises:
          InputError: it cannot be written, as on a full disk; the checkpoints before it stay as they are.
        """
        self.wait()
        self._write(step, jax.tree.map(np.asarray, tree))

    def begin(self, step: int, tree: Any) -> None:
        """As ``save``, in a thread: returns once ``tree`` is copied, so that its owner may go on with it.

        What ``save`` raises is raised by whatever is asked of these checkpoints next, ``wait`` at the latest. A program
        that ends waits for the thread; one that is killed leaves what a kill during ``save`` leaves.
        """
        self.wait()
        # Copies of their own: on a CPU an array is the device's memory, which the next update may write over.
        self._begun = self._writer.submit(self._write, step, jax.tree.map(lambda leaf: np.array(leaf), tree))

    def wait(self) -> None:
        """Until what ``begin`` began is written.

        Raises:
          InputError: as of ``save``.
        """
        if self._begun is not None:
            try:
                self._begun.result()
            finally:
                if self._begun.done():
                    self._begun = None

    def _write(self, step: int, arrays: Any) -> None:
        target = self.folder / f"{step}"
        try:
            if self.folder.is_dir():
                for torn in self.folder.glob(f"*{_TORN}*"):  # what a kill during a save left
                    shutil.rmtree(torn)
            self.folder.mkdir(parents=True, exist_ok=True)
            # Before Orbax begins: its threads go on printing tracebacks when a disk fills under them.
            size, free = sum(leaf.nbytes for leaf in jax.tree.leaves(arrays)), shutil.disk_usage(self.folder).free
            if free < size:
                raise OSError(errno.ENOSPC, f"No space left: {size} bytes are needed, {free} are free")
            with _checkpointer() as checkpointer:
                checkpointer.save(target, arrays, force=True)
        except (OSError, ValueError) as error:
            if not isinstance(error, OSError) and not is_of_disk(error):  # TensorStore wraps what the system says
                raise
            told = " ".join(str(error).split())[:300]
            mend = "Free space on that disk, or name another folder; checkpoints before it are whole"
            raise InputError(f"{target}: the checkpoint cannot be written ({told}). {mend}") from error
        if self.keep is not None:
            self._remove(self._complete()[: -self.keep])

    def clear(self) -> None:
        """Remove every checkpoint."""
        self._remove(self.steps())
        if self.folder.is_dir():
            shutil.rmtree(self.folder)

    def _remove(self, steps: list[int]) -> None:
        """Under another name first, so that a kill leaves no half of one that counts as complete."""
        for step in steps:
            gone = (self.folder / f"{step}").rename(self.folder / f"{step}{_TORN}-old")
            shutil.rmtree(gone)

    def restore(self, template: Any, step: int | None = None) -> Any:
        """The tree saved as ``step`` (default: the newest), in the structure and types of ``template``.

        Raises:
          InputError: there is none, it is damaged, or its arrays have other names or shapes than ``template``.
        """
        found = self.steps()
        if step is None and found:
            step = found[-1]
        if step not in found:
            raise InputError(f"{self.folder}: no checkpoint {'' if step is None else step}; found {found or 'none'}")
        abstract = jax.tree.map(lambda a: jax.ShapeDtypeStruct(np.shape(a), np.asarray(a).dtype), template)
        with _checkpointer() as checkpointer:
            path = self.folder / f"{step}"
            try:
                told = checkpointer.metadata(path).item_metadata
            except _DAMAGED as error:
                raise _damaged(path, error) from error
            if told is None:  # so Orbax says that it could not read them
                raise _damaged(path, "its names and shapes cannot be read")
            stored, wanted = _shapes(told.tree), _shapes(abstract)
            if stored != wanted:
                differing = sorted(set(stored.items()) ^ set(wanted.items()))[:6]
                raise InputError(
                    f"{path}: the saved arrays are not those this configuration builds; first differences "
                    f"{differing}. Was it made with another model? Use another workdir"
                )
            try:
                return checkpointer.restore(path, abstract)
            except _DAMAGED as error:
                raise _damaged(path, error) from error


_DAMAGED = (OSError, ValueError, KeyError)
"""What Orbax and TensorStore raise for files that are cut off, empty or gone. Names and shapes of the template are
compared before, so that nothing of ours is known to raise these in ``Checkpoints.restore``; the cause stays chained."""


def _damaged(path: Path, why: object) -> InputError:
    told = " ".join(str(why).split())[:160]
    mend = "Put it back from a copy, or delete this folder: the run then goes on from the checkpoint before, or anew"
    return InputError(f"{path}: the checkpoint is damaged or not whole ({told}). {mend}")


def _checkpointer() -> ocp.StandardCheckpointer:
    """Of this process alone: by default Orbax waits in every call until all processes have made it, too."""
    own = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(primary_host=own, active_processes={own})
    return ocp.StandardCheckpointer(multiprocessing_options=alone)


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    """Leaf name -> shape. Names as bare words: Orbax gives tuples back as dicts or lists."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        "/".join(str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", k)))) for k in path): tuple(leaf.shape)
        for path, leaf in leaves
    }


def params_fingerprint(params: Any) -> str:
    """Of a tree of parameters: equal where every number is."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(params):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()[:16]
