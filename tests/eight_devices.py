"""What ``test_mesh.py`` asks of a process with eight devices: ``python eight_devices.py FOLDER`` prints JSON."""

import contextlib
import itertools
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import small_sweep
import tiny_runs

from ddad_jax.backbones import feature_fn
from ddad_jax.detector import Calibration, Detector
from ddad_jax.engine import pipeline
from ddad_jax.engine.data.splits import load_data
from ddad_jax.engine.methods import training_pictures
from ddad_jax.engine.methods.ddad import lessons, noise_predictor
from ddad_jax.engine.methods.ddad import student as ddad_student
from ddad_jax.engine.methods.ddad.networks import build_unet, eps_fn, init_params
from ddad_jax.engine.methods.table import METHODS
from ddad_jax.engine.store.tables import read_jsonl
from ddad_jax.engine.sweep.rows import measured_pictures
from ddad_jax.errors import InputError
from ddad_jax.mesh import copied, device_mesh, own_rows, rounded_up, shard_rows
from ddad_jax.pair_program import PairProgram, pair_input
from ddad_jax.points import ScorePoint, recon_grid, time_grid
from ddad_jax.score import Spread
from ddad_jax.sweep import Distances, sweep_distances

jax.config.update("jax_numpy_rank_promotion", "raise")
COLLECTIVES = re.compile(r"all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter")
mesh = device_mesh()
compiled: list[str] = []
jax.monitoring.register_event_duration_secs_listener(
    lambda name, seconds, **_: compiled.append(name) if "backend_compile" in name else None
)


def counted(work: Callable[[], Any]) -> tuple[Any, int]:
    """(what ``work`` gives, how many programs were compiled meanwhile)."""
    before = len(compiled)
    return work(), len(compiled) - before


def furthest(left: Any, right: Any) -> float:
    apart = jax.tree.map(lambda a, b: float(np.abs(np.asarray(a, np.float64) - np.asarray(b)).max()), left, right)
    return max(jax.tree.leaves(apart))


def scaled_eps(weights: Any) -> Any:
    return lambda x_t, t: weights["gain"] * small_sweep.eps_fn(x_t, t)


def program_on(mesh: Any) -> PairProgram:
    return PairProgram(
        lambda weights: (scaled_eps(weights), small_sweep.features),
        {"gain": jnp.float32(0.9)},
        alpha_bar=small_sweep.ALPHA_BAR,
        mesh=mesh,
    )


def swept(program: PairProgram, chunk: int) -> dict[Any, Distances]:
    """Every point of the grid on 5 pictures; the clock of a sweep ticks once a look."""
    clock = itertools.count().__next__
    return dict(
        sweep_distances(program, small_sweep.pictures(), small_sweep.GRID, chunk=chunk, keep_x0=True, timer=clock)
    )


def apart(left: dict[Any, Distances], right: dict[Any, Distances]) -> dict[str, float]:
    """The furthest that distances, and reconstructions (kept in float16), are from each other."""
    assert list(left) == list(right)
    pairs = [(left[point], right[point]) for point in left]
    return {
        "distances": max(furthest((a.pixel, a.features), (b.pixel, b.features)) for a, b in pairs),
        "x0": max(furthest(a.x0, b.x0) for a, b in pairs),
    }


def sweep() -> dict[str, Any]:
    alone = swept(program_on(None), 7)
    program = program_on(mesh)
    cut, compilations = counted(lambda: swept(program, 9))
    few, more = counted(lambda: swept(program, 11))
    padded = swept(program_on(mesh), 3)
    return {
        "apart": apart(alone, cut),
        "padded_apart": apart(alone, padded),
        "again_apart": apart(cut, few),
        "compiled": [compilations, program.compilations, more],
    }


