"""What a student is asked while it learns: pictures, targets, w, T' and noise, and the teacher's answers to them.

Deviation: DDAD learns from normal pictures alone. A student that saw only these could learn to give back its target
y, which is nearly right on them and blind to defects. So a share of every batch shows synthetic defects, painted on
training pictures; no label comes with them, what the teacher makes of them is the target. The kinds are those that
``select = "synthetic"`` paints on held-out pictures, so a student is at home there and that choice may favour it.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ddad_jax.data import to_float
from ddad_jax.data.batches import batch_indices, image_seed, padded_batches
from ddad_jax.data.split import spread
from ddad_jax.distil import Lesson, distillation_lesson, squared_errors
from ddad_jax.engine.data.splits import Data, painted
from ddad_jax.engine.methods.ddad.networks import alpha_bar, eps_fn
from ddad_jax.engine.methods.ddad.sections import StudentSettings
from ddad_jax.mesh import copied, everywhere, over_rows, own_rows, rounded_up, shard_rows
from ddad_jax.solvers import SOLVERS
from ddad_jax.timesteps import GRIDS, TimeGrid
from ddad_jax.types import Array, NoiseDraw
from ddad_jax.unet import UNet

SEED = 11
"""Added to the run's seed, so that a student's draws are not those of training, adaptation or selection."""


class Questions(NamedTuple):
    """x, y: uint8 [b, h, w, 3]. w: float32 [b]. t_prime: int [b]. *host*."""

    x: np.ndarray
    y: np.ndarray
    w: np.ndarray
    t_prime: np.ndarray


def with_synthetic_defects(images: np.ndarray, about: int, seed: int) -> np.ndarray:
    """About so many synthetic defects, painted on pictures spread evenly over ``images``; uint8 [m, h, w, 3]."""
    return painted(images[spread(len(images), about)], about, seed).images


def questions(s: StudentSettings, seed: int, images: np.ndarray, defects: np.ndarray, number: int) -> Questions:
    """Batch ``number`` (from 0), a function of it and the seed alone.

    Args:
      images: normal pictures, uint8 [n, h, w, 3]; defects: damaged ones [m, h, w, 3].
    """
    rng = np.random.default_rng([seed + SEED, number])
    x = images[batch_indices(number, len(images), s.batch_size, seed + SEED)]
    hurt = rng.random(s.batch_size) < s.damaged
    x[hurt] = defects[rng.integers(len(defects), size=int(hurt.sum()))]
    other = rng.random(s.batch_size) < s.paired
    y = np.where(other[:, None, None, None], np.roll(x, 1, axis=0), x)
    w = rng.uniform(s.w[0], s.w[1], s.batch_size).astype(np.float32)
    return Questions(x, y, w, rng.integers(s.t_prime[0], s.t_prime[1] + 1, s.batch_size))


def lesson_number(step: int, reuse: int) -> int:
    """Which batch an update learns from: ``reuse`` batches take turns until each has served ``reuse`` updates.

    The teacher's calls cost more than the update, and a batch that comes back after others teaches nearly as much as
    a new one.
    """
    return step // reuse**2 * reuse + step % reuse


def steering(s: StudentSettings) -> dict[str, Any]:
    """Keywords of ``distil.answers``."""
    return {"alpha_bar": alpha_bar(), "fade": s.fade, "blend_max": s.blend_max or math.inf}


Teacher = Callable[[Questions, Array], Lesson]
"""(questions, keys of the noise [b]) -> the lesson."""


def teacher_fn(
    unet: UNet, s: StudentSettings, params: Any, mesh: Mesh | None = None, draw: NoiseDraw = jax.random.normal
) -> Teacher:
    """params: of the noise predictor, draw: its noise. The lesson's rows are cut over the devices of ``mesh``, which
    divide b."""

    def answered(params: Any, x: Array, y: Array, w: Array, seeds: Array, grid: TimeGrid, fine: TimeGrid) -> Lesson:
        keys = jax.random.wrap_key_data(seeds)
        noise = jax.vmap(lambda key: draw(key, x.shape[1:]))(keys)
        how: Any = {"solver": SOLVERS[s.teacher_solver], "start_noise": s.start_noise, **steering(s)}
        return distillation_lesson(
            eps_fn(unet, params), to_float(x), to_float(y), noise, w=w, grid=grid, fine=fine, **how
        )

    answer = jax.jit(answered, out_shardings=_cut(mesh) if mesh else None)

    def lesson(asked: Questions, keys: Array) -> Lesson:
        own = own_rows(len(asked.x), mesh)
        x, y, w, t_prime = (rows[own] for rows in asked)
        rows = shard_rows((x, y, w, np.asarray(jax.random.key_data(keys))[own]), mesh)
        grids = (
            _placed(_grids(name, t_prime, steps), mesh)
            for name, steps in ((s.grid, s.calls), (s.teacher_grid, s.teacher_steps))
        )
        return answer(params, *rows, *grids)

    params = copied(params, mesh) if mesh else jax.tree.map(jnp.asarray, params)
    return lesson


def _placed(grid: TimeGrid, mesh: Mesh | None) -> TimeGrid:
    start, (t, s) = shard_rows(grid.start, mesh), shard_rows((grid.t, grid.s), mesh, axis=1)
    return TimeGrid(start, t, s)


def _cut(mesh: Mesh) -> Lesson:
    """How a lesson lies on the devices."""
    rows, times = over_rows(mesh), over_rows(mesh, axis=1, ndim=2)
    return Lesson(x_start=rows, y=rows, w=rows, grid=TimeGrid(rows, times, times), x0=rows, gap=rows)  # type: ignore[arg-type]


def lessons(s: StudentSettings, seed: int, data: Data, teacher: Teacher) -> Callable[[int], Lesson]:
    """step -> its lesson. The last ``reuse`` of them are kept, no more are in memory."""
    defects = with_synthetic_defects(data.fit.images, s.defects, seed + SEED)
    run_key, reuse = jax.random.key(seed + SEED), s.reuse
    kept: dict[int, Lesson] = {}

    def at(step: int) -> Lesson:
        number = lesson_number(step, reuse)
        if number not in kept:
            for old in [k for k in kept if k // reuse != number // reuse]:
                del kept[old]
            keys = jax.random.split(jax.random.fold_in(run_key, number), s.batch_size)
            kept[number] = teacher(questions(s, seed, data.fit.images, defects, number), keys)
        return kept[number]

    return at


def examination(
    s: StudentSettings, seed: int, data: Data, teacher: Teacher, apply: Any, mesh: Mesh | None = None
) -> Callable[[Any], dict[str, float]]:
    """params -> root mean squared distance to the teacher after each call, in units of [-1, 1], and for comparison
    that of the teacher's own one-call answer.

    On held-out normal pictures and synthetic defects painted on them, each with its own fixed w, T' and noise, and
    with itself for target, as when it is tested.
    """
    normal = data.validation.images
    x = np.concatenate([normal, with_synthetic_defects(normal, len(normal), seed + SEED)])
    rng = np.random.default_rng(seed + SEED)
    low, high = s.t_prime
    w = rng.uniform(s.w[0], s.w[1], len(x)).astype(np.float32)
    asked = Questions(x, x, w, rng.integers(low, high + 1, len(x)))
    keys = jax.vmap(jax.random.key)(jnp.asarray([image_seed(image) for image in x], jnp.uint32))
    batches = [
        (teacher(jax.tree.map(lambda rows, at=at: rows[at], asked), keys[at]), valid)
        for at, valid in padded_batches(len(x), rounded_up(min(s.batch_size, len(x)), mesh))
    ]

    def errors_of(params: Any, lesson: Lesson) -> tuple[Array, Array]:
        return squared_errors(functools.partial(apply, params), lesson, **steering(s)), lesson.gap

    # Of several processes each reads all of them.
    errors = jax.jit(errors_of, out_shardings=everywhere(mesh) if mesh else None)

    def rmse(squared: list[np.ndarray]) -> float:
        return float(np.sqrt(np.concatenate(squared).mean()))

    def examine(params: Any) -> dict[str, float]:
        computed = [(*map(np.asarray, errors(params, lesson)), valid) for lesson, valid in batches]
        calls = {
            f"validation_rmse_{k + 1}": rmse([student[k, valid] for student, _, valid in computed])
            for k in range(s.calls)
        }
        return {**calls, "teacher_one_call": rmse([gap[valid] for _, gap, valid in computed])}

    return examine


def _grids(name: str, t_prime: np.ndarray, steps: int) -> TimeGrid:
    """The grid of each T': start [b], t and s [K, b]."""
    each = [GRIDS[name](int(t), steps) for t in t_prime]
    return TimeGrid(
        np.array([g.start for g in each]), np.stack([g.t for g in each], 1), np.stack([g.s for g in each], 1)
    )
