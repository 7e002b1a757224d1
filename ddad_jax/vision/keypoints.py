"""L1. Keypoints of two pictures that match, and the motion most of them agree on; *host*."""

import cv2
import numpy as np

from ddad_jax.vision.homography import applied, bettered, unit

RATIO = 0.8
"""Of the distances of a keypoint's best and second best match, at most. Source: Lowe, IJCV 2004."""
NEAR = 4.0
"""Pixels between a match and where a motion puts it, at most, for the two to agree."""


def keypoints(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ORB's, of the picture with its contrast raised where it is low: (x, y) float64 [n, 2], descriptors [n, 32]."""
    raised = cv2.createCLAHE(3.0, (8, 8)).apply(grey)
    # A nudge scales by little: six levels a fifth apart are enough. The edge is half the patch, or the rim is unused.
    orb = cv2.ORB.create(2000, scaleFactor=1.2, nlevels=6, edgeThreshold=16, patchSize=31, fastThreshold=7)
    found, descriptors = orb.detectAndCompute(raised, None)
    if descriptors is None:
        return np.zeros((0, 2)), np.zeros((0, 32), np.uint8)
    return np.array([point.pt for point in found]), descriptors


def matches(
    of: tuple[np.ndarray, np.ndarray], to: tuple[np.ndarray, np.ndarray], reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Places in one picture and in another that match, float64 [n, 2] each.

    Args:
      of, to: keypoints and descriptors of both.
      reach: pixels, what lies further apart is dropped.

    Source: Lowe, IJCV 2004 (ratio test).
    """
    (points, descriptors), (others, theirs) = of, to
    if len(others) < 2:
        return np.zeros((0, 2)), np.zeros((0, 2))
    both = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(descriptors, theirs, 2)
    kept = [best for best, second in both if best.distance < RATIO * second.distance]
    here = points[[m.queryIdx for m in kept]].reshape(-1, 2)
    there = others[[m.trainIdx for m in kept]].reshape(-1, 2)
    near = np.linalg.norm(here - there, axis=1) < reach
    return here[near], there[near]


def similarity(here: np.ndarray, there: np.ndarray) -> np.ndarray | None:
    """By RANSAC, whose random numbers OpenCV begins anew at each call; float64 [3, 3]."""
    if len(here) < 4:
        return None
    found, _ = cv2.estimateAffinePartial2D(
        here, there, method=cv2.RANSAC, ransacReprojThreshold=NEAR, maxIters=5000, confidence=0.999
    )
    return None if found is None else np.r_[found, [[0.0, 0.0, 1.0]]]


def widened(back: np.ndarray, here: np.ndarray, there: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """The similarity as a homography, from more and more exact matches."""
    onto, into = unit((size[0], size[1])), np.linalg.inv(unit((size[0], size[1])))
    u = applied(into, here)
    for near in (2 * NEAR, 1.5 * NEAR, NEAR):
        fits = misses(back, here, there) < near
        if fits.sum() < 6:
            break
        offset = applied(np.linalg.inv(back @ onto), there[fits]) - u[fits]
        certain = np.tile(np.eye(2) * (onto[0, 0] / 2.0) ** 2, (len(offset), 1, 1))  # each to 2 pixels
        between, _ = bettered(into @ back @ onto, u[fits], offset, certain)
        back = onto @ between @ into
    return back


def misses(back: np.ndarray, here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Pixels between each match and where a motion puts it, [n]."""
    return np.linalg.norm(applied(back, here) - there, axis=1)
