"""Thresholds see normal scores alone and hold what they say: by hand, by brute force and by many draws."""

import inspect
import itertools
import math

import numpy as np
import pytest
from scipy.stats import beta, binom

from ddad_jax.errors import InputError
from ddad_jax.metrics import thresholds
from ddad_jax.metrics.thresholds import (
    PIXEL_RULES,
    RULES,
    conformal_rank,
    false_alarm_bounds,
    image_threshold,
    minimum_images,
    pac_rank,
    pixel_threshold,
)

ONE_TO_100 = np.random.default_rng(0).permutation(np.arange(1.0, 101.0))


def test_by_hand() -> None:
    def value(rule: str, **how: float) -> float:
        return image_threshold(ONE_TO_100, rule, **how).value

    assert value("max") == 100
    assert value("quantile", p=0.95) == 95 and value("quantile", p=0.955) == 96
    assert value("sigma", k=2.0) == pytest.approx(50.5 + 2 * math.sqrt(100 * 101 / 12))
    assert value("conformal", level=0.05) == 96  # ceil(101 * 0.95)
    assert value("conformal", level=1 / 101) == 100
    assert value("conformal_pac", level=0.05, delta=0.05) == 99  # P(Bin(100, 0.05) <= 1) = 0.037, <= 2: 0.118


@pytest.mark.parametrize("level", [0.01, 0.05, 0.1, 0.3, 0.7])
def test_the_conformal_rank_is_the_smallest_whose_bound_is_the_level(level: float) -> None:
    for n in range(1, 150):
        k = conformal_rank(n, level)
        fits = [j for j in range(1, n + 1) if round((n + 1 - j) - level * (n + 1), 9) <= 0]
        assert k == (fits[0] if fits else None), n


def test_rounding_of_the_level_costs_no_rank() -> None:
    # 1 - 0.9 is 0.09999999999999998 in binary; 10 pictures at 0.1 are asked for the ninth of nine all the same.
    assert conformal_rank(9, 0.1) == 9 and conformal_rank(99, 0.07) == 93
    assert minimum_images("quantile", p=0.9) == 10
    assert image_threshold(np.arange(10.0), "quantile", p=0.9).value == 8


@pytest.mark.parametrize(("level", "delta"), [(0.05, 0.05), (0.1, 0.01), (0.3, 0.2), (0.01, 0.1)])
def test_the_confident_rank_is_the_smallest_that_is_confident(level: float, delta: float) -> None:
    for n in (1, 5, 20, 58, 59, 93, 400):
        fits = [k for k in range(1, n + 1) if beta.cdf(level, n + 1 - k, k) >= 1 - delta]  # P(share above <= level)
        assert pac_rank(n, level, delta) == (fits[0] if fits else None)


def test_the_known_numbers_of_pictures() -> None:
    assert [minimum_images("conformal", level) for level in (0.1, 0.05, 0.01)] == [9, 19, 99]
    # Wilks' 59 and 299.
    assert [minimum_images("conformal_pac", level, 0.05) for level in (0.05, 0.01)] == [59, 299]
    assert minimum_images("max") == 1 and minimum_images("sigma") == 2 and minimum_images("quantile") == 100
    for level, delta in itertools.product((0.02, 0.1, 0.5, 0.9), (0.01, 0.3, 0.9)):
        n = minimum_images("conformal_pac", level, delta)
        assert (1 - level) ** n <= delta and (n == 1 or (1 - level) ** (n - 1) > delta)
        assert conformal_rank(minimum_images("conformal", level), level) is not None


@pytest.mark.parametrize(("rule", "needed"), [("conformal", 19), ("conformal_pac", 59)])
def test_too_few_pictures_take_the_largest_score_and_say_so(rule: str, needed: int) -> None:
    scores = np.arange(float(needed - 1))
    few = image_threshold(scores, rule)
    assert few.value == scores.max() and few.n == needed - 1 and few.level == 0.05
    assert f"at least {needed} are needed" in few.warning and "largest" in few.warning
    enough = image_threshold(np.arange(float(needed)), rule)
    assert enough.warning == "" and enough.value == needed - 1


