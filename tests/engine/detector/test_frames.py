"""A finished run in use gives its pictures the scores of its evaluation, from the workdir alone."""

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import tiny_runs
from PIL import Image

from ddad_jax.checkpoint import Checkpoints
from ddad_jax.data.read import read_image, resized
from ddad_jax.engine.detector import run_exported
from ddad_jax.engine.detector.export import exported
from ddad_jax.engine.detector.frames import FrameDetector, detector_of, uncropped
from ddad_jax.engine.detector.load import read_detector_parts
from ddad_jax.engine.pipeline import run_all
from ddad_jax.engine.store.tables import write_bytes
from ddad_jax.engine.sweep.selected import CONSTANTS_FILE, load_selected
from ddad_jax.errors import InputError

STUDENT = {"steps": 2, "batch_size": 2, "teacher_steps": 2, "defects": 4}
VARIANTS: dict[str, dict[str, Any]] = {
    "adapted, optimised grid, masked after": {
        "adapt__epochs": 1, "sample__grid": "optimised", "grid__teacher_steps": 6, "grid__images": 2,
        "grid__rounds": 0, "score__mask_after": True,
    },
    "standardised, cropped, rising, masked before": {
        "score__standardise": True, "score__crop": 24, "sample__rise": 1.0, "sample__mask_before": True,
        "data__held_out": 0.5,
    },
    "student": {
        "sample__model": "student", "sample__steps": 1, **{f"student__{k}": v for k, v in STUDENT.items()},
    },
    "tiles": {
        "data__picture": (40, 56), "data__overlap": 8, "score__standardise": True, "score__mask_after": True,
        "sample__mask_before": True,
    },
}  # fmt: skip
FIRST, LAST = list(VARIANTS)[0], list(VARIANTS)[-1]


class Run:
    """A run at one point. Without its data set, once it is finished."""

    def __init__(self, folder: Path, changes: dict[str, Any]) -> None:
        self.workdir, root = folder / "w", tiny_runs.folder(folder / "data", n_train=12)
        mask = folder / "mask.json"
        ignored = [[0, 0], [12, 0], [12, 9], [0, 9]]
        mask.write_text(json.dumps({"format": 1, "size": [20, 28], "views": {"*": {"ignore": [ignored]}}}))
        masks = any("mask" in name for name in changes)
        self.config = tiny_runs.config(root, **({"view__mask": str(mask)} if masks else {}), **changes)
        if self.config.adapt.epochs:
            # What an adaptation leaves behind, without one: another extractor, and that it is the one to use.
            other = jax.tree.map(lambda a: a * 1.1, tiny_runs.variables())
            Checkpoints(self.workdir / "adapt" / "epochs", keep=None).save(1, other)
            (self.workdir / "adapt" / "chosen.json").write_text('{"epoch": 1}')
        run_all(self.config, self.workdir, sweep=False)
        with (self.workdir / "scores.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        self.frames = [np.array(Image.open(root / row["name"])) for row in rows]
        self.scores = np.array([float(row["score"]) for row in rows])
        self.anomalous = [row["verdict"] == "anomalous" for row in rows]
        mask.unlink()
        shutil.rmtree(root)


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        tiny_runs.small_predictor(patch.setattr)
        tiny_runs.small_backbone(patch.setattr)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    made: dict[str, Run] = {}

    def of(name: str) -> Run:
        if name not in made:
            made[name] = Run(tmp_path_factory.mktemp("run"), VARIANTS[name])
        return made[name]

    return of


@pytest.fixture(scope="module")
def detector(run: Callable[[str], Run]) -> Callable[[str], FrameDetector]:
    made: dict[str, FrameDetector] = {}

    def of(name: str) -> FrameDetector:
        if name not in made:
            made[name] = detector_of(run(name).workdir, batch=2)
        return made[name]

    return of


@pytest.mark.parametrize("name", VARIANTS)
def test_verdicts_are_those_of_the_evaluation(
    run: Callable[[str], Run], detector: Callable[[str], FrameDetector], name: str
) -> None:
    own, frames = run(name), run(name).frames
    detector(name).warm()
    found = detector(name)(frames)
    np.testing.assert_allclose([one.score for one in found], own.scores, rtol=1e-5)
    assert [one.anomalous for one in found] == own.anomalous
    for one, anomaly in zip(found, load_selected(own.workdir)["maps"], strict=True):
        expected = uncropped(anomaly, own.config.data.picture or (32, 32))
        assert one.map.dtype == np.float32 and one.map.shape == expected.shape
        np.testing.assert_allclose(one.map, expected, rtol=1e-5, atol=1e-5 * np.abs(anomaly).max())
        assert one.threshold == detector(name).threshold and one.registered is None


def test_a_verdict_depends_on_no_batch_mate(
    run: Callable[[str], Run], detector: Callable[[str], FrameDetector]
) -> None:
    name = "standardised, cropped, rising, masked before"
    frames = run(name).frames
    whole, order = detector(name)(frames), [3, 0, 4]
    for one, i in zip(detector(name)([frames[i] for i in order]), order, strict=True):
        np.testing.assert_allclose(one.score, whole[i].score, rtol=1e-5)
    assert detector(name)([]) == []


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != LAST])
def test_the_exported_file_gives_the_same(
    run: Callable[[str], Run], detector: Callable[[str], FrameDetector], name: str, tmp_path: Path
) -> None:
    file, own = tmp_path / "model.ddad", detector(name)
    write_bytes(file, exported(own, ["cpu"]))
    model = run_exported.load_exported(file)
    assert (model.told["model_id"], model.told["threshold"]) == (own.model_id, own.threshold)
    frames = run(name).frames
    maps, scores = model.run(np.stack([resized(frame, 32) for frame in frames]))
    np.testing.assert_allclose(scores, run(name).scores, rtol=1e-5)
    for anomaly, one in zip(maps, own(frames), strict=True):
        np.testing.assert_allclose(uncropped(anomaly, (32, 32)), one.map, atol=1e-5 * np.abs(anomaly).max())


