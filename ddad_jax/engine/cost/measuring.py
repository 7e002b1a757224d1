"""One point timed here: a chunk through the networks, with random weights, and the scoring of maps on this host."""

import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.backbones import feature_fn
from ddad_jax.data import ImageSet
from ddad_jax.data.batches import image_seed
from ddad_jax.engine.cost.costs import UPDATE, MeasuredCosts, device_kind, shapes_of
from ddad_jax.engine.cost.memory import MemoryUse, of_compiled
from ddad_jax.engine.cost.planning import PictureCounts
from ddad_jax.engine.cost.timing import time_in_turns, timed
from ddad_jax.engine.cost.untrained import time_train
from ddad_jax.engine.cost.work import Costs
from ddad_jax.engine.data.splits import Data
from ddad_jax.engine.data.view import view_of
from ddad_jax.engine.methods import method
from ddad_jax.engine.methods.backbone import build_backbone
from ddad_jax.engine.methods.ddad import evidence
from ddad_jax.engine.methods.ddad.maps import mapped
from ddad_jax.engine.methods.ddad.networks import build_unet, init_params
from ddad_jax.engine.methods.ddad.points import config_point
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.methods.ddad.settings import adaptation_grid
from ddad_jax.engine.methods.scored import judged_maps
from ddad_jax.engine.sweep.judge import metrics_of, truth_of
from ddad_jax.image import resize
from ddad_jax.pair_program import PairProgram, pair_input, way_of
from ddad_jax.points import ReconPoint, ScorePoint, time_grid
from ddad_jax.reuse import reusing
from ddad_jax.sweep import Distances, sweep_distances
from ddad_jax.weights import random_backbone

PIXELS = 2**25
"""Maps of at most so many pixels are scored to measure what scoring takes."""


class OnePoint(NamedTuple):
    """The program of the config's point with random weights, compiled for ``images``, a chunk of them uint8
    [p, h, w, 3]. seconds: that took. memory: as XLA says; None where it does not."""

    program: PairProgram
    point: ReconPoint
    images: np.ndarray
    seconds: float
    memory: MemoryUse | None


