"""The sweep and the evaluation of one point: rows of results, and what the report shows of the chosen point."""

import io
import itertools
import json
import logging
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from ddad_jax.backbones import feature_fn
from ddad_jax.data.split import fingerprint
from ddad_jax.errors import InputError
from ddad_jax.image import centre_crop
from ddad_jax.metrics import METRICS, evaluate_maps, label_regions, reference_pixel_auroc, reference_pro
from ddad_jax.score import batch_ratio, combine, scale_from_normal
from ddad_jax.sweep import (
    Distances,
    PairProgram,
    ReconPoint,
    ScorePoint,
    blurred,
    recon_grid,
    sweep_distances,
)
from ddad_jax.types import Variables
from experiments.model import Data, alpha_bar, build_backbone, build_unet, eps_fn
from experiments.tables import append_jsonl, plain, read_jsonl, write_bytes

log = logging.getLogger(__name__)

SETTINGS = (*ReconPoint._fields, *ScorePoint._fields)
"""The columns that tell one row from another."""


class Plan(NamedTuple):
    """Every point of a run. The selected one comes from ``sample`` and ``score`` of the config, never from labels."""

    recon: list[ReconPoint]
    score: list[ScorePoint]
    selected: tuple[ReconPoint, ScorePoint]


def plan(c: ConfigDict, *, sweep: bool) -> Plan:
    """The grid of ``c.sweep`` (with ``sweep``) and always the selected point.

    Raises:
      InputError: a value out of range.
    """
    one = {name: (c.sample[name],) for name in ReconPoint._fields if name != "seed"}
    one["seed"] = (c.sweep.seed[0],)
    recon = recon_grid(**one)
    # Deviation: the papers' sigma belongs to 256 px; it scales with the picture.
    scaled = c.data.size / 256.0
    score = [ScorePoint(float(c.score.v), tuple(c.score.layers), c.score.sigma * scaled)]
    selected = (recon[0], score[0])
    if sweep:
        recon = recon_grid(**{name: c.sweep[name] or value for name, value in one.items()})
        layers = c.sweep.layers or (c.score.layers,)
        score = [
            ScorePoint(float(v), tuple(l), sigma * scaled)
            for l, sigma, v in itertools.product(layers, c.sweep.sigma or (c.score.sigma,), c.sweep.v or (c.score.v,))
        ]
    # Points of one compilation together.
    by_program = sorted({*recon, selected[0]}, key=lambda p: (p.solver, p.steps, p.t_prime, p.eta, p.w, p))
    return Plan(by_program, list(dict.fromkeys([*score, selected[1]])), selected)


def program_of(c: ConfigDict, params: Any, variables: Variables) -> PairProgram:
    """The networks of a run as the one program that reconstructs and measures."""
    unet, backbone = build_unet(c), build_backbone(c)
    return PairProgram(
        lambda weights: (eps_fn(unet, weights[0]), feature_fn(backbone, weights[1])),
        jax.tree.map(jnp.asarray, (params, variables)),
        alpha_bar=alpha_bar(),
        feature_size=c.backbone.feature_size,
        clip=c.sample.clip,
    )


