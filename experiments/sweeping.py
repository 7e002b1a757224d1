"""The sweep and the evaluation of one point: rows of results, and what the report shows of the chosen point."""

import io
import itertools
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from ddad_jax.backbones import feature_fn
from ddad_jax.data.split import fingerprint, subset
from ddad_jax.metrics import evaluate_maps, label_regions
from ddad_jax.score import combine, scale_from_normal
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
from experiments.tables import append_jsonl, read_jsonl, write_bytes

SETTINGS = ("w", "t_prime", "steps", "eta", "grid", "seed", "v", "layers", "sigma")
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
    s = c.sample
    one = {
        "w": (s.w,),
        "t_prime": (s.t_prime,),
        "steps": (s.steps,),
        "eta": (s.eta,),
        "seed": (c.sweep.seed[0],),
    }
    names = tuple(one)
    recon = recon_grid(grid=s.grid, **one)
    scaled = c.data.size / 256.0
    score = [ScorePoint(float(c.score.v), tuple(c.score.layers), c.score.sigma * scaled)]
    selected = (recon[0], score[0])
    if sweep:
        grid = {name: c.sweep[name] or one[name] for name in names}
        recon = recon_grid(grid=s.grid, **grid)
        layers = c.sweep.layers or (c.score.layers,)
        score = [
            ScorePoint(float(v), tuple(l), sigma * scaled)
            for l, sigma, v in itertools.product(layers, c.sweep.sigma or (c.score.sigma,), c.sweep.v or (c.score.v,))
        ]
    by_steps = sorted({*recon, selected[0]}, key=lambda p: (p.steps, p.t_prime, p.eta, p.w, p.seed))
    return Plan(by_steps, list(dict.fromkeys([*score, selected[1]])), selected)


def run(
    c: ConfigDict, workdir: Path, data: Data, params: Any, variables: Variables, epoch: int, todo: Plan
) -> list[dict[str, Any]]:
    """Rows of every point of the plan, computing those that results.jsonl does not hold yet.

    Held-out normal images go through the same program as the test images: they give every point its
    normalising constants. What the report shows of the selected point is left in selected.npz.
    """
    journal = workdir / "results.jsonl"
    held_out = subset(data.held_out, np.arange(min(len(data.held_out.labels), c.data.calibration)))
    made_with = {
        "test_set": fingerprint(data.test)[:16],
        "held_out": fingerprint(held_out)[:16],
        "adapt_epoch": epoch,
        "normalise": c.score.normalise,
        "crop": c.score.crop,
        "clip": c.sample.clip,
    }
    rows = {_key(row): row for row in read_jsonl(journal) if made_with.items() <= row.items()}
    shown = workdir / "selected.npz"
    wanted = [
        point
        for point in todo.recon
        if any(_key(_settings(point, s)) not in rows for s in todo.score)
        or (point == todo.selected[0] and not _holds(shown, todo, made_with))
    ]
    program = PairProgram(
        eps_fn(build_unet(c), params),
        feature_fn(build_backbone(c), variables),
        alpha_bar=alpha_bar(),
        feature_size=c.backbone.feature_size,
        clip=c.sample.clip,
    )
    images = np.concatenate([held_out.images, data.test.images])
    masks = _crop(data.test.masks, c.score.crop)
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
    for point, distances in pass_over:
        for score_point in todo.score:
            maps, scores, normal_scores, ratio = score_maps(c, distances, len(held_out.labels), score_point)
            settings = _settings(point, score_point)
            is_selected = (point, score_point) == todo.selected
            if _key(settings) not in rows:
                metrics = evaluate_maps(maps, scores, data.test.labels, masks, data.test.has_mask, regions=regions)
                row = {
                    **settings,
                    **metrics,
                    "ms_per_image": 1e3 * float(distances.seconds.mean()),
                    "unet_calls": point.steps,
                    "ratio": float(np.mean(ratio)),
                    **made_with,
                }
                append_jsonl(journal, row)
                rows[_key(row)] = read_back(row)
            if is_selected:
                _save_selected(
                    shown,
                    todo,
                    made_with,
                    maps,
                    scores,
                    normal_scores,
                    ratio,
                    distances,
                    len(held_out.labels),
                )
    bar.close()
    found = [rows[_key(_settings(p, s))] for p in todo.recon for s in todo.score]
    chosen = _key(_settings(*todo.selected))
    return [{**row, "selected": _key(row) == chosen} for row in found]


def score_maps(
    c: ConfigDict, distances: Distances, n_held_out: int, point: ScorePoint
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(test maps, test scores, held-out normal scores, ratio) of one score point; maps cropped as configured.

    ``distances`` holds the held-out normal images first. The ratio is one number from them, or with
    normalise = "batch" one for every batch of ``score.batch`` test images, as published.
    """
    blurred_p, blurred_f = blurred(distances, point.layers, point.sigma)
    # The constants are taken before the blur, as the equation has them.
    sharp_p, sharp_f = blurred(distances, point.layers, 0.0)
    ratio = np.full(len(blurred_p), scale_from_normal(sharp_p[:n_held_out], sharp_f[:n_held_out]).ratio)
    if c.score.normalise == "batch":
        for first in range(n_held_out, len(ratio), c.score.batch):
            rows = slice(first, min(first + c.score.batch, len(ratio)))
            ratio[rows] = sharp_f[rows].max() / sharp_p[rows].max()
    maps = combine(blurred_p, blurred_f, v=np.float32(point.v), ratio=ratio[:, None, None].astype(np.float32))
    maps = _crop(maps, c.score.crop)
    scores = maps.max((1, 2))
    return maps[n_held_out:], scores[n_held_out:], scores[:n_held_out], ratio[n_held_out:]


def read_back(row: dict[str, Any]) -> dict[str, Any]:
    """The row as the journal gives it back, so that a fresh and a resumed run return the same."""
    return json.loads(json.dumps(row, default=list))


def load_selected(workdir: Path) -> dict[str, np.ndarray]:
    """Arrays of the selected point: maps, scores, normal_scores, x0, pixel, feature, ratio."""
    with np.load(workdir / "selected.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _settings(recon: ReconPoint, score: ScorePoint) -> dict[str, Any]:
    return {**recon._asdict(), **score._asdict(), "layers": "+".join(score.layers)}


def _key(row: dict[str, Any]) -> str:
    return json.dumps({name: row[name] for name in SETTINGS})


def _crop(maps: np.ndarray, size: int) -> np.ndarray:
    if not size:
        return maps
    top, left = (maps.shape[1] - size) // 2, (maps.shape[2] - size) // 2
    return maps[:, top : top + size, left : left + size]


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
    normal_scores: np.ndarray,
    ratio: np.ndarray,
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
        maps=maps,
        scores=scores,
        normal_scores=normal_scores,
        ratio=ratio,
        x0=np.round((np.clip(x0[n_held_out:].astype(np.float32), -1, 1) + 1) * 127.5).astype(np.uint8),
        pixel=pixel[n_held_out:].astype(np.float16),
        feature=feature[n_held_out:].astype(np.float16),
    )
    write_bytes(path, buffer.getvalue())
