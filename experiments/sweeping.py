"""The sweep and the evaluation of one point: rows of results, and what the report shows of the chosen point."""

import json
import logging
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from ddad_jax.backbones import feature_fn
from ddad_jax.data.split import fingerprint
from ddad_jax.metrics import METRICS, evaluate_maps, label_regions
from ddad_jax.sweep import PairProgram, sweep_distances
from ddad_jax.types import Variables
from experiments.model import Data, alpha_bar, build_backbone, build_unet, eps_fn
from experiments.plan import SETTINGS, Plan, key_of, settings_of
from experiments.scoring import Prepared, cropped, prepare, published_metrics, score_maps, synthetic_judge
from experiments.selected import holds, save_selected
from experiments.tables import append_jsonl, plain, read_jsonl

log = logging.getLogger(__name__)


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
        **({"synthetic": fingerprint(data.synthetic)[:16]} if data.synthetic else {}),
    }
    rows = {key_of(row): row for row in read_jsonl(journal) if made_with.items() <= row.items()}
    shown = workdir / "selected.npz"
    wanted = [
        point
        for point in todo.recon
        if any(key_of(settings_of(point, s)) not in rows for s in todo.score)
        or (todo.selected and point == todo.selected[0] and not holds(shown, todo.selected, made_with))
    ]
    sets = [held_out, *([data.synthetic] if data.synthetic else []), data.test]
    images = np.concatenate([s.images for s in sets])
    masks, known = cropped(data.test.masks, c.score.crop), data.test.has_mask
    regions = label_regions(masks, data.test.has_mask)
    on_synthetic = synthetic_judge(c, data)
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
    first = len(images) - len(data.test.labels)
    for point, distances in pass_over:
        prepared: dict[tuple, Prepared] = {}
        for score_point in todo.score:
            settings, is_selected = settings_of(point, score_point), (point, score_point) == todo.selected
            if key_of(settings) in rows and not is_selected:
                continue
            side = (score_point.layers, score_point.sigma)
            if side not in prepared:
                prepared = {side: prepare(c, distances, n, first, *side)}
            maps, scores = score_maps(c, prepared[side], n, score_point)
            finite = bool(np.isfinite(scores).all())
            if key_of(settings) not in rows:
                if finite:
                    metrics = evaluate_maps(
                        maps[first:], scores[first:], data.test.labels, masks, known, regions=regions
                    )
                else:
                    log.warning("%s: maps are not finite, so its metrics are left empty", settings)
                    metrics = dict.fromkeys(METRICS, float("nan"))
                if c.score.normalise == "batch":
                    metrics |= published_metrics(maps[first:][known], masks[known]) if finite else {}
                if data.synthetic:
                    metrics |= on_synthetic(maps[:first], scores[:first], finite)
                row = {
                    **settings,
                    **metrics,
                    "ms_per_image": 1e3 * float(distances.seconds.mean()),
                    "unet_calls": point.calls,
                    "ratio": float(prepared[side].ratio[first:].mean()),
                    **made_with,
                }
                append_jsonl(journal, row)
                rows[key_of(row)] = read_back(row)
            if todo.selected and is_selected and finite:
                save_selected(shown, todo.selected, made_with, maps, scores, distances, n, first)
            elif is_selected:
                shown.unlink(missing_ok=True)
    bar.close()
    found = [rows[key_of(settings_of(p, s))] for p in todo.recon for s in todo.score]
    if todo.selected is None:
        return found
    # The selected point was run with every seed of the sweep.
    chosen = settings_of(*todo.selected)
    return [{**row, "selected": all(row[k] == chosen[k] for k in SETTINGS if k != "seed")} for row in found]


def read_back(row: dict[str, Any]) -> dict[str, Any]:
    """The row as the journal gives it back, so that a fresh and a resumed run return the same."""
    return json.loads(json.dumps(plain(row)))


def trained_steps(workdir: Path) -> int:
    """Steps the model of this workdir was trained for; 0 where it has no training history."""
    rows = read_jsonl(workdir / "train.jsonl")
    return int(rows[-1]["step"]) if rows else 0
