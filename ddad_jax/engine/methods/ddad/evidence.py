"""From networks to what they measure on pictures: the program, its first pass, its fine teacher."""

import functools
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from ddad_jax.backbones import feature_fn
from ddad_jax.data import ImageSet
from ddad_jax.data.split import spread
from ddad_jax.distilled import reconstruct_by_student
from ddad_jax.engine import hosts
from ddad_jax.engine.methods.backbone import build_backbone
from ddad_jax.engine.methods.ddad.networks import (
    alpha_bar,
    build_student,
    build_unet,
    drawn_noise,
    eps_fn,
    layered,
    student_apply,
)
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.errors import InputError
from ddad_jax.first_pass import SIGMA, First, first_pass, first_ratio, first_scores, start_times, unusual
from ddad_jax.pair_program import PairProgram
from ddad_jax.points import ReconPoint
from ddad_jax.reuse import Layered
from ddad_jax.sweep import Distances, sweep_distances
from ddad_jax.types import Variables

log = logging.getLogger(__name__)


class Starts(NamedTuple):
    """Of every point with ``rise``. times: T' of each image, int [n]. seconds: the first pass of each image, [n].
    normal: what new pictures are compared with."""

    times: Mapping[ReconPoint, np.ndarray]
    seconds: Mapping[ReconPoint, np.ndarray]
    normal: Mapping[ReconPoint, First] = {}


def starts_of(
    program: PairProgram,
    images: np.ndarray,
    points: Sequence[ReconPoint],
    n_normal: int,
    *,
    chunk: int,
    timer: Callable[[], float],
    watched: np.ndarray | None = None,
) -> Starts:
    """``first_pass.start_times`` of all images for the points that rise; every process calls this alike.

    Args:
      images: uint8 [n, h, w, c], the first ``n_normal`` of them held-out normal ones.
      chunk: pairs in one call.
      watched: as of ``sweep_distances``.
    """
    rising = [point for point in points if point.rise]
    q, seconds, normal = {}, {}, {}
    firsts = list(dict.fromkeys(first_pass(point) for point in rising))
    for first, distances in sweep_distances(program, images, firsts, chunk=chunk, timer=timer, watched=watched):
        try:
            ratio = first_ratio(distances, n_normal)
            scores = first_scores(distances, ratio=ratio, sigma=SIGMA * images.shape[1])
        except InputError as error:
            # As with a whole point that diverges: the others go on.
            log.warning("first pass of w = %g, T' = %d: %s. Every picture starts at T'", first.w, first.t_prime, error)
            ratio, scores = np.nan, np.full(len(images), np.nan, np.float32)
        q[first] = unusual(scores, n_normal)
        seconds[first] = distances.seconds
        normal[first] = First(ratio, np.sort(scores[:n_normal]))
    return Starts(
        {point: start_times(point, q[first_pass(point)]) for point in rising},
        {point: seconds[first_pass(point)] for point in rising},
        {point: normal[first_pass(point)] for point in rising},
    )


# --- How far reconstructions are from those of a fine teacher: what a fast sampler is judged by before any label is.


def teacher_of(point: ReconPoint, steps: int) -> ReconPoint:
    """The point whose reconstructions a sampler of ``point`` would reach with all the steps it could wish for.

    Same w, T', start and steering, same noise at the start; without noise of its own, of second order and even in
    log-SNR down to t = 0. (DDIM in 100 steps, of first order, ends farther from the exact flow than good samplers of
    five calls are from it.)
    """
    plain = point._replace(solver="dpm2m", eta=0.0, grid="log_snr_continuous", model="teacher", reuse=1)
    return plain._replace(steps=steps, mask_before=False, draws=1)