def compiled_here(c: DDADSettings, devices: int) -> OnePoint:
    """For the default device, and as many pairs as one of ``devices`` would be given."""
    point, pairs, size = timed_point(c), -(-c.sample.batch_size // devices), c.data.size
    variables = jax.tree.map(jnp.asarray, random_backbone(c.backbone.name, jax.random.key(0)))
    program = evidence.program_of(c, init_params(build_unet(c.model, c.data.size), 0), variables)
    images = np.random.default_rng(0).integers(0, 256, (pairs, size, size, 3), np.uint8)
    seeds = np.array([image_seed(image) for image in images], np.uint32)
    placed = program.place(pair_input([point] * pairs, [time_grid(point)] * pairs, images, seeds))
    started = time.perf_counter()
    compiled: Any = program.compiled(placed, **way_of(point))
    spent = time.perf_counter() - started
    return OnePoint(program, point, images, spent, of_compiled(compiled.func, program.weights, pairs))


def measure(c: DDADSettings, devices: int, *, reuse: bool, train: bool, repeats: int = 5) -> MeasuredCosts:
    """``compiled_here``, timed.

    The whole program as a sweep runs it, from pictures on the host to distances there, takes turns with a U-Net call
    and a pass of the feature network alone.

    Args:
      reuse: also time a call with deep layers reused. train: also an update of the noise predictor.
    """
    program, point, images, compile_s, memory = compiled_here(c, devices)
    pairs, side = len(images), c.backbone.feature_size or c.data.size

    def whole() -> None:
        for _ in sweep_distances(program, images, [point], chunk=pairs, keep_x0=True, timer=time.perf_counter):
            pass

    x, t = jnp.zeros(images.shape), jnp.full(pairs, point.t_prime)
    call = jax.jit(lambda weights, x, t: reusing(program.networks(weights)[0], 1)(x, t))
    extract = jax.jit(lambda weights, x: program.networks(weights)[1](resize(x, side)))
    runs = [whole, lambda: call(program.weights, x, t), lambda: extract(program.weights, x)]
    if reuse:
        network: Any = lambda weights: program.networks(weights)[0]  # noqa: E731
        deep = jax.jit(lambda weights, x, t: network(weights).whole(x, t)[1])(program.weights, x, t)
        shallow = jax.jit(lambda weights, x, t, deep: network(weights).shallow(x, t, deep))
        runs.append(lambda: shallow(program.weights, x, t, deep))
    image, unet, feature, *rest = (timed(own).median / pairs for own in time_in_turns(runs, repeats))
    estimated = {"feature_update"}
    update = UPDATE * unet
    if train and update * c.train.batch_size < 10.0:
        update = 1e-3 * time_train(c.model, c.train, c.data.size, 3)["ms_per_step"] / c.train.batch_size
    else:
        estimated.add("update")
    costs = Costs(
        unet, rest[0] if rest else unet, image - point.calls * unet, feature, update, UPDATE * feature, compile_s,
        estimated=frozenset(estimated),
    )  # fmt: skip
    return MeasuredCosts(costs, device_kind(), f"measured here, {pairs} pairs at a time, random weights", memory)


def timed_point(c: DDADSettings) -> ReconPoint:
    """The config's point by the noise predictor itself, with one T' for all and every layer at each step; an optimised
    grid takes as long as the trailing one, a student's call about as long as its teacher's."""
    point = config_point(c)[0]
    return point._replace(model="teacher", rise=0.0, reuse=1, mask_before=False, grid=adaptation_grid(point.grid))


def scoring(c: DDADSettings, data: Data | None, have: PictureCounts, points: list[ScorePoint]) -> dict[str, Any]:
    """Seconds on this host of a row, {"row", "side"}: of random maps of the set's size, or of a part of a large set
    and in proportion. side: preparing layers and blur for the rows that share them."""
    first, side = points[0], c.data.size
    n = have.calibration + have.synthetic + have.test
    truth_data, part = data, 1.0
    if data is None or n * have.tiles * side**2 > PIXELS:
        few = max(min(n, PIXELS // (have.tiles * side**2)), 4)
        share = few / n
        shrunk = have._replace(
            calibration=max(int(have.calibration * share), 1), test=max(int(have.test * share), 2), synthetic=0
        )
        truth_data, part = _blank(c, shrunk), n / (shrunk.calibration + shrunk.test)
    assert truth_data is not None
    truth = truth_of(c, truth_data)
    pictures = sum(len(s.labels) for s in truth_data.sets) * truth.view.tiles
    backbone, rng = build_backbone(c.backbone), np.random.default_rng(0)
    image = jax.ShapeDtypeStruct((1, *(2 * [c.backbone.feature_size or side]), 3), jnp.float32)
    layers = jax.eval_shape(lambda v, x: feature_fn(backbone, v)(x), shapes_of(backbone), image)
    maps = {name: rng.random((pictures, *layer.shape[1:3]), np.float32) for name, layer in layers.items()}
    distances = Distances(None, rng.random((pictures, side, side), np.float32), maps, np.zeros(pictures))

    counted = method.MeasuredPictures(distances.pixel, truth.n_scale, truth.first_test, tiling=truth.view.tiling)

    def judge(*points: ScorePoint) -> Any:
        def judged() -> list[dict[str, float]]:
            every = (
                judged_maps(one, truth.n_scale, truth.own, truth.view.watched, c.score.crop)
                for one in mapped(c.score, distances, points, counted)
            )
            return [metrics_of(c, truth, found) for found in every]

        return judged

    one, two = (
        timed(own).median for own in time_in_turns([judge(first), judge(first, first._replace(v=first.v + 1))], 3)
    )
    row = max(two - one, 0.0)
    return {"row": part * row, "side": part * max(one - row, 0.0)}


def _blank(c: DDADSettings, have: PictureCounts) -> Data:
    """Grey pictures, half of those to test with a square defect, in the numbers of ``have``."""
    view = view_of(c)
    shape = view.tiling.picture if view.tiling else (c.data.size, c.data.size)

    def pictures(n: int, bad: int) -> ImageSet:
        labels, masks = (np.arange(n) < bad).astype(np.int32), np.zeros((n, *shape), bool)
        masks[:bad, shape[0] // 3 : shape[0] // 2, shape[1] // 3 : shape[1] // 2] = True
        grey = np.broadcast_to(np.uint8(128), (n, *shape, 3))
        kinds = tuple("bad" if label else "good" for label in labels)
        return ImageSet(grey, labels, masks, np.ones(n, bool), kinds, tuple(f"{i}.png" for i in range(n)))

    normal = pictures(have.calibration, 0)
    return Data("", normal, normal, normal, pictures(have.test, have.test // 2), normal, 1, 1, None, view)
