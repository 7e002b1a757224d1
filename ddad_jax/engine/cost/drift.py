"""What bfloat16 does to the maps and scores of a trained run: its selected point again, with the same noise.

Parameters stay float32; the computation changes its type. Everything taken from held-out normal images (ratio, spread,
threshold) is that of float32, as where a run is calibrated once and then used in the cheaper type.
"""

import functools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.stats import spearmanr

from ddad_jax.checkpoint import Checkpoints
from ddad_jax.data.json_file import parsed
from ddad_jax.engine.cost.timing import peak_memory, time_in_turns, timed
from ddad_jax.engine.data.same_pictures import fingerprint_in
from ddad_jax.engine.data.splits import Data, load_data
from ddad_jax.engine.methods.ddad.evidence import starts_of
from ddad_jax.engine.methods.ddad.fitted import FittedDDAD
from ddad_jax.engine.methods.ddad.maps import combined, prepare
from ddad_jax.engine.methods.ddad.method import DDAD
from ddad_jax.engine.methods.ddad.points import ddad_point_of
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.loop import trained_steps
from ddad_jax.engine.methods.measured import Mapped
from ddad_jax.engine.methods.point import Point
from ddad_jax.engine.methods.scored import judged_maps
from ddad_jax.engine.settings.section import changed
from ddad_jax.engine.store.tables import read_jsonl
from ddad_jax.engine.sweep.journal import measured_with
from ddad_jax.engine.sweep.selected import load_selected
from ddad_jax.engine.tracking import silent
from ddad_jax.engine.workdir import require_same_run
from ddad_jax.errors import InputError
from ddad_jax.image import centre_crop
from ddad_jax.metrics import evaluate_maps, label_regions
from ddad_jax.optimised_grid import grid_of
from ddad_jax.pair_program import PairProgram
from ddad_jax.points import OPTIMISED, grid_key
from ddad_jax.sweep import Distances, sweep_distances

VARIANTS = {
    "float32": ("float32", "float32"),
    "U-Net in bfloat16": ("bfloat16", "float32"),
    "features in bfloat16": ("float32", "bfloat16"),
    "both in bfloat16": ("bfloat16", "bfloat16"),
}
"""Types of the noise predictor and of the feature network; the first one is what the others are compared with."""

DRIFT_COLUMNS = (
    "name", "map_rms", "x0_rms", "score_mean", "score_max", "spearman", "image_auroc", "pixel_auroc", "aupro_30",
    "flips", "ms_per_image",
)  # fmt: skip


class FinishedRun(NamedTuple):
    """A run to use as it is. fitted: ready for point, the selected one. threshold: of the verdicts. scores: of the test
    pictures, [n]."""

    data: Data
    fitted: FittedDDAD
    point: Point
    threshold: float
    scores: np.ndarray


class Made(NamedTuple):
    """Of n test pictures. maps: [n, h, w]. scores: [n]. x0: reconstructions, [n, h, w, c]."""

    maps: np.ndarray
    scores: np.ndarray
    x0: np.ndarray


def drift(c: DDADSettings, workdir: Path, repeats: int) -> list[dict[str, Any]]:
    """A row each of VARIANTS, over the test pictures.

    map_rms: RMS difference of the maps from those of float32, over the RMS of the latter. x0_rms: of the
    reconstructions, which are in [-1, 1]. score_mean, score_max: |s - s32| / |s32|. spearman: of the scores with those
    of float32. flips: verdicts that change at the run's threshold. ms_per_image: reconstruction and distances, all
    variants in turns. run_score_max, of float32 alone: score_max against the scores that the run itself has kept.

    Raises:
      InputError: the workdir holds no finished run, or one of other settings or pictures.
    """
    workdir = workdir.expanduser().absolute()
    c, run = read_finished_run(c, workdir)
    (point, score), data = run.point, run.data
    n, chunk = len(data.scale.labels), min(c.sample.batch_size, len(data.test.labels))
    if data.view.tiling or point.mask_before or score.mask_after:
        asked = "--config.data.picture" if data.view.tiling else "a mask of the view"
        raise InputError(f"drift compares whole pictures as they are: expected a run without {asked}")
    images = np.concatenate([data.scale.images, data.test.images])
    programs = {name: _program(run, *dtypes) for name, dtypes in VARIANTS.items()}
    exact = next(iter(VARIANTS))
    starts = starts_of(programs[exact], images, [point], n, chunk=chunk, timer=time.perf_counter).times

    def measured(name: str, rows: slice) -> Distances:
        own = {p: times[rows] for p, times in starts.items()}
        how: Any = {"chunk": chunk, "optimised": run.fitted.grids, "starts": own, "timer": time.perf_counter}
        ((_, found),) = sweep_distances(programs[name], images[rows], [point], keep_x0=True, **how)
        return found

    test = slice(n, None)
    normal = measured(exact, slice(0, n))
    masks = centre_crop(data.test.masks, c.score.crop)
    regions = label_regions(masks, data.test.has_mask)
    made: dict[str, Made] = {}
    for name in VARIANTS:
        distances = measured(name, test)
        assert distances.x0 is not None
        both = jax.tree.map(lambda *parts: np.concatenate(parts), normal, distances)
        prepared = prepare(c.score, both, n, n, score.layers, score.sigma)
        mapped = Mapped(score, combined(prepared, score), {})
        _, maps, scores, *_ = judged_maps(mapped, n, np.arange(n), None, c.score.crop)
        if not np.isfinite(scores).all():
            raise InputError(f"{name}: maps of {workdir} are not finite at its selected point, so nothing compares")
        made[name] = Made(maps[n:], scores[n:], distances.x0.astype(np.float32))
    calls = [functools.partial(measured, name, slice(n, n + chunk)) for name in VARIANTS]
    seconds = time_in_turns(calls, repeats)
    rows = []
    for (name, dtypes), own in zip(VARIANTS.items(), seconds, strict=True):
        maps, scores = made[name].maps, made[name].scores
        metrics = evaluate_maps(maps, scores, data.test.labels, masks, data.test.has_mask, regions=regions)
        row = {
            "what": f"drift of bfloat16, {data.name}, {len(scores)} test pictures",
            "batch": chunk,
            "name": name,
            "dtype": dtypes[0],
            "backbone_dtype": dtypes[1],
            **drift_columns(made[name], made[exact], run.threshold),
            **{metric: metrics[metric] for metric in ("image_auroc", "pixel_auroc", "aupro_30")},
            "ms_per_image": 1e3 * timed(own).median / chunk,
        }
        if name == exact and len(run.scores) == len(scores):
            row["run_score_max"] = float((np.abs(scores - run.scores) / np.abs(run.scores)).max())
        rows.append(row | peak_memory())
    return rows


