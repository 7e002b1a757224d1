"""Data to report, every stage reusing what the workdir already holds."""

import contextlib
import logging
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ddad_jax.checkpoint import fingerprint as weights_fingerprint
from ddad_jax.engine import hosts, tracking
from ddad_jax.engine.data.splits import Data, load_data
from ddad_jax.engine.data.view import write_registered
from ddad_jax.engine.methods.ddad import evidence, extractor, noise_predictor
from ddad_jax.engine.methods.ddad import student as ddad_student
from ddad_jax.engine.methods.ddad.evidence import compared_pictures
from ddad_jax.engine.methods.ddad.extractor import adapted
from ddad_jax.engine.methods.ddad.grids import optimised_grids
from ddad_jax.engine.methods.ddad.noise_predictor import trained
from ddad_jax.engine.methods.ddad.sections import LABEL_FREE, DDADSettings
from ddad_jax.engine.methods.ddad.student import distilled
from ddad_jax.engine.methods.ddad.trajectories import keep as keep_trajectories
from ddad_jax.engine.methods.method import SETTINGS
from ddad_jax.engine.report import results
from ddad_jax.engine.setting_doubts import doubts
from ddad_jax.engine.sweep import journal, shards
from ddad_jax.engine.sweep import rows as sweep_rows
from ddad_jax.engine.sweep.choice import Chosen, asked_of, best_on_synthetic, load_chosen, save_chosen
from ddad_jax.engine.sweep.journal import measured_with
from ddad_jax.engine.sweep.plan import Plan, plan
from ddad_jax.engine.sweep.shards import Cost, Shard, dealt
from ddad_jax.engine.verdicts import verdicts
from ddad_jax.engine.verdicts.thresholds import shortage
from ddad_jax.engine.workdir import held, open_workdir, require_same
from ddad_jax.errors import InputError
from ddad_jax.mesh import device_mesh, require_work
from ddad_jax.metrics import missing
from ddad_jax.points import GridKey, ReconPoint
from ddad_jax.timesteps import TimeGrid
from ddad_jax.weights import load_backbone

log = logging.getLogger(__name__)


