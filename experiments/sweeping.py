"""The sweep and the evaluation of one point: rows of results, and what the report shows of the chosen point."""

import functools
import itertools
import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict
from tqdm import tqdm

from ddad_jax.backbones import feature_fn
from ddad_jax.checkpoint import fingerprint as weights_fingerprint
from ddad_jax.data.split import fingerprint
from ddad_jax.distilled import reconstruct_by_student
from ddad_jax.metrics import METRICS, evaluate_maps, label_regions
from ddad_jax.points import OPTIMISED, GridKey, ReconPoint, time_grid
from ddad_jax.reuse import Layered
from ddad_jax.sweep import PairProgram, sweep_distances
from ddad_jax.timesteps import TimeGrid
from ddad_jax.types import Variables
from experiments import hosts
from experiments.first_passes import starts_of
from experiments.model import Data, alpha_bar, build_backbone, build_student, build_unet, eps_fn, layered, student_apply
from experiments.plan import SETTINGS, UNSAID, Plan, key_of, settings_of
from experiments.scoring import Prepared, cropped, own_normal, prepare, published_metrics, score_maps, synthetic_judge
from experiments.selected import holds, save_selected
from experiments.side_by_side import FOLDER, keeper
from experiments.tables import append_jsonl, plain, read_jsonl, write_text
from experiments.teacher import compared_pictures, rmse, teacher_x0

log = logging.getLogger(__name__)


def program_of(c: ConfigDict, params: Any, variables: Variables, mesh: Mesh | None = None) -> PairProgram:
    """The networks of a run as the one program that reconstructs and measures, on the devices of ``mesh``."""
    unet = build_unet(c)

    def network(params: Any) -> Layered:
        return layered(unet, params, eps_fn(unet, params))

    return _program(c, network, (params, variables), mesh=mesh)


def _program(c: ConfigDict, network: Callable[[Any], Any], weights: Any, **how: Any) -> PairProgram:
    backbone = build_backbone(c)
    return PairProgram(
        lambda weights: (network(weights[0]), feature_fn(backbone, weights[1])),
        jax.tree.map(jnp.asarray, weights),
        alpha_bar=alpha_bar(),
        feature_size=c.backbone.feature_size,
        clip=c.sample.clip,
        **how,
    )


class Taught(NamedTuple):
    """A student in the place of the noise predictor, and what its rows say of it."""

    program: PairProgram
    made_with: dict[str, Any]


def student_of(
    c: ConfigDict, params: Any, variables: Variables, mesh: Mesh | None = None, *, made_with: dict[str, Any]
) -> Taught:
    """``program_of`` a student; made_with: what tells it from others (``distilling.Distilled``)."""
    apply = student_apply(build_student(c))
    how: Any = {"mesh": mesh, "reconstruct": reconstruct_by_student}
    program = _program(c, lambda params: functools.partial(apply, params), (params, variables), **how)
    return Taught(program, made_with)


def measured_with(c: ConfigDict, workdir: Path, data: Data, epoch: int) -> dict[str, Any]:
    """What the scores of a point depend on besides its own settings, whatever they are taken of."""
    return {
        "trained_on": fingerprint(data.fit)[:16],
        "train_steps": trained_steps(workdir),
        "held_out": fingerprint(data.calibration)[:16],
        "adapt_epoch": epoch,
        **{f"backbone_{name}": value for name, value in c.backbone.items()},
        "dtype": c.model.dtype,
        "normalise": c.score.normalise,
        "crop": c.score.crop,
        "clip": c.sample.clip,
        **({"score_batch": c.score.batch} if c.score.normalise == "batch" else {}),
        **({"synthetic": fingerprint(data.choice.defects)[:16]} if data.choice else {}),
    }