def drift_columns(found: Made, exact: Made, threshold: float) -> dict[str, Any]:
    """The columns of ``drift`` that compare with float32."""
    changed = np.abs(found.scores - exact.scores) / np.abs(exact.scores)
    return {
        "map_rms": _rms(found.maps - exact.maps) / _rms(exact.maps),
        "x0_rms": _rms(found.x0 - exact.x0),
        "score_mean": float(changed.mean()),
        "score_max": float(changed.max()),
        "spearman": float(spearmanr(found.scores, exact.scores).statistic),
        "flips": int(((found.scores > threshold) != (exact.scores > threshold)).sum()),
    }


def read_finished_run(c: DDADSettings, workdir: Path) -> tuple[DDADSettings, FinishedRun]:
    """(the config with what the run's calibration settles, the run); nothing is trained and nothing is written.

    Raises:
      InputError: naming what the workdir lacks, or what it was made with instead.
    """
    needed = ["config.json", "train", "results.jsonl", "selected.npz", "calibration.json"]
    needed += ["adapt/chosen.json"] if c.adapts else []
    mend = "expected a finished run: python -m experiments.evaluate with the same --config and --workdir makes it one"
    for name in needed:
        if not (workdir / name).exists():
            raise InputError(f"--workdir={workdir}: {name} is missing; {mend}")
    path = workdir / "calibration.json"
    try:
        said = parsed(path.read_bytes(), constants=True)
        point, method = ddad_point_of(said), DDAD()
        threshold = float(said["threshold"])
        settled = changed(method.settled(c, said), {"sample.model": point.costly.model})
    except (OSError, InputError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: cannot be read ({type(error).__name__}: {error}); {mend}") from None
    row, steps = next(iter(read_jsonl(workdir / "results.jsonl")), {}), trained_steps(workdir)
    untaught = point.costly.model == "student" and not Checkpoints(workdir / "student").steps()
    if row.get("train_steps") != steps or untaught:
        raise InputError(f"--workdir={workdir}: training has not ended since its results were written; {mend}")
    data = load_data(settled)
    require_same_run(workdir, settled, data)
    fitted = method.fit(settled, workdir, data, silent)
    now = {
        **measured_with(settled, workdir, data, fitted),
        "test_set": fingerprint_in(workdir, settled.data, data.test)[:16],
    }
    row = {"method": "ddad", **row}
    # What only tells how a point was chosen is no matter of its scores.
    differing = sorted(k for k in now.keys() & row.keys() - {"synthetic"} if now[k] != row[k])
    if differing:
        told = ", ".join(f"{name}: there {row[name]}, now {now[name]}" for name in differing)
        raise InputError(f"--workdir={workdir}: its results are of other settings or pictures ({told}); {mend}")
    scores = load_selected(workdir)["scores"]
    return settled, FinishedRun(data, _at(fitted, point, said, data), point, threshold, scores)


def _at(fitted: FittedDDAD, point: Point, said: Mapping[str, Any], data: Data) -> FittedDDAD:
    """Ready for the point; an optimised grid is the one that was calibrated."""
    plain = point.costly._replace(grid="trailing") if point.costly.grid == OPTIMISED else point.costly
    ready = fitted.ready([plain], data)
    if point.costly.grid != OPTIMISED:
        return ready
    return ready.with_grids({grid_key(point.costly): grid_of([int(t) for t in said["times"].split("-")])})


def _program(run: FinishedRun, unet: str, features: str) -> PairProgram:
    fitted = run.fitted.in_types(unet, features)
    return fitted.student.program if fitted.student else fitted.program


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))