def test_tiles_are_not_exported(detector: Callable[[str], FrameDetector]) -> None:
    with pytest.raises(InputError, match="cuts pictures into tiles"):
        exported(detector("tiles"), ["cpu"])


def test_frames_are_resized_as_files_are(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (37, 51, 3), np.uint8)
    for name, pixels in (("rgb", rgb), ("grey", rgb[..., 0])):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        frame = np.array(Image.open(tmp_path / f"{name}.png").convert("RGB"))
        np.testing.assert_array_equal(resized(frame, 32), read_image(tmp_path / f"{name}.png", 32))


@pytest.mark.parametrize(
    "frame", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8), "a.png"]
)
def test_a_frame_that_is_no_picture_is_named(detector: Callable[[str], FrameDetector], frame: Any) -> None:
    with pytest.raises(InputError, match=r"frame 1 is .*: expected"):
        detector(FIRST)([np.zeros((4, 4, 3), np.uint8), frame])


def test_the_model_id_is_of_what_decides_a_verdict_wherever_it_lies(run: Callable[[str], Run], tmp_path: Path) -> None:
    before = read_detector_parts(run(FIRST).workdir).model_id
    workdir = Path(shutil.copytree(run(FIRST).workdir, tmp_path / "elsewhere"))
    assert read_detector_parts(workdir).model_id == before
    said = json.loads((workdir / "calibration.json").read_text())
    (workdir / "calibration.json").write_text(json.dumps({**said, "threshold": said["threshold"] * 2}))
    assert read_detector_parts(workdir).model_id != before


def changed(file: str, **values: Any) -> Callable[[Path], None]:
    def change(workdir: Path) -> None:
        said = json.loads((workdir / file).read_text())
        (workdir / file).write_text(json.dumps({**said, **values}))

    return change


def arrays(**others: Any) -> Callable[[Path], None]:
    def change(workdir: Path) -> None:
        with np.load(workdir / CONSTANTS_FILE) as archive:
            kept: Any = dict(archive)
        np.savez(workdir / CONSTANTS_FILE, **{**kept, **others})

    return change


def registered(workdir: Path) -> None:
    """As a later run with --config.view.register=all leaves it that was broken off."""
    said = json.loads((workdir / "config.json").read_text())
    said["view"]["register"] = "all"
    (workdir / "config.json").write_text(json.dumps(said))


def both(*changes: Callable[[Path], None]) -> Callable[[Path], None]:
    def change(workdir: Path) -> None:
        for one in changes:
            one(workdir)

    return change