def run(
    c: ConfigDict,
    workdir: Path,
    data: Data,
    program: PairProgram,
    epoch: int,
    todo: Plan,
    grids: Mapping[GridKey, TimeGrid] | None = None,
    student: Taught | None = None,
) -> list[dict[str, Any]]:
    """Rows of every point of the plan, computing those that journal.jsonl does not hold yet.

    ``student`` reconstructs the points that name it; a plan without them needs none. ``grids`` are the optimised ones
    of the plan. Every row carries the times it visited, such as "250-140-60": with ``rise`` those of its least unusual
    picture, and the mean T' of all.

    Held-out normal images go through the same program as the test images: they give every point its
    normalising constants. What the report shows of the selected point is left in selected.npz. A point whose
    maps are not finite (it diverged) costs no other point: a warning names it, its metrics are NaN.
    """
    journal = workdir / "journal.jsonl"
    hosts.first("the journal", lambda: _belongs(journal, program.weights))
    held_out = data.calibration
    made_with = {
        **measured_with(c, workdir, data, epoch),
        "test_set": fingerprint(data.test)[:16],
        **({"teacher": c.teacher, "teacher_images": c.teacher_images} if c.teacher else {}),
    }

    def made_by(model: str) -> dict[str, Any]:
        return {**made_with, **(student.made_with if student and model == "student" else {})}

    visited = {point: "-".join(map(str, time_grid(point, grids).t.tolist())) for point in todo.recon}

    def of_this_run(row: dict[str, Any]) -> bool:
        if not made_by(row["model"]).items() <= row.items():
            return False
        # An optimised grid may have been found anew since.
        times = visited.get(ReconPoint(**{name: row[name] for name in ReconPoint._fields if name in row}))
        return times is None or row.get("times", times) == times

    def read_rows() -> dict[str, dict[str, Any]]:
        return {key_of(row): row for row in ({**UNSAID, **row} for row in read_jsonl(journal)) if of_this_run(row)}

    rows = read_rows()
    shown_with = made_by(todo.selected[0].model) if todo.selected else {}
    if todo.selected and todo.selected[0].grid == OPTIMISED:
        shown_with["times"] = visited[todo.selected[0]]
    shown = workdir / "selected.npz"
    wanted = [
        point
        for point in todo.recon
        if any(key_of(settings_of(point, s)) not in rows for s in todo.score)
        or (todo.selected and point == todo.selected[0] and not holds(shown, todo.selected, shown_with))
    ]
    images = np.concatenate([s.images for s in data.sets])
    masks, known = cropped(data.test.masks, c.score.crop), data.test.has_mask
    regions = label_regions(masks, data.test.has_mask)
    on_synthetic = synthetic_judge(c, data)
    judged = [point for point in wanted if any(key_of(settings_of(point, s)) not in rows for s in todo.score)]
    left = {"finished rows": len(rows), "points to reconstruct": len(wanted), "points to judge": len(judged)}
    hosts.agree(f"what {journal} holds", left, "They must share this folder; start them again.")
    starts = starts_of(
        program, images, wanted, len(held_out.labels), chunk=c.sample.batch_size, timer=time.perf_counter
    )
    bar = tqdm(
        total=len(wanted) * len(images), unit="image", desc="reconstruct", dynamic_ncols=True, mininterval=2.0,
        disable=not hosts.is_first(),
    )  # fmt: skip
    programs = {"teacher": program, **({"student": student.program} if student else {})}
    pass_over = itertools.chain.from_iterable(
        sweep_distances(
            programs[model],
            images,
            list(points),
            chunk=c.sample.batch_size,
            keep_x0=True,
            optimised=grids,
            starts=starts.times,
            timer=time.perf_counter,
            progress=bar.update,
        )
        for model, points in itertools.groupby(wanted, key=lambda point: point.model)
    )
    n, own = len(held_out.labels), own_normal(data)
    first = len(images) - len(data.test.labels)
    fine_x0, compared = None, first + compared_pictures(c, data.test)
    if c.teacher and judged:
        chunk, later = c.sample.batch_size, {point: times[compared] for point, times in starts.times.items()}
        fine_x0 = teacher_x0(program, images[compared], judged, steps=c.teacher, chunk=chunk, starts=later)
    keep = keeper(c, workdir, data.test, todo.selected)
    for point, distances in pass_over:
        if not hosts.is_first():
            continue  # this process has reconstructed its share, the first one scores and writes
        assert distances.x0 is not None
        fidelity: dict[str, float] = {}
        if fine_x0 and point in judged:
            x0, fine = distances.x0[compared], fine_x0(point)
            fidelity = {"teacher_rmse": rmse(x0, fine)}
            keep(point, {**made_by(point.model), "times": visited[point]}, x0, fine)
        ms = 1e3 * float((distances.seconds + starts.seconds.get(point, 0.0)).mean())
        risen = {"t_prime_mean": float(starts.times[point][first:].mean())} if point in starts.times else {}
        prepared: dict[tuple, Prepared] = {}
        for score_point in todo.score:
            settings, is_selected = settings_of(point, score_point), (point, score_point) == todo.selected
            if key_of(settings) in rows and not is_selected:
                continue
            side = (score_point.layers, score_point.sigma)
            if side not in prepared:
                prepared = {side: prepare(c, distances, n, first, *side)}
            maps, scores = score_maps(c, prepared[side], n, own, score_point)
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
                if data.choice:
                    metrics |= on_synthetic(maps[:first], scores[:first])
                row = {
                    **settings,
                    **metrics,
                    "ms_per_image": ms,
                    "unet_calls": point.calls,
                    "whole_calls": point.whole_calls,
                    "times": visited[point],
                    **risen,
                    **fidelity,
                    "ratio": float(prepared[side].ratio[first:].mean()),
                    **made_by(point.model),
                }
                append_jsonl(journal, row)
                rows[key_of(row)] = read_back(row)
            if todo.selected and is_selected and finite:
                save_selected(shown, todo.selected, shown_with, maps, scores, distances, n, first)
            elif is_selected:
                shown.unlink(missing_ok=True)
    bar.close()
    hosts.first("the last point of the sweep", lambda: None)
    if not hosts.is_first():
        rows = read_rows()
    found = [rows[key_of(settings_of(p, s))] for p in todo.recon for s in todo.score]
    if todo.selected is None:
        return found
    # The selected point was run with every seed of the sweep.
    chosen = settings_of(*todo.selected)
    return [{**row, "selected": all(row[k] == chosen[k] for k in SETTINGS if k != "seed")} for row in found]


def _belongs(journal: Path, weights: Any) -> None:
    """Set aside a journal and its selected point that other parameters made, as after a second training here."""
    own, said = weights_fingerprint(weights), journal.with_name("journal_of.json")
    made_by = json.loads(said.read_text())["weights"] if said.exists() else own
    if made_by != own and journal.exists():
        kept = journal.with_name(f"journal-{made_by}.jsonl")
        log.warning("%s was made with other parameters than those here: kept as %s, begun anew", journal, kept.name)
        journal.replace(kept)
        journal.with_name("selected.npz").unlink(missing_ok=True)
        shutil.rmtree(journal.with_name(FOLDER), ignore_errors=True)
    write_text(said, json.dumps({"weights": own}))


def read_back(row: dict[str, Any]) -> dict[str, Any]:
    """The row as the journal gives it back, so that a fresh and a resumed run return the same."""
    return json.loads(json.dumps(plain(row)))


def trained_steps(workdir: Path) -> int:
    """Steps the model of this workdir was trained for; 0 where it has no training history."""
    rows = read_jsonl(workdir / "train.jsonl")
    return int(rows[-1]["step"]) if rows else 0
