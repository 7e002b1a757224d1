"""The published method in PyTorch is what it says it is: the numbers of the published code."""

from typing import Any

import golden_files as golden
import numpy as np
import pytest

from ddad_jax.schedule import alpha_bar_table

torch = pytest.importorskip("torch", reason="PyTorch is an extra: pip install '.[torch]'")
torch.set_num_threads(1)  # threads that wait for each other on a busy machine take a hundred times as long
networks = pytest.importorskip("experiments.published.networks")


def tensors(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


@pytest.mark.parametrize(("name", "case"), golden.cases("unet_"))
def test_the_noise_is_the_published_one(name: str, case: dict[str, Any]) -> None:
    arrays, state = golden.arrays(case["file"]), tensors(golden.state(case["state"]))
    with torch.inference_mode():
        found = networks.published_noise(
            state, torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["t"]), heads=case["heads"]
        )
    golden.assert_close(found.numpy(), arrays["out"], 1e-5)


@pytest.mark.parametrize(("name", "case"), [c for c in golden.cases("features_") if "net" in c[1]])
def test_the_features_are_the_published_ones(name: str, case: dict[str, Any]) -> None:
    inputs, expected = golden.arrays(case["inputs"]), golden.arrays(case["file"])
    with torch.inference_mode():
        found = networks.published_features(tensors(golden.state(case["state"])), torch.from_numpy(inputs["x_full"]))
    for i, layer in enumerate(found, 1):
        golden.assert_close(layer.numpy(), expected[f"full_layer{i}"], 1e-5)


def test_the_reconstruction_is_the_published_one() -> None:
    case = dict(golden.cases("recon"))["ddad10_w3"]
    arrays, state = golden.arrays(case["file"]), tensors(golden.state(case["state"]))
    y, start = (torch.from_numpy(arrays[name]) for name in (case["y"], case["x_start"]))
    with torch.inference_mode():
        x0 = networks.published_reconstruction(
            lambda x, t: networks.published_noise(state, x, t, heads=2),
            y, start, torch.from_numpy(alpha_bar_table()), w=3.0, eta=0.0,
        )  # fmt: skip
    golden.assert_close(x0.numpy(), arrays[case["states"]][-1], 5e-5)


@pytest.mark.parametrize(("name", "case"), golden.cases("anomaly_small"))
def test_maps_are_the_published_ones(name: str, case: dict[str, Any]) -> None:
    arrays, state = golden.arrays(case["file"]), tensors(golden.state(case["state"]))
    rec, target = (torch.from_numpy(arrays[name]) for name in ("rec", "target"))
    with torch.inference_mode():
        for v in case["v"]:
            maps = networks.published_maps(lambda x: networks.published_features(state, x), rec, target, v=float(v))
            golden.assert_close(maps.numpy(), arrays[f"blur_v{v}"][:, 0], 0.0, 5e-6)
