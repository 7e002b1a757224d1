"""Counters and latencies: exact, within 1 %, and of a size that does not grow."""

import numpy as np
import pytest

from ddad_jax.engine.live.counts import Counts, Latencies


def test_quantiles_are_within_a_hundredth_of_the_exact_ones() -> None:
    times = np.exp(np.random.default_rng(0).normal(3, 2, 20_000))
    latencies = Latencies()
    for ms in times:
        latencies.add(float(ms))
    for q in (0.05, 0.5, 0.95, 0.99):
        assert latencies.quantile(q) == pytest.approx(np.quantile(times, q), rel=0.01)
    assert latencies.told()["max"] == times.max()
    assert latencies.quantile(1.0) == pytest.approx(times.max(), rel=0.01)


def test_no_time_has_no_quantile_and_odd_times_are_taken() -> None:
    latencies = Latencies()
    assert latencies.told() == {"p50": None, "p95": None, "max": None}
    for ms in (0.0, -1.0, 1e12):
        latencies.add(ms)
    assert latencies.told()["max"] == 1e12


def test_one_time_is_every_quantile() -> None:
    latencies = Latencies()
    latencies.add(7.0)
    assert latencies.told() == pytest.approx({"p50": 7.0, "p95": 7.0, "max": 7.0}, rel=0.01)


def test_counts_add_up() -> None:
    counts = Counts()
    assert counts.told()["frames_per_s"] is None and counts.told()["frames_per_s_now"] == 0.0
    for i in range(5):
        counts.add(arrived=1)
        counts.verdict(10.0, anomalous=i == 0, registered=False if i == 1 else None)
    counts.add(arrived=1, bad=2)
    counts.add(dropped=1)
    counts.batch(3.0)
    told = counts.told()
    expected = {"arrived": 6, "judged": 5, "anomalous": 1, "dropped": 1, "bad": 2, "unregistered": 1, "losses": 0}
    assert {name: told[name] for name in expected} == expected and counts["judged"] == 5
    assert told["frames_per_s"] > 0 and told["detector_ms"]["max"] == 3.0
