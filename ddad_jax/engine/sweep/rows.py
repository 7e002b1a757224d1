"""A sweep: the points of a plan reconstructed and judged once, and their rows, whoever computed them when."""

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import jax
from tqdm import tqdm

from ddad_jax.checkpoint import params_fingerprint
from ddad_jax.engine import hosts
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.measured import Measured, MeasuredPictures
from ddad_jax.engine.methods.method import Fitted, key_columns
from ddad_jax.engine.methods.point import Cheap, Costly, Plan, Point, key_of, point_settings
from ddad_jax.engine.methods.scored import Scored
from ddad_jax.engine.methods.table import method_of
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.engine.sweep import journal, shards
from ddad_jax.engine.sweep.judge import Truth, row_of, scored_maps, show, shown_of, truth_of
from ddad_jax.engine.sweep.overlap import judged_in_order, judging_threads, one_ahead
from ddad_jax.engine.sweep.shards import Shard
from ddad_jax.engine.tracking import Write, row_of_sweep, silent


def measured_pictures(data: Data) -> MeasuredPictures:
    """All that is measured at every costly point of a run."""
    n_normal, first_test = len(data.scale.labels), sum(len(s.labels) for s in data.sets[:-1])
    return MeasuredPictures(data.shown, n_normal, first_test, data.watched, data.view.tiling)


def compute_rows(
    c: Settings,
    workdir: Path,
    data: Data,
    fitted: Fitted,
    todo: Plan,
    shard: Shard | None = None,
    write: Write = silent,
) -> list[dict[str, Any]]:
    """Rows of every point of the plan, for which ``fitted`` is ready, computing those that journal.jsonl does not hold
    yet, nor any shard's journal.

    Held-out normal images go through the same program as the test images: they give every point its normalising
    constants and its thresholds. What the report shows of the selected point is left in selected.npz. A point whose
    maps are not finite (it diverged) costs no other point: a warning names it, its metrics are NaN.

    shard: whose points the plan has; the journal it then writes is its own, and journal.jsonl is of these parameters.
    write: is told every row, each when it is there: one of an earlier run at once, unless it was told then.
    """
    method, path = method_of(c), workdir / "journal.jsonl"
    columns = key_columns(method)
    if shard is None:
        hosts.first("the journal", lambda: claim_rows(workdir, fitted.weights))
    made = journal.made_with(c, workdir, data, fitted, todo.costly)
    others = shards.journals(workdir, fitted.weights) if shard else []
    path, whole = (shards.journal_of(workdir, fitted.weights, shard), path) if shard else (path, path)
    rows = journal.finished_rows(whole, method, made, *others)
    if hosts.is_first():
        journal.warn_of_gaps(list(rows.values()))
    here = todo.selected if todo.selected and todo.selected.costly in todo.costly else None
    shown = shown_of(workdir, here, fitted, made)

    def key(costly: Costly, cheap: Cheap) -> str:
        return key_of(point_settings(costly, cheap), columns)

    weights = params_fingerprint(fitted.weights)

    def tell(costly: Costly, row: Mapping[str, Any]) -> None:
        write(*row_of_sweep(row, (*columns, *made[costly]), weights))

    for point, cheap in todo.points:
        if key(point, cheap) in rows:
            tell(point, rows[key(point, cheap)])
    missing = {p: [s for s in todo.cheap_at(p) if key(p, s) not in rows] for p in todo.costly}
    judged = {point: made[point] for point in todo.costly if missing[point]}
    wanted = [p for p in todo.costly if missing[p] or (shown and p == shown.point.costly and not shown.is_there())]
    left = {"rows missing": sum(map(len, missing.values())), "points": len(wanted), "of them to judge": len(judged)}
    hosts.agree(f"what {path} holds", left, "They must share this folder; start them again.")

    pictures, truth = measured_pictures(data), truth_of(c, data)
    bar = tqdm(
        total=len(wanted) * len(pictures.images), unit="image", desc="measure", dynamic_ncols=True,
        mininterval=2.0, disable=not hosts.is_first(),
    )  # fmt: skip
    threads = judging_threads(4 * prod(pictures.images.shape[:3]))  # of tiles nothing is cut for it
    measuring: Any = fitted.measure(pictures, wanted, progress=bar.update, judged=judged, selected=todo.selected)
    # Of several processes each must do what all do at the same time, which a thread of its own would not.
    if jax.default_backend() != "cpu" and not hosts.several_processes():
        measuring = one_ahead(measuring)
    # Closed where a point fails, too: its thread would measure on.
    with contextlib.closing(measuring):
        for measured in measuring:
            if not hosts.is_first():
                continue  # this process has measured its share, the first one scores and writes
            point = measured.costly
            asked = [s for s in todo.cheap_at(point) if s in missing[point] or Point(point, s) == todo.selected]
            at_selected = shown.point.cheap if shown and shown.point.costly == point else None
            rowed = partial(_rowed, c, truth, measured, pictures.tiles, made[point], missing[point], at_selected)
            maps = fitted.maps(measured.evidence, asked, pictures)
            for row, found in judged_in_order(maps, partial(scored_maps, c, truth), rowed, threads=threads):
                if row is not None:
                    rows[key_of(row, columns)] = journal.append(path, row)
                    tell(point, rows[key_of(row, columns)])
                if shown and found:
                    show(shown, truth, fitted, pictures, measured, found)
    bar.close()
    hosts.first("the last point of the sweep", lambda: None)
    rows = rows if hosts.is_first() else journal.finished_rows(whole, method, made, *others, path)
    return _marked([rows[key(*point)] for point in todo.points], todo.selected)


def _rowed(
    c: Settings,
    truth: Truth,
    measured: Measured,
    tiles: int,
    made: Mapping[str, Any],
    missing: Sequence[Cheap],
    selected: Cheap | None,
    found: Scored,
) -> tuple[dict[str, Any] | None, Scored | None]:
    """The row of a point, where it is missing, and the pictures at the selected one."""
    row = row_of(c, truth, measured, found, tiles, made) if found.point in missing else None
    return row, found if found.point == selected else None


def claim_rows(workdir: Path, weights: Any) -> None:
    """``journal.claim_journal``, and the rows of its shards are in the journal."""
    journal.claim_journal(workdir / "journal.jsonl", weights)
    shards.take_in(workdir / "journal.jsonl", weights)


def _marked(rows: list[dict[str, Any]], selected: Point | None) -> list[dict[str, Any]]:
    """The rows, and which are of the selected point: it was run with every seed of the sweep."""
    if selected is None:
        return rows
    chosen = point_settings(*selected)
    return [{**row, "selected": all(row[k] == chosen[k] for k in chosen if k != "seed")} for row in rows]
