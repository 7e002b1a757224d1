"""Data to report, every stage reusing what the workdir already holds."""

import logging
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from ddad_jax.checkpoint import fingerprint as weights_fingerprint
from ddad_jax.mesh import device_mesh, require_work
from ddad_jax.metrics import missing
from ddad_jax.weights import load_backbone
from experiments import hosts, results, sweeping
from experiments.adapting import adapted
from experiments.chosen import Chosen, load_chosen, save_chosen
from experiments.config import LABEL_FREE
from experiments.distilling import distilled
from experiments.gridding import optimised_grids
from experiments.journal import measured_with
from experiments.model import Data, load_data
from experiments.plan import Plan, Point, best_on_synthetic, plan
from experiments.training import trained
from experiments.workdir import open_workdir

log = logging.getLogger(__name__)


def run_all(config: ConfigDict, workdir: Path, *, sweep: bool) -> None:
    """Train, adapt, distil where a point names the student, reconstruct, score and report.

    Training and reconstruction use every device of every host; adaptation, distillation and the search of grids those
    of the first.
    """
    todo = plan(config, sweep=sweep or bool(config.select))
    data = load_data(config)
    # Weights that cannot be had are better missed now than after hours of training.
    load_backbone(config.backbone.name, config.backbone.weights or None)
    images = sum(len(s.labels) for s in data.sets)
    mesh, mend = device_mesh(), "Sweep more settings (--config.sweep) or give more pictures to test"
    require_work(len(todo.recon) * images, mesh, what="pairs of a setting and a picture", mend=mend)
    folder = open_workdir(workdir, config, data)
    for sentence in missing(data.test.labels, data.test.masks, data.test.has_mask):
        log.warning("%s", sentence)
    log.info(
        "%s: %d normal images to train on, %d held out, %d to test (%d anomalous)",
        data.name, len(data.fit.labels), len(data.held_out.labels), len(data.test.labels), int(data.test.labels.sum()),
    )  # fmt: skip
    params = trained(config, folder, data)
    variables, epoch = hosts.in_turn("adaptation", lambda: adapted(config, folder, data, params))
    program = sweeping.program_of(config, params, variables, mesh)
    made_with = {"weights": weights_fingerprint(program.weights), **measured_with(config, folder, data, epoch)}
    kept, planned = None, todo
    if data.choice and not sweep:
        kept = hosts.in_turn("the chosen point", lambda: load_chosen(folder, made_with))
        todo = Plan([kept.point[0]], [kept.point[1]], kept.point) if kept else planned
    student = None
    if any(point.model == "student" for point in todo.recon):
        taught = hosts.in_turn("the student", lambda: distilled(config, folder, data, params))
        student = sweeping.student_of(config, taught.params, variables, mesh, made_with=taught.made_with)
    if kept and kept.student != _told(student, kept.point):
        log.info("another student chose the point kept in %s, so one is chosen anew", folder / "chosen.json")
        todo = planned
    grids = hosts.in_turn("optimised grids", lambda: optimised_grids(config, folder, data, params, todo.recon))
    rows = sweeping.run(config, folder, data, program, epoch, todo, grids, student)
    if todo.selected is None:
        best, worth = best_on_synthetic(todo, rows)
        chosen = Chosen(best, made_with, _told(student, best), worth)
        hosts.first("the chosen point", lambda: save_chosen(folder, chosen))
        # Every row is there already: this keeps what the report shows of the selected point.
        rows = sweeping.run(config, folder, data, program, epoch, todo._replace(selected=best), grids, student)
    selection = _chosen_on(config, data) if data.choice else config.sample.origin
    hosts.first("the report", lambda: results.write(config, folder, data, rows, epoch, selection=selection))


def _told(student: sweeping.Taught | None, point: Point) -> dict[str, Any]:
    """What tells the student that a point asks from others; nothing for a point that asks the teacher."""
    return student.made_with if student and point[0].model == "student" else {}


def _chosen_on(c: ConfigDict, data: Data) -> str:
    """How the selected point was come by, as the report says it; what the config knows of its values belongs to it."""
    assert data.choice
    held_out, learnt = len(data.calibration.labels), len(data.choice.trained.labels)
    pictures = f"{held_out} held-out" + (f" and {learnt} training" if learnt else "") + " pictures"
    known = "" if c.sample.origin == LABEL_FREE else f"; the rest of the settings {c.sample.origin}"
    return f"chosen on {len(data.choice.defects.labels)} synthetic defects painted on {pictures}{known}"
