"""A finished run in use, by the package's own name for it; the package itself stays light, whatever is installed."""

import csv
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_runs

import ddad_jax
from ddad_jax.data.read import read_full
from ddad_jax.engine.detector.frames import FrameDetector, Judged
from ddad_jax.engine.pipeline import run_all
from ddad_jax.errors import InputError


class Run:
    """A finished run whose data set is gone: its folder, its test pictures, and its rows of scores.csv."""

    def __init__(self, folder: Path) -> None:
        self.workdir, root = folder / "w", tiny_runs.folder(folder / "data")
        run_all(tiny_runs.config(root, sample__start_noise=True), self.workdir, sweep=False)
        with (self.workdir / "scores.csv").open(newline="") as file:
            self.rows = list(csv.DictReader(file))
        self.frames = [read_full(root / row["name"]) for row in self.rows]
        shutil.rmtree(root)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with pytest.MonkeyPatch.context() as patch:
        tiny_runs.small_predictor(patch.setattr)
        tiny_runs.small_backbone(patch.setattr)
        yield Run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def detector(run: Run) -> FrameDetector:
    return ddad_jax.load(str(run.workdir))


def test_it_judges_as_the_report_does(run: Run, detector: FrameDetector) -> None:
    found = detector(run.frames)
    assert detector.batch == 4 < len(run.frames)
    np.testing.assert_allclose([one.score for one in found], [float(row["score"]) for row in run.rows], rtol=1e-5)
    assert [one.anomalous for one in found] == [row["verdict"] == "anomalous" for row in run.rows]
    assert {one.threshold for one in found} == {detector.threshold}
    for one, frame in zip(found, run.frames, strict=True):
        assert one.size == frame.shape[:2] and np.isclose(one.map.max(), one.score)


@pytest.mark.parametrize("batch", [1, 7, np.int64(2)])
def test_no_verdict_depends_on_the_batch(run: Run, detector: FrameDetector, batch: Any) -> None:
    expected = [one.score for one in detector(run.frames)]
    found = ddad_jax.load(run.workdir, batch=batch)(run.frames)
    np.testing.assert_allclose([one.score for one in found], expected, rtol=1e-5)


def test_the_folder_is_read_and_not_written(run: Run) -> None:
    def content() -> dict[Path, tuple[int, int]]:
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in run.workdir.rglob("*")}

    before = content()
    ddad_jax.load(run.workdir)(run.frames[:1])
    assert content() == before


@pytest.mark.parametrize("batch", [0, -1, 2.0, True, "4", None])
def test_a_batch_is_a_whole_number(run: Run, batch: Any) -> None:
    with pytest.raises(InputError, match=rf"batch = {batch!r}: expected a whole number, at least 1"):
        ddad_jax.load(run.workdir, batch=batch)


@pytest.mark.parametrize("workdir", [None, 3, b"w", ["w"]])
def test_a_workdir_is_a_path(workdir: Any) -> None:
    with pytest.raises(InputError, match=r"workdir = .*: expected the path of a finished run's folder"):
        ddad_jax.load(workdir)


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_a_folder_without_a_run_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"no such folder|config.json is missing"):
        ddad_jax.load(tmp_path / name)


def judged(anomaly: np.ndarray, size: tuple[int, int]) -> Judged:
    return Judged(float(anomaly.max()), 0.5, True, anomaly, 0.5, None, size)


def test_regions_are_in_pixels_of_the_frame() -> None:
    anomaly = np.full((8, 8), -np.inf, np.float32)
    anomaly[1:7, 1:7] = 0.0
    anomaly[2:4, 3:6], anomaly[6, 6] = 0.8, 0.9
    one = judged(anomaly, (16, 24))
    assert [(region.box, region.area) for region in one.regions()] == [((18, 12, 3, 2), 6.0), ((9, 4, 9, 4), 36.0)]
    assert [region.box for region in one.regions(min_area=7)] == [(9, 4, 9, 4)]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_map_that_is_no_number_has_no_regions(value: float) -> None:
    anomaly = np.zeros((8, 8), np.float32)
    anomaly[2, 2], anomaly[5, 5] = value, 0.7
    assert [region.box for region in judged(anomaly, (8, 8)).regions()] == [(5, 5, 1, 1)]


def python(code: str, *, folder: Path) -> str:
    command = [sys.executable, "-c", f"import sys\nsys.path.insert(0, {str(folder)!r})\n{code}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


ROOT = Path(ddad_jax.__file__).parent.parent


def test_importing_the_package_imports_nothing_else() -> None:
    code = "before = set(sys.modules)\nimport ddad_jax\nprint(*sorted(set(sys.modules) - before))"
    new = python(code, folder=ROOT).split()
    assert [name for name in new if name.partition(".")[0] not in sys.stdlib_module_names] == ["ddad_jax"]


@pytest.mark.parametrize("missing", ["tqdm"])
def test_without_its_extra_the_package_imports_and_says_what_loading_needs(missing: str, tmp_path: Path) -> None:
    code = f"""
sys.modules[{missing!r}] = None  # as if it were not installed
import ddad_jax.sampler
from ddad_jax.errors import InputError
try:
    ddad_jax.load({str(tmp_path)!r})
except InputError as error:
    print(error)
"""
    told = f"ddad_jax.load: the package {missing} is not installed; pip install 'ddad-jax[engine]'\n"
    assert python(code, folder=ROOT) == told
