"""An exported file is proven before it has its name; a difference is measured by what rounding leaves of a score."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_exported import MEANING, SIZE, rising

from ddad_jax.engine.detector import export, run_exported
from ddad_jax.engine.methods.point import Point
from ddad_jax.errors import InputError
from ddad_jax.exported import lowered, packed
from ddad_jax.score import Spread


class Stand:
    """A detector as ``experiments.export`` uses one; off: what its scores lie beside those of the program."""

    def __init__(self, scores: Any = None, off: float = 0.0, threshold: float = 0.5, spread: Any = None) -> None:
        point = Point(None, SimpleNamespace(standardise=spread is not None))
        constants = SimpleNamespace(spread=spread)
        self.run = SimpleNamespace(workdir="w", point=point, constants=constants)
        self.detector = rising()  # of two layers
        self.batch, self.size, self.model_id, self.threshold = 2, SIZE, "abc", threshold
        self.scores, self.off = scores, off

    def __call__(self, pictures: list[np.ndarray]) -> list[Any]:
        scores = np.asarray(rising()(np.stack(pictures)).scores) if self.scores is None else self.scores
        return [SimpleNamespace(score=float(score) + self.off) for score in scores]


@pytest.fixture(scope="module")
def content() -> bytes:
    return packed(lowered(rising(), SIZE, platforms=["cpu"]), MEANING)


@pytest.fixture(autouse=True)
def no_lowering(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(export, "exported", lambda detector, platforms: content)


def test_the_file_and_its_script_lie_there_once_proven(tmp_path: Path, content: bytes) -> None:
    said = export.write_export(Stand(), tmp_path / "a.ddad", ["cpu"])  # type: ignore[arg-type]
    assert (tmp_path / "a.ddad").read_bytes() == content and "scores here: within" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ddad", "run_exported.py"]


@pytest.mark.parametrize("off", [1e-3, float("nan")])
def test_nothing_is_left_of_a_file_that_scores_otherwise(tmp_path: Path, off: float) -> None:
    with pytest.raises(InputError, match=r"--model=w: its exported program scores .* experiments.inspect"):
        export.write_export(Stand(off=off), tmp_path / "a.ddad", ["cpu"])  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
    (tmp_path / "a.ddad").write_text("old")
    with pytest.raises(InputError):
        export.write_export(Stand(off=off), tmp_path / "a.ddad", ["cpu"])  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["a.ddad"] and (tmp_path / "a.ddad").read_text() == "old"


@pytest.mark.parametrize(
    ("program", "workdir", "threshold", "spread", "same"),
    [
        (12 * 2.0**-24, 11 * 2.0**-24, 7e-7, None, True),  # a step of 1 - cos, a tenth of the score
        (1e-3 + 7e-7, 7e-7, 7e-7, None, False),
        (1e-4 + 4e-6, 1e-4, 0.5, None, True),  # nothing beside the threshold
        (1e-4 + 2e-5, 1e-4, 0.5, None, False),
        (3.0, 3.001, 4.0, None, False),
        (3.0, 3.0008, 4.0, 1e-3, True),  # standardised: 1e-6 of a map, in units of 1e-3
        (3.0, 3.001, 4.0, 1.0, False),
    ],
)
def test_scores_are_the_same_within_rounding_alone(
    monkeypatch: pytest.MonkeyPatch, program: float, workdir: float, threshold: float, spread: Any, same: bool
) -> None:
    model = SimpleNamespace(run=lambda pictures: (None, np.full(len(pictures), program)))
    monkeypatch.setattr(run_exported, "load_exported", lambda file: model)
    measured = None if spread is None else Spread(np.zeros((2, 2)), np.full((2, 2), spread))
    detector: Any = Stand(np.full(2, workdir), threshold=threshold, spread=measured)
    if same:
        assert export.compared(detector, Path("a")) == pytest.approx(abs(program - workdir))
    else:
        with pytest.raises(InputError, match="its exported program scores"):
            export.compared(detector, Path("a"))


def test_a_place_where_no_file_can_be_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out, says in {
        tmp_path: "is a folder; name a file in it",
        Path("/dev/null"): "is no file; name one",
        tmp_path / "run_exported.py": "the script that runs it has this name",
        tmp_path / "file" / "a.ddad": "cannot be written",
    }.items():
        with pytest.raises(InputError, match=says):
            export.require_place(out)
