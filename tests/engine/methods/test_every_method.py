"""What holds for every method behind the seam, of a run as ``python -m experiments.sweep`` makes it."""

import csv
import importlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import tiny_runs
from trees import save, square_mask

import ddad_jax
from ddad_jax.data.read import read_full
from ddad_jax.engine.data.splits import Data, load_data
from ddad_jax.engine.detector import export, run_exported
from ddad_jax.engine.methods.measured import MeasuredPictures
from ddad_jax.engine.methods.method import Fitted, key_columns
from ddad_jax.engine.methods.point import point_settings
from ddad_jax.engine.methods.table import METHODS, method_of
from ddad_jax.engine.pipeline import run_all, run_shard
from ddad_jax.engine.report import results
from ddad_jax.engine.sweep import journal
from ddad_jax.engine.sweep.rows import measured_pictures
from ddad_jax.engine.sweep.shards import Shard
from ddad_jax.errors import InputError
from ddad_jax.mesh import device_mesh

SWEEPS: dict[str, dict[str, Any]] = {
    "ddad": {"sweep__w": (1.0, 3.0), "sweep__v": (0.0, 1.0)},
    "patchcore": {"sweep__share": (0.2, 0.5), "sweep__neighbours": (1, 3), "sweep__support": (1, 4)},
    "padim": {"sweep__share": (0.1, 1.0), "sweep__sigma": (0.0, 4.0), "sweep__standardise": (False, True)},
    "feature_ddad": {"sweep__w": (0.0, 3.0), "feature_ddad__start_noise": 1.0, "sweep__sigma": (0.0, 4.0)},
    "ensemble": {"sweep__members": (("padim",), ("patchcore", "feature_ddad")), "sweep__standardise": (False, True)},
    "diffad": {"sweep__steps": (1, 2), "sweep__window": (3, 21), "sweep__sigma": (0.0, 4.0)},
    "diffusionad": {"sweep__t": (100, 200), "sweep__top": (50, 200), "sweep__sigma": (0.0, 4.0)},
    "draem": {"sweep__mirrored": ("", "h"), "sweep__window": (3, 21), "sweep__sigma": (0.0, 4.0)},
    "riad": {"sweep__weights": ("mean", "area"), "sweep__sigma": (0.0, 4.0)},
}
"""Of each method, two costly points and several cheap ones."""
KINDS = [name if name in ("ddad", "patchcore", "ensemble", "draem") else pytest.param(name, marks=pytest.mark.slow)
         for name in METHODS]  # fmt: skip
"""One method of each kind, for what is done by code that all of a kind share: memories are made and measured alike, and
so is what is trained."""


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        tiny_runs.small_predictor(patch.setattr)
        tiny_runs.small_backbone(patch.setattr)
        tiny_runs.small_pair(patch.setattr)
        tiny_runs.small_guided(patch.setattr)
        tiny_runs.small_latent(patch.setattr)
        tiny_runs.small_inpainting(patch.setattr)
        yield


class Run:
    """A finished run, its rows and its pictures."""

    def __init__(self, name: str, root: Path, workdir: Path) -> None:
        self.name, self.root, self.workdir = name, root, workdir
        self.rows = run_all(self.config(), workdir, sweep=True)
        with (workdir / "scores.csv").open(newline="") as file:
            self.scores = {row["name"]: float(row["score"]) for row in csv.DictReader(file)}

    def config(self, **changes: Any) -> Any:
        return tiny_runs.config(self.root, self.name, **{**SWEEPS[self.name], **changes})

    def fitted(self, c: Any, data: Data) -> Fitted:
        costly = method_of(c).plan(c, sweep=True).costly
        return method_of(c).restored(c, self.workdir, device_mesh()).ready(costly, data, make=False)

    @property
    def frames(self) -> list[np.ndarray]:
        return [read_full(self.root / name) for name in self.scores]


