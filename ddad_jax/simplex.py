"""L1. Simplex noise: smooth random fields of several wavelengths, in the place of noise that is white.

A step of diffusion with white noise leaves large shapes visible long after fine ones are drowned; a field with long
waves covers both. The lattice noise is OpenSimplex in three dimensions, of which pictures are slices.

Source: Wyatt et al. 2022, "AnoDDPM: Anomaly Detection with Denoising Diffusion Probabilistic Models using Simplex
Noise", and the published code; the lattice noise: Spencer's OpenSimplex, 2014.
"""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax.types import Array

WAVELENGTH, OCTAVES, PERSISTENCE = 64.0, 6, 0.8
"""Published, for pictures of 256 px: of the first octave in pixels; halved from one to the next; ratio of the
amplitudes of neighbours."""
RMS = 0.314
"""Root mean square of one octave at a random place, over all permutations."""
_STRETCH, _SQUISH, _NORM = -1.0 / 6.0, 1.0 / 3.0, 103.0
_UNITS = ((11, 4, 4), (4, 11, 4), (4, 4, 11))
_SIGNS = ((-1, 1, 1), (1, 1, 1), (-1, -1, 1), (1, -1, 1), (-1, 1, -1), (1, 1, -1), (-1, -1, -1), (1, -1, -1))
_GRADIENTS = np.array([np.multiply(sign, unit) for sign in _SIGNS for unit in _UNITS], np.float32)
"""[24, 3], in the order of the published table."""
_CORNERS = tuple(itertools.product((0, 1), repeat=3))
_X, _Y, _Z = 1, 2, 4
"""Corners of a cell as bits of a number."""


