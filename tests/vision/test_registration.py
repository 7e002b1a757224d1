"""A nudged picture is brought back to a fraction of a pixel; what cannot be brought back is refused and says why."""

import re
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from ddad_jax.errors import InputError
from ddad_jax.vision.homography import applied, bettered, corner_spread, corners, implausible, stretch
from ddad_jax.vision.registration import Registration, reference_of, register, seen, warped

SIZE = (180, 240)
MARGIN = 40


def scene(seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Boxes and discs of random colours on smooth noise, with a margin that only a moved camera sees; RGB."""
    rng, (h, w) = np.random.default_rng(seed), (size[0] + 2 * MARGIN, size[1] + 2 * MARGIN)
    found = cv2.GaussianBlur(rng.uniform(0, 255, (h, w, 3)), (0, 0), 3)
    found = (found - found.mean()) * 4 + 128
    for _ in range(90):
        x, y, r = (int(v) for v in rng.integers([0, 0, 3], [w, h, 16]))
        colour = rng.integers(0, 256, 3).tolist()
        if rng.random() < 0.5:
            cv2.circle(found, (x, y), r, colour, -1)
        else:
            cv2.rectangle(found, (x, y), (x + r, y + 2 * r), colour, -1)
    return np.clip(found, 0, 255).astype(np.uint8)


def motion(
    turn: float = 0.0, scale: float = 1.0, shift: tuple[float, float] = (0.0, 0.0), tilt: float = 0.0
) -> np.ndarray:
    """Reference -> picture, about the middle; degrees, factor, pixels, share of a side."""
    middle, angle = np.array([(SIZE[1] - 1) / 2, (SIZE[0] - 1) / 2]), np.deg2rad(turn)
    turned = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    found = np.eye(3)
    found[:2, :2], found[:2, 2] = turned, middle + shift - turned @ middle
    lens = np.eye(3)
    lens[2, :2] = tilt / SIZE[1], -tilt / SIZE[1]
    to_middle = np.array([[1, 0, -middle[0]], [0, 1, -middle[1]], [0, 0, 1]])
    return found @ np.linalg.inv(to_middle) @ lens @ to_middle


def shown(whole: np.ndarray, forth: np.ndarray) -> np.ndarray:
    """What the camera sees of a scene after it moved."""
    onto = forth @ np.array([[1, 0, -MARGIN], [0, 1, -MARGIN], [0, 0, 1.0]])
    return cv2.warpPerspective(whole, onto, SIZE[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def error(found: Registration, forth: np.ndarray) -> float:
    """Of the worst corner, in pixels at 256."""
    assert found.homography is not None
    apart = applied(found.homography, applied(forth, corners(SIZE))) - corners(SIZE)
    return float(np.linalg.norm(apart * [256 / SIZE[1], 256 / SIZE[0]], axis=1).max())


STILL = np.eye(3)
NUDGED = motion(turn=4, scale=1.04, shift=(15, -11))
SCENE = scene()
REFERENCE = reference_of(shown(SCENE, STILL))


@pytest.mark.parametrize(
    "forth",
    [STILL, motion(shift=(24, 18)), motion(turn=5), motion(turn=-5, scale=0.95), motion(scale=1.05), NUDGED,
     motion(turn=3, shift=(-20, 9), tilt=0.06)],
)  # fmt: skip
def test_a_nudged_picture_is_brought_back(forth: np.ndarray) -> None:
    picture = shown(SCENE, forth)
    found = register(picture, REFERENCE)
    assert found.accepted and found.reason == "" and found.agreement > 0.9
    assert error(found, forth) < 0.2
    there = seen(found, SIZE)
    before = np.abs(picture.astype(float) - shown(SCENE, STILL))[there].mean()
    after = np.abs(warped(picture, found, SIZE).astype(float) - shown(SCENE, STILL))[there].mean()
    assert after < 0.25 * before or forth is STILL


def test_noise_blur_and_exposure_cost_little() -> None:
    rng, picture = np.random.default_rng(1), shown(SCENE, NUDGED)
    noisy = np.clip(picture + rng.normal(0, 12, picture.shape), 0, 255).astype(np.uint8)
    for changed in (noisy, cv2.GaussianBlur(picture, (0, 0), 1.5), (picture * 0.4).astype(np.uint8)):
        found = register(changed, REFERENCE)
        assert found.accepted and error(found, NUDGED) < 1.0


def test_another_part_before_the_same_background_is_no_obstacle() -> None:
    """The reference is a different picture of the view: a quarter of it may be something else altogether."""
    picture = shown(SCENE, NUDGED)
    picture[40:145, 70:170] = shown(scene(5), STILL)[40:145, 70:170]
    found = register(picture, REFERENCE)
    assert found.accepted and error(found, NUDGED) < 0.5 and found.agreement < 0.9


def test_a_registration_is_the_same_each_time_and_leaves_its_input_alone() -> None:
    picture = shown(SCENE, NUDGED)
    kept = picture.copy()
    first, again = register(picture, REFERENCE), register(picture, reference_of(shown(SCENE, STILL)))
    np.testing.assert_array_equal(first.homography, again.homography)
    assert first._replace(homography=None) == again._replace(homography=None)
    np.testing.assert_array_equal(picture, kept)


def test_a_picture_of_another_resolution_is_brought_to_the_references() -> None:
    picture = cv2.resize(shown(SCENE, NUDGED), (480, 360), interpolation=cv2.INTER_CUBIC)
    found = register(picture, REFERENCE)
    assert found.accepted and found.homography is not None and found.picture_size == (360, 480)
    assert error(found._replace(homography=found.homography @ stretch(SIZE, (360, 480))), NUDGED) < 0.5


def slid() -> np.ndarray:
    picture = shown(SCENE, STILL)
    picture[50:130, 60:180] = shown(SCENE, motion(shift=(14, -9)))[50:130, 60:180]
    return picture


def flat(noise: float) -> np.ndarray:
    return np.clip(np.random.default_rng(3).normal(120, noise, (*SIZE, 3)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("picture", "says"),
    [
        (lambda: shown(scene(7), STILL), "agree on"),
        (lambda: flat(0), "agree on no motion"),
        (lambda: flat(8), "agree on"),
        (lambda: np.ascontiguousarray(shown(SCENE, STILL)[:, ::-1]), "agree on|blocks"),
        (lambda: shown(SCENE, motion(turn=35)), "a corner would move by"),
        (lambda: shown(SCENE, motion(turn=180)), "agree on|flips|corner would move"),
        (lambda: cv2.GaussianBlur(shown(SCENE, NUDGED), (0, 0), 14), "agree on"),
        (slid, "blocks moved one way and"),
        (lambda: np.zeros((8, 8, 3), np.uint8), "agree on no motion"),
    ],
    ids=["another", "flat", "noise", "mirrored", "turned far", "upside down", "blurred", "slid", "tiny"],
)  # fmt: skip
def test_what_cannot_be_right_is_refused_and_passes_unchanged(picture: Callable[[], np.ndarray], says: str) -> None:
    pixels = picture()
    found = register(pixels, REFERENCE)
    assert not found.accepted and found.homography is None
    assert re.search(says, found.reason), found.reason
    np.testing.assert_array_equal(warped(pixels, found, pixels.shape[:2]), pixels)
    assert seen(found, SIZE).all()


def test_a_smaller_max_shift_refuses_what_a_larger_one_takes() -> None:
    picture = shown(SCENE, motion(shift=(22, 0)))
    assert register(picture, REFERENCE, max_shift=0.12).accepted
    assert not register(picture, REFERENCE, max_shift=0.05).accepted


@pytest.mark.parametrize("picture", [flat(0), flat(2), np.full((40, 400, 3), 9, np.uint8)])
def test_a_reference_without_texture_is_refused(picture: np.ndarray) -> None:
    with pytest.raises(InputError, match="reference picture has too little texture .* Choose a sharp picture"):
        reference_of(picture)


def known(forth: np.ndarray) -> Registration:
    found = register(shown(SCENE, STILL), REFERENCE)
    return found._replace(homography=np.linalg.inv(forth))


def test_a_ground_truth_moves_with_its_picture_and_is_empty_where_nothing_is_seen() -> None:
    forth = motion(shift=(20, 10))
    mask = np.zeros(SIZE, bool)
    mask[60:80, 100:130] = mask[:, :3] = True  # a defect, and one that the picture's border cuts off
    mask[:, -3:] = True
    expected = np.zeros(SIZE, bool)
    expected[50:70, 80:110] = True
    expected[:170, 217:220] = True
    onto = warped(mask, known(forth), SIZE)
    assert onto.dtype == bool
    np.testing.assert_array_equal(onto, expected)
    np.testing.assert_array_equal(warped(mask.astype(np.uint8) * 255, known(forth), SIZE), expected * np.uint8(255))
    np.testing.assert_array_equal(seen(known(forth), SIZE), np.pad(np.ones((170, 220), bool), ((0, 10), (0, 20))))


def test_pixels_that_are_not_seen_repeat_the_border_or_are_the_references_own() -> None:
    picture, reference = shown(SCENE, motion(shift=(20, 0))), shown(SCENE, STILL)
    registration = known(motion(shift=(20, 0)))
    onto = warped(picture, registration, SIZE)
    np.testing.assert_array_equal(onto[:, :220], picture[:, 20:])
    np.testing.assert_array_equal(onto[:, 220:], np.repeat(picture[:, -1:], 20, axis=1))
    filled = warped(picture, registration, SIZE, fill=reference)
    np.testing.assert_array_equal(filled[:, 220:], reference[:, 220:])
    np.testing.assert_array_equal(filled[:, :220], onto[:, :220])


def test_a_map_of_any_size_is_warped_as_its_picture() -> None:
    """What is stretched over the picture moves by the same share of it."""
    registration = known(motion(shift=(24, 18)))  # a tenth of each side
    small = np.arange(60 * 80, dtype=np.float32).reshape(60, 80)
    onto = warped(small, registration, (60, 80))
    np.testing.assert_allclose(onto[:54, :72], small[6:, 8:], rtol=1e-5)
    large = warped(np.repeat(np.repeat(small, 5, 0), 5, 1), registration, (60, 80))
    np.testing.assert_allclose(large[1:53, 1:71], small[7:59, 9:79], rtol=1e-4)


def test_a_fit_gives_back_a_homography_and_ignores_a_few_wild_offsets() -> None:
    rng = np.random.default_rng(0)
    u = rng.uniform(-1, 1, (60, 2))
    true = np.array([[1.01, -0.03, 0.05], [0.03, 1.01, -0.04], [0.004, -0.003, 1.0]])
    offset = applied(true, u) - u
    offset[:8] += rng.uniform(-0.5, 0.5, (8, 2))
    found = np.eye(3)
    for _ in range(4):
        left = applied(np.linalg.inv(found), u + offset) - u
        found, _ = bettered(found, u, left, np.tile(np.eye(2) * 1e6, (60, 1, 1)))
    np.testing.assert_allclose(applied(found, u[8:]), u[8:] + offset[8:], atol=1e-4)


def test_corners_far_from_all_evidence_are_uncertain() -> None:
    """The spread of a corner, foretold by one fit, is that of many fits to noisy offsets."""
    rng, noise = np.random.default_rng(0), 0.004
    weight = np.tile(np.eye(2) / noise**2, (40, 1, 1))
    spreads = {}
    for name, reach in (("wide", 0.7), ("narrow", 0.15)):
        u = rng.uniform(-reach, reach, (40, 2))
        fits = [bettered(np.eye(3), u, rng.normal(0, noise, u.shape), weight) for _ in range(60)]
        ends = np.array([applied(one, np.array([[-1.0, -1.0]]))[0] for one, _ in fits])
        told = corner_spread(fits[0][1], (256, 256))
        assert told > 0.7 * ends.std(0).max() * 128  # never much better than it is
        spreads[name] = told
    assert spreads["narrow"] > 2 * spreads["wide"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (np.diag([-1.0, 1.0, 1.0]), "flips"),
        (np.diag([1.5, 1.5, 1.0]), "scales a side"),
        (np.array([[1, 0, 90.0], [0, 1, 0], [0, 0, 1]]), "would move by"),
        (np.array([[1, 0, 0], [0, 1, 0], [-0.01, 0, 1]]), "tilts"),
        (np.full((3, 3), np.nan), "tilts"),
        (np.diag([1.04, 0.97, 1.0]), "stretches"),
        (motion(tilt=0.1), "more perspective"),
        (motion(shift=(18, -18), tilt=0.04), ""),
        (NUDGED, ""),
    ],
)
def test_no_nudge_does_this(change: np.ndarray, says: str) -> None:
    found = implausible(change, SIZE, 0.2)
    assert says in found and bool(found) == bool(says)
