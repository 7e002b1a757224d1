"""Wherever a program is killed, the same command again ends with what an unbroken one leaves: every file, every row.

A program runs once, and leaves an image of its folder before each change of a file in it (``tests/crash_images.py``):
what a kill there leaves. From an image the program then runs to its end. By default from a fixed spread of the images;
``make test-slow`` takes all of them.
"""

import csv
import functools
import json
import re
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import crash_images
import numpy as np
import pytest
import tiny_runs
from crash_images import Image
from processes import FORKED

from ddad_jax.engine.captures.recording import read_capture
from ddad_jax.engine.captures.writing import CaptureOptions, capture
from ddad_jax.engine.pipeline import run_all, run_shard
from ddad_jax.engine.report import results
from ddad_jax.engine.search import outcome as search_outcome
from ddad_jax.engine.search.search import Search, run_search
from ddad_jax.engine.store import kept
from ddad_jax.engine.store.tables import write_text
from ddad_jax.engine.sweep.shards import Shard

RUN: dict[str, Any] = {
    "select": "synthetic", "synthetic_defects": 6, "synthetic_normals": 5, "data__held_out": 0.4,
    "data__flips": "hv", "train__steps": 4, "train__checkpoint_every": 2,
    "adapt__epochs": 2, "adapt__choose": "synthetic", "adapt__patience": 0,
    "student__steps": 4, "student__batch_size": 4, "student__teacher_steps": 4, "student__defects": 5,
    "student__reuse": 2, "student__warmup_steps": 0, "student__log_every": 2, "student__validate_every": 4,
    "student__checkpoint_every": 2,
    "grid__teacher_steps": 12, "grid__images": 2, "grid__rounds": 1,
    "sample__t_prime": 120, "sample__w": 0.5, "teacher": 4, "output__browser": 2, "output__maps": True,
    "sweep__model": ("teacher", "student"), "sweep__v": (0.0, 1.0),
    "sweep__parts": {"found": {"grid": ("optimised",), "steps": (2, 3)}},
}  # fmt: skip
"""Training, adaptation, student, optimised grids, a sweep with pictures side by side, a choice by synthetic defects,
trajectories, maps and tables."""
SHARDED: dict[str, Any] = {
    "train__steps": 2, "sweep__w": (0.0, 1.0, 3.0, 5.0), "sweep__v": (0.0, 1.0), "sample__w": 1.0, "teacher": 3,
}  # fmt: skip
OVER = Search(["w", "v"], trials=4, scores=2, groups=1)
STATION = "station:coffee?state=paint&video=2&size=32&seconds=3&rpm=7"

MEASURED = {"seconds", "ms_per_image", "images_per_s", "wall_seconds", "started"}
"""By a clock."""
ALL = 10_000
"""Images."""


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        tiny_runs.small_predictor(patch.setattr)
        tiny_runs.small_backbone(patch.setattr)
        # Figures take longer than all the rest, and are drawn of what is there in the end.
        patch.setattr(results, "report_of", lambda *run: None)
        patch.setattr(results, "_told", lambda report: "")
        patch.setattr(results, "write_report", lambda path, report: write_text(path, "the page"))
        patch.setattr(search_outcome, "search_figure", lambda *rows, **how: None)
        yield


class Program(NamedTuple):
    """run: in a folder, from whatever is there. unbroken: the folder that it left; images: of that while it ran."""

    run: Callable[[Path], Any]
    unbroken: Path
    images: list[Image]

    def ends_alike_from(self, image: Image, folder: Path) -> None:
        self.run(image.put(folder))
        found, expected = outcome(folder), outcome(self.unbroken)
        assert found.keys() == expected.keys(), image.before
        for name in expected:
            assert found[name] == expected[name], f"{name} after a kill before {image.before}"
        for name, lines in finished(image).items():
            assert (folder / name).read_bytes().startswith(lines), f"{name}: done twice, killed before {image.before}"
        if grids := image.files.get("grids.json"):
            there = json.loads((folder / "grids.json").read_bytes())["grids"]
            assert all(entry in there for entry in json.loads(grids)["grids"]), "grids were found twice"


def watched(run: Callable[[Path], Any], folder: Path, begun: Path | None = None) -> Program:
    if begun:
        shutil.copytree(begun, folder)
    with crash_images.images(folder, ignored) as images:
        run(folder)
    return Program(run, folder, images)