def run(c: ConfigDict, workdir: Path, data: Data, program: PairProgram, epoch: int, todo: Plan) -> list[dict[str, Any]]:
    """Rows of every point of the plan, computing those that journal.jsonl does not hold yet.

    Held-out normal images go through the same program as the test images: they give every point its
    normalising constants. What the report shows of the selected point is left in selected.npz. A point whose
    maps are not finite (it diverged) costs no other point: a warning names it, its metrics are NaN.
    """
    journal = workdir / "journal.jsonl"
    held_out = data.calibration
    made_with = {
        "trained_on": fingerprint(data.fit)[:16],
        "train_steps": trained_steps(workdir),
        "test_set": fingerprint(data.test)[:16],
        "held_out": fingerprint(held_out)[:16],
        "adapt_epoch": epoch,
        **{f"backbone_{name}": value for name, value in c.backbone.items()},
        "dtype": c.model.dtype,
        "normalise": c.score.normalise,
        "crop": c.score.crop,
        "clip": c.sample.clip,
        **({"score_batch": c.score.batch} if c.score.normalise == "batch" else {}),
    }
    rows = {_key(row): row for row in read_jsonl(journal) if made_with.items() <= row.items()}
    shown = workdir / "selected.npz"
    wanted = [
        point
        for point in todo.recon
        if any(_key(_settings(point, s)) not in rows for s in todo.score)
        or (point == todo.selected[0] and not _holds(shown, todo, made_with))
    ]
    images = np.concatenate([held_out.images, data.test.images])
    masks, known = _crop(data.test.masks, c.score.crop), data.test.has_mask
    regions = label_regions(masks, data.test.has_mask)
    bar = tqdm(total=len(wanted) * len(images), unit="image", desc="reconstruct", dynamic_ncols=True, mininterval=2.0)
    pass_over = sweep_distances(
        program,
        images,
        wanted,
        chunk=c.sample.batch_size,
        keep_x0=True,
        timer=time.perf_counter,
        progress=bar.update,
    )
    n = len(held_out.labels)
    for point, distances in pass_over:
        prepared: dict[tuple, Prepared] = {}
        for score_point in todo.score:
            settings, is_selected = _settings(point, score_point), (point, score_point) == todo.selected
            if _key(settings) in rows and not is_selected:
                continue
            side = (score_point.layers, score_point.sigma)
            if side not in prepared:
                prepared = {side: prepare(c, distances, n, *side)}
            maps, scores = score_maps(c, prepared[side], score_point.v)
            finite = bool(np.isfinite(scores).all())
            if _key(settings) not in rows:
                if finite:
                    metrics = evaluate_maps(maps[n:], scores[n:], data.test.labels, masks, known, regions=regions)
                else:
                    log.warning("%s: maps are not finite, so its metrics are left empty", settings)
                    metrics = dict.fromkeys(METRICS, float("nan"))
                if c.score.normalise == "batch":
                    metrics |= published_metrics(maps[n:][known], masks[known]) if finite else {}
                row = {
                    **settings,
                    **metrics,
                    "ms_per_image": 1e3 * float(distances.seconds.mean()),
                    "unet_calls": point.calls,
                    "ratio": float(prepared[side].ratio[n:].mean()),
                    **made_with,
                }
                append_jsonl(journal, row)
                rows[_key(row)] = read_back(row)
            if is_selected and finite:
                _save_selected(shown, todo, made_with, maps, scores, distances, n)
            elif is_selected:
                shown.unlink(missing_ok=True)
    bar.close()
    found = [rows[_key(_settings(p, s))] for p in todo.recon for s in todo.score]
    # The selected point was run with every seed of the sweep.
    chosen = _settings(*todo.selected)
    return [{**row, "selected": all(row[k] == chosen[k] for k in SETTINGS if k != "seed")} for row in found]


class Prepared(NamedTuple):
    """Blurred distances of the held-out normal images and, behind them, the test images; [n, h, w] each.
    ratio: what brings the pixel term to the feature term's scale, one an image [n]."""

    pixel: np.ndarray
    feature: np.ndarray
    ratio: np.ndarray


def prepare(c: ConfigDict, distances: Distances, n_held_out: int, layers: tuple[str, ...], sigma: float) -> Prepared:
    """Everything that v does not touch. ``distances`` holds the held-out normal images first.

    The ratio is one number from them, or with normalise = "batch" one for every batch of ``score.batch``
    test images, as published. Distances that give none make it NaN, and the maps with it.
    """
    # The constants are taken before the blur, as the equation has them.
    sharp_p, sharp_f = blurred(distances, layers, 0.0)
    try:
        from_normal = scale_from_normal(sharp_p[:n_held_out], sharp_f[:n_held_out]).ratio
    except InputError as error:
        log.warning("%s", error)
        from_normal = float("nan")
    ratio = np.full(len(sharp_p), from_normal, np.float32)
    if c.score.normalise == "batch":
        for first in range(n_held_out, len(ratio), c.score.batch):
            rows = slice(first, min(first + c.score.batch, len(ratio)))
            ratio[rows] = batch_ratio(sharp_p[rows], sharp_f[rows])
    return Prepared(*blurred(distances, layers, sigma), ratio)


