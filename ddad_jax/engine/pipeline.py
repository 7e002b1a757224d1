"""Data to report, every stage reusing what the workdir already holds."""

import contextlib
import ctypes
import logging
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ddad_jax.checkpoint import params_fingerprint
from ddad_jax.engine import hosts, tracking
from ddad_jax.engine.data.splits import Data, load_data, tuning_share
from ddad_jax.engine.data.view import write_registered
from ddad_jax.engine.methods.method import Cost, Method, key_columns
from ddad_jax.engine.methods.point import Costly, Plan, Point
from ddad_jax.engine.methods.table import method_of
from ddad_jax.engine.report import results
from ddad_jax.engine.setting_doubts import doubts
from ddad_jax.engine.settings.sections import LABEL_FREE, Settings
from ddad_jax.engine.sweep import journal, shards
from ddad_jax.engine.sweep import rows as sweep_rows
from ddad_jax.engine.sweep.choice import ChosenPoint, best_on_synthetic, load_chosen, save_chosen
from ddad_jax.engine.sweep.journal import measured_with
from ddad_jax.engine.sweep.shards import Shard, dealt
from ddad_jax.engine.verdicts import verdicts
from ddad_jax.engine.verdicts.thresholds import shortage
from ddad_jax.engine.workdir import open_workdir, require_same_run, workdir_lock
from ddad_jax.errors import InputError
from ddad_jax.mesh import device_mesh, require_work
from ddad_jax.metrics import undefined_metrics
from ddad_jax.weights import load_backbone

log = logging.getLogger(__name__)


