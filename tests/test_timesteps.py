from collections.abc import Callable

import numpy as np
import pytest

from ddad_jax.errors import InputError
from ddad_jax.schedule import T, alpha_bar_at, alpha_bar_table
from ddad_jax.timesteps import (
    CONTINUOUS,
    GRIDS,
    TimeGrid,
    log_snr,
    log_snr_continuous,
    quadratic,
    reference_grid,
    trailing,
    uniform,
)

SETTINGS = [(1, 1), (2, 1), (5, 5), (10, 3), (100, 7), (250, 5), (250, 10), (250, 25), (250, 250), (999, 333)]


def exists(name: str, t_prime: int, steps: int) -> bool:
    if name == "reference":
        return t_prime % steps == 0
    if name == "log_snr":
        return 20 * steps <= t_prime or steps == 1
    if name in CONTINUOUS:
        return True
    return name != "quadratic" or steps == 1 or steps**2 <= t_prime


ALL = [(name, setting) for name in GRIDS for setting in SETTINGS if exists(name, *setting)]


@pytest.mark.parametrize(("name", "setting"), ALL)
def test_every_grid_falls_through_distinct_times_to_the_clean_image(name: str, setting: tuple[int, int]) -> None:
    t_prime, steps = setting
    grid = GRIDS[name](t_prime, steps)
    assert grid.t.shape == grid.s.shape == (steps,) and grid.start == t_prime
    assert grid.start.dtype == np.int32
    assert grid.t.dtype == grid.s.dtype == (np.float32 if name in CONTINUOUS else np.int32)
    assert (np.diff(grid.t) < 0).all() and grid.t[-1] >= 0 and grid.t[0] <= t_prime
    np.testing.assert_array_equal(grid.s[:-1], grid.t[1:])
    assert grid.s[-1] == -1


def test_every_trailing_and_uniform_grid_that_may_be_asked_for_visits_distinct_times() -> None:
    for t_prime in (*range(1, 60), 249, 250, 998, 999):
        for steps in range(1, t_prime + 1):
            assert (np.diff(trailing(t_prime, steps).t) < 0).all()
            assert (np.diff(uniform(t_prime, steps).t) < 0).all()


@pytest.mark.parametrize(("steps", "first"), [(10, 225), (5, 200), (25, 240)])
def test_the_reference_grid_never_visits_the_time_it_starts_from(steps: int, first: int) -> None:
    grid = reference_grid(250, steps)
    assert grid.start == 250 and grid.t[0] == first and grid.t[-1] == 0
    np.testing.assert_array_equal(grid.t, list(range(0, 250, 250 // steps))[::-1])


def test_the_trailing_grid_visits_the_time_it_starts_from() -> None:
    """The deviation: the network is told of the noise that is in the image."""
    grid = trailing(250, 10)
    assert grid.t[0] == grid.start == 250
    np.testing.assert_array_equal(grid.t, np.arange(250, 0, -25))
    for steps in (1, 5, 7, 250):
        assert trailing(250, steps).t[0] == 250


def test_the_uniform_grid_visits_both_ends() -> None:
    assert uniform(250, 6).t.tolist() == [250, 200, 150, 100, 50, 0]
    assert uniform(250, 1).t.tolist() == [250]


def test_the_quadratic_grid_is_denser_near_the_clean_image() -> None:
    grid = quadratic(250, 5)
    assert grid.t.tolist() == [250, 160, 90, 40, 10]
    assert (np.diff(-np.diff(grid.t)) < 0).all()


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize(("t_prime", "steps"), [(0, 1), (-5, 1), (T, 10), (250, 0), (250, T + 1), (250, -1)])
def test_times_and_steps_out_of_range_are_refused(name: str, t_prime: int, steps: int) -> None:
    with pytest.raises(InputError, match=r"(T'|steps) = -?\d+.*expected"):
        GRIDS[name](t_prime, steps)


@pytest.mark.parametrize("name", [name for name in GRIDS if name not in CONTINUOUS])
def test_there_are_no_more_whole_times_than_t_prime(name: str) -> None:
    with pytest.raises(InputError, match="steps = 251: expected 1 to T' = 250"):
        GRIDS[name](250, 251)


@pytest.mark.parametrize("t_prime", [1, 100, 999])
def test_real_times_are_even_in_log_snr_however_many(t_prime: int) -> None:
    t = log_snr_continuous(t_prime, 200).t
    a = np.asarray(alpha_bar_at(alpha_bar_table(), t), np.float64)
    lam = 0.5 * np.log(a / (1 - a))
    assert (t[0], t[-1]) == (t_prime, 0)
    # float32 of 1 - alpha_bar = 1e-4 is good to a thousandth.
    np.testing.assert_allclose(lam, np.linspace(lam[0], lam[-1], 200), atol=2e-3)


def test_a_reference_grid_that_the_published_name_would_misstate_is_refused() -> None:
    with pytest.raises(InputError, match="divisible"):
        reference_grid(250, 7)


@pytest.mark.parametrize("make", [quadratic, log_snr])
def test_a_grid_too_dense_for_its_times_is_refused(make: Callable[[int, int], TimeGrid]) -> None:
    with pytest.raises(InputError, match="fewer steps"):
        make(250, 100)


def test_the_log_snr_grid_is_even_in_log_snr() -> None:
    a = alpha_bar_table().astype(float)
    lam = 0.5 * np.log(a / (1 - a))
    grid = log_snr(500, 5)
    # The last step leads to the clean image in name and to lambda_0 in spacing.
    np.testing.assert_allclose(np.diff(lam[[*grid.t, 0]]), (lam[0] - lam[500]) / 5, rtol=0.05)
