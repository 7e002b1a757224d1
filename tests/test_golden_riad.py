"""Parity of RIAD with the unofficial re-implementation, piece by piece."""

from typing import Any

import golden_methods_files as golden
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from golden_files import assert_close, nchw, nhwc

from ddad_jax.gradient_similarity import multiscale_loss, multiscale_map, similarities
from ddad_jax.image import gaussian_blur
from ddad_jax.inpainting_unet import InpaintingUNet
from ddad_jax.riad import cell_masks, cell_weights, inpainted, inpainting_map, inpainting_terms
from ddad_jax.ssim import ssim_map
from ddad_jax.types import Array, Variables
from ddad_jax.weights import unet_variables

METHOD = "riad"
LIMIT, GRADIENT = 2e-5, 1e-3
IN_TRAINING = 1e-4
"""Statistics of a small batch lose more: published float32 itself 3e-6 of the largest."""
PUBLISHED: dict[str, Any] = {"span": 1.0}


def stored(case: dict[str, Any]) -> dict[str, np.ndarray]:
    return golden.arrays(METHOD, case["file"])


def each(*having: str) -> Any:
    """Of the cases that have these arrays, or parameters."""
    cases = [(name, case) for name, case in golden.cases(METHOD) if {*having} <= {*stored(case), *case["parameters"]}]
    return pytest.mark.parametrize("case", [case for _, case in cases], ids=[name for name, _ in cases])


def network(case: dict[str, Any], x: np.ndarray) -> tuple[InpaintingUNet, Variables]:
    (name,) = case["states"]
    state = golden.state(METHOD, f"state_{name}.json")
    levels = len({key.split(".")[0] for key in state if key.startswith("down")})
    net = InpaintingUNet(tuple(len(state[f"down{i + 1}.conv1.bias"]) for i in range(levels)))
    template = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros(x[:1].shape))
    return net, unet_variables(state, template, source=name)


def stored_masks(k: int) -> Array:
    (case,) = (case for _, case in golden.cases(METHOD, f"masks_k{k}"))
    return jnp.asarray(stored(case)[f"masks_k{k}"], jnp.float32)


@each("k", "n")
def test_masks(case: dict[str, Any]) -> None:
    of = case["parameters"]
    orders = {k: stored(case)[f"perm_k{k}"] for k in of["k"]}
    made = jax.jit(lambda: {k: cell_masks(jnp.asarray(order), of["size"], k, of["n"]) for k, order in orders.items()})()
    for k, masks in made.items():
        np.testing.assert_array_equal(masks, stored(case)[f"masks_k{k}"])


@each("x", "out")
def test_network(case: dict[str, Any]) -> None:
    x = nhwc(stored(case)["x"])
    net, variables = network(case, x)
    out = jax.jit(net.apply)(variables, x)
    assert_close(nchw(out), stored(case)["out"], 0.0, LIMIT)


@each("msgms_loss")
def test_similarities(case: dict[str, Any]) -> None:
    of, scales = stored(case), case["parameters"]["scales"]
    x, y = jnp.asarray(nhwc(of["image"])), jnp.asarray(nhwc(of["recon"]))
    how = {"scales": scales, **PUBLISHED}
    losses = lambda y: jnp.stack([multiscale_loss(x, y, **how), 1.0 - ssim_map(x, y, value_range=1.0).mean()])  # noqa: E731
    every, score, values, gradients = jax.jit(
        lambda y: (similarities(x, y, **how), multiscale_map(x, y, **how), losses(y), jax.jacrev(losses)(y))
    )(y)
    for scale, found in enumerate(every):
        assert_close(found[:, None], of[f"gms_{scale}"], 0.0, LIMIT)
    lowered = 1.0 - 1.0 / scales  # by the misplaced bracket
    assert_close(score[:, None] - lowered, of["msgms_score"], 0.0, LIMIT)
    for name, value, gradient in zip(("msgms", "ssim"), values, gradients, strict=True):
        assert_close(value, of[f"{name}_loss"], 0.0, 2e-6)
        # Of equal pixels the median may come from another one.
        differ = np.abs(nchw(gradient[:1]) - of[f"{name}_grad"]) > GRADIENT * np.abs(of[f"{name}_grad"]).max()
        assert differ.mean() < 0.01
        assert_close(np.linalg.norm(gradient[:1]), np.linalg.norm(of[f"{name}_grad"]), GRADIENT)