def halved(workdir: Path) -> None:
    largest = max((path for path in (workdir / "train").rglob("*") if path.is_file()), key=lambda p: p.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "no folder": (lambda workdir: shutil.rmtree(workdir), "no such folder"),
    "no run": (lambda workdir: (workdir / "config.json").unlink(), "config.json is missing"),
    "not evaluated": (
        lambda workdir: (workdir / "calibration.json").unlink(),
        r"no finished run \(calibration.json is missing\); run python -m experiments.evaluate",
    ),
    "before calibration.npz": (
        lambda workdir: (workdir / CONSTANTS_FILE).unlink(),
        f"{CONSTANTS_FILE}: is missing; .*Run python -m",
    ),
    "damaged arrays": (
        lambda workdir: (workdir / CONSTANTS_FILE).write_bytes(b"PK"),
        f"{CONSTANTS_FILE}: cannot be read",
    ),
    "another format": (arrays(format=np.array(7)), "format 7, expected 1: another version"),
    "a format in words": (arrays(format=np.array("one")), "format 'one', expected 1"),
    "reference of numbers": (
        arrays(reference=np.zeros((9, 9, 3), np.float32)),
        rf"{CONSTANTS_FILE}: cannot be read .*reference is float32 \(9, 9, 3\)",
    ),
    "a flat reference": (
        both(arrays(reference=np.zeros((99, 99, 3), np.uint8)), registered),
        f"{CONSTANTS_FILE}: the reference picture has too little texture.*--config.view.reference and run python",
    ),
    "a reference nobody asked for": (
        arrays(reference=np.zeros((9, 9, 3), np.uint8)),
        f"{CONSTANTS_FILE}: holds a reference, but config.json .*; run python",
    ),
    "no reference": (
        registered,
        f"{CONSTANTS_FILE}: holds no reference, but config.json says view.register = 'all'; run python",
    ),
    "a row of watched pixels": (arrays(watched=np.ones(9, bool)), r"watched is bool \(9,\)"),
    "a mask in numbers": (arrays(watched=np.ones((32, 32))), r"watched is float64 \(32, 32\)"),
    "a mask of other pictures": (
        arrays(watched=np.ones((9, 8), bool)),
        r"watched is of \(9, 8\) pixels, the run's pictures have \(32, 32\); run",
    ),
    "a spread of other pictures": (
        arrays(spread_mean=np.ones((9, 8)), spread_std=np.ones((9, 8))),
        r"spread is of \(9, 8\) pixels",
    ),
    "no spread": (arrays(spread_mean=np.ones((9, 8)), spread_std=np.zeros((9, 8))), "are no mean and deviation"),
    "crop in words": (
        changed("calibration.json", crop="abc"),
        "crop = 'abc': expected a whole number from 0 to 32",
    ),
    "crop of halves": (changed("calibration.json", crop=2.5), "crop = 2.5: expected"),
    "crop too large": (changed("calibration.json", crop=33), "crop = 33: expected"),
    "clip in words": (changed("calibration.json", clip="x"), "clip = 'x': expected true or false"),
    "epoch in words": (changed("calibration.json", adapt_epoch="x"), "adapt_epoch = 'x': expected a whole number"),
    "another epoch": (
        changed("calibration.json", adapt_epoch=7),
        "not of one model and one point .*adapt_epoch: there 7, now 1",
    ),
    "ratio 0": (changed("calibration.json", ratio=0), "ratio = 0: expected a number above 0"),
    "deep": (
        lambda workdir: (workdir / "calibration.json").write_text("[" * 200_000),
        "calibration.json: cannot be read",
    ),
    "damaged checkpoint": (halved, "train.*: the checkpoint is damaged .*Put it back from a copy, or delete"),
    "another version": (changed("config.json", zoom=3), "another version of ddad_jax .* no setting zoom"),
    "scores of batches": (changed("calibration.json", normalise="batch"), "normalise = 'batch'.* of its batch"),
    "no threshold": (changed("calibration.json", threshold=None), "threshold = None: expected a number; run"),
    "another point": (changed("calibration.json", v=9.0), "not of one model and one point .*v: there 1.0, now 9.0"),
    "other parameters": (changed("journal_of.json", weights="00"), "of other parameters than its checkpoints"),
    "not trained": (lambda workdir: shutil.rmtree(workdir / "train"), "holds no training that has ended"),
    "not adapted": (lambda workdir: shutil.rmtree(workdir / "adapt"), "holds no adaptation that has ended"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_finished_run_is_refused(run: Callable[[str], Run], tmp_path: Path, name: str) -> None:
    workdir = Path(shutil.copytree(run(FIRST).workdir, tmp_path / "w"))
    break_it, says = REFUSED[name]
    break_it(workdir)
    with pytest.raises(InputError, match=says):
        detector_of(workdir, batch=1)


def test_a_batch_has_a_picture(run: Callable[[str], Run]) -> None:
    with pytest.raises(InputError, match="batch = 0"):
        detector_of(run(FIRST).workdir, batch=0)


def test_a_home_that_nobody_has_is_refused() -> None:
    with pytest.raises(InputError, match=r"~nobodyhere/w: no home folder of that user is known"):
        read_detector_parts(Path("~nobodyhere/w"))
