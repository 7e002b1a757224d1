"""L1. A plane's motion from one picture to another: eight numbers, fitted to what is known and no further; *host*.

With places in units of half the longer side, u = (x, y) in about [-1, 1]^2, a homography near the identity moves
them by

    dx = p0 + p1 x + p2 y + p6 x^2 + p7 x y,    dy = p3 + p4 x + p5 y + p6 x y + p7 y^2

which is linear in p. A nudged camera mostly shifts, turns and scales; stretch, shear and perspective are drawn towards
0 by a normal prior, so that few or crowded matches cannot bend the corners, and the posterior says how far each corner
can be trusted.
"""

import numpy as np

_PRIOR_SPREAD = (0.01, 0.01, 0.02, 0.02)
"""Standard deviations of stretch, shear and both perspectives. Turning a camera with a field of view of 60 degrees by 3
degrees gives a perspective of 0.03: weak enough to give way to data, strong enough where there are none."""
_STRETCH = [0, 0.5, 0, 0, 0, -0.5, 0, 0]
_SHEAR = [0, 0, 0.5, 0, 0.5, 0, 0, 0]
_PRIOR = np.array([_STRETCH, _SHEAR, np.eye(8)[6], np.eye(8)[7]]) / np.array(_PRIOR_SPREAD)[:, None]