def _bits(corner: int) -> np.ndarray:
    return np.array([corner & _X, (corner & _Y) // 2, (corner & _Z) // 4])


def _extra_points() -> tuple[np.ndarray, np.ndarray]:
    """The two lattice points outside of a cell, or at its far side, that are nearest: by the case of ``_case`` and a
    corner, int [7, 8, 3] each. Where a case never meets a corner its entry is 0."""
    first, second = np.zeros((2, 7, 8, 3), np.int32)
    # One of the three next to the origin, or to the far corner, is near: its two neighbours across.
    first[0, _X], second[0, _X] = (1, -1, 0), (1, 0, -1)
    first[0, _Y], second[0, _Y] = (-1, 1, 0), (0, 1, -1)
    first[0, _Z], second[0, _Z] = (-1, 0, 1), (0, -1, 1)
    first[2, _Y | _Z], second[2, _Y | _Z] = (0, 2, 1), (0, 1, 2)
    first[2, _X | _Z], second[2, _X | _Z] = (2, 0, 1), (1, 0, 2)
    first[2, _X | _Y], second[2, _X | _Y] = (2, 1, 0), (1, 2, 0)
    for corner in range(1, 7):
        at = _bits(corner)
        # Two of three are near: that which both make, and the one beyond it.
        if at.sum() == 2:
            first[1, corner], second[1, corner] = at, 2 * at - 1
            first[6, corner] = second[5, corner] = 2 * at - 1
        else:
            first[3, corner], second[3, corner] = at, 2 * at
            second[4, corner] = second[6, corner] = 2 * at
    first[4] = 1
    return first, second


_FIRST, _SECOND = _extra_points()


def _case(inside: Any, xp: Any) -> tuple[Any, Any, Any]:
    """Where in its cell a point is: (case, corner of the first extra point, of the second), int [...] each.

    Args:
      inside: coordinates in the cell, [..., 3] in [0, 1), arrays of ``xp``, which is NumPy or JAX's.
    """
    where, (x, y, z) = xp.where, (inside[..., i] for i in range(3))
    total = x + y + z

    # Near the origin: which two of the three corners next to it are nearest.
    swap_b, swap_a = (x >= y) & (z > y), (x < y) & (z > x)
    a, a_score = where(swap_a, _Z, _X), where(swap_a, z, x)
    b, b_score = where(swap_b, _Z, _Y), where(swap_b, z, y)
    rest = 1.0 - total
    beside = (rest > a_score) | (rest > b_score)
    near = where(beside, 0, 1), where(beside, where(b_score > a_score, b, a), a | b)

    # Near the far corner: the same from there.
    swap_b, swap_a = (x <= y) & (z < y), (x > y) & (z < x)
    a, a_score = where(swap_a, _X | _Y, _Y | _Z), where(swap_a, z, x)
    b, b_score = where(swap_b, _X | _Y, _X | _Z), where(swap_b, z, y)
    rest = 3.0 - total
    beside = (rest < a_score) | (rest < b_score)
    far = where(beside, 2, 3), where(beside, where(b_score < a_score, b, a), a & b)

    # Between them: which two of the six corners, and at which of the two sides they are.
    a_far, b_far, c_far = x + y > 1.0, x + z > 1.0, y + z > 1.0
    a, a_score = where(a_far, _X | _Y, _Z), abs(x + y - 1.0)
    b, b_score = where(b_far, _X | _Z, _Y), abs(x + z - 1.0)
    c, c_score = where(c_far, _Y | _Z, _X), abs(y + z - 1.0)
    for_a, for_b = (a_score <= b_score) & (a_score < c_score), (a_score > b_score) & (b_score < c_score)
    a, a_far = where(for_a, c, a), where(for_a, c_far, a_far)
    b, b_far = where(for_b, c, b), where(for_b, c_far, b_far)
    both = a_far == b_far
    middle = where(both, where(a_far, 4, 5), 6)
    shared = where(a_far, a & b, a | b)
    first, second = where(both, shared, where(a_far, a, b)), where(both, shared, where(a_far, b, a))

    def of(near: Any, far: Any, between: Any) -> Any:
        return where(total <= 1.0, near, where(total >= 2.0, far, between))

    return of(near[0], far[0], middle), of(near[1], far[1], first), of(near[1], far[1], second)


def _lattice(points: Any, xp: Any) -> tuple[Any, Any]:
    """The ten lattice points looked at from each point: where they are, int [10, ..., 3], and what their gradients are
    multiplied by, max(0, 2 - |d|^2)^4 d / 103, [10, ..., 3]."""
    stretched = points + _STRETCH * points.sum(-1, keepdims=True)
    cell = xp.floor(stretched)
    inside = stretched - cell
    origin = points - cell - _SQUISH * cell.sum(-1, keepdims=True)
    total = inside.sum(-1)
    case, first, second = _case(inside, xp)
    # Corners by how many of their coordinates are 1.
    looked_at = (total <= 1.0, total < 2.0, total > 1.0, total >= 2.0)
    offsets = [xp.broadcast_to(xp.asarray(corner), points.shape) for corner in _CORNERS]
    offsets = xp.stack([*offsets, xp.asarray(_FIRST)[case, first], xp.asarray(_SECOND)[case, second]])
    counted = xp.stack([looked_at[sum(corner)] for corner in _CORNERS] + [xp.ones_like(total, bool)] * 2)
    d = origin[None] - offsets - _SQUISH * offsets.sum(-1, keepdims=True)
    near = xp.where(counted, xp.maximum(2.0 - (d * d).sum(-1), 0.0), 0.0)
    return cell.astype(int)[None] + offsets, (near**4)[..., None] * d / _NORM


GRADIENTS = np.resize(_GRADIENTS, (256, 1, 3))
"""Of each number below 256, for a field of one channel."""


def simplex(points: Array | np.ndarray, order: Array | np.ndarray, gradients: Array | np.ndarray = GRADIENTS) -> Array:
    """Sum over lattice points at d of max(0, 2 - |d|^2)^4 g . d / 103; [..., 3] -> [..., c], within about -1 .. 1.

    Args:
      points: in wavelengths. Of NumPy: where they lie between lattice points is computed in float64, *host*.
      order: permutation of 0 .. 255, int [256], which gives each lattice point its number; the field repeats itself
        after 256 cells.
      gradients: g of that number in each channel, [256, c, 3].

    The lattice points are those that the published code looks at, two outside of the cell among them: a few that would
    add 1e-4 at most are left out there, too. Which, at a tie, is a matter of rounding.
    """
    at, weight = _lattice(points, np if isinstance(points, np.ndarray) else jnp)
    at, order = jnp.asarray(at & 255), jnp.asarray(order)
    number = order[(order[(order[at[..., 0]] + at[..., 1]) & 255] + at[..., 2]) & 255]
    return (jnp.asarray(gradients)[number] * jnp.asarray(weight)[..., None, :]).sum((0, -1))


def _pixels(size: tuple[int, int]) -> np.ndarray:
    """(column, row, 0) of every pixel, float64 [h, w, 3]."""
    rows, columns = np.mgrid[: size[0], : size[1]].astype(float)
    return np.stack([columns, rows, np.zeros(size)], -1)


def published_field(
    order: Array | np.ndarray,
    size: tuple[int, int],
    slice_at: Array | float,
    gradients: Array | np.ndarray = GRADIENTS,
    *,
    wavelength: float = WAVELENGTH,
    octaves: int = OCTAVES,
    persistence: float = PERSISTENCE,
) -> Array:
    """sum over octaves i of persistence^i simplex((column, row, slice) 2^i / wavelength), [h, w, c]; as published,
    whose variance is not 1 and whose octaves look alike at the first pixel.

    Args:
      order, gradients: of ``simplex``.
      slice_at: the third coordinate in pixels; published the time t of the diffusion. A traced one leaves float32.
    """
    pixels: Any = _pixels(size)
    if isinstance(slice_at, jax.Array):
        pixels = jnp.asarray(pixels, jnp.float32)
    pixels = pixels + np.array([0.0, 0.0, 1.0])[None, None] * slice_at
    each = [simplex(pixels * (2.0**i / wavelength), order, gradients) for i in range(octaves)]
    return sum((persistence**i * of for i, of in enumerate(each)), jnp.zeros_like(each[0]))


def simplex_noise(
    key: Array,
    shape: tuple[int, ...],
    *,
    wavelength: float = WAVELENGTH,
    octaves: int = OCTAVES,
    persistence: float = PERSISTENCE,
    published: bool = False,
) -> Array:
    """Noise of one picture; its channels know nothing of each other.

    Args:
      shape: (h, w, c). wavelength: of the first octave in pixels; the last, of wavelength / 2^(octaves - 1), should not
        be below 2. All three are bound before ``jit``.
      published: ``published_field`` at a slice drawn from 0 .. 999. Deviation: each octave begins at a place of its own
        and the sum is divided by its root mean square, so that a pixel has mean 0 and variance 1 and the schedule's
        ratio of signal to noise is what it says.
    """
    size, channels = (shape[0], shape[1]), shape[2]
    order_key, place_key, *keys = jax.random.split(key, 2 + channels)
    order = jax.random.permutation(order_key, 256)
    # All channels have the same lattice, where each has gradients of its own.
    gradients = jnp.stack([jax.random.permutation(of, GRADIENTS[:, 0]) for of in keys], 1)
    if published:
        slice_at = jax.random.randint(place_key, (), 0, 1000)
        how: Any = {"wavelength": wavelength, "octaves": octaves, "persistence": persistence}
        return published_field(order, size, slice_at, gradients, **how)
    begin = jax.random.uniform(place_key, (octaves, 3), maxval=256.0)
    pixels = jnp.asarray(_pixels(size), jnp.float32)
    field, power = jnp.zeros(shape), 0.0
    for i in range(octaves):
        at = pixels * (2.0**i / wavelength) + begin[i][None, None]
        field += persistence**i * simplex(at, order, gradients)
        power += persistence ** (2 * i)
    return field / (RMS * power**0.5)


def published_order(seed: int) -> np.ndarray:
    """The permutation that the published code makes of a seed, int32 [256]; *host*.

    Source: Spencer's OpenSimplex: a linear congruential generator of 64 bits, signed.
    """
    left, order, state = list(range(256)), np.zeros(256, np.int32), seed

    def advanced(state: int) -> int:
        wide = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        return wide - 2**64 if wide >= 2**63 else wide

    for _ in range(3):
        state = advanced(state)
    for i in range(255, -1, -1):
        state = advanced(state)
        drawn = (state + 31) % (i + 1)
        order[i], left[drawn] = left[drawn], left[i]
    return order