def run_all(
    config: Settings, workdir: Path, *, sweep: bool, models_only: bool = False, track: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Fit the method, measure, score and report; the rows of all points.

    Training and measuring use every device of every host; what a method does alone (DDAD's adaptation and
    search of grids) those of the first. With ``models_only`` what the points need is made and nothing else; no rows.
    ``track``: as of ``tracking.writer_of``.

    Raises:
      InputError: as the stages; another program writes into this workdir, or computes a shard of it.
    """
    with workdir_lock(workdir):
        return _run_all(config, workdir, sweep, models_only, track)


def _run_all(
    config: Settings, workdir: Path, sweep: bool, models_only: bool, track: Sequence[str]
) -> list[dict[str, Any]]:
    method = method_of(config)
    todo = method.plan(config, sweep=sweep or bool(config.select))
    masks = any(Point(todo.costly[0], cheap).masks for cheap in todo.cheap)
    masks |= any(Point(costly, todo.cheap[0]).masks for costly in todo.costly)
    if config.view.mask and not masks:
        raise InputError(
            f"--config.view.mask={config.view.mask}: no point of the run uses it; expected {_masking(method)}"
        )
    for sentence in doubts(config):
        log.warning("%s", sentence)
    data = load_data(config)
    # Weights that cannot be had are better missed now than after hours of training.
    load_backbone(config.backbone.name, config.backbone.weights or None)
    images = data.view.tiles * sum(len(s.labels) for s in data.sets)
    mesh, mend = device_mesh(), "Sweep more settings (--config.sweep) or give more pictures to test"
    require_work(len(todo.costly) * images, mesh, what="pairs of a setting and a picture", mend=mend)
    folder = open_workdir(workdir, config, data)
    hosts.first("maps and overlays", lambda: verdicts.require_outputs(config.output, folder, data.test.names))
    write = tracking.writer_of(folder, track, config.to_dict(), key_columns(method))
    hosts.first("registration.csv", lambda: write_registered(folder, data.view.registered))
    for sentence in undefined_metrics(data.test.labels, data.test.masks, data.test.has_mask):
        log.warning("%s", sentence)
    log.info(
        "%s: %d normal images to train on, %d held out, %d to test (%d anomalous)",
        data.name, data.n_fit, data.n_held_out, len(data.test.labels), int(data.test.labels.sum()),
    )  # fmt: skip
    share = tuning_share(config, data)
    if data.tuning is not None:
        n = len(data.calibration.labels)
        log.info("%d of the held-out images choose, %d others give the thresholds", len(data.tuning.labels), n)
    scored, of = len(data.calibration.labels), data.calibration_recordings
    for sentence in shortage(config.threshold, scored, data.n_held_out, share, of):
        log.warning("%s", sentence)
    fitted = method.fit(config, folder, data, write, mesh)
    made_with = {"weights": params_fingerprint(fitted.weights), **measured_with(config, folder, data, fitted)}
    kept, planned = None, todo
    if data.choice and not sweep:
        kept = hosts.in_turn("the chosen point", lambda: load_chosen(folder, method, made_with))
        todo = Plan([kept.point.costly], [kept.point.cheap], kept.point) if kept else planned
    fitted = fitted.ready(todo.costly, data, write)
    if kept and kept.asks != fitted.asks(kept.point.costly):
        log.info("%s: another student or grid chose that point, so one is chosen anew", folder / "chosen.json")
        todo = planned
        fitted = fitted.ready(todo.costly, data, write)
    _give_back_freed_memory()
    if models_only:
        hosts.first("the journal", lambda: sweep_rows.claim_rows(folder, fitted.weights))
        write.close()
        return []
    rows = sweep_rows.compute_rows(config, folder, data, fitted, todo, write=write)
    if todo.selected is None:
        best, worth = best_on_synthetic(todo, rows, method.cost(config, data))
        chosen = ChosenPoint(best, made_with, fitted.asks(best.costly), worth)
        hosts.first("the chosen point", lambda: save_chosen(folder, chosen))
        # Every row is there already: this keeps what the report shows of the selected point.
        todo = todo._replace(selected=best)
        rows = sweep_rows.compute_rows(config, folder, data, fitted, todo)
    assert todo.selected is not None
    fitted.keep_steps(data, todo.selected)
    selection = _chosen_on(config, data) if data.choice else method.origin(config) or LABEL_FREE
    hosts.first("the report", lambda: results.write_results(config, folder, data, rows, fitted, selection=selection))
    tracking.end(write, folder)
    return rows


def _give_back_freed_memory() -> None:
    """To the system: glibc keeps what reading and training have freed, and what measuring takes would come on top."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


def _masking(method: Method) -> str:
    """What makes a point use the view's mask, in words."""
    after = "--config.score.mask_after=True"
    if "mask_before" not in method.costly._fields:
        return f"{after}, or in the sweep"
    return f"--config.sample.mask_before=True or {after}, or one of them in the sweep"


def _chosen_on(c: Settings, data: Data) -> str:
    """How the selected point was come by, as the report says it; what the config knows of its values belongs to it."""
    assert data.choice
    held_out, learnt = len(data.scale.labels), len(data.choice.trained.labels)
    pictures = f"{held_out} held-out" + (f" and {learnt} training" if learnt else "") + " pictures"
    origin = method_of(c).origin(c)
    known = f"; the rest of the settings {origin}" if origin else ""
    return f"chosen on {len(data.choice.defects.labels)} synthetic defects painted on {pictures}{known}"


# --- One shard of a sweep: its points of the grid reconstructed and judged with the models that the workdir holds.


def run_shard(config: Settings, workdir: Path, shard: Shard) -> None:
    """Reconstruct and judge the points of ``shard`` that no journal holds; their rows go to a journal of its own.

    Nothing is trained, and of what the shards share only what the report shows of the selected point is written, by the
    one shard that has it.

    Raises:
      InputError: models that the points need are missing; more shards than points; another process computes this
        shard.
    """
    method = method_of(config)
    todo = method.plan(config, sweep=True)
    if shard.n > len(todo.costly):
        raise InputError(
            f"--shard={shard}: {shard.n} shards for {len(todo.costly)} points to reconstruct; expected at most "
            f"{len(todo.costly)}, a point for each"
        )
    folder = workdir.expanduser().absolute()
    with contextlib.ExitStack() as until_the_end:
        _require_run(folder, shard)
        until_the_end.enter_context(workdir_lock(folder, shared=True))
        hosts.first("the lock of the shard", lambda: until_the_end.enter_context(shards.shard_lock(folder, shard)))
        data = load_data(config)
        hosts.first("--workdir", lambda: require_same_run(folder, config, data))
        own = _own(method.cost(config, data), todo.costly, shard)
        mesh, mend = device_mesh(), "Use fewer shards"
        images = data.view.tiles * sum(len(s.labels) for s in data.sets)
        require_work(len(own) * images, mesh, what="pairs of a setting and a picture", mend=mend)
        try:
            fitted = method.restored(config, folder, mesh).ready(own, data, make=False)
            journal.require_own(folder / "journal.jsonl", fitted.weights)
        except InputError as error:
            raise InputError(f"--shard={shard}: {error}. {_first_make(shard)}") from None
        sweep_rows.compute_rows(config, folder, data, fitted, todo._replace(costly=own), shard)
    log.info("shard %s is done: %s", shard, shards.journal_of(folder, fitted.weights, shard))


def _own(cost: Cost, points: list[Costly], shard: Shard) -> list[Costly]:
    every = dealt(points, shard.n, cost)
    own, costs = every[shard.k], [cost(part) for part in every]
    log.info(
        "shard %s: %d of %d points to reconstruct, %d network calls (all shards: %d to %d)",
        shard, len(own), len(points), costs[shard.k], min(costs), max(costs),
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
