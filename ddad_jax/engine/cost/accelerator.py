"""What this package reaches on the device at hand, in one run of a few minutes: detectors, trainings, calls, a sweep,
and runs on Magnetic Tiles for as long as time is left.

Weights are random but in that run: time does not depend on them. float32 is what JAX makes of it on the device, on
recent GPUs TF32, and the peak that shares refer to is measured in the same way.
"""

import functools
import math
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp

from ddad_jax.data import DataSet
from ddad_jax.data.cans import cans
from ddad_jax.engine.cost.benchmarks import time_detector, time_sweep, time_unet
from ddad_jax.engine.cost.costs import UPDATE, networks
from ddad_jax.engine.cost.time_limit import Measurement
from ddad_jax.engine.cost.timing import matmul_peak, peak_memory
from ddad_jax.engine.cost.untrained import time_train
from ddad_jax.engine.data.splits import split_data
from ddad_jax.engine.methods.ddad.noise_predictor import trained
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.pipeline import run_all
from ddad_jax.engine.settings.section import changed
from ddad_jax.engine.store.tables import read_jsonl
from ddad_jax.errors import InputError

NETWORKS: dict[str, dict[str, Any]] = {
    "DDAD": {"model.base": 64, "model.heads": 4, "train.batch_size": 32},
    "DDAD-S": {"model.base": 32, "model.heads": 2, "train.batch_size": 32},
}
"""As published, but for DDAD-S's batch of 16; the rest of the network is the config's."""
POINTS: dict[str, dict[str, Any]] = {
    "DDAD-10": {"sample.model": "teacher", "sample.steps": 10, "sample.solver": "ddim", "sample.eta": 1.0},
    "student, one call": {"sample.model": "student", "sample.steps": 1, "sample.solver": "ddim", "sample.eta": 0.0},
}
DTYPES = ("bfloat16", "float32")
MTD_SHARE = 0.55
"""Of the run's time, behind which nothing but the runs on Magnetic Tiles is measured."""
TRAINING_SHARE, ADAPTATION_SHARE = 0.4, 0.1
"""Of the time of a run on Magnetic Tiles; compilations, sweep and report take the rest."""
COLUMNS_OF: dict[str, tuple[str, ...]] = {
    "detector": ("batch", "dtype", "ms_per_image", "p95_ms", "gmac_per_image", "share_of_peak", "compile_s"),
    "training": ("batch", "dtype", "images_per_s", "share_of_peak", "steps", "first_call_s"),
    "calls": ("batch", "dtype", "ms_per_image", "p95_ms", "gmac_per_image", "share_of_peak", "compile_s",
              "program_gib"),
    "sweep": ("batch", "dtype", "points", "reconstructions", "compilations", "sweep_s", "device_s", "idle"),
    "update": ("batch", "dtype", "images_per_s", "busy_in_training", "compile_s", "program_gib"),
    "mtd": ("train_minutes", "train_images_per_s", "train_steps", "points", "image_auroc", "pixel_auroc", "aupro_30",
            "ms_per_image"),
}  # fmt: skip
"""Piece -> what its table shows; the figures of memory come behind."""
MEMORY = ("device_gib_so_far", "host_gib_so_far")


class Sizes(NamedTuple):
    """networks: name -> settings. backbone: of the detectors; the sweep and the runs on Magnetic Tiles have the
    config's. batches: of the calls, the largest first of the detectors, too. steps: of a training that is timed.
    pictures: of the sweep."""

    networks: Mapping[str, Mapping[str, Any]] = NETWORKS
    backbone: str = "wide_resnet101_2"
    batches: Sequence[int] = (32, 8, 1)
    steps: int = 400
    pictures: int = 64
    repeats: int = 10


def accelerator_measurements(
    c: DDADSettings, workdir: Path, sizes: Sizes, pieces: Sequence[str] = tuple(COLUMNS_OF)
) -> list[Measurement]:
    """In order of importance.

    Args:
      c: a config of Magnetic Tiles, without --config.data.root where there are none; of its other settings the sweep
        and that run make use. workdir: of what these runs write. pieces: of COLUMNS_OF, others are not measured.

    Raises:
      InputError: another piece; a --config.data.root that is no folder.
    """
    if strange := [name for name in pieces if name not in COLUMNS_OF]:
        raise InputError(f"--pieces={','.join(strange)}: expected some of {', '.join(COLUMNS_OF)}")
    root = c.data.root if c.data.kind == "mtd" else ""
    if root and not Path(root).expanduser().is_dir():
        raise InputError(f"--config.data.root={root}: is no folder; expected that of Magnetic Tiles, or none")
    rates: dict[tuple[str, str], float] = {}
    named = {name: changed(c, {**settings}) for name, settings in sizes.networks.items()}
    first, last, (cheap, dear) = next(iter(named)), list(named)[-1], DTYPES
    biggest, *smaller = sorted(sizes.batches, reverse=True)
    share = MTD_SHARE if root and "mtd" in pieces else 1.0
    todo: list[Measurement] = []

    def add(piece: str, name: str, row: Callable[..., dict[str, Any]], *args: Any) -> None:
        todo.append(Measurement(name, piece, lambda left: row(left, *args), share))

    def of(name: str, dtype: str, values: Mapping[str, Any] | None = None) -> DDADSettings:
        return changed(named[name], {"model.dtype": dtype, "backbone.dtype": dtype, **(values or {})})

    def called(left: float, name: str, dtype: str, batch: int) -> dict[str, Any]:
        return time_unet(of(name, dtype).model, c.data.size, batch, sizes.repeats)

    def detected(left: float, point: str, dtype: str) -> dict[str, Any]:
        detector = of(first, dtype, {"backbone.name": sizes.backbone, **POINTS[point]})
        return time_detector(detector, None, biggest, sizes.repeats)[0]

    def swept(left: float) -> dict[str, Any]:
        return time_sweep(of(last, cheap, HELD_OUT), can_pictures(c.data.size, sizes.pictures))

    def detectors(dtype: str) -> None:
        for point in POINTS:
            add("detector", f"{point} of {first}, {dtype}, batch {biggest}", detected, point, dtype)

    def calls(dtype: str, batch: int) -> None:
        for name in named:
            add("calls", f"call of {name}, {dtype}, batch {batch}", called, name, dtype, batch)

    def training(name: str) -> None:
        add("training", f"training of {name}", _training, name, of(name, cheap), sizes.steps, rates)

    detectors(cheap)
    training(first)
    calls(cheap, biggest)
    add("sweep", f"sweep of {last}", swept)
    for name in list(named)[1:]:
        training(name)
    calls(dear, biggest)
    detectors(dear)
    for batch in smaller:
        for dtype in DTYPES:
            calls(dtype, batch)
    for name in named:
        add("update", f"update of {name}", _update, name, of(name, cheap), sizes.repeats, rates)
    missing = "" if root else "no Magnetic Tiles: --config.data.root is empty, or the config is of other data"
    for split, until in (("tile", (1.0 + MTD_SHARE) / 2), ("picture", 1.0)):
        row = functools.partial(_magnetic_tiles, c=of(last, cheap), split=split, workdir=workdir / f"mtd_{split}")
        todo.append(Measurement(f"{last} on Magnetic Tiles, split by {split}", "mtd", row, until, missing))
    return [one for one in todo if one.piece in pieces]