def run_all(
    config: DDADSettings, workdir: Path, *, sweep: bool, models_only: bool = False, track: Sequence[str] = ()
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
    config: DDADSettings, workdir: Path, sweep: bool, models_only: bool, track: Sequence[str]
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
    hosts.first("maps and overlays", lambda: verdicts.require_outputs(config.output, folder, data.test.names))
    write = tracking.writer_of(folder, track, config.to_dict(), SETTINGS)
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
    program = evidence.program_of(config, params, variables, mesh)
    made_with = {"weights": weights_fingerprint(program.weights), **measured_with(config, folder, data, epoch)}
    kept, planned = None, todo
    if data.choice and not sweep:
        kept = hosts.in_turn("the chosen point", lambda: load_chosen(folder, made_with))
        todo = Plan([kept.point[0]], [kept.point[1]], kept.point) if kept else planned

    def asked_by(points: list[ReconPoint]) -> tuple[evidence.Taught | None, dict[GridKey, TimeGrid]]:
        student = None
        if any(point.model == "student" for point in points):
            taught = hosts.in_turn("the student", lambda: distilled(config, folder, data, params, write))
            student = evidence.student_of(config, taught.params, variables, mesh, made_with=taught.made_with)
        found = hosts.in_turn("optimised grids", lambda: optimised_grids(config, folder, data, params, points))
        return student, found

    student, grids = asked_by(todo.recon)
    if kept and kept.asks != asked_of(kept.point, student, grids):
        log.info("%s: another student or grid chose that point, so one is chosen anew", folder / "chosen.json")
        todo = planned
        student, grids = asked_by(todo.recon)
    if models_only:
        hosts.first("the journal", lambda: sweep_rows.claim(folder, program.weights))
        write.close()
        return []
    rows = sweep_rows.run(config, folder, data, program, epoch, todo, grids, student, write=write)
    if todo.selected is None:
        best, worth = best_on_synthetic(todo, rows)
        chosen = Chosen(best, made_with, asked_of(best, student, grids), worth)
        hosts.first("the chosen point", lambda: save_chosen(folder, chosen))
        # Every row is there already: this keeps what the report shows of the selected point.
        rows = sweep_rows.run(config, folder, data, program, epoch, todo._replace(selected=best), grids, student)
        todo = todo._replace(selected=best)
    assert todo.selected is not None
    own = student.program if student else None
    keep_trajectories(config, folder, data, todo.selected, program, own, grids)
    selection = _chosen_on(config, data) if data.choice else config.sample.origin
    hosts.first("the report", lambda: results.write(config, folder, data, rows, epoch, selection=selection))
    tracking.end(write, folder)
    return rows


def _chosen_on(c: DDADSettings, data: Data) -> str:
    """How the selected point was come by, as the report says it; what the config knows of its values belongs to it."""
    assert data.choice
    held_out, learnt = len(data.calibration.labels), len(data.choice.trained.labels)
    pictures = f"{held_out} held-out" + (f" and {learnt} training" if learnt else "") + " pictures"
    known = "" if c.sample.origin == LABEL_FREE else f"; the rest of the settings {c.sample.origin}"
    return f"chosen on {len(data.choice.defects.labels)} synthetic defects painted on {pictures}{known}"


# --- One shard of a sweep: its points of the grid reconstructed and judged with the models that the workdir holds.


def run_shard(config: DDADSettings, workdir: Path, shard: Shard) -> None:
    """Reconstruct and judge the points of ``shard`` that no journal holds; their rows go to a journal of its own.

    Nothing is trained, and of what the shards share only what the report shows of the selected point is written, by the
    one shard that has it.

    Raises:
      InputError: models that the points need are missing; more shards than points; another process computes this
        shard.
    """
    todo = plan(config, sweep=True)
    if shard.n > len(todo.recon):
        raise InputError(
            f"--shard={shard}: {shard.n} shards for {len(todo.recon)} points to reconstruct; expected at most "
            f"{len(todo.recon)}, a point for each"
        )
    folder = workdir.expanduser().absolute()
    with contextlib.ExitStack() as until_the_end:
        _require_run(folder, shard)
        until_the_end.enter_context(held(folder, shared=True))
        hosts.first("the lock of the shard", lambda: until_the_end.enter_context(shards.held(folder, shard)))
        data = load_data(config)
        hosts.first("--workdir", lambda: require_same(folder, config, data))
        own = _own(config, data, todo.recon, shard)
        mesh, mend = device_mesh(), "Use fewer shards"
        images = data.view.tiles * sum(len(s.labels) for s in data.sets)
        require_work(len(own) * images, mesh, what="pairs of a setting and a picture", mend=mend)
        try:
            params = noise_predictor.restored(config, folder)
            # As ``trained`` gives them back where there are several devices.
            params = params if mesh is None else jax.tree.map(np.asarray, params)
            variables, epoch = extractor.restored(config, folder)
            student = None
            if any(point.model == "student" for point in own):
                taught = ddad_student.restored(config, folder, params)
                student = evidence.student_of(config, taught.params, variables, mesh, made_with=taught.made_with)
            grids = optimised_grids(config, folder, data, params, own, find=False)
            program = evidence.program_of(config, params, variables, mesh)
            journal.require_own(folder / "journal.jsonl", program.weights)
        except InputError as error:
            raise InputError(f"--shard={shard}: {error}. {_first_make(shard)}") from None
        sweep_rows.run(config, folder, data, program, epoch, todo._replace(recon=own), grids, student, shard)
    log.info("shard %s is done: %s", shard, shards.journal_of(folder, program.weights, shard))


def _own(c: DDADSettings, data: Data, points: list[ReconPoint], shard: Shard) -> list[ReconPoint]:
    teacher, images = c.teacher, data.view.tiles * sum(len(s.labels) for s in data.sets)
    compared = len(compared_pictures(c, data.test))
    cost = Cost(images, teacher, compared)
    every = dealt(points, shard.n, cost)
    own = every[shard.k]
    costs = [cost(part) for part in every]
    programs = len({(p.model, p.solver, p.steps, p.reuse, p.mask_before) for p in own})
    log.info(
        "shard %s: %d of %d points to reconstruct, %d compiled programs, %d network calls (all shards: %d to %d)",
        shard, len(own), len(points), programs, costs[shard.k], min(costs), max(costs),
    )  # fmt: skip
    return own


def _require_run(folder: Path, shard: Shard) -> None:
    seen = {"config.json is there": (folder / "config.json").exists()}
    hosts.agree(f"--workdir={folder}", seen, "Name a folder that all of them share.")
    if not seen["config.json is there"]:
        raise InputError(f"--shard={shard}: --workdir={folder} holds no models yet. {_first_make(shard)}")


def _first_make(shard: Shard) -> str:
    named = shlex.quote(f"--shard={shard}")
    return f"First make the models, once: the same command with --models_only in the place of {named}"
