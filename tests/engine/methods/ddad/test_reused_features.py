"""Deep features reused between steps, from the config's flag to the U-Net of a run."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs
from tiny_runs import config

from ddad_jax.engine.cost.macs import counted
from ddad_jax.engine.methods.ddad import evidence
from ddad_jax.engine.methods.ddad.evidence import teacher_of
from ddad_jax.engine.methods.ddad.networks import build_unet, eps_fn, init_params, layered
from ddad_jax.engine.methods.ddad.points import UNSAID, ddad_plan
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.engine.setting_checks import check_settings
from ddad_jax.errors import InputError
from ddad_jax.sweep import sweep_distances
from ddad_jax.types import Array
from experiments.config import base, reference


@pytest.fixture(scope="module")
def params() -> Any:
    """Weights as after training: none is zero, so that every layer shows."""
    drawn = init_params(build_unet(config(Path()).model, 32), 0)
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda p: p + 0.1 * rng.standard_normal(p.shape).astype(np.float32), drawn)


def test_the_u_nets_parts_make_up_its_noise(params: Any) -> None:
    unet = build_unet(config(Path()).model, 32)
    x_t = np.random.default_rng(1).standard_normal((2, 32, 32, 3)).astype(np.float32)
    t = np.array([30, 250])

    @jax.jit
    def parts(x_t: Array, t: Array) -> tuple[Array, Array, Array, Array]:
        network = layered(unet, params, eps_fn(unet, params))
        eps, deep = network.whole(x_t, t)
        return network.plain(x_t, t), eps, network.shallow(x_t, t, deep), network.shallow(x_t, t, 0.5 * deep)

    plain, whole, shallow, other = parts(x_t, t)
    np.testing.assert_allclose(whole, plain, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(shallow, plain, rtol=1e-5, atol=1e-5)
    assert np.abs(other - plain).max() > 1e-3


def test_a_call_that_reuses_costs_a_tenth() -> None:
    """In multiply-adds of DDAD-S at 256 px: the features are taken where little is left to compute."""
    unet = build_unet(DDADSettings().model, 256)
    x_t, t = jax.ShapeDtypeStruct((1, 256, 256, 3), jnp.float32), jax.ShapeDtypeStruct((1,), jnp.int32)
    params = jax.eval_shape(unet.init, jax.random.key(0), x_t, t)["params"]

    def whole(params: Any, x_t: Array, t: Array) -> Any:
        return layered(unet, params, eps_fn(unet, params)).whole(x_t, t)

    def shallow(params: Any, x_t: Array, t: Array, deep: Array) -> Array:
        return layered(unet, params, eps_fn(unet, params)).shallow(x_t, t, deep)

    deep = jax.eval_shape(whole, params, x_t, t)[1]
    costs = [counted(whole, params, x_t, t).total(), counted(shallow, params, x_t, t, deep).total()]
    assert 0.05 < costs[1] / costs[0] < 0.15


def test_a_sweep_reuses_the_features_of_the_run_s_own_u_net(params: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_runs.small_backbone(monkeypatch.setattr)
    c = config(Path(), sample__steps=3, sample__eta=0.0, sweep__reuse=(1, 3))
    program = evidence.program_of(c, params, tiny_runs.variables())
    images = np.random.default_rng(2).integers(0, 256, (2, 32, 32, 3), np.uint8)
    points = ddad_plan(c, sweep=True).costly
    found = {
        point.reuse: distances.x0
        for point, distances in sweep_distances(program, images, points, chunk=2, keep_x0=True, timer=lambda: 0.0)
    }
    assert list(found) == [1, 3] and program.compilations == 2
    assert np.isfinite(found[3]).all()
    assert np.abs(np.float32(found[1]) - np.float32(found[3])).max() > 1e-3


def test_a_plan_takes_reuse_from_the_config_and_puts_points_of_one_program_together() -> None:
    c = config(Path(), sample__steps=4, sweep__reuse=(2, 1), sweep__steps=(4, 2), sweep__w=(0.0, 3.0))
    todo = ddad_plan(c, sweep=True)
    assert [(p.steps, p.reuse) for p in todo.costly] == [(2, 1)] * 2 + [(2, 2)] * 2 + [(4, 1)] * 2 + [(4, 2)] * 2
    assert ddad_plan(config(Path(), sample__steps=4, sample__reuse=2), sweep=False).costly[0].reuse == 2


def test_what_nothing_is_said_of_is_whole() -> None:
    """Published, journals of before and the fine teacher: every layer at every step."""
    c = base()
    with c.unlocked():
        c.sample.reuse = 3
    assert (UNSAID["reuse"], base().sample.reuse, reference(c).sample.reuse) == (1, 1, 1)
    point = ddad_plan(config(Path(), sample__steps=4, sample__reuse=2), sweep=False).costly[0]
    assert teacher_of(point, 50).reuse == 1 and teacher_of(point, 50) == teacher_of(point._replace(reuse=1), 50)


def test_a_student_reuses_nothing() -> None:
    c = config(Path(), sample__steps=2, sample__reuse=2, sweep__model=("teacher", "student"))
    assert {(p.model, p.reuse) for p in ddad_plan(c, sweep=True).costly} == {("teacher", 2), ("student", 1)}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sample__reuse": 0}, r"--config\.sample\.reuse=0: expected 1"),
        ({"sweep__reuse": (1.5,)}, r"--config\.sweep\.reuse=\(1\.5,\): expected a tuple, each 1 .* or more steps"),
        ({"sweep__reuse": (0,)}, r"--config\.sweep\.reuse=\(0,\): expected a tuple, each 1"),
    ],
    ids=str,
)
def test_a_wrong_value_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        ddad_plan(check_settings(config(Path(), **changes)), sweep=True)
