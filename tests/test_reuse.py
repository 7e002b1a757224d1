"""A network that remembers: what reuse leaves out, when, and that solvers and conditioning need not know."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddad_jax.conditioning import conditioned
from ddad_jax.errors import InputError
from ddad_jax.reuse import Layered, Recurrent, reusing, wrapped
from ddad_jax.sampler import noise_of, reconstruct, trajectory
from ddad_jax.schedule import alpha_bar_table
from ddad_jax.solvers import SOLVERS
from ddad_jax.timesteps import TimeGrid, trailing
from ddad_jax.types import Array
from ddad_jax.unet import UNet

ALPHA_BAR = jnp.asarray(alpha_bar_table())
STEPS = 5
Called = list[tuple[str, int]]
"""What was computed of the network, and at which time."""


def deep_of(x_t: Array, t: Array) -> Array:
    time = jnp.cos(0.01 * jnp.broadcast_to(t, x_t.shape[:1]))[:, None, None, None]
    return jnp.sin(3.0 * x_t.mean((1, 2), keepdims=True)) * time


def shallow(x_t: Array, t: Array, deep: Array) -> Array:
    return jnp.tanh(deep - 0.5 * x_t) * jnp.cos(0.02 * jnp.broadcast_to(t, x_t.shape[:1]))[:, None, None, None]


def plain(x_t: Array, t: Array) -> Array:
    return shallow(x_t, t, deep_of(x_t, t))


SMOOTH = Layered(plain, lambda x_t, t: (plain(x_t, t), deep_of(x_t, t)), shallow)


def watched(called: Called) -> Layered:
    """``SMOOTH``, writing down what runs; for use without ``jit``."""

    def note(part: str, t: Array) -> None:
        if not isinstance(t, jax.core.Tracer):
            called.append((part, int(t)))

    def whole(x_t: Array, t: Array) -> tuple[Array, Array]:
        note("whole", t)
        return SMOOTH.whole(x_t, t)

    def part(x_t: Array, t: Array, deep: Array) -> Array:
        note("shallow", t)
        return shallow(x_t, t, deep)

    return Layered(plain, whole, part)


@pytest.fixture
def x() -> Array:
    pixels = np.random.default_rng(0).standard_normal((3, 4, 4, 2))
    return jnp.asarray(np.clip(0.5 * pixels, -1, 1), jnp.float32)


@pytest.fixture(params=["ddim", "unipc3"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def how(x: Array, name: str = "ddim", eta: Any = 0.0) -> Any:
    keys = jax.random.split(jax.random.key(7), len(x))
    return {"eta": eta, "alpha_bar": ALPHA_BAR, "noise_fn": noise_of(keys, x.shape[1:]), "solver": SOLVERS[name]}


def run(network: Any, x: Array, name: str = "ddim", grid: TimeGrid | None = None, w: Any = 3.0, eta: Any = 1.0) -> Any:
    times = grid or trailing(250, STEPS)
    return jax.jit(lambda x, times: reconstruct(network, x, x, times, w=w, **how(x, name, eta)))(x, times)


# When what is computed


@pytest.mark.parametrize("every", [1, 2, 3, STEPS, STEPS + 4])
def test_deep_layers_are_computed_at_the_first_step_and_every_so_many_after_it(x: Array, every: int) -> None:
    called: Called = []
    grid, watch = trailing(250, STEPS), watched(called)
    # With every = 1 the plain network runs, so the parts are put together by hand.
    network = reusing(watch, every) if every > 1 else lambda x_t, t: watch.whole(x_t, t)[0]
    with jax.disable_jit():
        trajectory(network, x, grid, **how(x))
    expected = ["shallow" if i % every else "whole" for i in range(STEPS)]
    assert called == list(zip(expected, grid.t.tolist(), strict=True))


def test_a_second_call_within_a_step_reuses_the_features_of_the_first(x: Array) -> None:
    called: Called = []
    with jax.disable_jit():
        trajectory(reusing(watched(called), 2), x, trailing(250, 3), **how(x, "heun"))
    assert [part for part, _ in called] == ["whole", "shallow", "shallow", "shallow", "whole", "shallow"]


def test_steps_in_between_see_their_own_image_and_time_and_the_features_of_before(x: Array) -> None:
    network, grid = reusing(SMOOTH, 2), trailing(250, STEPS)
    states = trajectory(network, x, grid, **how(x)).states
    at, deep = x, jnp.zeros(())
    for i, (t, s) in enumerate(zip(grid.t, grid.s, strict=True)):
        deep = deep if i % 2 else deep_of(at, jnp.asarray(t))
        one = TimeGrid(t, np.array([t]), np.array([s]))
        at = trajectory(lambda x_t, t, deep=deep: shallow(x_t, t, deep), at, one, **how(x)).x0
        np.testing.assert_allclose(states[i], at, rtol=1e-5, atol=1e-6)


# Against the network as it is


def test_with_one_everything_is_as_without(x: Array, name: str) -> None:
    assert reusing(SMOOTH, 1) is plain and reusing(plain, 1) is plain
    np.testing.assert_array_equal(run(reusing(SMOOTH, 1), x, name), run(plain, x, name))


def test_one_step_is_the_plain_networks_whatever_is_reused(x: Array, name: str) -> None:
    grid = trailing(250, 1)
    np.testing.assert_allclose(run(reusing(SMOOTH, 3), x, name, grid), run(plain, x, name, grid), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "name",
    # One without a memory and one with.
    [pytest.param(name, marks=() if name in ("ddim", "unipc3") else pytest.mark.slow) for name in SOLVERS],
)
def test_a_network_whose_deep_features_never_change_loses_nothing(x: Array, name: str) -> None:
    """Every solver, conditioned: what stands between network and loop hands each step its own x_t and t."""
    fixed = deep_of(x, jnp.asarray(100))
    network = Layered(plain, lambda x_t, t: (shallow(x_t, t, fixed), fixed), shallow)
    expected = run(lambda x_t, t: shallow(x_t, t, fixed), x, name)
    np.testing.assert_allclose(run(reusing(network, 2), x, name), expected, rtol=1e-5, atol=1e-5)


def test_more_than_all_steps_is_the_first_steps_features_for_all(x: Array, name: str) -> None:
    once = run(reusing(SMOOTH, STEPS), x, name)
    np.testing.assert_array_equal(once, run(reusing(SMOOTH, 10 * STEPS), x, name))
    assert np.abs(once - run(plain, x, name)).max() > 1e-3


def test_the_more_often_deep_layers_are_computed_the_nearer_the_plain_network(x: Array) -> None:
    grid = trailing(250, 50)
    exact = run(plain, x, grid=grid, eta=0.0)
    errors = [float(np.abs(run(reusing(SMOOTH, every), x, grid=grid, eta=0.0) - exact).max()) for every in (2, 5, 50)]
    assert 0 < errors[0] < errors[1] < errors[2], errors


# What the loop promises of any network, of one that remembers


def test_a_plain_network_is_handed_through_the_loop_as_it_is(x: Array) -> None:
    """Nothing is carried for it: the program is that of a network that was wrapped by hand."""

    def steered(x: Array) -> Array:
        return trajectory(conditioned(plain, x, w=3.0, alpha_bar=ALPHA_BAR), x, trailing(250, 3), **how(x)).x0

    def lifted(x: Array) -> Array:
        network = wrapped(plain, lambda eps_fn: conditioned(eps_fn, x, w=3.0, alpha_bar=ALPHA_BAR))
        assert network.begin(x) == ()
        return trajectory(network, x, trailing(250, 3), **how(x)).x0

    assert str(jax.make_jaxpr(steered)(x)) == str(jax.make_jaxpr(lifted)(x))


def test_one_branch_alone_is_run_even_under_a_vmap_over_settings(x: Array) -> None:
    """The step's number is one for all, so no ``cond`` becomes a ``select`` that computes both."""
    network = reusing(SMOOTH, 2)

    def of(w: Array, eta: Array) -> Array:
        return reconstruct(network, x, x, trailing(250, STEPS), w=w, **how(x, eta=eta))

    w, eta = jnp.array([0.0, 3.0]), jnp.array([1.0, 0.0])
    program = str(jax.make_jaxpr(jax.vmap(of))(w, eta))
    assert program.count("cond[") == 1
    together = jax.jit(jax.vmap(of))(w, eta)
    for i in range(2):
        np.testing.assert_allclose(together[i], run(network, x, w=w[i], eta=eta[i]), rtol=1e-4, atol=1e-5)