def applied(homography: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Places (x, y) [n, 2] moved by a homography [3, 3]; float64 [n, 2]."""
    moved = np.c_[places, np.ones(len(places))] @ homography.T
    return moved[:, :2] / moved[:, 2:]


def corners(size: tuple[int, int]) -> np.ndarray:
    """The centres of the four corner pixels (x, y) of a picture (h, w), clockwise from the top left; float64 [4, 2]."""
    h, w = size
    return np.array([[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]], np.float64)


def stretch(of: tuple[int, int], to: tuple[int, int]) -> np.ndarray:
    """Pixels (x, y) of a picture (h, w) -> of the same picture resized; centres lie at whole numbers in both."""
    down, right = to[0] / of[0], to[1] / of[1]
    return np.array([[right, 0, 0.5 * right - 0.5], [0, down, 0.5 * down - 0.5], [0, 0, 1.0]])


def unit(size: tuple[int, int]) -> np.ndarray:
    """Places u of the module -> pixels (x, y) of a picture (h, w)."""
    half = max(size) / 2
    return np.array([[half, 0, (size[1] - 1) / 2], [0, half, (size[0] - 1) / 2], [0, 0, 1.0]])


_MAX_STRETCH = 0.025
"""Of a side against the other, and of shear."""
_FOCAL, _FREE_TILT = 1.5, 0.01
"""Focal length in half longer sides, at least (67 degrees of view), and perspective believed without a shift."""


def basis(u: np.ndarray) -> np.ndarray:
    """d(dx, dy) / dp at places u [n, 2]; float64 [n, 2, 8]."""
    x, y = u.T
    one, zero = np.ones_like(x), np.zeros_like(x)
    dx = [one, x, y, zero, zero, zero, x * x, x * y]
    dy = [zero, zero, zero, one, x, y, x * y, y * y]
    return np.stack([np.stack(dx, -1), np.stack(dy, -1)], 1)


def bettered(
    current: np.ndarray, u: np.ndarray, offset: np.ndarray, weight: np.ndarray, *, rounds: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """One Gauss-Newton step: current o D, D moving each u by its offset as nearly as the prior and the others allow.

    min over p of sum_i rho(|offset_i - basis_i p|^2 in W_i) + |prior (p + p_current)|^2, rho of Geman and McClure, by
    reweighted least squares: an offset that fits nobody loses its say.

    Args:
      current: float64 [3, 3] between places u.
      u: [n, 2]; offset: [n, 2]; weight: W, [n, 2, 2], the inverse of each offset's covariance.
      rounds: of reweighting.

    Returns:
      The bettered homography [3, 3], and the covariance of p [8, 8], widened where offsets scatter more than W says.
    """
    jacobian, prior = basis(u), _PRIOR.T @ _PRIOR
    at, trust, scatter = _numbers(current), np.ones(len(u)), 1.0
    precision, step = np.eye(8), np.zeros(8)
    for _ in range(rounds):
        w = weight * (trust / scatter)[:, None, None]
        precision = np.einsum("nij,nik,nkl->jl", jacobian, w, jacobian) + prior
        step = np.linalg.solve(precision, np.einsum("nij,nik,nk->j", jacobian, w, offset) - prior @ at)
        left = offset - jacobian @ step
        square = np.einsum("ni,nij,nj->n", left, weight, left)
        scatter = max(float(np.median(square)) / 1.39, 1.0)  # the median of chi^2 with two degrees of freedom
        trust = (1 + square / scatter / 4) ** -2
    return current @ _homography(step), np.linalg.inv(precision)


def corner_spread(covariance: np.ndarray, size: tuple[int, int]) -> float:
    """Standard deviation of the corner known worst, in its worst direction: pixels of the picture at 256 x 256."""
    at = basis(applied(np.linalg.inv(unit(size)), corners(size))) * max(size) / 2
    at = at * np.array([256 / size[1], 256 / size[0]])[None, :, None]
    return float(np.sqrt(max(np.linalg.eigvalsh(j @ covariance @ j.T)[-1] for j in at)))


def implausible(homography: np.ndarray, size: tuple[int, int], max_shift: float) -> str:
    """Why a nudged camera cannot have moved a picture of that size so; "" where it can.

    A camera that turns by theta moves what it sees by f theta and tilts it by theta / f, and what it sees does not
    stretch: perspective without the shift that belongs to it is how a homography explains parts that moved apart.

    Args:
      homography: float64 [3, 3] between pixels of two pictures of this size (h, w).
      max_shift: how far a corner may move, as a share of the longer side.
    """
    at = corners(size)
    depth = np.c_[at, np.ones(4)] @ homography[2] / homography[2, 2]
    if not (np.isfinite(homography).all() and (depth > 0.5).all() and (depth < 2).all()):
        return "the homography tilts the picture too far"
    moved = applied(homography, at)
    sides, before = np.roll(moved, -1, 0) - moved, np.roll(at, -1, 0) - at
    following = np.roll(sides, -1, 0)
    if (sides[:, 0] * following[:, 1] - sides[:, 1] * following[:, 0] <= 0).any():
        return "the homography flips or folds the picture"
    scale = np.linalg.norm(sides, axis=1) / np.linalg.norm(before, axis=1)
    if scale.min() < 0.75 or scale.max() > 1 / 0.75:
        return f"the homography scales a side by {scale.min():.2f} to {scale.max():.2f}; expected 0.75 to 1.33"
    shift = float(np.linalg.norm(moved - at, axis=1).max() / max(size))
    if shift > max_shift:
        return f"a corner would move by {shift:.0%} of the longer side; at most {max_shift:.0%} is believed"
    into = np.linalg.inv(unit(size))
    p = _numbers(into @ homography @ unit(size))
    if max(abs(p[1] - p[5]), abs(p[2] + p[4])) / 2 > _MAX_STRETCH:
        return (
            f"the homography stretches or shears by {max(abs(p[1] - p[5]), abs(p[2] + p[4])) / 2:.1%}; a nudge does not"
        )
    if (np.abs(p[6:]) > np.abs(p[[0, 3]]) / _FOCAL**2 + _FREE_TILT).any():
        return "the homography has more perspective than a camera that turned by its shift"
    return ""


def _numbers(homography: np.ndarray) -> np.ndarray:
    """p of a homography, to first order."""
    h = homography / homography[2, 2]
    return np.array([h[0, 2], h[0, 0] - 1, h[0, 1], h[1, 2], h[1, 0], h[1, 1] - 1, -h[2, 0], -h[2, 1]])


def _homography(p: np.ndarray) -> np.ndarray:
    return np.array([[1 + p[1], p[2], p[0]], [p[4], 1 + p[5], p[3]], [-p[6], -p[7], 1.0]])