def _training(
    left: float, name: str, c: DDADSettings, steps: int, rates: dict[tuple[str, str], float]
) -> dict[str, Any]:
    """Pictures a second in the loop of ``experiments.train``, between two lines of its history: median, the first line
    left out. first_call_s: compilation, first update and first checkpoint. share_of_peak: an update counts as UPDATE
    calls."""
    every = max(1, steps // 10)
    c = changed(c, {
        "train.steps": steps, "train.max_minutes": left / 180, "train.log_every": every,
        "train.validate_every": 10 * steps, "train.checkpoint_every": 10 * steps, "adapt.epochs": 0, **HELD_OUT,
    })  # fmt: skip
    data = split_data(c, can_pictures(c.data.size, max(64, c.train.batch_size)))
    with tempfile.TemporaryDirectory() as folder:
        trained(c, Path(folder), data)
        history = [row for row in read_jsonl(Path(folder) / "train.jsonl") if "images_per_s" in row]
    begin, *rest = history
    between = sorted(row["images_per_s"] for row in rest or history)
    rates[name, c.model.dtype] = rate = between[len(between) // 2]
    macs = UPDATE * networks(c).unet
    peak = matmul_peak(jnp.dtype(c.model.dtype))
    return {
        "batch": c.train.batch_size,
        "dtype": c.model.dtype,
        "images_per_s": rate,
        "steps": history[-1]["step"],
        "first_call_s": begin["step"] * c.train.batch_size / begin["images_per_s"] - begin["seconds"],
        "share_of_peak": macs * rate / peak,
        **peak_memory(),
    }


def _update(
    left: float, name: str, c: DDADSettings, repeats: int, rates: Mapping[tuple[str, str], float]
) -> dict[str, Any]:
    """An update alone, pictures on the device; busy: the share of the loop's time that updates would take, where the
    loop was timed in this run."""
    row = time_train(c.model, c.train, c.data.size, repeats)
    loop = rates.get((name, c.model.dtype))
    return row if loop is None else {**row, "busy_in_training": loop / row["images_per_s"]}


HELD_OUT: dict[str, Any] = {"data.held_out": 0.25, "data.hold_out": "picture", "select": ""}


def can_pictures(size: int, n: int) -> DataSet:
    """Rendered cans, of which a run with HELD_OUT measures ``n`` at every point, a quarter of them normal ones held
    out."""
    quarter = n // 4
    return cans(size, n_train=4 * quarter, n_test_good=n - 3 * quarter, n_defect=quarter)


def _magnetic_tiles(left: float, c: DDADSettings, split: str, workdir: Path) -> dict[str, Any]:
    """Trained, adapted, swept and reported in about the seconds that are left; the figures of the selected point."""
    c = changed(c, {
        "data.split": split, "data.hold_out": "picture" if split == "picture" else "recording",
        "train.steps": 10**6, "train.max_minutes": TRAINING_SHARE * left / 60,
        "adapt.max_minutes": ADAPTATION_SHARE * left / 60,
    })  # fmt: skip
    # What an earlier run began was given other minutes, and is no part of these.
    shutil.rmtree(workdir, ignore_errors=True)
    rows = run_all(c, workdir, sweep=True)
    history = read_jsonl(workdir / "train.jsonl")
    row = next(row for row in rows if row["selected"])
    between = sorted(line["images_per_s"] for line in history[1:] if "images_per_s" in line)
    told = ("w", "t_prime", "steps", "eta", "solver", "v", "layers", "sigma", "standardise", "image_auroc",
            "pixel_auroc", "aupro_30", "ms_per_image")  # fmt: skip
    return {
        "split": split,
        "points": len(rows),
        "train_steps": history[-1]["step"],
        "train_minutes": history[-1]["seconds"] / 60,
        "train_images_per_s": between[len(between) // 2] if between else math.nan,
        **{name: row[name] for name in told if name in row},
        **peak_memory(),
    }
