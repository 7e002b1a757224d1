"""A workdir that begins with the training of another: one noise predictor, several feature extractors.

What is taken over is the newest checkpoint and the history of the training, as hard links where the file system has
them: a training that has ended writes no file again. Adaptation, journal and report are the new workdir's own.
"""

import hashlib
import os
import shutil
from pathlib import Path

from ml_collections import ConfigDict

from ddad_jax.checkpoint import Checkpoints
from ddad_jax.errors import InputError
from experiments.model import Data
from experiments.training import restored
from experiments.workdir import require_same


def begin_with_training(folder: Path, source: Path, config: ConfigDict, data: Data) -> None:
    """``folder`` holds the training that ``source`` holds; one that it holds already must be the same.

    Complete or absent: a kill in between leaves no training in ``folder``.

    Raises:
      InputError: ``source`` was trained with other settings or pictures than ``config`` and ``data`` say, or its
        training has not ended; ``folder`` holds another training.
    """
    require_same(source, config, data)
    wanted = training_fingerprint(source)
    if (folder / "train").exists():
        if training_fingerprint(folder) != wanted:
            raise InputError(
                f"{folder}: began with another training than {source} now holds. Delete {folder} to make it anew from "
                "that training"
            )
        return
    restored(config, source)  # refuses one that has not ended
    part = folder / ".train.part"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(part, ignore_errors=True)
    newest = _newest(source)
    shutil.copytree(newest, part / newest.name, copy_function=_link_or_copy)
    shutil.copyfile(source / "train.jsonl", folder / "train.jsonl")
    part.rename(folder / "train")
    if training_fingerprint(folder) != wanted:
        shutil.rmtree(folder / "train")
        raise InputError(f"{folder}: the training of {source} could not be copied whole; is the disk full?")


def training_fingerprint(workdir: Path) -> str:
    """Of the newest checkpoint of a training: equal where every file of it is.

    Raises:
      InputError: there is none.
    """
    digest, newest = hashlib.sha256(), _newest(workdir)
    for path in sorted(p for p in newest.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(newest)}\n".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:16]


def _newest(workdir: Path) -> Path:
    checkpoints = Checkpoints(workdir / "train")
    if not checkpoints.steps():
        raise InputError(f"{checkpoints.folder}: holds no training; expected a checkpoint of one that has ended")
    return checkpoints.folder / str(checkpoints.steps()[-1])


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
    return target
