"""A sweep: the points of a plan reconstructed and judged once, and their rows, whoever computed them when."""

import itertools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ddad_jax.checkpoint import fingerprint
from ddad_jax.engine import hosts
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.ddad.evidence import Taught, compared_pictures, reconstructed, rmse, starts_of, teacher_x0
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.ddad.side_by_side import keeper
from ddad_jax.engine.methods.method import SETTINGS, Point, key_of, settings_of
from ddad_jax.engine.sweep import journal, shards
from ddad_jax.engine.sweep.judge import row_of, sampling_of, scored, show, shown_of, truth_of
from ddad_jax.engine.sweep.plan import Plan
from ddad_jax.engine.sweep.shards import Shard
from ddad_jax.engine.tracking import Write, row_of_sweep, silent
from ddad_jax.points import GridKey
from ddad_jax.sweep import PairProgram
from ddad_jax.timesteps import TimeGrid


def run(
    c: DDADSettings,
    workdir: Path,
    data: Data,
    program: PairProgram,
    epoch: int,
    todo: Plan,
    grids: Mapping[GridKey, TimeGrid] | None = None,
    student: Taught | None = None,
    shard: Shard | None = None,
    write: Write = silent,
) -> list[dict[str, Any]]:
    """Rows of every point of the plan, computing those that journal.jsonl does not hold yet, nor any shard's journal.

    ``student`` reconstructs the points that name it; a plan without them needs none. ``grids`` are the optimised ones
    of the plan. Every row carries the times it visited, such as "250-140-60": with ``rise`` those of its least unusual
    picture, and the mean T' of all.

    Held-out normal images go through the same program as the test images: they give every point its
    normalising constants. What the report shows of the selected point is left in selected.npz. A point whose
    maps are not finite (it diverged) costs no other point: a warning names it, its metrics are NaN.

    shard: whose points the plan has; the journal it then writes is its own, and journal.jsonl is of these parameters.
    write: is told every row, each when it is there: one of an earlier run at once, unless it was told then.
    """
    path = workdir / "journal.jsonl"
    if shard is None:
        hosts.first("the journal", lambda: claim(workdir, program.weights))
    measured = journal.measured_with(c, workdir, data, epoch)
    made = journal.made_with(c, workdir, data, measured, todo.recon, grids, student.made_with if student else {})
    others = shards.journals(workdir, program.weights) if shard else []
    path, whole = (shards.journal_of(workdir, program.weights, shard), path) if shard else (path, path)
    rows = journal.finished(whole, made, *others)
    if hosts.is_first():
        journal.warn_of_gaps(list(rows.values()))
    here = todo.selected if todo.selected and todo.selected[0] in todo.recon else None
    shown = shown_of(workdir, here, made)

    def tell(row: Mapping[str, Any]) -> None:
        write(*row_of_sweep(row, (*SETTINGS, *made.of(row["model"])), weights))

    weights = fingerprint(program.weights)
    for point, score in itertools.product(todo.recon, todo.score):
        if (key := key_of(settings_of(point, score))) in rows:
            tell(rows[key])
    missing = {p: [s for s in todo.score if key_of(settings_of(p, s)) not in rows] for p in todo.recon}
    judged = [point for point in todo.recon if missing[point]]
    wanted = [p for p in todo.recon if missing[p] or (shown and p == shown.point[0] and not shown.is_there())]
    left = {"rows missing": sum(map(len, missing.values())), "points": len(wanted), "of them to judge": len(judged)}
    hosts.agree(f"what {path} holds", left, "They must share this folder; start them again.")

    images, truth, chunk = data.shown, truth_of(c, data), c.sample.batch_size
    how: dict[str, Any] = {"chunk": chunk, "watched": data.watched}
    starts = starts_of(program, images, wanted, truth.n_held_out, timer=time.perf_counter, **how)
    bar = tqdm(
        total=len(wanted) * len(images), unit="image", desc="reconstruct", dynamic_ncols=True, mininterval=2.0,
        disable=not hosts.is_first(),
    )  # fmt: skip
    fine_x0, compared = None, truth.first_test + compared_pictures(c, data.test)
    if c.teacher and judged:
        later = {point: times[compared] for point, times in starts.times.items()}
        fine_x0 = teacher_x0(program, images[compared], judged, steps=c.teacher, chunk=chunk, starts=later)
    keep = keeper(c, workdir, data.test, todo.selected)

    how |= {"optimised": grids, "starts": starts.times, "progress": bar.update}
    for point, distances in reconstructed(program, student, images, wanted, **how):
        if not hosts.is_first():
            continue  # this process has reconstructed its share, the first one scores and writes
        made_of, times = made.of(point.model), made.times[point]
        sampling = sampling_of(point, distances, starts, times, truth.first_test, data.view.tiles)
        if fine_x0 and missing[point]:
            assert distances.x0 is not None
            x0, fine = distances.x0[compared], fine_x0(point)
            sampling["teacher_rmse"] = rmse(x0, fine)
            keep(point, {**made_of, "times": times}, x0, fine)
        asked = [s for s in todo.score if s in missing[point] or (point, s) == todo.selected]
        for found in scored(c, truth, distances, asked):
            if found.point in missing[point]:
                row = row_of(c, truth, point, found, sampling, made_of)
                rows[key_of(row)] = journal.append(path, row)
                tell(rows[key_of(row)])
            if shown and shown.point == (point, found.point):
                show(shown, truth, found, distances, starts.normal.get(point))
    bar.close()
    hosts.first("the last point of the sweep", lambda: None)
    rows = rows if hosts.is_first() else journal.finished(whole, made, *others, path)
    return _marked([rows[key_of(settings_of(p, s))] for p in todo.recon for s in todo.score], todo.selected)


def claim(workdir: Path, weights: Any) -> None:
    """``journal.claim``, and the rows of its shards are in the journal."""
    journal.claim(workdir / "journal.jsonl", weights)
    shards.take_in(workdir / "journal.jsonl", weights)


def _marked(rows: list[dict[str, Any]], selected: Point | None) -> list[dict[str, Any]]:
    """The rows, and which are of the selected point: it was run with every seed of the sweep."""
    if selected is None:
        return rows
    chosen = settings_of(*selected)
    return [{**row, "selected": all(row[k] == chosen[k] for k in SETTINGS if k != "seed")} for row in rows]