def test_an_image_does_not_depend_on_its_batch_mates_or_their_times(x: Array) -> None:
    grids = [trailing(t, 4) for t in (100, 250, 400)]
    mixed = TimeGrid(*(np.stack(v, -1) for v in zip(*grids, strict=True)))
    network = reusing(SMOOTH, 3)
    together = run(network, x, grid=mixed, eta=0.0)
    order = np.array([2, 0, 1])
    other = TimeGrid(mixed.start[order], mixed.t[:, order], mixed.s[:, order])
    keys = jax.random.split(jax.random.key(7), 3)[order]
    again = {**how(x), "noise_fn": noise_of(keys, x.shape[1:])}
    shuffled = jax.jit(lambda x: reconstruct(network, x, x, other, w=3.0, **again))(x[order])
    np.testing.assert_allclose(shuffled, together[order], rtol=1e-4, atol=1e-5)


def test_any_memory_is_carried_from_step_to_step(x: Array) -> None:
    """A network that counts its calls, in a memory of its own."""
    counting = Recurrent(lambda x: jnp.zeros(()), lambda n, x_t, t, i: (jnp.zeros_like(x_t) + n, n + 1.0))
    states = trajectory(counting, x, trailing(250, 3), **how(x)).states
    constant = [
        trajectory(lambda x_t, t, n=n: jnp.zeros_like(x_t) + n, x, trailing(250, 1), **how(x)).x0 for n in (0, 1)
    ]
    assert np.abs(constant[0] - constant[1]).max() > 0.1
    assert len({np.asarray(s).tobytes() for s in states}) == 3