def placed() -> dict[str, Any]:
    """Where a chunk of a real U-Net and its results lie, and what its devices say to each other."""
    c = tiny_runs.config(Path(), data__size=8, model__base=8, model__attention_sizes=(8,), backbone__feature_size=32)
    unet, features = build_unet(c.model, c.data.size), feature_fn(tiny_runs.BACKBONE, tiny_runs.variables())
    program = PairProgram(
        lambda weights: (eps_fn(unet, weights), features),
        init_params(unet, 0),
        alpha_bar=small_sweep.ALPHA_BAR,
        feature_size=32,
        mesh=mesh,
    )
    (point,) = recon_grid(w=(3.0,), t_prime=(250,), steps=(2,), eta=(1.0,), grid=("trailing",), seed=(0,))
    images = small_sweep.pictures(16)[:, :8, :8]
    given = pair_input([point] * 16, [time_grid(point)] * 16, images, np.arange(16, dtype=np.uint32))
    pairs = program.place(given)
    run: Any = program.compiled(pairs)
    x0, pixel, layers = run(pairs)
    weights = jax.tree.leaves(program.weights)
    return {
        "back": all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(pairs), jax.tree.leaves(given), strict=True)),
        "rows_in": [shard.data.shape[0] for shard in pairs.images.addressable_shards],
        "times_in": [shard.data.shape for shard in pairs.grid.t.addressable_shards],
        "rows_out": [[s.data.shape[0] for s in a.addressable_shards] for a in (x0, pixel, layers["layer2"])],
        "weights": all(len(w.sharding.device_set) == 8 and w.is_fully_replicated for w in weights),
        "talk": COLLECTIVES.findall(run.func.as_text()),
        "talk_of_a_mean": COLLECTIVES.findall(jax.jit(jnp.mean).lower(x0).compile().as_text())[:1],
    }


def detected() -> dict[str, Any]:
    """A detector on one device and on eight: how far apart, where its rows lie, what is said of a batch of 12."""
    score = ScorePoint(2.0, ("layer2", "layer3"), 0.9, standardise=True)
    side = small_sweep.SIZE
    constants = Calibration(0.4, Spread(np.zeros((side, side)), np.full((side, side), 2.0)))
    alone, cut = (Detector(program_on(on), small_sweep.GRID[-1], score, constants) for on in (None, mesh))
    images = small_sweep.pictures(16)
    found = cut(images)
    refusal = ""
    try:
        cut(images[:12])
    except InputError as error:
        refusal = str(error)
    talk = COLLECTIVES.findall(cut.lowered(cut.place(images)).compile().as_text())
    rows = [[shard.data.shape[0] for shard in a.addressable_shards] for a in found]
    return {"apart": furthest(alone(images), found), "rows_out": rows, "refusal": refusal, "talk": talk}


LOSSES = ("loss", "mse", "grad_norm", "validation_loss")


FAST = {"train__learning_rate": 0.03}


STUDENT: dict[str, Any] = {
    "student__steps": 5, "student__teacher_steps": 4, "student__defects": 5, "student__reuse": 1,
    "student__warmup_steps": 0, "student__log_every": 2, "student__validate_every": 4, "student__checkpoint_every": 2,
}  # fmt: skip


class Killed(BaseException):
    """In the place of kill -9."""


def on_one_and_all(run: Callable[..., Any], begin: Any, figures: Sequence[str]) -> dict[str, Any]:
    """How far a learning on all devices is from that on one.

    Args:
      run: (name, mesh, until=step it is killed at, size=of a batch) -> parameters and history. begin: the parameters
        before it. figures: of the history.
    """
    (alone, rows), (cut, rows_cut) = run("alone", None), run("cut", mesh)
    with contextlib.suppress(Killed):
        run("resumed", None, until=3)
    resumed, _ = run("resumed", mesh)
    refusal = ""
    try:
        run("refused", mesh, size=12)
    except InputError as error:
        refusal = str(error)
    return {
        "moved": furthest(begin, alone),
        "apart": furthest(alone, cut),
        "resumed_apart": furthest(alone, resumed),
        "steps": [[row["step"] for row in history] for history in (rows, rows_cut)],
        "figures_apart": max(abs(a[k] - b[k]) for a, b in zip(rows, rows_cut, strict=True) for k in figures if k in a),
        "refusal": refusal,
    }


def train(folder: Path) -> dict[str, Any]:
    root = tiny_runs.folder(folder, n_train=24)
    tiny_runs.small_predictor()
    of_step = training_pictures.batch_indices

    def run(name: str, mesh: Any, *, until: int = 99, size: int = 8) -> tuple[Any, list[dict[str, Any]]]:
        """Parameters and history of a training on ``mesh``, killed at the step ``until``."""

        def batch_indices(step: int, *how: Any) -> np.ndarray:
            if step == until:
                raise Killed
            return of_step(step, *how)

        noise_predictor.device_mesh = lambda: mesh
        training_pictures.batch_indices = batch_indices  # type: ignore[assignment]
        c = tiny_runs.config(root, train__batch_size=size, data__flips="hv", train__steps=5, **FAST)
        params = noise_predictor.trained(c, folder / name, load_data(c))
        return params, read_jsonl(folder / name / "train.jsonl")

    return on_one_and_all(run, tiny_runs.init_params(None, 0), LOSSES)