def ignored(name: str) -> bool:
    """Trackers have tests of their own."""
    return name.startswith("tensorboard") or name == "tracking.jsonl" or name.endswith((".lock", ".writable"))


def torn(name: str) -> bool:
    """What a kill leaves of a file or a checkpoint that was being written; nothing reads it."""
    return name.endswith(".part") or ".orbax-checkpoint-tmp" in name


def spread(images: list[Image], count: int) -> list[Image]:
    """As many of them, at even distances, the last one among them."""
    return [images[i] for i in np.unique(np.linspace(0, len(images) - 1, count).round().astype(int))]


def finished(image: Image) -> Mapping[str, bytes]:
    """Rows that a kill there left and that may not be computed again: those of the journals, and of the histories up to
    the last checkpoint. Each says how long it took, so that another computation shows."""
    rows = {name: whole_lines(image, name) for name in image.files if name == "journal.jsonl" or "shards/" in name}
    for name, folder in (("train.jsonl", "train"), ("adapt.jsonl", "adapt/state"), ("distil.jsonl", "student")):
        steps = [int(path.rpartition("/")[2]) for path in image.files if re.fullmatch(rf"{folder}/\d+", path)]
        rows[name] = [
            line
            for line in whole_lines(image, name)
            if (row := json.loads(line)).get("step", row.get("epoch")) <= max(steps, default=-1)
        ]
    return {name: b"".join(lines) for name, lines in rows.items() if lines}


def whole_lines(image: Image, name: str) -> list[bytes]:
    return [line for line in (image.files.get(name) or b"").splitlines(keepends=True) if line.endswith(b"\n")]


CHECKPOINT = re.compile(r"(train|student|adapt/\w+)/(\d+)(/.*)?")


def outcome(folder: Path) -> dict[str, Any]:
    """What is in each file of a folder, without what a clock measured; of checkpoints which is the newest: an older one
    may have outlived a kill, and rows and journal_of.json say the fingerprints of parameters."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if checkpoint := CHECKPOINT.fullmatch(name):
            found[checkpoint[1]] = max(found.get(checkpoint[1], 0), int(checkpoint[2]))
        elif path.is_file() and not ignored(name) and not torn(name):
            found[name] = content(path)
    return found


def content(path: Path) -> Any:
    if path.name in ("environment.json", "search.db"):
        return None
    if path.suffix == ".json":
        return timeless(json.loads(path.read_bytes()))
    if path.suffix == ".jsonl":
        return [timeless(json.loads(line)) for line in path.read_bytes().splitlines()]
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return [timeless(row) for row in csv.DictReader(file)]
    if path.suffix == ".npz":
        arrays, made_with = kept.read_content(path)
        return made_with, {name: (array.dtype.str, array.tobytes()) for name, array in arrays.items()}
    return path.read_bytes()


def timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: timeless(item) for name, item in value.items() if name not in MEASURED}
    return [timeless(item) for item in value] if isinstance(value, list) else value


# --- A whole run ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole_run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Program:
    run = functools.partial(run_all, tiny_runs.config(root, **RUN), sweep=True)
    return watched(run, tmp_path_factory.mktemp("run") / "w")


def test_every_stage_is_among_the_images(whole_run: Program) -> None:
    """So that this file keeps what it promises when a stage moves its files."""
    changed = {image.before.partition(" ")[2] for image in whole_run.images}
    left = outcome(whole_run.unbroken).keys()
    for name in ("train/2", "adapt/epochs/1", "adapt/state/2", "student/4"):
        assert f"rename {name}" in [image.before for image in whole_run.images]
    for name in ("train.jsonl", "adapt.jsonl", "distil.jsonl", "journal.jsonl"):
        assert f"half a line of {name}" in [image.before for image in whole_run.images]
    replaced = {re.sub(r"\.(\w[^/]*)\.\d+\.part$", r"\1", name) for name in changed}
    assert {"grids.json", "chosen.json", "selected.npz", "calibration.npz", "trajectory.npz", "adapt/chosen.json",
            "adapt/judged_by.json", "student/student.json", "results.csv", "calibration.json", "report.html",
            } <= replaced & left  # fmt: skip
    assert sum(name.startswith("side_by_side/") for name in left) == 4
    assert len(read(whole_run.unbroken / "journal.jsonl")) == 8


def read(path: Path) -> list[Any]:
    return path.read_bytes().splitlines()


@pytest.mark.parametrize("count", [4, pytest.param(ALL, marks=pytest.mark.slow)])
def test_a_run_that_was_killed_ends_as_an_unbroken_one(whole_run: Program, tmp_path: Path, count: int) -> None:
    for i, image in enumerate(spread(whole_run.images, count)):
        whole_run.ends_alike_from(image, tmp_path / str(i))


def _killed(changes: dict[str, Any], root: str, folder: str, before: str, count: int) -> None:
    tiny_runs.small_predictor()
    tiny_runs.small_backbone()
    with crash_images.killed_at(Path(folder), before, count):
        run_all(tiny_runs.config(Path(root), **changes), Path(folder), sweep=True)


def test_kill_9_leaves_what_the_images_say(whole_run: Program, root: Path, tmp_path: Path) -> None:
    """Twice, in a process of its own: while a checkpoint is saved, and between two rows of the journal."""
    folder = tmp_path / "w"
    for before, count in (("rename train/2", 1), ("fsync journal.jsonl", 3)):
        process = FORKED.Process(target=_killed, args=(RUN, str(root), str(folder), before, count), daemon=True)
        process.start()
        process.join(120)
        assert process.exitcode == -signal.SIGKILL
        image = [image for image in whole_run.images if image.before == before][count - 1]
        left = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
        there = {name for name in image.files if "ocdbt" not in name and "/d/" not in name}
        assert there <= left
    rows = (folder / "journal.jsonl").read_bytes()
    whole_run.run(folder)
    assert outcome(folder) == outcome(whole_run.unbroken)
    assert rows.count(b"\n") == 3 and (folder / "journal.jsonl").read_bytes().startswith(rows)


# --- A shard, a search, a capture -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shard(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The first of two, which has the selected point, in a folder that holds the models."""
    c, base = tiny_runs.config(root, **SHARDED), tmp_path_factory.mktemp("shard")
    run_all(c, base / "models", sweep=True, models_only=True)

    def run(folder: Path) -> None:
        run_shard(c, folder, Shard(0, 2))

    return watched(run, base / "w", base / "models")


