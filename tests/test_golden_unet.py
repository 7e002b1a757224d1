"""Parity of the U-Net, its blocks and the time embedding with the published implementation."""

from typing import Any

import golden_files as golden
import golden_unet
import jax
import numpy as np
import pytest

from ddad_jax.types import Variables
from ddad_jax.unet import AttentionBlock, ResBlock, TimeEmbedding, UNet, sinusoid
from ddad_jax.weights import block_variables

UNETS = golden.cases("unet_")
BLOCKS = golden.cases("block_")
TIMES = golden.cases("time_embedding")


def first_wrong_stage(net: UNet, variables: Variables, case: dict[str, Any]) -> str:
    """The first stage whose output has another mean or standard deviation than the published one's."""
    arrays = golden.arrays(case["file"])
    _, kept = net.apply(
        variables, golden.nhwc(arrays["x"]), arrays["t"], capture_intermediates=True, mutable=["intermediates"]
    )
    outputs = kept["intermediates"]
    for i, stage in enumerate(case["stages"]):
        prefix = stage.replace(".", "_") + "_"
        last = max((n for n in outputs if n.startswith(prefix)), key=lambda n: int(n[len(prefix) :]))
        out = np.asarray(outputs[last]["__call__"][0], np.float64)
        expected = np.array([arrays["stage_mean"][i], arrays["stage_std"][i]])
        if np.abs([out.mean(), out.std()] - expected).max() > 1e-5 * np.abs(expected).max():
            return stage
    return "the output convolution"


@pytest.mark.parametrize(("name", "case"), UNETS, ids=[name for name, _ in UNETS])
def test_unet(name: str, case: dict[str, Any]) -> None:
    arrays = golden.arrays(case["file"])
    net = golden_unet.unet_of(case, case["img"])
    variables = golden_unet.loaded(net, case["state"])
    out = golden.nchw(jax.jit(net.apply)(variables, golden.nhwc(arrays["x"]), arrays["t"]))
    try:
        golden.assert_close(out, arrays["out"], 1e-5)
        if "out_f64" in arrays:
            golden.assert_close(out, arrays["out_f64"], 1e-5)
    except AssertionError as error:
        if "stages" in case:
            error.add_note(f"{name}: the first stage that differs is {first_wrong_stage(net, variables, case)}")
        raise


@pytest.mark.parametrize(("name", "case"), BLOCKS, ids=[name for name, _ in BLOCKS])
def test_block(name: str, case: dict[str, Any]) -> None:
    arrays = golden.arrays(case["file"])
    key = name.removeprefix("block_")
    inputs = [golden.nhwc(arrays[f"{key}_x"])]
    block: ResBlock | AttentionBlock
    if "n_heads" in case:
        block = AttentionBlock(case["n_heads"])
    else:
        block = ResBlock(case["out_channels"], "up" if case["up"] else "down" if case["down"] else "")
        inputs.append(arrays["emb"])
    template = jax.eval_shape(block.init, jax.random.key(0), *inputs)
    variables = block_variables(golden.state(case["state"]), template, source=case["state"])
    out = golden.nchw(jax.jit(block.apply)(variables, *inputs))
    golden.assert_close(out, arrays[f"{key}_out"], 5e-6)
    if f"{key}_out_f64" in arrays:
        golden.assert_close(out, arrays[f"{key}_out_f64"], 5e-6)


@pytest.mark.parametrize(("name", "case"), TIMES, ids=[name for name, _ in TIMES])
def test_time_embedding(name: str, case: dict[str, Any]) -> None:
    arrays = golden.arrays(case["file"])
    t, module = arrays["temb_t"], TimeEmbedding(case["base"])
    # A float32 frequency that is one unit in the last place off moves t = 999 by up to 1.2e-4.
    golden.assert_close(jax.jit(sinusoid, static_argnums=1)(t, case["base"]), arrays["temb_sinusoid"], 3e-5)
    template = jax.eval_shape(module.init, jax.random.key(0), t)
    variables = block_variables(golden.state(case["state"]), template, source=case["state"])
    golden.assert_close(jax.jit(module.apply)(variables, t), arrays["temb_out"], 3e-5)


def test_the_folder_has_networks_and_blocks() -> None:
    assert UNETS and BLOCKS and TIMES