# The U-Net, and what is refused


def test_the_u_net_reuses_its_deep_features() -> None:
    net = UNet(8, 8, channel_mult=(1, 1), res_blocks=1, attention_sizes=(), heads=1, groups=4)
    rng = np.random.default_rng(1)
    pixels = jnp.asarray(rng.standard_normal((1, 8, 8, 2)), jnp.float32)
    template: Any = jax.eval_shape(net.init, jax.random.key(0), pixels, jnp.zeros(1, int))
    variables = jax.tree.map(
        lambda p: jnp.asarray(rng.standard_normal(p.shape) / np.sqrt(np.prod(p.shape[:-1])), jnp.float32), template
    )

    def whole(x_t: Array, t: Array) -> Any:
        return net.apply(variables, x_t, t, method="with_deep")

    def part(x_t: Array, t: Array, deep: Array) -> Any:
        return net.apply(variables, x_t, t, deep, method="with_deep")

    network = Layered(lambda x_t, t: whole(x_t, t)[0], whole, lambda x_t, t, deep: part(x_t, t, deep)[0])

    @jax.jit
    def states(x: Array) -> Array:
        return trajectory(reusing(network, 2), x, trailing(250, 3), **how(x)).states

    @jax.jit
    def second(x: Array, before: Array) -> tuple[Array, Array]:
        grid = trailing(250, 3)
        one = TimeGrid(grid.t[1], grid.t[1:2], grid.s[1:2])
        _, deep = whole(x, jnp.asarray(grid.t[0]))
        plain, reused = (
            trajectory(fn, before, one, **how(x)).x0
            for fn in (network.plain, lambda x_t, t: network.shallow(x_t, t, deep))
        )
        return plain, reused

    got = states(pixels)
    plain, reused = second(pixels, got[0])
    np.testing.assert_allclose(got[1], reused, rtol=1e-4, atol=1e-5)
    assert np.abs(got[1] - plain).max() > 1e-3


@pytest.mark.parametrize("every", [0, -2, 1.5, True, "2"])
def test_a_wrong_number_of_steps_is_named(every: Any) -> None:
    with pytest.raises(InputError, match=f"reuse = {every!r}: expected a whole number"):
        reusing(SMOOTH, every)


def test_a_network_without_parts_cannot_leave_any_out() -> None:
    with pytest.raises(InputError, match="reuse = 2: this network has no layers that could be left out"):
        reusing(plain, 2)