def test_three_calibration_pictures_warn_by_every_rule() -> None:
    for rule in RULES:
        found = image_threshold([1.0, 2.0, 4.0], rule)
        assert found.warning and found.n == 3 and math.isfinite(found.value), rule
    assert "1 in 4" in image_threshold([1.0, 2.0, 4.0], "max").warning
    assert "25 %" in image_threshold([1.0, 2.0, 4.0], "max").guarantee
    alone = image_threshold([7.0], "sigma")
    assert alone.value == 7 and "no spread" in alone.warning


@pytest.mark.parametrize("ties", [False, True])
def test_both_bounds_hold_over_many_draws(ties: bool) -> None:
    rng, level, delta, n = np.random.default_rng(1), 0.1, 0.1, 40
    rates: dict[str, list[float]] = {"conformal": [], "conformal_pac": []}
    for _ in range(4000):
        scores = rng.exponential(size=n)
        for rule, found in rates.items():
            if ties:  # of a geometric distribution: P(S > m) = exp(-0.8 (m + 1)) for whole m
                threshold = image_threshold(np.floor(scores / 0.8), rule, level=level, delta=delta).value
                found.append(math.exp(-0.8 * (threshold + 1)))
            else:
                found.append(math.exp(-image_threshold(scores, rule, level=level, delta=delta).value))
    marginal, confident = (np.array(found) for found in rates.values())
    assert marginal.mean() <= level + 3 * marginal.std() / 60
    assert (confident > level).mean() <= delta + 3 * math.sqrt(delta * (1 - delta) / 4000)
    if not ties:
        k, j = conformal_rank(n, level), pac_rank(n, level, delta)
        assert k and j
        assert marginal.mean() == pytest.approx(false_alarm_bounds(k, n)[0], abs=3 * marginal.std() / 60)
        assert (confident > level).mean() == pytest.approx(binom.cdf(n - j, n, level), abs=0.02)


def test_a_score_that_ties_with_the_threshold_is_no_alarm() -> None:
    scores = np.array([1.0] * 30)
    for rule in RULES:
        assert not (scores > image_threshold(scores, rule).value).any()


def test_the_threshold_is_a_score_bit_for_bit() -> None:
    scores = np.random.default_rng(2).random(64).astype(np.float32)
    for rule in ("max", "quantile", "conformal", "conformal_pac"):
        value = image_threshold(scores, rule).value
        assert np.float32(value) in scores and float(np.float32(value)) == value


def test_pixels_by_brute_force() -> None:
    maps = np.random.default_rng(3).gamma(2.0, size=(3, 8, 9)).astype(np.float32)
    flat = np.sort(maps.ravel())
    assert pixel_threshold(maps, "max").value == flat[-1]
    assert pixel_threshold(maps, "quantile", p=0.9).value == flat[math.ceil(0.9 * flat.size) - 1]
    expected = flat.astype(float).mean() + 2 * flat.astype(float).std(ddof=1)
    assert pixel_threshold(maps, "sigma", k=2.0).value == pytest.approx(expected)
    assert all(pixel_threshold(maps, rule).n == 3 for rule in PIXEL_RULES)
    watched = np.zeros((8, 9), bool)
    watched[2:5] = True
    silent = np.where(watched[None], maps, 0.0).astype(np.float32)
    for rule in PIXEL_RULES:
        assert pixel_threshold(silent, rule, watched=watched).value == pixel_threshold(maps[:, 2:5], rule).value


def test_no_function_takes_a_label() -> None:
    made = [f for _, f in inspect.getmembers(thresholds, inspect.isfunction) if f.__module__ == thresholds.__name__]
    names = {name for function in made for name in inspect.signature(function).parameters}
    assert {"scores", "maps"} <= names
    assert not {name for name in names if any(word in name for word in ("label", "mask", "truth", "defect", "test"))}


