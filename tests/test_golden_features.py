"""Parity of the ResNets' stages 1 to 3 with the published implementation, in evaluation mode."""

from typing import Any

import golden_files
import jax
import numpy as np
import pytest

from ddad_jax.backbones import get_backbone
from ddad_jax.weights import backbone_variables

CASES = [c for c in golden_files.cases("features_") if "net" in c[1]]
LAYERS = ("layer1", "layer2", "layer3")


@pytest.mark.parametrize(("name", "case"), CASES, ids=[name for name, _ in CASES])
def test_layers(name: str, case: dict[str, Any]) -> None:
    inputs = golden_files.arrays(case["inputs"])
    expected = golden_files.arrays(case["file"])
    module = get_backbone(case["net"]).module
    variables = backbone_variables(case["net"], golden_files.state(case["state"]), source=case["state"])
    apply = jax.jit(lambda v, x: module.apply(v, x, train=False))

    full = apply(variables, golden_files.nhwc(inputs["x_full"]))
    for layer in LAYERS:
        golden_files.assert_close(golden_files.nchw(full[layer]), expected[f"full_{layer}"], 1e-5)

    strided = apply(variables, golden_files.nhwc(inputs["x_strided"]))
    for i, layer in enumerate(LAYERS):
        value = golden_files.nchw(strided[layer])
        golden_files.assert_close(value[:, ::16, ::4, ::4], expected[f"strided_{layer}"], 1e-5)
        axes = (1, 2, 3)
        golden_files.assert_close(value.mean(axes, np.float64), expected["strided_mean"][:, i], 1e-5)
        golden_files.assert_close(value.std(axes, dtype=np.float64), expected["strided_std"][:, i], 1e-5)
