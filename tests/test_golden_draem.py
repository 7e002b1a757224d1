"""Parity of DRAEM with the published code, piece by piece; its damage with the draws that are stored."""

from functools import partial
from typing import Any

import golden_methods_files as golden
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from golden_files import assert_close, nchw, nhwc

from ddad_jax.draem import NetworkPair, forward, losses, published_pair
from ddad_jax.focal import focal_losses
from ddad_jax.image import mean_filter
from ddad_jax.plain_autoencoder import PlainAutoencoder
from ddad_jax.segmentation_unet import SegmentationUNet, damage_probability
from ddad_jax.ssim import ssim_map, value_range_of
from ddad_jax.synthetic.blending import blended
from ddad_jax.synthetic.perlin import perlin_noise
from ddad_jax.synthetic.turning import turned
from ddad_jax.types import Array, Variables

METHOD = "draem"
LIMIT, GRADIENT = 2e-5, 1e-4


def stored(case: dict[str, Any]) -> dict[str, np.ndarray]:
    return golden.arrays(METHOD, case["file"])


def each(*having: str) -> Any:
    cases = golden.cases(METHOD, *having)
    return pytest.mark.parametrize("case", [case for _, case in cases], ids=[name for name, _ in cases])


def pair(case: dict[str, Any], dtype: Any = jnp.float32, *, bgr: bool = False) -> tuple[NetworkPair, Variables]:
    """The networks of a case and their weights."""
    one, two = (golden.state(METHOD, f"state_{part}.json") for part in case["states"])
    networks = NetworkPair(
        PlainAutoencoder(len(one["encoder.block1.0.bias"]), dtype=dtype),
        SegmentationUNet(len(two["encoder_segment.block1.0.bias"]), dtype=dtype),
    )
    found = published_pair(networks, one, two, bgr=bgr)
    return networks, jax.tree.map(lambda leaf: leaf.astype(dtype), found)


@each("a_u", "blend_out")
def test_noise_masks_and_blend(case: dict[str, Any]) -> None:
    of, parameters = stored(case), case["parameters"]
    for name, how in parameters["cases"].items():
        u, noise = of[f"{name}_u"], of[f"{name}_noise"]
        shape, cells = tuple(how["shape"]), tuple(how["res"])
        # A larger lattice, of which a part is used, and traced numbers of cells: as a training draws them.
        larger = np.pad(u, ((0, 3), (0, 2)))
        found = jax.jit(lambda u, *cells, shape=shape: perlin_noise(u, shape, cells))(larger.astype(np.float32), *cells)
        assert_close(found, noise, 0.0, 2e-6)
        clear = np.abs(noise - parameters["threshold"]) > 2e-6
        np.testing.assert_array_equal((np.asarray(found) > parameters["threshold"])[clear], of[f"{name}_mask"][clear])
        with jax.enable_x64(True):
            exact = perlin_noise(jnp.asarray(u), shape, cells)
            assert_close(exact, noise, 0.0, 1e-12)
            np.testing.assert_array_equal(np.asarray(exact) > parameters["threshold"], of[f"{name}_mask"])
    picture, texture = (jnp.asarray(of[f"blend_{name}"], jnp.float32) / 255 for name in ("image", "texture"))
    out = blended(picture, texture, jnp.asarray(of["a_mask"], bool), of["blend_beta"])
    assert_close(out, of["blend_out"], 0.0, 1e-6)


@each("noise_turned")
def test_turning(case: dict[str, Any]) -> None:
    of = stored(case)
    noise = turned(jnp.asarray(of["noise"], jnp.float32)[..., None], float(of["angle"]))[..., 0]
    assert_close(noise, of["noise_turned"], 0.0, 2e-2)
    image = turned(jnp.asarray(of["image"], jnp.float32), float(of["angle"]))
    assert_close(image, of["image_turned"], 0.0, 4.0)