@pytest.mark.parametrize(
    ("scores", "rule", "how", "said"),
    [
        ([], "max", {}, "held-out"),
        ([1.0, math.nan], "max", {}, "NaN"),
        ([[1.0]], "max", {}, "shape"),
        ([1.0], "median", {}, "expected one of max, quantile"),
        ([1.0], "conformal", {"level": 0.0}, "level = 0.0"),
        ([1.0], "conformal_pac", {"delta": 1.0}, "delta = 1.0"),
        ([1.0], "sigma", {"k": -1.0}, "k = -1.0"),
        ([1.0], "quantile", {"p": math.nan}, "p = nan"),
    ],
)
def test_what_cannot_be_used_is_refused(scores: list, rule: str, how: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        image_threshold(scores, rule, **how)


def test_pixels_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(InputError, match="expected one of max, quantile, sigma"):
        pixel_threshold(np.ones((1, 2, 2)), "conformal")
    with pytest.raises(InputError, match=r"\[n, h, w\]"):
        pixel_threshold(np.ones((0, 2, 2)), "max")
    with pytest.raises(InputError, match="watched"):
        pixel_threshold(np.ones((1, 2, 2)), "max", watched=np.zeros((2, 2), bool))


def test_pictures_of_as_many_recordings_are_pictures() -> None:
    scores = np.random.default_rng(0).permutation(100.0 + np.arange(80))
    names = [str(i) for i in range(80)]
    for rule in ("max", "quantile", "sigma", "conformal", "conformal_pac"):
        alone, named = image_threshold(scores, rule), image_threshold(scores, rule, recordings=names)
        assert named.value == alone.value and (named.recordings, alone.recordings) == (80, 0)
        assert named.independent == alone.independent == 80


def test_few_recordings_hold_little_however_many_pictures_they_have() -> None:
    scores, names = np.arange(60.0), [f"day {i % 3}" for i in range(60)]
    found = image_threshold(scores, "conformal", recordings=names)
    assert found.value == 59 and found.independent == 3
    assert "at most 25 % of the normal pictures of a new recording" in found.guarantee
    assert "3 calibration recordings (60 pictures) cannot hold a false-alarm rate of 0.05: at least 19" in found.warning
    assert "with confidence 0.95" in image_threshold(scores, "conformal_pac", recordings=names).guarantee
    assert (
        "about 1 in 4 new normal pictures of a new recording"
        in image_threshold(scores, "max", recordings=names).warning
    )


def test_a_recording_counts_once_however_long_it_is() -> None:
    # The long one, of 90 high scores, is one of ten: the nine short ones hold 9/11 of what is covered.
    scores, names = np.r_[np.arange(9.0), np.arange(100.0, 190.0)], [*map(str, range(9)), *["long"] * 90]
    assert image_threshold(scores, "conformal", level=0.2, recordings=names).value == 8
    assert image_threshold(scores, "conformal", level=0.2).value > 100


@pytest.mark.parametrize("rule", ["conformal", "conformal_pac"])
def test_the_bound_holds_for_new_recordings_whose_pictures_are_alike(rule: str) -> None:
    rng, level, recordings, pictures = np.random.default_rng(3), 0.1, 40, 6
    names, rates, naive = np.repeat(np.arange(recordings), pictures).astype(str).tolist(), [], []
    for _ in range(400):
        scores = (rng.normal(size=(recordings, 1)) * 3 + rng.normal(size=(recordings, pictures))).reshape(-1)
        new = rng.normal(size=(2000, 1)) * 3 + rng.normal(size=(2000, 1))
        for found, how in ((rates, {"recordings": names}), (naive, {})):
            found.append(float((new > image_threshold(scores, rule, level=level, **how).value).mean()))
    if rule == "conformal":
        assert np.mean(rates) <= level + 3 * np.std(rates) / 20
    else:
        assert np.mean(np.array(rates) > level) <= 0.05 + 3 * 0.05 / 4
        assert np.mean(np.array(naive) > level) > 0.1, (
            "pictures that are alike count as independent without their names"
        )


def test_recordings_of_other_pictures_are_refused() -> None:
    with pytest.raises(InputError, match="recordings of 2 pictures: expected 3"):
        image_threshold([1.0, 2.0, 3.0], "max", recordings=["a", "b"])
