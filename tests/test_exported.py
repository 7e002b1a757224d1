"""An exported detector is one file that holds everything, and gives what the detector gives."""

import functools
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_sweep import SIZE
from test_detector import POINT, SCORE, pictures, program

from ddad_jax.detector import Calibration, Detector
from ddad_jax.engine.detector import run_exported
from ddad_jax.errors import InputError
from ddad_jax.exported import lowered, packed
from ddad_jax.first_pass import First
from ddad_jax.score import Spread

MEANING = {"model_id": "abc", "threshold": 0.5, "pixel_threshold": 0.25, "advised_batch": 2}


@functools.cache
def rising() -> Detector:
    """Everything at once: standardised, masked, cropped, every picture from a time of its own."""
    spread = Spread(np.full((SIZE, SIZE), 0.2), np.linspace(0.5, 2.0, SIZE * SIZE).reshape(SIZE, SIZE))
    watched = np.ones((SIZE, SIZE), bool)
    watched[:5, :7] = False
    constants = Calibration(0.37, spread, First(0.4, np.array([1.85, 2.0, 2.2], np.float32)), watched)
    point = POINT._replace(rise=1.0, mask_before=True)
    return Detector(program(), point, SCORE._replace(standardise=True, mask_after=True), constants, crop=SIZE - 4)


def written(folder: Path, detector: Detector, **how: Any) -> Path:
    file = folder / "model.ddad"
    file.write_bytes(packed(lowered(detector, SIZE, platforms=["cpu"], **how), MEANING))
    return file


@pytest.mark.parametrize("batch", [0, 2])
def test_maps_and_scores_are_the_detectors_for_any_number_of_pictures(tmp_path: Path, batch: int) -> None:
    detector, images = rising(), pictures(5)
    model = run_exported.load_exported(written(tmp_path, detector, batch=batch))
    expected = detector(images)
    maps, scores = model.run(images)
    np.testing.assert_allclose(scores, expected.scores, rtol=1e-5)
    np.testing.assert_allclose(maps, expected.maps, atol=1e-5 * np.abs(expected.maps).max())
    assert maps.shape == (5, SIZE - 4, SIZE - 4) and model.told["map"] == [SIZE - 4] * 2
    np.testing.assert_allclose(model.run(images[3:4])[1], scores[3:4], rtol=1e-5)


def test_the_file_says_what_it_holds_and_nothing_in_it_is_pickled(tmp_path: Path) -> None:
    file = written(tmp_path, rising())
    with zipfile.ZipFile(file) as archive:
        assert set(archive.namelist()) == {"ddad.json", "program", "arrays.npz"}
        told = json.loads(archive.read("ddad.json"))
        with np.load(io.BytesIO(archive.read("arrays.npz")), allow_pickle=False) as arrays:
            assert all(arrays[name].dtype != object for name in arrays.files)
    assert told.items() >= {**MEANING, "format": 2, "picture": [SIZE, SIZE], "platforms": ["cpu"], "batch": 0}.items()


def test_one_program_may_be_for_several_platforms() -> None:
    program_of_three = lowered(rising(), SIZE, platforms=["cpu", "cuda", "tpu"]).program
    assert program_of_three.platforms == ("cpu", "cuda", "tpu")


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"platforms": ["cpu", "abacus"]}, "platforms: abacus: expected some of cpu"),
        ({"platforms": []}, "platforms: none"),
        ({"platforms": ["cpu"], "batch": -1}, "batch = -1"),
    ],
)
def test_what_cannot_be_exported_is_refused(how: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        lowered(rising(), SIZE, **how)


def test_a_detector_that_is_told_its_start_times_is_refused() -> None:
    told = Detector(program(), POINT._replace(rise=1.0), SCORE, Calibration(0.4))
    with pytest.raises(InputError, match="rise = 1.0: expected starts"):
        lowered(told, SIZE, platforms=["cpu"])
