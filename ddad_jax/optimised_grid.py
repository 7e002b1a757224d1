"""L4. Which K times to visit, found for a trained model: those whose K-step reconstructions of normal images come
closest to a fine teacher's. No labels, no gradients, and nothing of the network changes.

Dynamic programming over the errors of single steps (``grid_teacher.step_costs``) gives a path through the teacher's
times; coordinate descent then moves them, one after the other, by what the solver asked for really does. *Host*: the
network is called by ``Measure`` alone.

Source: Watson et al. 2021 (dynamic programming over times, there for the likelihood); Chen et al. 2024 (GITS: the
error of Euler's steps on a teacher's trajectory as its cost). The factor ``carry`` and the descent are ours.
"""

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ddad_jax.errors import InputError
from ddad_jax.grid_teacher import StepCosts
from ddad_jax.schedule import T
from ddad_jax.timesteps import GRIDS, TimeGrid

STANDARD = ("trailing", "uniform", "quadratic", "log_snr")
"""The grids of ``timesteps`` that begin where the picture was noised to: what an optimised one has to beat."""

Measure = Callable[[np.ndarray], Any]
"""Times int [n, K] -> their distances [n]: ``grid_teacher.reconstruction_distances`` with all but the times bound, and
compiled."""


class OptimisedGrid(NamedTuple):
    """times: int [K], falling, the first T'. distance: to the teacher, of the grids tried by name, of the "path" of
    dynamic programming and of "optimised", which are ``times``."""

    times: np.ndarray
    distance: dict[str, float]


def grid_of(times: Sequence[int] | np.ndarray) -> TimeGrid:
    """The grid that starts at the first of K times and visits all.

    Raises:
      InputError: no times, times outside 0 .. T-1, or times that do not fall.
    """
    t = np.asarray(times)
    if t.ndim != 1 or not len(t) or t.dtype.kind != "i" or t.min() < 0 or t.max() >= T or (np.diff(t) >= 0).any():
        raise InputError(f"times {list(times)}: expected whole numbers from {T - 1} to 0 that fall")
    t = t.astype(np.int32)
    return TimeGrid(t[0], t, np.append(t[1:], -1).astype(np.int32))


def best_path(costs: StepCosts, steps: int) -> np.ndarray:
    """The path of ``steps`` steps from the first time to the clean image with the least error at its end.

        E_0 = 0 at the first time,  E_k(s) = min over t before s of  carry(t, s) E_(k-1)(t) + error(t, s)

    Errors are added as if they pointed the same way, which those of DDIM on a bent trajectory mostly do. A
    solver of higher order errs less, but in the same places. O(steps N^2).

    Returns:
      the places of the times visited, rising, int [steps]; the first is 0.

    Raises:
      InputError: more steps than there are times, or costs that are not finite.
    """
    error, carry = (np.asarray(table, np.float64) for table in costs)
    n = len(error)
    if not 1 <= steps <= n:
        raise InputError(f"steps = {steps}: expected 1 to {n}, the times to choose from")
    later = np.triu(np.ones((n, n + 1), bool), 1)
    so_far = np.where(np.arange(n) == 0, 0.0, np.inf)
    came_from = []
    for _ in range(steps):
        known = np.isfinite(so_far)[:, None]
        reached = np.where(known, so_far[:, None], 0.0) * carry + error
        reached = np.where(later & known & np.isfinite(reached), reached, np.inf)
        came_from.append(reached.argmin(0))
        so_far = reached.min(0)[:n]
    if not np.isfinite(reached[:, n].min()):
        raise InputError("the fine teacher's run is not finite, so nothing can come close to it: lower w")
    places = [n]
    for choice in reversed(came_from):
        places.append(int(choice[places[-1]]))
    return np.array(places[:0:-1])


def optimise_grid(
    costs: StepCosts, t: Sequence[int] | np.ndarray, measure: Measure, steps: int, *, rounds: int = 3, trials: int = 8
) -> OptimisedGrid:
    """The best times among the path of dynamic programming, ``STANDARD`` and what descent makes of the best of these.

    All are judged by ``measure``, so the result is never farther from the teacher than a standard grid.

    Args:
      costs, t: of the teacher's N times.
      measure: always called with [trials, steps] times, so it is compiled once a number of steps.
      rounds: of coordinate descent, 0 for none. Costs rounds (steps - 1) trials K-step runs of all images.
      trials: places tried for a time at once, at least 4.

    Deviation: the published times are even in t and the same for every model.
    """
    starts = {"path": np.asarray(t)[best_path(costs, steps)]}
    for name in STANDARD:
        # Few times near the clean image: with many steps some grids would visit one twice.
        with contextlib.suppress(InputError):
            starts[name] = GRIDS[name](int(t[0]), steps).t
    of_starts = dict(zip(starts, _measured(measure, list(starts.values()), trials), strict=True))
    first = min(of_starts, key=lambda name: of_starts[name])
    times, distance = coordinate_descent(starts[first], of_starts[first], measure, rounds=rounds, trials=trials)
    return OptimisedGrid(times, {**of_starts, "optimised": distance})


def coordinate_descent(
    times: np.ndarray, distance: float, measure: Measure, *, rounds: int, trials: int
) -> tuple[np.ndarray, float]:
    """Move one time after the other to the best of ``trials`` places between its neighbours; T' stays.

    The first round tries the whole room between them, each later round a part of it, smaller by trials / 2 and
    around the place found last. Returns (times, their distance), never worse than what came in.
    """
    best = np.array(times, np.int32)
    for part in range(rounds):
        for i in range(1, len(best)):
            low, high = (int(best[i + 1]) + 1 if i + 1 < len(best) else 0), int(best[i - 1]) - 1
            reach = 0.5 * (high - low) / (0.5 * trials) ** part
            middle = 0.5 * (high + low) if part == 0 else float(best[i])
            places = np.linspace(max(middle - reach, low), min(middle + reach, high), trials).round().astype(int)
            places = np.setdiff1d(places, best[i])
            if not len(places):
                continue
            moved = np.tile(best, (len(places), 1))
            moved[:, i] = places
            found = _measured(measure, list(moved), trials)
            if min(found) < distance:
                best, distance = moved[int(np.argmin(found))], min(found)
    return best, distance


def _measured(measure: Measure, grids: Sequence[np.ndarray], trials: int) -> list[float]:
    """Of any number of grids, in calls of ``trials``; infinite where a run diverged."""
    found: list[float] = []
    for first in range(0, len(grids), trials):
        part = [grids[min(i, len(grids) - 1)] for i in range(first, first + trials)]
        found += [float(d) if math.isfinite(d) else math.inf for d in np.asarray(measure(np.stack(part)))]
    return found[: len(grids)]
