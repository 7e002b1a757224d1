"""How far reconstructions are from those of a fine teacher: what a fast sampler is judged by before any label is."""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from ddad_jax.data import ImageSet
from ddad_jax.data.split import spread
from ddad_jax.points import ReconPoint
from ddad_jax.sweep import PairProgram, sweep_distances
from experiments import hosts


def teacher_of(point: ReconPoint, steps: int) -> ReconPoint:
    """The point whose reconstructions a sampler of ``point`` would reach with all the steps it could wish for.

    Same w, T', start and steering, same noise at the start; DDIM without noise of its own on the trailing grid.
    """
    steps = min(steps, point.t_prime)
    plain = point._replace(solver="ddim", eta=0.0, grid="trailing", model="teacher", reuse=1)
    return plain._replace(steps=steps, mask_before=False)


def compared_pictures(c: ConfigDict, test: ImageSet) -> np.ndarray:
    """Which of the test pictures are reconstructed by the teacher, too; rising indices."""
    return spread(len(test.labels), c.teacher_images)


def teacher_x0(
    program: PairProgram,
    images: np.ndarray,
    points: Sequence[ReconPoint],
    *,
    steps: int,
    chunk: int,
    starts: Mapping[ReconPoint, np.ndarray] | None = None,
) -> Callable[[ReconPoint], np.ndarray]:
    """point -> x0 of its teacher, float16 [n, h, w, c].

    Reconstructs ``images`` by the teacher of each point, once for all points that share one; one image set each
    in float16 is kept for as long as the returned function is.

    Args:
      images: uint8 [n, h, w, c]; steps: of the teacher, 50 to 100; chunk: pairs in one call.
      starts: T' of each image, int [n], for every point with ``rise``; its teacher begins there, too.
    """
    own = {teacher_of(point, steps): times for point, times in (starts or {}).items()}
    teachers = list(dict.fromkeys(teacher_of(point, steps) for point in points))
    teachers.sort(key=lambda p: p.steps)
    bar = tqdm(
        total=len(teachers) * len(images), unit="image", desc="teacher", dynamic_ncols=True, mininterval=2.0,
        disable=not hosts.is_first(),
    )  # fmt: skip
    kept = {}
    for teacher, distances in sweep_distances(
        program, images, teachers, chunk=chunk, keep_x0=True, starts=own, timer=time.perf_counter, progress=bar.update
    ):
        assert distances.x0 is not None
        kept[teacher] = distances.x0
    bar.close()
    return lambda point: kept[teacher_of(point, steps)]


def rmse(x0: np.ndarray, teacher: np.ndarray) -> float:
    """sqrt(mean (x0 - teacher)^2), in the units of both, as a rule those of [-1, 1]."""
    return float(np.sqrt(np.mean((x0.astype(np.float32) - teacher.astype(np.float32)) ** 2)))
