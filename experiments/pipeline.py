"""Data to report, every stage reusing what the workdir already holds."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from ddad_jax.checkpoint import fingerprint as weights_fingerprint
from ddad_jax.errors import InputError
from ddad_jax.mesh import device_mesh, require_work
from ddad_jax.metrics import missing
from ddad_jax.points import OPTIMISED, GridKey, ReconPoint, grid_key
from ddad_jax.timesteps import TimeGrid
from ddad_jax.weights import load_backbone
from experiments import hosts, results, sweeping, tracking, verdicts
from experiments.adapting import adapted
from experiments.calibrating import shortage
from experiments.chosen import Chosen, load_chosen, save_chosen
from experiments.config import LABEL_FREE
from experiments.config_doubts import doubts
from experiments.distilling import Distilled, distilled
from experiments.gridding import optimised_grids
from experiments.journal import measured_with
from experiments.model import Data, load_data
from experiments.plan import Plan, Point, best_on_synthetic, plan
from experiments.registered import write_registered
from experiments.training import trained
from experiments.trajectories import keep as keep_trajectories
from experiments.workdir import held, open_workdir

log = logging.getLogger(__name__)


def run_all(
    config: ConfigDict, workdir: Path, *, sweep: bool, models_only: bool = False, track: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Train, adapt, distil where a point names the student, reconstruct, score and report; the rows of all points.

    Training and reconstruction use every device of every host; adaptation, distillation and the search of grids those
    of the first. With ``models_only`` the models and grids that the points need are made and nothing else; no rows.
    ``track``: as of ``tracking.writer_of``.

    Raises:
      InputError: as the stages; another program writes into this workdir, or computes a shard of it.
    """
    with held(workdir):
        return _run_all(config, workdir, sweep, models_only, track)


def _run_all(
    config: ConfigDict, workdir: Path, sweep: bool, models_only: bool, track: Sequence[str]
) -> list[dict[str, Any]]:
    todo = plan(config, sweep=sweep or bool(config.select))
    masks = any(point.mask_before for point in todo.recon) or any(point.mask_after for point in todo.score)
    if config.view.mask and not masks:
        raise InputError(
            f"--config.view.mask={config.view.mask}: no point of the run uses it; expected "
            "--config.sample.mask_before=True or --config.score.mask_after=True, or one of them in the sweep"
        )
    for sentence in doubts(config):
        log.warning("%s", sentence)
    data = load_data(config)
    # Weights that cannot be had are better missed now than after hours of training.
    load_backbone(config.backbone.name, config.backbone.weights or None)
    images = data.view.tiles * sum(len(s.labels) for s in data.sets)
    mesh, mend = device_mesh(), "Sweep more settings (--config.sweep) or give more pictures to test"
    require_work(len(todo.recon) * images, mesh, what="pairs of a setting and a picture", mend=mend)
    folder = open_workdir(workdir, config, data)
    hosts.first("maps and overlays", lambda: verdicts.require_outputs(config, folder, data.test.names))
    write = tracking.writer_of(folder, track, config)
    hosts.first("registration.csv", lambda: write_registered(folder, data.view.registered))
    for sentence in missing(data.test.labels, data.test.masks, data.test.has_mask):
        log.warning("%s", sentence)
    log.info(
        "%s: %d normal images to train on, %d held out, %d to test (%d anomalous)",
        data.name, data.n_fit, data.n_held_out, len(data.test.labels), int(data.test.labels.sum()),
    )  # fmt: skip
    for sentence in shortage(config.threshold, len(data.calibration.labels), data.n_held_out):
        log.warning("%s", sentence)
    params = trained(config, folder, data, write)
    variables, epoch = hosts.in_turn("adaptation", lambda: adapted(config, folder, data, params, write))
    program = sweeping.program_of(config, params, variables, mesh)
    made_with = {"weights": weights_fingerprint(program.weights), **measured_with(config, folder, data, epoch)}
    kept, planned = None, todo
    if data.choice and not sweep:
        kept = hosts.in_turn("the chosen point", lambda: load_chosen(folder, made_with))
        todo = Plan([kept.point[0]], [kept.point[1]], kept.point) if kept else planned

    def asked_by(points: list[ReconPoint]) -> tuple[sweeping.Taught | None, dict[GridKey, TimeGrid]]:
        student = None
        if any(point.model == "student" for point in points):
            taught = hosts.in_turn("the student", lambda: distilled(config, folder, data, params, write))
            student = sweeping.student_of(config, taught.params, variables, mesh, made_with=taught.made_with)
        found = hosts.in_turn("optimised grids", lambda: optimised_grids(config, folder, data, params, points))
        return student, found

    student, grids = asked_by(todo.recon)
    if kept and kept.asks != asked_of(kept.point, student, grids):
        log.info("%s: another student or grid chose that point, so one is chosen anew", folder / "chosen.json")
        todo = planned
        student, grids = asked_by(todo.recon)
    if models_only:
        hosts.first("the journal", lambda: sweeping.claim(folder, program.weights))
        write.close()
        return []
    rows = sweeping.run(config, folder, data, program, epoch, todo, grids, student, write=write)
    if todo.selected is None:
        best, worth = best_on_synthetic(todo, rows)
        chosen = Chosen(best, made_with, asked_of(best, student, grids), worth)
        hosts.first("the chosen point", lambda: save_chosen(folder, chosen))
        # Every row is there already: this keeps what the report shows of the selected point.
        rows = sweeping.run(config, folder, data, program, epoch, todo._replace(selected=best), grids, student)
        todo = todo._replace(selected=best)
    assert todo.selected is not None
    own = student.program if student else None
    keep_trajectories(config, folder, data, todo.selected, program, own, grids)
    selection = _chosen_on(config, data) if data.choice else config.sample.origin
    hosts.first("the report", lambda: results.write(config, folder, data, rows, epoch, selection=selection))
    tracking.end(write, folder)
    return rows


def asked_of(
    point: Point, student: sweeping.Taught | Distilled | None, grids: Mapping[GridKey, TimeGrid]
) -> dict[str, Any]:
    """What tells the student and the optimised grid that a point asks from others; nothing where it asks neither."""
    told = student.made_with if student and point[0].model == "student" else {}
    times = {"times": grids[grid_key(point[0])].t.tolist()} if point[0].grid == OPTIMISED else {}
    return {**told, **times}


def _chosen_on(c: ConfigDict, data: Data) -> str:
    """How the selected point was come by, as the report says it; what the config knows of its values belongs to it."""
    assert data.choice
    held_out, learnt = len(data.calibration.labels), len(data.choice.trained.labels)
    pictures = f"{held_out} held-out" + (f" and {learnt} training" if learnt else "") + " pictures"
    known = "" if c.sample.origin == LABEL_FREE else f"; the rest of the settings {c.sample.origin}"
    return f"chosen on {len(data.choice.defects.labels)} synthetic defects painted on {pictures}{known}"