@each("ssim_unit_loss", "focal_loss")
def test_losses_and_their_gradients(case: dict[str, Any]) -> None:
    of = stored(case)

    def ssim_loss(rec: Array, target: Array) -> tuple[Array, Array]:
        similar = ssim_map(rec, target, value_range=value_range_of(rec))
        return 1 - similar.mean(), similar[0, :, :, 0]

    def focal_loss(logits: Array, mask: Array) -> Array:
        return focal_losses(logits, mask).mean()

    for kind in ("unit", "signed"):
        rec, target = (jnp.asarray(nhwc(of[f"ssim_{kind}_{name}"])) for name in ("rec", "target"))
        (loss, own), gradient = jax.value_and_grad(ssim_loss, has_aux=True)(rec, target)
        assert_close(loss, of[f"ssim_{kind}_loss"], 0.0, 2e-6)
        assert_close(own, of[f"ssim_{kind}_map0"], 2e-4)
        assert_close(nchw(gradient), of[f"ssim_{kind}_grad"], GRADIENT)
        with jax.enable_x64(True):
            exact, _ = ssim_loss(jnp.asarray(np.float64(rec)), jnp.asarray(np.float64(target)))
            assert_close(exact, of[f"ssim_{kind}_loss_f64"], 1e-12)
    logits, mask = jnp.asarray(nhwc(of["focal_logits"])), jnp.asarray(of["focal_target"][:, 0])
    loss, gradient = jax.value_and_grad(focal_loss)(logits, mask)
    assert_close(loss, of["focal_loss"], 0.0, 2e-6)
    assert_close(nchw(gradient), of["focal_grad"], GRADIENT)
    with jax.enable_x64(True):
        loss, gradient = jax.value_and_grad(focal_loss)(jnp.asarray(np.float64(logits)), jnp.asarray(np.float64(mask)))
        assert_close(loss, of["focal_loss_f64"], 1e-12)
        assert_close(nchw(gradient), of["focal_grad_f64"], 1e-9)


@each("x", "rec", "smoothed")
def test_networks_map_and_score(case: dict[str, Any]) -> None:
    of = stored(case)
    networks, variables = pair(case)
    run, x = jax.jit(partial(forward, networks)), jnp.asarray(nhwc(of["x"]))
    passed = run(variables, x)
    maps = damage_probability(passed.logits)
    smoothed = mean_filter(maps, 21)
    for name, found in (
        ("rec", nchw(passed.reconstruction)), ("logits", nchw(passed.logits)), ("map", maps[:, None]),
        ("smoothed", smoothed[:, None]), ("score", smoothed.max((1, 2))),
    ):  # fmt: skip
        assert_close(found, of[name], LIMIT)
    # The published code sees blue, green, red.
    turned_over = run(pair(case, bgr=True)[1], x[..., ::-1])
    assert_close(nchw(turned_over.reconstruction[..., ::-1]), of["rec"], LIMIT)
    assert_close(nchw(turned_over.logits), of["logits"], LIMIT)


@each("clean", "augmented", "terms_after")
@pytest.mark.parametrize("exact", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["float32", "float64"])
def test_training_step(case: dict[str, Any], exact: bool) -> None:
    of, dtype = stored(case), np.float64 if exact else np.float32
    with jax.enable_x64(exact):
        networks, variables = pair(case, dtype)
        clean, damaged = (jnp.asarray(nhwc(of[name]), dtype) for name in ("clean", "augmented"))
        mask, tx = jnp.asarray(of["mask"][:, 0], bool), optax.adam(case["parameters"]["lr"])

        def loss(params: Any, batch_stats: Any) -> Any:
            passed = forward(networks, {"params": params, "batch_stats": batch_stats}, damaged, train=True)
            terms = jnp.stack([term.mean() for term in losses(passed, clean, mask, ssim_range="batch")])
            return terms.sum(), (terms, passed)

        @jax.jit
        def step(params: Any, batch_stats: Any) -> Any:
            (total, found), gradients = jax.value_and_grad(loss, has_aux=True)(params, batch_stats)
            updates, _ = tx.update(gradients, tx.init(params), params)
            after = None
            if exact:
                _, (after, _) = loss(optax.apply_updates(params, updates), found[1].batch_stats)
            return total, found, gradients, optax.tree.norm(updates), after

        total, (terms, passed), gradients, change, after = step(variables["params"], variables["batch_stats"])
        norms = jnp.stack([optax.tree.norm(gradients[part]) for part in case["states"]])
        first = passed.batch_stats["reconstructive"]["encoder"]["block1_1"]
        last = passed.batch_stats["discriminative"]["decoder_segment"]["db4_4"]
        kernels = {
            "grad_rec_out": gradients["reconstructive"]["decoder"]["fin_out_0"]["kernel"],
            "grad_seg_out": gradients["discriminative"]["decoder_segment"]["fin_out_0"]["kernel"],
        }
        for name, found, limit in (
            ("terms", terms, 1e-5), ("total", total, 1e-5), ("running_mean_in", first["mean"], LIMIT),
            ("running_var_in", first["var"], LIMIT), ("running_var_seg", last["var"], LIMIT),
            ("grad_norm", norms, 5e-2), ("param_change_norm", change, 2e-3),
            *((name, np.transpose(kernel, (3, 2, 0, 1)), 1e-1) for name, kernel in kernels.items()),
        ):  # fmt: skip
            assert_close(found, of[f"{name}_f64" if exact else name], 1e-6 if exact else limit)
        if exact:
            assert_close(after, of["terms_after_f64"], 1e-6)
        else:
            assert_close(nchw(passed.reconstruction), of["rec"], 1e-3)
            assert_close(nchw(passed.logits), of["logits"], 1e-2)


def test_the_folder_has_cases() -> None:
    assert golden.cases(METHOD)
