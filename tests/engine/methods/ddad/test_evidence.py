"""First passes are shared, and one that diverges costs no other."""

import logging
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs

from ddad_jax.backbones import feature_fn
from ddad_jax.engine.methods.ddad import evidence
from ddad_jax.engine.methods.ddad.evidence import starts_of
from ddad_jax.pair_program import PairProgram
from ddad_jax.points import ReconPoint
from ddad_jax.schedule import alpha_bar_table
from ddad_jax.types import Array

POINT = ReconPoint(w=1.0, t_prime=100, steps=4, eta=0.0, grid="trailing", seed=0, solver="dpm2m", rise=1.0)
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)


def late_is_lost(x_t: Array, t: Array) -> Array:
    return jnp.where(jnp.broadcast_to(t, x_t.shape[:1])[:, None, None, None] < 200, jnp.tanh(x_t), jnp.nan)


@pytest.fixture(scope="module")
def program() -> PairProgram:
    features = feature_fn(tiny_runs.BACKBONE, tiny_runs.variables())
    return PairProgram(lambda _: (late_is_lost, features), None, alpha_bar=jnp.asarray(alpha_bar_table()))


def starts(program: PairProgram, *points: ReconPoint) -> evidence.Starts:
    return starts_of(program, IMAGES, points, 3, chunk=4, timer=lambda: 0.0)


def test_points_that_share_a_first_pass_pay_for_it_once(program: PairProgram, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[ReconPoint] = []
    real = evidence.sweep_distances

    def watched(program: Any, images: Any, points: Any, **how: Any) -> Any:
        asked.extend(points)
        return real(program, images, points, **how)

    monkeypatch.setattr(evidence, "sweep_distances", watched)
    points = (POINT, POINT._replace(rise=0.5, solver="ddim", steps=2), POINT._replace(rise=0.0))
    found = starts(program, *points)
    assert len(asked) == 1 and set(found.times) == set(found.seconds) == {*points[:2]}
    rises = [found.times[point] - 100 for point in points[:2]]
    assert sorted(rises[0][:3]) == [0, 50, 100]
    np.testing.assert_allclose(rises[1], rises[0] / 2, atol=0.5)


def test_a_first_pass_that_diverges_starts_every_picture_at_t_prime(
    program: PairProgram, caplog: pytest.LogCaptureFixture
) -> None:
    lost = POINT._replace(t_prime=250)
    with caplog.at_level(logging.WARNING):
        found = starts(program, POINT, lost)
    assert found.times[lost].tolist() == [250] * 5 and found.times[POINT].max() == 200
    assert any("first pass of w = 1, T' = 250" in message for message in caplog.messages)
