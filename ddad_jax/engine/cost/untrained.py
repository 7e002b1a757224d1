"""The detector and a training step of a config with random weights, for timings: time does not depend on them."""

import functools
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.detector import Calibration, Detector
from ddad_jax.engine.cost.macs import of_detector
from ddad_jax.engine.cost.timing import peak_memory, program_memory, time_in_turns, timed
from ddad_jax.engine.methods.ddad import evidence
from ddad_jax.engine.methods.ddad.grids import load_entries
from ddad_jax.engine.methods.ddad.networks import alpha_bar, build_student, build_unet, init_params, train_apply
from ddad_jax.engine.methods.ddad.points import ddad_plan
from ddad_jax.engine.methods.ddad.sections import DDADSettings, ModelSettings, TrainSettings
from ddad_jax.errors import InputError
from ddad_jax.optimised_grid import grid_of
from ddad_jax.pair_program import PairProgram
from ddad_jax.points import OPTIMISED, GridKey, ReconPoint, grid_key, time_grid
from ddad_jax.score import Spread
from ddad_jax.student import init_student
from ddad_jax.timesteps import TimeGrid
from ddad_jax.train import init_state, optimiser, train_step
from ddad_jax.types import Image
from ddad_jax.unet import UNet
from ddad_jax.weights import random_backbone


class Untrained(NamedTuple):
    """detector: of the config's point, compiled for ``images``, uint8 [b, h, w, 3]. known: what a row says of it.
    macs: type -> multiply-adds of one call on them."""

    detector: Detector
    images: np.ndarray
    known: dict[str, Any]
    macs: Counter[str]

    def detect(self) -> tuple[np.ndarray, np.ndarray]:
        """From pictures on the host to maps and scores there."""
        found = self.detector(self.images)
        return np.asarray(found.maps), np.asarray(found.scores)

    def at_peak(self, peaks: Mapping[str, float]) -> float:
        """Seconds of one call whose multiply-adds all ran at the rate of their type, multiply-adds a second; over the
        measured seconds it is the share of the peak."""
        return sum(count / peaks[dtype] for dtype, count in self.macs.items())


def untrained(c: DDADSettings, batch: int, workdir: Path) -> Untrained:
    """The whole detector of ``c`` for ``batch`` noisy pictures.

    Raises:
      InputError: a point whose start time is found for each picture.
    """
    todo = ddad_plan(c, sweep=False)
    (wanted, *_), (score, *_) = todo.costly, todo.cheap
    if wanted.rise:
        raise InputError(
            f"--config.sample.rise={wanted.rise}: expected 0. A later start takes no longer, and the first pass that "
            "finds it is a detector of one step: time it with --config.sample.steps=1"
        )
    point, grids, said = _visited(wanted, workdir)
    params = random_params(build_unet(c.model, c.data.size))
    images = np.random.default_rng(0).integers(0, 256, (batch, c.data.size, c.data.size, 3), np.uint8)
    spread = Spread(*(np.full(images.shape[1:3], value) for value in (0.0, 1.0))) if score.standardise else None
    program = random_program(c, params)
    detector = Detector(program, point, score, Calibration(1.0, spread), crop=c.score.crop, optimised=grids)
    pairs = detector.place(images)
    started = time.perf_counter()
    detector.compiled(pairs)
    compile_s, macs = time.perf_counter() - started, of_detector(detector, pairs)
    network, extractor = program.weights
    known = {
        "what": f"detector, {c.data.size} px, base {c.model.base}, {c.backbone.name}",
        "batch": batch,
        "dtype": c.model.dtype,
        "backbone_dtype": c.backbone.dtype,
        "model": point.model,
        "solver": point.solver,
        "grid": said,
        "times": "-".join(map(str, time_grid(point, grids).t.tolist())),
        "unet_calls": point.calls,
        "compile_s": compile_s,
        "parameters": parameters(network),
        "backbone_parameters": parameters(extractor["params"]),
        "gmac_per_image": macs.total() / batch / 1e9,
    }
    return Untrained(detector, images, known, macs)


def parameters(weights: Any) -> int:
    """Numbers in a tree of arrays."""
    return sum(int(np.size(leaf)) for leaf in jax.tree.leaves(weights))


def random_params(unet: UNet) -> Any:
    """Parameters of which none is zero, as those of some layers are at their begin: in products with zeros a device
    spends less power, and is quicker than it would be."""
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda a: jnp.asarray(a + 0.02 * rng.standard_normal(a.shape, np.float32), jnp.float32), init_params(unet, 0)
    )


def random_pictures(batch: int, size: int) -> Image:
    """[batch, size, size, 3] in [-1, 1], on the device; for the same reason no zeros."""
    return jax.random.uniform(jax.random.key(1), (batch, size, size, 3), minval=-1.0, maxval=1.0)


def random_program(c: DDADSettings, params: Any) -> PairProgram:
    """The networks of ``c`` with ``params`` of the noise predictor and random weights of everything else."""
    extractor = jax.tree.map(jnp.asarray, random_backbone(c.backbone.name, jax.random.key(0)))
    if c.sample.model == "student":
        student = init_student(build_student(c.model, c.data.size), params, jax.random.key(0))
        return evidence.student_of(c, student, extractor, made_with={}).program
    return evidence.program_of(c, params, extractor)


def training_update(m: ModelSettings, s: TrainSettings, size: int) -> tuple[Callable[[], Any], Any]:
    """(an update of the noise predictor with data already on the device, its compiled program)."""
    unet = build_unet(m, size)
    tx = optimiser(learning_rate=s.learning_rate, clip_norm=s.clip_norm)
    state = init_state(random_params(unet), tx)
    x, key = random_pictures(s.batch_size, size), jax.random.key(0)
    apply, table = train_apply(unet), alpha_bar()
    step = jax.jit(functools.partial(train_step, apply=apply, tx=tx, alpha_bar=table, min_snr=s.min_snr))
    run = step.lower(state, x, key).compile()
    return lambda: run(state, x, key), run


def time_train(m: ModelSettings, s: TrainSettings, size: int, repeats: int) -> dict[str, Any]:
    """One update of the noise predictor, data already on the device; compile_s: with drawing its parameters."""
    started = time.perf_counter()
    update, program = training_update(m, s, size)
    compile_s = time.perf_counter() - started
    (seconds,) = time_in_turns([update], repeats)
    spent = timed(seconds)
    return {
        "what": f"training step, {size} px, base {m.base}",
        "batch": s.batch_size,
        "dtype": m.dtype,
        "ms_per_step": 1e3 * spent.median,
        "images_per_s": s.batch_size / spent.median,
        "compile_s": compile_s,
        **program_memory(program),
        **peak_memory(),
    }


def _visited(point: ReconPoint, workdir: Path) -> tuple[ReconPoint, Mapping[GridKey, TimeGrid] | None, str]:
    """The point, the grids it needs, and what a row says of its grid. An optimised grid is the last that the workdir's
    grids.json has for the point's T', steps and solver; where there is none, the trailing one takes as long."""
    if point.grid != OPTIMISED:
        return point, None, point.grid
    key, path = grid_key(point), workdir / "grids.json"
    found = [e["times"] for e in load_entries(path) if all(e[name] == value for name, value in key._asdict().items())]
    if not found:
        return point._replace(grid="trailing"), None, "trailing (for optimised, as fast)"
    return point, {key: grid_of(found[-1])}, OPTIMISED
