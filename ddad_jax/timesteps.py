"""L1. Which times a sampler visits. A grid is three arrays, so T' may be traced and vmapped; only the number of
steps decides a shape, and whether times are whole or real a type.
"""

from typing import NamedTuple

import numpy as np

from ddad_jax.errors import InputError
from ddad_jax.schedule import T, alpha_bar_table


class TimeGrid(NamedTuple):
    """start: the time the image is noised to, []. t: the K times the network is called at, falling [K].
    s: where each step goes, [K]; the last is -1, the clean image. int32; t and s of ``CONTINUOUS`` grids float32."""

    start: np.ndarray
    t: np.ndarray
    s: np.ndarray


def _grid(start: int, t: np.ndarray) -> TimeGrid:
    t = np.asarray(t, np.int32)
    return TimeGrid(np.asarray(start, np.int32), t, np.append(t[1:], -1).astype(np.int32))


def _check(t_prime: int, steps: int) -> None:
    if not 1 <= t_prime < T:
        raise InputError(f"T' = {t_prime}: expected a start time from 1 to {T - 1}")
    if not 1 <= steps <= t_prime:
        raise InputError(f"steps = {steps}: expected 1 to T' = {t_prime} (every step visits another time)")


def reference_grid(t_prime: int, steps: int) -> TimeGrid:
    """What the published code visits: T' - skip, ..., skip, 0, with skip = T' // steps.

    The image is noised to T', a time that is never visited: the first network call is told T' - skip.

    Raises:
      InputError: T' outside 1 .. T-1, steps outside 1 .. T', or T' no multiple of steps (the published
        code then takes another number of steps than the name DDAD-n says).

    Source: reconstruction.py of the published code; paper settings T' = 250, skip = 25 (DDAD-10).

    >>> reference_grid(250, 5).t.tolist()
    [200, 150, 100, 50, 0]
    """
    _check(t_prime, steps)
    if t_prime % steps:
        raise InputError(f"T' = {t_prime} with steps = {steps}: the reference grid needs T' divisible by steps")
    return _grid(t_prime, np.arange(0, t_prime, t_prime // steps)[::-1])


def trailing(t_prime: int, steps: int) -> TimeGrid:
    """t_i = round(T' (1 - i / K)), i = 0 .. K-1: from T' itself down to T'/K, then the clean image.

    Deviation: the start time is visited, so the noise in the image is the noise the network is told of.

    Source: DDAD Algorithm 1 (t = T', ..., 1); "trailing" after Lin et al. 2024, table 2.

    >>> grid = trailing(250, 5)
    >>> grid.t.tolist(), grid.s.tolist()
    ([250, 200, 150, 100, 50], [200, 150, 100, 50, -1])
    """
    _check(t_prime, steps)
    return _grid(t_prime, np.round(t_prime * (1.0 - np.arange(steps) / steps)))


def uniform(t_prime: int, steps: int) -> TimeGrid:
    """K times evenly from T' to 0, both visited. One step visits T' alone.

    Deviation: published ``reference_grid``, which begins below T'.

    >>> uniform(250, 5).t.tolist()
    [250, 188, 125, 62, 0]
    """
    _check(t_prime, steps)
    return _grid(t_prime, np.round(np.linspace(t_prime, 0, steps)))


def quadratic(t_prime: int, steps: int) -> TimeGrid:
    """t_i = round(T' (1 - i / K)^2): denser near the clean image.

    Deviation: published ``reference_grid``. Source: Song et al. 2021 (DDIM), D.2.

    >>> quadratic(250, 5).t.tolist()
    [250, 160, 90, 40, 10]
    """
    _check(t_prime, steps)
    t = np.round(t_prime * (1.0 - np.arange(steps) / steps) ** 2)
    if len(np.unique(t)) < steps:
        raise InputError(f"quadratic grid of {steps} steps from T' = {t_prime} visits a time twice: use fewer steps")
    return _grid(t_prime, t)


def _table(alpha_bar: np.ndarray | None) -> np.ndarray:
    """Of the forward process, [T]; None for DDAD's."""
    return (alpha_bar_table() if alpha_bar is None else alpha_bar).astype(np.float64)


def log_snr(t_prime: int, steps: int, alpha_bar: np.ndarray | None = None) -> TimeGrid:
    """Evenly in lambda = log(alpha_bar / (1 - alpha_bar)) / 2: lambda_i = lambda_T' + (lambda_0 - lambda_T') i / K.

    Time runs in lambda for the exponential integrators (DPM-Solver++, UniPC): steps even in t leave them one
    step near the clean image that is longer than all others together.

    Deviation: unpublished for DDAD. Source: Lu et al. 2022 (DPM-Solver), section 3.4.

    >>> log_snr(250, 5).t.tolist()
    [250, 112, 43, 15, 4]
    """
    _check(t_prime, steps)
    a = _table(alpha_bar)
    lam = 0.5 * np.log(a / (1.0 - a))
    wanted = lam[t_prime] + (lam[0] - lam[t_prime]) * np.arange(steps) / steps
    t = np.round(np.interp(-wanted, -lam, np.arange(T)))
    if len(np.unique(t)) < steps:
        raise InputError(f"log_snr grid of {steps} steps from T' = {t_prime} visits a time twice: use fewer steps")
    return _grid(t_prime, t)


def log_snr_continuous(t_prime: int, steps: int, alpha_bar: np.ndarray | None = None) -> TimeGrid:
    """Evenly in lambda from T' to t = 0, both visited, at real times: as many as one likes.

    Times that are whole leave a grid even in lambda at most 13, 17 or 20 steps from T' = 100, 250 or 400. One step
    visits T' alone.

    Deviation: published times are whole. Networks take their embedding of a real time as it comes; they learnt whole
      ones.

    Raises:
      InputError: T' outside 1 .. T-1, steps outside 1 .. T.

    >>> print(log_snr_continuous(250, 5).t.round(1))
    [250.   89.4  25.7   5.4   0. ]
    """
    _check(t_prime, 1)
    if not 1 <= steps <= T:
        raise InputError(f"steps = {steps}: expected 1 to {T}")
    # As ``alpha_bar_at`` has them: straight in log alpha_bar between whole times.
    fine = np.linspace(0.0, t_prime, 32 * t_prime + 1)
    log_a = np.interp(fine, np.arange(T), np.log(_table(alpha_bar)))
    lam = 0.5 * (log_a - np.log(-np.expm1(log_a)))
    t = np.interp(-np.linspace(lam[-1], lam[0], steps), -lam, fine).astype(np.float32)
    return TimeGrid(np.asarray(t_prime, np.int32), t, np.append(t[1:], -1.0).astype(np.float32))


def stretched(grid: TimeGrid, start: int) -> TimeGrid:
    """``grid`` with every time multiplied by start / grid.start, rounded: its shape, from a later start.

    Raises:
      InputError: a start outside 1 .. T-1, or so early that two times fall together.

    >>> stretched(trailing(250, 5), 300).t.tolist()
    [300, 240, 180, 120, 60]
    """
    _check(start, len(grid.t))
    t = np.round(np.asarray(grid.t) * (start / int(grid.start)))
    if len(np.unique(t)) < len(t):
        raise InputError(f"a grid of {len(t)} steps from T' = {int(grid.start)} visits a time twice from T' = {start}")
    return _grid(start, t)


GRIDS = {
    "reference": reference_grid,
    "trailing": trailing,
    "uniform": uniform,
    "quadratic": quadratic,
    "log_snr": log_snr,
    "log_snr_continuous": log_snr_continuous,
}
"""The names a config may use."""

CONTINUOUS = ("log_snr_continuous",)
"""Those of real times, which make another program than whole ones."""
