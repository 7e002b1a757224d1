"""Parity with the published DiffAD: autoencoder, schedule, noise predictor, sampling, marks."""

from typing import Any

import golden_methods_files as golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_files import nchw, nhwc

from ddad_jax import diffad as core
from ddad_jax.image import mean_filter
from ddad_jax.kl_autoencoder import KLAutoencoder
from ddad_jax.latent_unet import LatentUNet
from ddad_jax.segmentation_unet import SegmentationUNet, damage_probability
from ddad_jax.types import Array, Variables
from ddad_jax.weights import unet_variables

METHOD = "diffad"
TABLE = jnp.asarray(core.latent_alpha_bar(), jnp.float32)
NETWORKS = core.LatentNetworks(
    KLAutoencoder(32, (1, 2, 4, 4), blocks=1), LatentUNet(32, res_blocks=1), SegmentationUNet(8, 2)
)


def each(*having: str) -> Any:
    cases = golden.cases(METHOD, *having)
    return pytest.mark.parametrize("case", [case for _, case in cases], ids=[name for name, _ in cases])


def pictures(case: dict[str, Any], *names: str) -> list[Array]:
    return [jnp.asarray(nhwc(golden.arrays(METHOD, case["file"])[name])) for name in names]


def loaded(name: str, module: Any, *like: Any) -> Variables:
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in like]
    return unet_variables(
        golden.state(METHOD, f"state_{name}.json"), jax.eval_shape(module.init, jax.random.key(0), *shapes)
    )


def autoencoder() -> Variables:
    return loaded("vae", NETWORKS.autoencoder, (1, 64, 64, 3), (1, 8, 8, 4))


@each("moments", "sample")
def test_autoencoder(case: dict[str, Any]) -> None:
    variables, (x, eps) = autoencoder(), pictures(case, "x", "eps")
    posterior = jax.jit(lambda x: NETWORKS.autoencoder.apply(variables, x, method="encode"))(x)
    moments = jnp.concatenate([posterior.mean, posterior.log_variance], -1)
    golden.held(METHOD, case["file"], "moments", nchw(moments), 2e-5)
    golden.held(METHOD, case["file"], "kl", posterior.divergence(), 2e-5)
    golden.held(METHOD, case["file"], "sample", nchw(posterior.sample(eps)), 2e-5)
    if "decoded_z" in golden.arrays(METHOD, case["file"]):
        (z,) = pictures(case, "z")
        decoded = jax.jit(lambda z: NETWORKS.autoencoder.apply(variables, z, method="decode"))(z)
        golden.held(METHOD, case["file"], "decoded_z", nchw(decoded), 2e-5)


@each("times_10", "alpha_bar_f64")
def test_schedule_and_times(case: dict[str, Any]) -> None:
    golden.held(METHOD, case["file"], "alpha_bar_f64", core.latent_alpha_bar(), 1e-12)
    for steps in case["parameters"]["requested"]:
        grid = core.latent_grid(core.PUBLISHED_GRID, steps)
        np.testing.assert_array_equal(grid.t[::-1], golden.arrays(METHOD, case["file"])[f"times_{steps}"])
        golden.held(METHOD, case["file"], f"alpha_bar_prev_{steps}", core.latent_alpha_bar()[grid.s[::-1]], 1e-12)


@each("z_r", "loss")
def test_noise_predictor_sampling_and_marks(case: dict[str, Any]) -> None:
    of = golden.arrays(METHOD, case["file"])
    vae, latent = autoencoder(), loaded("latent_unet", NETWORKS.unet, (1, 8, 8, 8), (1,))
    x, damaged, for_z, on_c, noise, start = pictures(
        case, "x", "augmented", "noise_posterior", "noise_condition", "noise", "x_T"
    )
    encode = jax.jit(lambda x: NETWORKS.autoencoder.apply(vae, x, method="encode"))
    z, c = encode(x).sample(for_z), encode(damaged).mean
    golden.held(METHOD, case["file"], "c", nchw(c), 2e-5)

    @jax.jit
    def loss_of(params: Any) -> Array:
        times = (jnp.asarray(of[name]) for name in ("t", "t_condition"))
        how: Any = {"alpha_bar": TABLE}
        return core.noise_errors(NETWORKS.unet, {"params": params}, z, c, noise, on_c, *times, **how).mean()

    loss, gradient = jax.jit(jax.value_and_grad(loss_of))(latent["params"])
    golden.held(METHOD, case["file"], "loss", loss, 1e-5)
    norm = jnp.sqrt(sum(jnp.square(leaf).sum() for leaf in jax.tree.leaves(gradient)))
    golden.held(METHOD, case["file"], "grad_norm", norm, 1e-3)

    grid = core.latent_grid(core.PUBLISHED_GRID, case["parameters"]["ddim_steps"])
    eps_fn = core.conditioned_latent(NETWORKS.unet, latent, c)
    drawn = jax.jit(
        lambda: core.redrawn(
            NETWORKS, vae, eps_fn, c, start, grid, share=case["parameters"]["lambda"], alpha_bar=TABLE,
            noise_fn=lambda i: jnp.zeros_like(start),
        )
    )()  # fmt: skip
    for name, value in (("z_r", drawn.latent), ("x_r", drawn.picture), ("x_inter", drawn.between)):
        if name in of:
            golden.held(METHOD, case["file"], name, nchw(value), 5e-4)
    segmentation = loaded("discriminative", NETWORKS.segmentation, (1, 64, 64, 9))
    logits, _ = jax.jit(lambda: core.marks_of(NETWORKS.segmentation, segmentation, drawn, damaged))()
    golden.held(METHOD, case["file"], "map", damage_probability(logits)[:, None], 5e-4)
    golden.held(METHOD, case["file"], "score", mean_filter(damage_probability(logits), 21).max((1, 2)), 5e-4)


def test_the_folder_has_cases() -> None:
    assert golden.cases(METHOD, "moments") and golden.cases(METHOD, "z_r")
