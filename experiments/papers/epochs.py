"""The extractor of every epoch of an adaptation, judged on the test pictures: the curves of Figure 7.

It looks at test labels after each epoch, so it may show a course and choose nothing. WORKDIR/epochs/E holds the rows
of epoch E; 0 is the extractor as it came.
"""

import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from ddad_jax.checkpoint import Checkpoints
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.ddad import evidence
from ddad_jax.engine.methods.ddad.fitted import FittedDDAD
from ddad_jax.engine.methods.ddad.noise_predictor import restored_params
from ddad_jax.engine.methods.ddad.points import UNSAID
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.point import Plan
from ddad_jax.engine.store import kept
from ddad_jax.engine.store.tables import read_jsonl
from ddad_jax.engine.sweep import rows
from ddad_jax.mesh import device_mesh
from ddad_jax.weights import load_backbone


def judge_epochs(c: DDADSettings, workdir: Path, data: Data, todo: Plan) -> None:
    """Rows of the plan's points for every epoch that the adaptation in ``workdir`` ran, those there are kept."""
    original = load_backbone(c.backbone.name, c.backbone.weights or None)
    epochs, params = Checkpoints(workdir / "adapt" / "epochs", keep=None), restored_params(c, workdir)
    for epoch in range(_epochs_run(workdir) + 1):
        folder = workdir / "epochs" / str(epoch)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(workdir / "train.jsonl", folder / "train.jsonl")  # rows say how long the model was trained
        variables = jax.tree.map(jnp.asarray, epochs.restore(original, epoch)) if epoch else original
        program = evidence.program_of(c, params, variables, device_mesh())
        fitted = FittedDDAD(c, folder, params, variables, epoch, program)
        rows.compute_rows(c, folder, data, fitted, todo._replace(selected=None))
    (workdir / "epochs" / "done").touch()


def epochs_there(workdir: Path) -> bool:
    """Whether all of them are judged."""
    return (workdir / "epochs" / "done").exists()


def rows_by_epoch(workdir: Path) -> dict[int, list[dict[str, Any]]]:
    """Epoch -> its rows, of those judged so far."""
    folders = sorted(int(p.name) for p in (workdir / "epochs").glob("*") if p.name.isdigit())
    return {
        epoch: [{**UNSAID, **row} for row in read_jsonl(workdir / "epochs" / str(epoch) / "journal.jsonl")]
        for epoch in folders
    }


def _epochs_run(workdir: Path) -> int:
    path = workdir / "adapt" / "chosen.json"
    mend = "Name another --workdir, or delete this one to start again"
    return int(kept.read_content(path, {"epochs_run": int}, mend=mend)[0]["epochs_run"])
