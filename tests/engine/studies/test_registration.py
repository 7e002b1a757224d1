"""Trials of registration: what is asked for is the motion that was made, and a wrong warp would be counted as one."""

import csv
import os
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ddad_jax.engine.studies import registration as studies_registration
from ddad_jax.engine.studies.registration import KINDS, corner_error, judged, summed, trial
from ddad_jax.vision import registration

pytestmark = pytest.mark.drawn

ROOT = Path(__file__).parents[3]
WITHOUT_AN_ANSWER = ("mirrored", "other", "flat")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(3):
        pixels = cv2.GaussianBlur(np.random.default_rng(seed).uniform(0, 255, (200, 260, 3)), (0, 0), 2)
        Image.fromarray(np.clip((pixels - 128) * 5 + 128, 0, 255).astype(np.uint8)).save(folder / f"{seed}.png")
    return sorted(folder.glob("*.png"))


@pytest.mark.parametrize("kind", ["moved", "panned", "turned"])
def test_the_motion_of_a_trial_is_the_one_that_was_made(pictures: list[Path], kind: str) -> None:
    made = trial(kind, pictures, np.random.default_rng(1))
    assert made.back is not None
    h, w = made.reference.shape[:2]
    onto = cv2.warpPerspective(made.picture, made.back, (w, h), flags=cv2.INTER_CUBIC)
    there = cv2.warpPerspective(np.ones((h, w)), made.back, (w, h)) > 0.99
    there[:4] = there[-4:] = there[:, :4] = there[:, -4:] = False
    apart = np.abs(onto.astype(float) - made.reference)[there]
    assert there.mean() > 0.3 and apart.mean() < 4 < np.abs(made.picture.astype(float) - made.reference).mean()


@pytest.mark.parametrize("kind", KINDS)
def test_a_trial_is_the_same_for_the_same_seed_and_knows_whether_there_is_an_answer(
    pictures: list[Path], kind: str
) -> None:
    first, again = (trial(kind, pictures, np.random.default_rng(3), side=64) for _ in range(2))
    np.testing.assert_array_equal(first.picture, again.picture)
    assert first.reference.shape == first.picture.shape == (64, 64, 3) and first.picture.dtype == np.uint8
    assert (first.back is None) == (kind in WITHOUT_AN_ANSWER)


def test_an_error_is_that_of_the_worst_corner_at_256() -> None:
    shift = np.array([[1, 0, 3.0], [0, 1, 0], [0, 0, 1]])
    assert corner_error(np.eye(3), np.eye(3), (100, 512)) == 0
    assert corner_error(shift, np.eye(3), (100, 512)) == pytest.approx(1.5)
    assert corner_error(np.diag([1.01, 1, 1]), np.eye(3), (256, 257)) == pytest.approx(2.56 * 256 / 257)


def test_whatever_is_accepted_without_a_right_answer_or_far_from_it_is_wrong(
    pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = trial("moved", pictures, np.random.default_rng(0))
    right, _ = judged(made)
    assert right["accepted"] and not right["wrong"] and right["error_px"] < 0.5
    real = registration.register(made.picture, registration.reference_of(made.reference))
    assert real.homography is not None
    off = np.array([[1, 0, 12.0], [0, 1, 0], [0, 0, 1]])
    monkeypatch.setattr(studies_registration, "register", lambda *_: real._replace(homography=off @ real.homography))
    assert judged(made)[0]["wrong"]
    monkeypatch.setattr(studies_registration, "register", lambda *_: real)
    rows = [judged(trial(kind, pictures, np.random.default_rng(0)))[0] for kind in WITHOUT_AN_ANSWER]
    assert all(row["wrong"] and row["error_px"] is None for row in rows)
    assert summed("all", [right, *rows])["wrong"] == 3


def test_a_reference_without_texture_is_a_refusal(pictures: list[Path]) -> None:
    made = trial("moved", pictures, np.random.default_rng(0))._replace(reference=np.zeros((64, 64, 3), np.uint8))
    row, found = judged(made)
    assert found is None and not row["accepted"] and row["why"] == "reference without texture"


def test_tables_and_pictures_are_written(quick: Path, pictures: list[Path], tmp_path: Path) -> None:
    def ran(*given: str) -> subprocess.CompletedProcess[str]:
        command = [quick, "-m", "experiments.registration_trials", *given]
        # Set, so that the program does not start itself again for it.
        environment = {**os.environ, "GLIBC_TUNABLES": ""}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)

    found = pictures[0].parent / "*.png"
    done = ran(f"--pictures={found}", f"--trials={len(KINDS)}", "--side=128", f"--out={tmp_path}")
    assert done.returncode == 0 and "median_px" in done.stdout, done.stderr
    with (tmp_path / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["kind"] for row in rows] == list(KINDS) and {row["wrong"] for row in rows} == {"False"}
    assert (tmp_path / "worst.png").stat().st_size > 1000
    none = ran(f"--pictures={tmp_path}/*.jpg")
    assert none.returncode == 2 and "error: --pictures=" in none.stderr and "Traceback" not in none.stderr
