"""trajectory.npz: what the selected point predicts at each time it visits, of the test pictures that a report shows.

It is computed once, after the sweep: distances need the end of a reconstruction alone, so no row has paid for it.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ddad_jax.distilled import reconstruct_by_student
from ddad_jax.engine import hosts
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.methods.ddad.evidence import starts_of
from ddad_jax.engine.methods.measured import Steps
from ddad_jax.engine.methods.point import Point
from ddad_jax.engine.store import kept
from ddad_jax.engine.verdicts.shown import SIDE, report_rows, thinned
from ddad_jax.pair_program import PairProgram
from ddad_jax.points import GridKey
from ddad_jax.sampler import visited
from ddad_jax.timesteps import TimeGrid
from ddad_jax.vision.tiles import Tiling, cut, stitch_one
from ddad_jax.visits import visits

NAME = "trajectory.npz"
MOST_BYTES = 2**27
"""Of all predictions together: fewer pictures are kept where they would take more."""


def keep(
    workdir: Path,
    data: Data,
    point: Point,
    teacher: PairProgram,
    student: PairProgram | None,
    grids: Mapping[GridKey, TimeGrid] | None = None,
    *,
    most: int,
    chunk: int,
) -> None:
    """Write the file, unless it is there already and of this point and model; nothing of a point that diverged.

    Every process calls this alike; the first one decides what is missing, and writes.

    Args:
      point: the selected one, of which ``selected.npz`` is. teacher, student: the programs of the run.
      grids: the optimised ones of the run. most: pictures that are shown. chunk: of them in one call.

    Raises:
      InputError: as ``visits.visits``.
    """
    wanted = hosts.first("what trajectory.npz lacks", lambda: _wanted(most, workdir, data, point))
    if not wanted:
        return
    recon, at, view = point[0], np.array(wanted, int), data.view
    pictures = data.test.images[at]
    program, by = teacher, visited
    if recon.model == "student":
        assert student is not None
        program, by = student, functools.partial(reconstruct_by_student, by=visited)
    starts = None
    if recon.rise:
        # How unusual a picture is depends on the held-out pictures of the scale and on itself; others may be missing.
        normal = data.scale.images
        watched = view.watched_tiles
        seen = None if watched is None else np.tile(watched, (len(normal) + len(at), 1, 1))
        both: Any = np.concatenate([normal, pictures])
        found = starts_of(teacher, both, [recon], len(normal), chunk=chunk, timer=lambda: 0.0, watched=seen)
        starts = found.times[recon][len(normal) :]
    how: Any = {"chunk": chunk, "by": by, "optimised": grids}
    if view.tiling is None:
        ((times, x0_hat),) = visits(program, [pictures], recon, starts=None if starts is None else [starts], **how)
    else:
        tiles = (cut(picture[None], view.tiling) for picture in pictures)
        each = [
            (found.times[0], _stitched(found.x0_hat, view.tiling)) for found in visits(program, tiles, recon, **how)
        ]
        times, x0_hat = (np.stack(part) for part in zip(*each, strict=True))
    content = Steps(at, times, x0_hat)._asdict()
    hosts.first("trajectory.npz", lambda: kept.save_content(workdir / NAME, content, _made_with(workdir), packed=True))


def load_trajectory(workdir: Path, *, otherwise: str = "the report leaves it out") -> Steps | None:
    """What ``keep`` wrote for the point that selected.npz holds; None where there is nothing of it.

    otherwise: what happens where there is nothing, for the log.
    """
    there = kept.load_content(workdir / NAME, _made_with(workdir), Steps._fields, otherwise=otherwise)
    return Steps(**there) if there else None


def _wanted(most: int, workdir: Path, data: Data, point: Point) -> list[int]:
    """The pictures to show; none where their file is there, or where there is nothing to show of the point."""
    if not most or not (workdir / "selected.npz").exists():
        return []
    height, width = data.test.images.shape[1:3]
    side = -(-max(height, width) // SIDE) if data.view.tiling else 1
    fit = MOST_BYTES // (3 * (height // side) * (width // side) * point[0].steps)
    at = report_rows(data.test, kept.read_content(workdir / "selected.npz")[0]["scores"], min(most, max(1, fit)))
    there = load_trajectory(workdir, otherwise="it is made anew")
    return [] if there and np.array_equal(there.at, at) else at.tolist()


def _stitched(x0_hat: np.ndarray, tiling: Tiling) -> np.ndarray:
    """Predictions of the k tiles of a picture, uint8 [k, K, s, s, 3] -> of the picture, thinned, [K, h, w, 3]."""

    def whole(step: np.ndarray) -> np.ndarray:
        channels = [stitch_one(step[..., channel], tiling) for channel in range(step.shape[-1])]
        return thinned(np.round(np.stack(channels, axis=-1)).astype(np.uint8), np.mean)

    return np.stack([whole(step) for step in np.moveaxis(x0_hat, 1, 0)])


def _made_with(workdir: Path) -> dict[str, Any]:
    """What tells the point of selected.npz, and the model that made it, from others."""
    selected, owner = workdir / "selected.npz", workdir / "journal_of.json"
    point = kept.read_content(selected)[1] if selected.exists() else None
    return {"selected": point, "weights": kept.read_content(owner)[0].get("weights") if owner.exists() else None}