def score_maps(c: ConfigDict, prepared: Prepared, v: float) -> tuple[np.ndarray, np.ndarray]:
    """(maps, scores) of all images of ``prepared`` at pixel weight ``v``; maps cropped as configured."""
    ratio = prepared.ratio[:, None, None]
    maps = _crop(combine(prepared.pixel, prepared.feature, v=np.float32(v), ratio=ratio), c.score.crop)
    return maps, maps.max((1, 2))


def published_metrics(maps: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    """The published code's pixel AUROC and PRO beside ours, in the ``reference`` behaviour.

    Deviation: its masks keep grey rims, which our loaders do not: both metrics see binarised masks here.
    """
    return {
        "published_pixel_auroc": reference_pixel_auroc(maps, masks),
        "published_pro": reference_pro(maps, masks).pro,
    }


def read_back(row: dict[str, Any]) -> dict[str, Any]:
    """The row as the journal gives it back, so that a fresh and a resumed run return the same."""
    return json.loads(json.dumps(plain(row)))


def load_selected(workdir: Path) -> dict[str, np.ndarray]:
    """Arrays of the selected point: maps, scores, normal_scores, x0, pixel, feature.

    Raises:
      InputError: the point diverged, so that there is nothing to show of it.
    """
    if not (workdir / "selected.npz").exists():
        raise InputError(
            f"{workdir}: the maps of the selected point (--config.sample, --config.score) are not finite, so there is "
            "no verdict and no report. results.csv holds the other points; lower --config.sample.w, or train longer"
        )
    with np.load(workdir / "selected.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _settings(recon: ReconPoint, score: ScorePoint) -> dict[str, Any]:
    return {**recon._asdict(), **score._asdict(), "layers": "+".join(score.layers)}


def _key(row: dict[str, Any]) -> str:
    return json.dumps({name: row[name] for name in SETTINGS})


def _crop(maps: Any, size: int) -> Any:
    return centre_crop(maps, size) if size else maps


def trained_steps(workdir: Path) -> int:
    """Steps the model of this workdir was trained for; 0 where it has no training history."""
    rows = read_jsonl(workdir / "train.jsonl")
    return int(rows[-1]["step"]) if rows else 0


def _made_of(todo: Plan, made_with: dict[str, Any]) -> str:
    return json.dumps([_settings(*todo.selected), made_with])


def _holds(path: Path, todo: Plan, made_with: dict[str, Any]) -> bool:
    if not path.exists():
        return False
    with np.load(path, allow_pickle=False) as archive:
        return str(archive["made_of"]) == _made_of(todo, made_with)


def _save_selected(
    path: Path,
    todo: Plan,
    made_with: dict[str, Any],
    maps: np.ndarray,
    scores: np.ndarray,
    distances: Distances,
    n_held_out: int,
) -> None:
    pixel, feature = blurred(distances, todo.selected[1].layers, 0.0)
    x0 = distances.x0
    assert x0 is not None
    buffer = io.BytesIO()
    np.savez(
        buffer,
        made_of=np.array(_made_of(todo, made_with)),
        maps=maps[n_held_out:],
        scores=scores[n_held_out:],
        normal_scores=scores[:n_held_out],
        x0=np.round((np.clip(x0[n_held_out:].astype(np.float32), -1, 1) + 1) * 127.5).astype(np.uint8),
        pixel=pixel[n_held_out:].astype(np.float16),
        feature=feature[n_held_out:].astype(np.float16),
    )
    write_bytes(path, buffer.getvalue())