def distil(folder: Path) -> dict[str, Any]:
    """A student of the small predictor, taught on one device, on all, and on one and then on all."""
    root, teacher = tiny_runs.folder(folder, n_train=24), tiny_runs.init_params(None, 0)
    tiny_runs.small_predictor()
    of_number = lessons.questions

    def run(name: str, mesh: Any, *, until: int = 99, size: int = 8) -> tuple[Any, list[dict[str, Any]]]:
        """Parameters and history of a distillation on ``mesh``, killed at the lesson ``until``."""

        def questions(s: Any, seed: int, images: Any, defects: Any, number: int) -> Any:
            if number == until:
                raise Killed
            return of_number(s, seed, images, defects, number)

        ddad_student.device_mesh, lessons.questions = (lambda: mesh), questions
        c = tiny_runs.config(root, student__batch_size=size, **STUDENT)
        student = ddad_student.distilled(c, folder / name, load_data(c), teacher)
        return student.params, read_jsonl(folder / name / "distil.jsonl")

    figures = ("loss", "grad_norm", "rmse_1", "rmse_2", "validation_rmse_1", "validation_rmse_2", "teacher_one_call")
    return on_one_and_all(run, tiny_runs.init_student(None, teacher, jax.random.key(0)), figures)


def refused(folder: Path) -> str:
    """A whole run of one setting on 6 pictures."""
    c = tiny_runs.config(tiny_runs.folder(folder / "few"), data__calibration=1)
    try:
        pipeline.run_all(c, folder / "w", sweep=False)
    except InputError as error:
        return f"{error} {(folder / 'w').exists()}"
    return ""


def remembered(folder: Path) -> dict[str, float]:
    """Method -> how far its maps on all devices are from those on one; a memory made on all is that made on one."""
    tiny_runs.small_backbone()
    root, found = tiny_runs.folder(folder / "data"), {}
    drawn: dict[str, Any] = {"feature_ddad": {"feature_ddad__start_noise": 1.0}}
    for name in ("patchcore", "padim", "feature_ddad"):
        c = tiny_runs.config(root, name, **drawn.get(name, {}))
        data, method, maps = load_data(c), METHODS[name], []
        for devices, workdir in ((mesh, folder / "all"), (None, folder / "one")):
            point, pictures = method.point(c), measured_pictures(data)
            fitted = method.restored(c, workdir, devices).ready([point.costly], data)
            (measured,) = fitted.measure(pictures, [point.costly])
            (one,) = fitted.maps(measured.evidence, [point.cheap], pictures)
            maps.append(one.maps)
        found[name] = furthest(*maps) / float(maps[1].max())
    return found


def rows() -> dict[str, Any]:
    tree = {"a": np.arange(48.0, dtype=np.float32).reshape(16, 3), "b": np.arange(16, dtype=np.int32)}
    everywhere, cut = copied(tree, mesh), shard_rows(tree, mesh)
    one = copied(np.float32(3.0), mesh)
    return {
        "rounded": [rounded_up(n, mesh) for n in (1, 8, 9, 16)],
        "own": [own_rows(16, mesh).start, own_rows(16, mesh).stop],
        "copied": [s.data.shape[0] for s in everywhere["a"].addressable_shards],
        "cut": [s.data.shape[0] for s in cut["a"].addressable_shards],
        "same": furthest(tree, everywhere) == furthest(tree, cut) == 0 and float(one) == 3.0,
    }


if __name__ == "__main__":
    base = Path(sys.argv[1])
    jax.config.update("jax_compilation_cache_dir", str(base / "compiled"))
    measured = {"devices": jax.device_count(), "rows": rows(), "sweep": sweep(), "placed": placed()}
    measured |= {"detected": detected(), "train": train(base / "train"), "distil": distil(base / "distil")}
    print(json.dumps({**measured, "refused": refused(base), "remembered": remembered(base / "remembered")}))