@pytest.mark.parametrize("count", [3, pytest.param(ALL, marks=pytest.mark.slow)])
def test_a_shard_that_was_killed_ends_as_an_unbroken_one(shard: Program, tmp_path: Path, count: int) -> None:
    assert {"selected.npz", "calibration.npz"} <= outcome(shard.unbroken).keys()
    for i, image in enumerate(spread(shard.images, count)):
        shard.ends_alike_from(image, tmp_path / str(i))


@pytest.fixture(scope="module")
def searched(whole_run: Program, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Program:
    pytest.importorskip("optuna", reason="an extra: pip install '.[search]'")
    c, base = tiny_runs.config(root, **RUN), tmp_path_factory.mktemp("search")
    made_of_models = shutil.ignore_patterns("chosen.json", "journal*", "tensorboard", "*.npz", "results*")
    shutil.copytree(whole_run.unbroken, base / "models", ignore=made_of_models)
    shutil.copy(whole_run.unbroken / "adapt/chosen.json", base / "models/adapt/chosen.json")
    return watched(lambda folder: run_search(c, folder, OVER), base / "w", base / "models")


@pytest.mark.parametrize("count", [3, pytest.param(ALL, marks=pytest.mark.slow)])
def test_a_search_that_was_killed_ends_as_an_unbroken_one(searched: Program, tmp_path: Path, count: int) -> None:
    for i, image in enumerate(spread(searched.images, count)):
        searched.ends_alike_from(image, tmp_path / str(i))


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Program:
    def run(folder: Path) -> None:
        capture(CaptureOptions(STATION, folder, recording="one", resume=True))

    return watched(run, tmp_path_factory.mktemp("capture") / "c")


@pytest.mark.parametrize("count", [6, pytest.param(ALL, marks=pytest.mark.slow)])
def test_a_capture_that_was_killed_is_taken_up(captured: Program, tmp_path: Path, count: int) -> None:
    for i, image in enumerate(spread(captured.images, count)):
        if len(rows := whole_lines(image, "frames.csv")) > 1:
            left = read_capture(image.put(tmp_path / f"left{i}"), unfinished=True)
            assert len(left.frames) == len(rows) - 1, "what is there can be used as it is"
        captured.ends_alike_from(image, tmp_path / str(i))
