"""Parity of conditioned reconstruction with the published implementation, state by state."""

import functools
from typing import Any

import golden_files as golden
import golden_unet
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddad_jax.conditioning import conditioned
from ddad_jax.sampler import trajectory
from ddad_jax.schedule import alpha_bar_at, alpha_bar_table, perturb
from ddad_jax.timesteps import TimeGrid, reference_grid
from ddad_jax.types import Array, Variables
from ddad_jax.unet import UNet

CASES = golden.cases("recon")
ALPHA_BAR = jnp.asarray(alpha_bar_table())


@functools.cache
def program(net: UNet) -> Any:
    """One compilation for every case of this network and number of steps."""

    def run(
        variables: Variables, x: Array, y: Array, noises: Array, grid: TimeGrid, w: Array, eta: Array
    ) -> tuple[Array, Array, Array]:
        def eps_fn(x_t: Array, t: Array) -> Any:
            return net.apply(variables, x_t, t)

        steered = conditioned(eps_fn, y, w=w, alpha_bar=ALPHA_BAR)
        x_start = perturb(x, noises[0], alpha_bar_at(ALPHA_BAR, jnp.asarray(grid.start)))
        x0, states = trajectory(steered, x_start, grid, eta=eta, alpha_bar=ALPHA_BAR, noise_fn=lambda i: noises[i])
        return x_start, states, x0

    return jax.jit(run)


def grid_of(case: dict[str, Any]) -> TimeGrid:
    t_prime, skip = case["T_prime"], case["skip"]
    if t_prime % skip == 0:
        return reference_grid(t_prime, t_prime // skip)
    # The published range() then starts below T' - skip, which no grid of ours is meant to repeat.
    t = np.arange(0, t_prime, skip, dtype=np.int32)[::-1]
    return TimeGrid(np.asarray(t_prime, np.int32), t, np.append(t[1:], -1).astype(np.int32))


@pytest.mark.parametrize(("name", "case"), CASES, ids=[name for name, _ in CASES])
def test_every_state(name: str, case: dict[str, Any]) -> None:
    arrays = golden.arrays(case["file"])
    grid = grid_of(case)
    np.testing.assert_array_equal(grid.t, case["network_times"])

    x, y = golden.nhwc(arrays[case["x"]]), golden.nhwc(arrays[case["y"]])
    noises = np.zeros((len(grid.t) + 1, *x.shape), np.float32)
    noises[0] = golden.nhwc(arrays[case["noise_init"]])
    if case["noise_steps"]:
        noises[1:] = golden.nhwc(arrays[case["noise_steps"]])
    net = golden_unet.unet_of(case, x.shape[1])
    x_start, states, x0 = program(net)(
        golden_unet.loaded(net, case["state"]),
        x,
        y,
        noises,
        grid,
        np.float32(case["w"]),
        np.float32(case["eta"]),
    )

    golden.assert_close(golden.nchw(x_start), arrays[case["x_start"]], 1e-6)
    expected = arrays[case["states"]]
    for stored, step in enumerate(case["states_after_step"]):
        golden.assert_close(golden.nchw(states[step - 1]), expected[stored], 5e-5)
    if case["states_after_step"][-1] == len(grid.t):
        golden.assert_close(golden.nchw(x0), expected[-1], 5e-5)
    if f"x0_final_f64_{name}" in arrays:
        golden.assert_close(golden.nchw(x0), arrays[f"x0_final_f64_{name}"], 5e-5)


def test_the_folder_has_trajectories() -> None:
    assert CASES