def teachers_of(point: ReconPoint, steps: int) -> list[ReconPoint]:
    """The teacher of ``point`` and, where it has two steps or more, the one of half as many that its error is
    estimated with."""
    fine = teacher_of(point, steps)
    return [fine, fine._replace(steps=steps // 2)] if steps > 1 else [fine]


def compared_pictures(test: ImageSet, most: int) -> np.ndarray:
    """Which of the test pictures are reconstructed by the teacher, too; rising indices."""
    return spread(len(test.labels), most)


class Fine(NamedTuple):
    """What the teachers made, by teacher. x0: float16 [n, h, w, c]. floor: root mean square distance to the same with
    half the steps, in units of [-1, 1]: no less than the teacher's own error, as of a solver of order 2 this is a third
    of it (Richardson); rounding to float16 included."""

    steps: int
    x0: Mapping[ReconPoint, np.ndarray]
    floor: Mapping[ReconPoint, float]

    def of(self, point: ReconPoint) -> np.ndarray:
        """x0 of the point's teacher."""
        return self.x0[teacher_of(point, self.steps)]

    def columns(self, point: ReconPoint, x0: np.ndarray) -> dict[str, float]:
        """What a row says of the point's own x0."""
        floor = self.floor.get(teacher_of(point, self.steps))
        return {"teacher_rmse": rmse(x0, self.of(point)), **({} if floor is None else {"teacher_floor": floor})}


def teacher_x0(
    program: PairProgram,
    images: np.ndarray,
    points: Sequence[ReconPoint],
    *,
    steps: int,
    chunk: int,
    starts: Mapping[ReconPoint, np.ndarray] | None = None,
) -> Fine:
    """Reconstructs ``images`` by the teacher of each point and by that of half its steps, once for all points that
    share one; one image set each in float16 is kept for as long as what is returned.

    Args:
      images: uint8 [n, h, w, c]; steps: of the teacher, 50 to 100; chunk: pairs in one call.
      starts: T' of each image, int [n], for every point with ``rise``; its teacher begins there, too.
    """
    own = {fine: times for point, times in (starts or {}).items() for fine in teachers_of(point, steps)}
    teachers = list(dict.fromkeys(fine for point in points for fine in teachers_of(point, steps)))
    # The halves first.
    teachers.sort(key=lambda p: p.steps)
    bar = tqdm(
        total=len(teachers) * len(images), unit="image", desc="teacher", dynamic_ncols=True, mininterval=2.0,
        disable=not hosts.is_first(),
    )  # fmt: skip
    kept, floor = {}, {}
    for teacher, distances in sweep_distances(
        program, images, teachers, chunk=chunk, keep_x0=True, starts=own, timer=time.perf_counter, progress=bar.update
    ):
        assert distances.x0 is not None
        kept[teacher] = distances.x0
        if teacher.steps == steps > 1:
            floor[teacher] = rmse(distances.x0, kept.pop(teacher._replace(steps=steps // 2)))
    bar.close()
    return Fine(steps, kept, floor)


def rmse(x0: np.ndarray, teacher: np.ndarray) -> float:
    """sqrt(mean (x0 - teacher)^2), in the units of both, as a rule those of [-1, 1]."""
    return float(np.sqrt(np.mean((x0.astype(np.float32) - teacher.astype(np.float32)) ** 2)))


def program_of(c: DDADSettings, params: Any, variables: Variables, mesh: Mesh | None = None) -> PairProgram:
    """The networks of a run as the one program that reconstructs and measures, on the devices of ``mesh``."""
    unet = build_unet(c.model, c.data.size, c.device)

    def network(params: Any) -> Layered:
        return layered(unet, params, eps_fn(unet, params))

    return _program(c, network, (params, variables), mesh=mesh)


def _program(c: DDADSettings, network: Callable[[Any], Any], weights: Any, **how: Any) -> PairProgram:
    backbone = build_backbone(c.backbone)
    return PairProgram(
        lambda weights: (network(weights[0]), feature_fn(backbone, weights[1])),
        jax.tree.map(jnp.asarray, weights),
        alpha_bar=alpha_bar(),
        feature_size=c.backbone.feature_size,
        clip=c.sample.clip,
        draw=drawn_noise(c.model, c.data.size),
        **how,
    )


class Taught(NamedTuple):
    """A student in the place of the noise predictor, and what its rows say of it."""

    program: PairProgram
    made_with: dict[str, Any]


def student_of(
    c: DDADSettings, params: Any, variables: Variables, mesh: Mesh | None = None, *, made_with: dict[str, Any]
) -> Taught:
    """``program_of`` a student; made_with: what tells it from others (``student.Distilled``)."""
    apply = student_apply(build_student(c.model, c.data.size, c.device))
    how: Any = {"mesh": mesh, "reconstruct": reconstruct_by_student}
    program = _program(c, lambda params: functools.partial(apply, params), (params, variables), **how)
    return Taught(program, made_with)


def reconstructed(
    program: PairProgram, student: Taught | None, images: np.ndarray, points: Sequence[ReconPoint], **how: Any
) -> Iterator[tuple[ReconPoint, Distances]]:
    """``sweep_distances``, each point by the model that it names; every process takes all."""
    programs = {"teacher": program, **({"student": student.program} if student else {})}
    for model, own in itertools.groupby(points, key=lambda point: point.model):
        yield from sweep_distances(programs[model], images, list(own), timer=time.perf_counter, **how)