@each("k", "total")
def test_inference(case: dict[str, Any]) -> None:
    of, cells = stored(case), case["parameters"]["k"]
    x = jnp.asarray(nhwc(of["image"]))
    size = x.shape[1]
    net, variables = network(case, of["image"].transpose(0, 2, 3, 1))
    masks = jnp.stack([stored_masks(k) for k in cells])[None]
    weights = cell_weights(size, cells, "area")
    np.testing.assert_allclose(weights, case["parameters"]["weights"], rtol=1e-6)

    @jax.jit
    def inference(x: Array) -> Any:
        filled, _ = inpainted(lambda v, x: (net.apply(v, x), v), variables, x, masks)
        each = [multiscale_map(x, filled[0, i], **PUBLISHED) - 0.75 for i in range(len(cells))]
        total = inpainting_map(x, filled, weights, **PUBLISHED) - 0.75 * weights.sum()
        return filled[0], each, total, gaussian_blur(total, 7.0, repeat_edge=True)

    filled, maps, total, smoothed = inference(x)
    for i, k in enumerate(cells):
        assert_close(nchw(filled[i, :1]), of[f"recon_k{k}"], 0.0, LIMIT)
        assert_close(maps[i][:1, None], of[f"score_k{k}"], 0.0, LIMIT)
    assert_close(total, of["total"], LIMIT)
    assert_close(smoothed, of["smoothed"], LIMIT)
    assert_close(np.asarray(smoothed).max((1, 2)), of["image_score"], LIMIT, 1e-7)


@pytest.mark.slow
@each("terms", "grad_norm")
def test_training_step(case: dict[str, Any]) -> None:
    of, parameters = stored(case), case["parameters"]
    x = jnp.asarray(nhwc(of["image"]))
    net, variables = network(case, nhwc(of["image"]))
    masks = stored_masks(parameters["k"])

    def apply(variables: Variables, x: Array) -> tuple[Array, Variables]:
        out, moved = net.apply(variables, x, train=True, mutable=["batch_stats"])
        return out, {**variables, **moved}

    tx = optax.chain(optax.add_decayed_weights(parameters["weight_decay"]), optax.adam(parameters["lr"]))

    @jax.jit
    def step(params: Any) -> Any:
        def loss(params: Any) -> Any:
            filled, after = inpainted(apply, {**variables, "params": params}, x, masks, together=False)
            terms = inpainting_terms(x, filled, **PUBLISHED)
            return terms.sum(), (terms, filled, after["batch_stats"])

        gradients, aside = jax.grad(loss, has_aux=True)(params)
        updates, _ = tx.update(gradients, tx.init(params), params)
        last = gradients["conv_final_0"]["kernel"]
        return optax.tree.norm(gradients), optax.tree.norm(updates), last, aside

    norm, change, last, (terms, filled, stats) = step(variables["params"])
    assert_close(nchw(filled), of["output"], IN_TRAINING)
    assert_close(terms, of["terms"], 0.0, 1e-5)
    assert_close(norm, of["grad_norm"], 2e-3)
    assert_close(np.transpose(last, (3, 2, 0, 1)), of["grad_out"], GRADIENT)
    assert_close(stats["down1"]["bn1"]["mean"], of["running_mean"], IN_TRAINING)
    assert_close(stats["down1"]["bn1"]["var"], of["running_var"], IN_TRAINING)
    assert_close(change, of["param_change_norm"], 1e-3)


def test_the_folder_has_cases() -> None:
    assert golden.cases(METHOD)