@pytest.fixture(scope="module", params=METHODS)
def run(request: pytest.FixtureRequest, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(request.param, root, tmp_path_factory.mktemp(request.param) / "w")


def test_every_method_has_settings() -> None:
    assert [*METHODS] == [method.settings().method for method in METHODS.values()]


def test_every_point_has_a_row_and_a_row_gives_its_point(run: Run) -> None:
    c = run.config()
    method, plan = method_of(c), method_of(c).plan(c, sweep=True)
    points = [method.point_of(row) for row in run.rows]
    assert points == plan.points
    for row, point in zip(run.rows, points, strict=True):
        assert point_settings(*point) == {name: row[name] for name in key_columns(method)}
        assert row["selected"] == (point == method.point(c)) and row["method"] == run.name
        # Rows from before a setting existed.
        assert method.point_of({k: v for k, v in row.items() if v != method.cheap._field_defaults.get(k)}) == point


def test_a_row_of_values_that_no_point_has_is_refused(run: Run) -> None:
    method, row = METHODS[run.name], run.rows[0]
    impossible = {"sigma": "wide", "layers": "layer9", "members": "nobody", "seed": None}
    for wrong in ({name: impossible[name]} for name in impossible if name in row):
        with pytest.raises((InputError, KeyError, TypeError, ValueError, AttributeError)):
            method.point_of({**row, **wrong})


def test_batch_mates_order_and_padding_change_nothing(run: Run) -> None:
    batch = {"ddad": "sample__batch_size"}.get(run.name, f"{run.name}__batch_size")
    data = load_data(run.config())
    todo = method_of(run.config()).plan(run.config(), sweep=True)
    known = len(data.calibration.labels)
    order = np.concatenate([np.arange(known), known + np.random.default_rng(0).permutation(len(data.test.labels))])
    pictures = measured_pictures(data)

    def maps(order: np.ndarray, **changes: Any) -> tuple[np.ndarray, np.ndarray]:
        fitted = run.fitted(run.config(**changes), data)
        shown = MeasuredPictures(pictures.images[order], known, known)
        (measured,) = fitted.measure(shown, todo.costly[:1])
        found = [*fitted.maps(measured.evidence, todo.cheap, shown)]
        scores = [one.maps.max((1, 2)) if one.scores is None else one.scores for one in found]
        return np.stack([one.maps for one in found]), np.stack(scores)

    whole, scores = maps(np.arange(len(order)), **{batch: 4})
    for some, by in ((order, 3), (order[:-2], 4), (order[: known + 1], 8)):
        for got, expected in zip(maps(some, **{batch: by}), (whole, scores), strict=True):
            np.testing.assert_allclose(got, expected[:, some], rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_the_detector_makes_the_maps_that_are_made_of_evidence(run: Run) -> None:
    c = run.config()
    data, point = load_data(c), method_of(c).point(c)
    fitted, pictures = run.fitted(c, data), measured_pictures(data)
    (measured,) = fitted.measure(pictures, [point.costly])
    (mapped,) = fitted.maps(measured.evidence, [point.cheap], pictures)
    detector = ddad_jax.load(run.workdir).detector
    found = detector(pictures.images[-4:])
    np.testing.assert_allclose(found.maps, mapped.maps[-4:], rtol=1e-4, atol=1e-5 * mapped.maps.max())
    own = mapped.maps.max((1, 2)) if mapped.scores is None else mapped.scores
    np.testing.assert_allclose(found.scores, own[-4:], rtol=1e-4)


def test_a_finished_run_is_read_without_its_pictures_and_scores_as_its_report_does(run: Run, tmp_path: Path) -> None:
    workdir = Path(shutil.copytree(run.workdir, tmp_path / "moved"))
    detector, expected = ddad_jax.load(workdir, batch=2), list(run.scores.values())
    np.testing.assert_allclose([one.score for one in detector(run.frames)], expected, rtol=1e-4)
    assert detector.model_id == ddad_jax.load(run.workdir).model_id


@pytest.mark.parametrize("run", KINDS, indirect=True)
@pytest.mark.parametrize("seen", ["masked", "tiled", pytest.param("cropped", marks=pytest.mark.slow)])
def test_a_run_of_part_of_a_view_or_of_its_tiles_is_scored_alike_in_use(run: Run, seen: str, tmp_path: Path) -> None:
    mask = save(square_mask(), tmp_path / "mask.png")
    how: dict[str, dict[str, Any]] = {
        "masked": {"view__mask": str(mask), "score__mask_after": True, "score__standardise": True},
        "tiled": {"data__picture": (48, 64), "data__overlap": 8},
        "cropped": {"score__crop": 20},
    }
    run_all(run.config(**how[seen]), tmp_path / "w", sweep=False)
    with (tmp_path / "w" / "scores.csv").open(newline="") as file:
        expected = [float(row["score"]) for row in csv.DictReader(file)]
    found = ddad_jax.load(tmp_path / "w", batch=3)(run.frames)
    np.testing.assert_allclose([one.score for one in found], expected, rtol=1e-3)
    np.testing.assert_allclose([one.map.max() for one in found], expected, rtol=1e-3)


def test_what_is_exported_scores_as_the_run_does(run: Run, tmp_path: Path) -> None:
    detector = ddad_jax.load(run.workdir)
    assert "scores here: within" in export.write_export(detector, tmp_path / "model.ddad", ["cpu"])
    pictures = np.stack([detector.seen(frame).picture for frame in run.frames])
    _, scores = run_exported.load_exported(tmp_path / "model.ddad").run(pictures)
    np.testing.assert_allclose(scores, list(run.scores.values()), rtol=1e-4)


class Killed(Exception):
    pass


def timeless(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "ms_per_image"} for row in rows]


@pytest.mark.parametrize("run", KINDS, indirect=True)
@pytest.mark.parametrize("after", [1, *(pytest.param(after, marks=pytest.mark.slow) for after in (0, 5))])
def test_a_run_that_was_killed_ends_as_an_unbroken_one(
    run: Run, after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "write_results", lambda *args, **named: None)
    written: list[Any] = []
    append = journal.append

    def killed(path: Path, row: Any) -> Any:
        if len(written) == after:
            raise Killed
        written.append(row)
        return append(path, row)

    monkeypatch.setattr(journal, "append", killed)
    count = min(after, len(run.rows) - 1)
    with pytest.raises(Killed):
        after = count
        run_all(run.config(), tmp_path / "w", sweep=True)
    written.clear()
    after = len(run.rows)
    assert timeless(run_all(run.config(), tmp_path / "w", sweep=True)) == timeless(run.rows)
    assert len(written) == len(run.rows) - count


@pytest.mark.parametrize("run", KINDS, indirect=True)
def test_shards_make_the_rows_of_one_run(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "write_results", lambda *args, **named: None)
    with pytest.raises(InputError, match="holds no models yet"):
        run_shard(run.config(), tmp_path / "w", Shard(0, 2))
    assert not run_all(run.config(), tmp_path / "w", sweep=True, models_only=True)
    for k in range(2):
        run_shard(run.config(), tmp_path / "w", Shard(k, 2))
    monkeypatch.setattr(journal, "append", lambda *args: pytest.fail("a point was computed twice"))
    assert timeless(run_all(run.config(), tmp_path / "w", sweep=True)) == timeless(run.rows)


def test_a_workdir_is_of_one_method(run: Run, tmp_path: Path) -> None:
    other = next(name for name in METHODS if name != run.name)
    with pytest.raises(InputError, match=rf"holds a run of {run.name}, and this is one of {other}; name another"):
        run_all(tiny_runs.config(run.root, other), run.workdir, sweep=False)


@pytest.mark.parametrize("program", ["train", "adapt", "distil", "benchmark"])
def test_programs_of_ddad_say_so(run: Run, program: str, tmp_path: Path) -> None:
    if run.name == "ddad":
        return
    main = importlib.import_module(f"experiments.{program}").main
    with pytest.raises(
        InputError, match=rf"experiments\.{program} is of DDAD, and --config is of {METHODS[run.name].title}"
    ):
        main(run.config(), tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_weights_are_arrays(run: Run) -> None:
    fitted = run.fitted(run.config(), load_data(run.config()))
    assert all(isinstance(leaf, (np.ndarray, jax.Array)) for leaf in jax.tree.leaves(fitted.weights))
