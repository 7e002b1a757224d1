"""A map finds its place in the frame again."""

import cv2
import numpy as np
import pytest

from ddad_jax.engine.detector.frames import in_frame, uncropped


def blob(size: tuple[int, int], x: float, y: float, width: float) -> np.ndarray:
    rows, columns = np.mgrid[: size[0], : size[1]]
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * width**2)).astype(np.float32)


def test_a_map_of_the_middle_lies_in_the_middle() -> None:
    anomaly = np.arange(6, dtype=np.float32).reshape(2, 3)
    whole = uncropped(anomaly, (4, 5))
    np.testing.assert_array_equal(whole[1:3, 1:4], anomaly)
    assert np.isneginf(whole).sum() == 20 - 6
    assert uncropped(anomaly, (2, 3)) is anomaly


@pytest.mark.parametrize("degrees", [0.0, 8.0])
def test_what_was_moved_onto_the_reference_is_moved_back(degrees: float) -> None:
    frame, reference = (120, 160), (100, 200)
    turn = np.radians(degrees)
    moved = np.array([[np.cos(turn), -np.sin(turn), 21.0], [np.sin(turn), np.cos(turn), -9.0], [0.0, 1e-4, 1.0]])
    picture = blob(frame, 70.0, 60.0, 9.0)
    onto = cv2.warpPerspective(picture, moved, reference[::-1])
    anomaly = cv2.resize(onto, (50, 40), interpolation=cv2.INTER_AREA)  # as the model sees it
    back = in_frame(anomaly, moved, frame, reference)
    assert back.shape == (40, 50) and back.dtype == np.float32
    over_frame = cv2.resize(np.where(np.isfinite(back), back, 0), frame[::-1])
    y, x = np.unravel_index(over_frame.argmax(), frame)
    assert abs(x - 70) <= 2 and abs(y - 60) <= 2
    assert np.abs(over_frame - picture).max() < 0.15


def test_what_the_reference_does_not_show_was_not_judged() -> None:
    anomaly = np.ones((20, 20), np.float32)
    half = np.array([[1.0, 0.0, -50.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    back = in_frame(anomaly, half, (100, 100), (100, 100))
    assert np.isneginf(back[:, :9]).all() and (back[:, 11:] == 1).all()
    anomaly[:10] = -np.inf
    back = in_frame(anomaly, half, (100, 100), (100, 100))
    assert np.isneginf(back[:10]).all() and (back[10:, 11:] == 1).all()
    nothing = np.full((4, 4), -np.inf, np.float32)
    assert np.isneginf(in_frame(nothing, half, (100, 100), (100, 100))).all()
