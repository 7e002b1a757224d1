"""L4. DiffAD: the latent of the normal picture is drawn anew, given that of the picture to judge; a network marks where
the picture differs from what comes out, helped by a picture half-way between both.

Three trainings, one after the other: the autoencoder, the noise predictor of its latents, the network that marks.

Source: Zhang et al. 2023, "Unsupervised Surface Anomaly Detection with Diffusion Probabilistic Model", and the
published code.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ddad_jax.conv_blocks import with_statistics
from ddad_jax.errors import InputError
from ddad_jax.focal import focal_losses
from ddad_jax.kl_autoencoder import KLAutoencoder, Posterior
from ddad_jax.latent_unet import LatentUNet
from ddad_jax.sampler import trajectory
from ddad_jax.schedule import T, alpha_bar_at, perturb
from ddad_jax.segmentation_unet import SegmentationUNet
from ddad_jax.solvers import DDIM, Solver
from ddad_jax.ssim import ssim_map
from ddad_jax.timesteps import GRIDS, TimeGrid
from ddad_jax.types import Array, EpsFn, NoiseFn, Variables

PUBLISHED_GRID = "published"
PURE = T - 1
"""T' of pure noise."""
CONDITIONS = ("noisy", "clean", "none")
"""What a noise predictor learns beside: the damaged picture's latent with noise, as it is, or none of it."""


class LatentNetworks(NamedTuple):
    """Pictures to latents and back; noise of latents beside a condition; marks of a picture behind what was drawn and
    what lies half-way, 9 channels."""

    autoencoder: KLAutoencoder
    unet: LatentUNet
    segmentation: SegmentationUNet


class AutoencoderLosses(NamedTuple):
    """Of each picture, [b]. l1: mean absolute error. structure: 1 - mean SSIM. divergence: KL of the posterior over the
    numbers of the picture."""

    l1: Array
    structure: Array
    divergence: Array


class DrawnPictures(NamedTuple):
    """latent: z_r [b, h, w, z]; picture, between: decoded z_r, and decoded (1 - share) z_r + share c, [b, h, w, 3]."""

    latent: Array
    picture: Array
    between: Array


def latent_alpha_bar() -> np.ndarray:
    """alpha_bar of beta_t = linspace(sqrt(0.0015), sqrt(0.02), 1000)^2, float64 [1000]."""
    return np.cumprod(1.0 - np.linspace(0.0015**0.5, 0.02**0.5, T) ** 2)


def latent_grid(name: str, steps: int, t_prime: int = PURE) -> TimeGrid:
    """Times of a sampling from T', where 999 is pure noise.

    "published": 1, 1 + c, 1 + 2c, ... with c = 1000 // steps, from the last one; the last step leads to t = 0, where a
    little noise is left, and not to the clean latent. Where ``steps`` does not divide 1000 there are more of them.
    Deviation: any of ``timesteps.GRIDS``, and from another T' these alone.

    Raises:
      InputError: another name; steps or a T' that a grid does not take.

    >>> grid = latent_grid("published", 4)
    >>> grid.t.tolist(), grid.s.tolist()
    ([751, 501, 251, 1], [501, 251, 1, 0])
    """
    if name != PUBLISHED_GRID:
        if name not in GRIDS:
            raise InputError(f"grid = {name!r}: expected one of {', '.join((PUBLISHED_GRID, *GRIDS))}")
        by_noise: Any = {"alpha_bar": latent_alpha_bar()} if name.startswith("log_snr") else {}
        return GRIDS[name](t_prime, steps, **by_noise)
    if steps > T // 2:
        raise InputError(f"grid = {name!r} with steps = {steps}: expected at most {T // 2}")
    if t_prime != PURE:
        raise InputError(f"grid = {name!r} with t_prime = {t_prime}: expected {PURE}, or one of {', '.join(GRIDS)}")
    t = (np.arange(0, T, T // steps) + 1)[::-1].astype(np.int32)
    return TimeGrid(t[0], t, np.append(t[1:], 0).astype(np.int32))


def autoencoder_losses(decoded: Array, posterior: Posterior, pictures: Array) -> AutoencoderLosses:
    """Deviation: published the distance of VGG features beside L1, whose weights cannot be had here, and a network that
    tells decoded from real from step 50,001 on; here SSIM, and no such network."""
    similar = ssim_map(decoded, pictures).mean((1, 2, 3))
    numbers = float(np.prod(pictures.shape[1:]))
    return AutoencoderLosses(
        jnp.abs(decoded - pictures).mean((1, 2, 3)), 1.0 - similar, posterior.divergence() / numbers
    )


def conditioned_latent(unet: LatentUNet, variables: Variables, condition: Array) -> EpsFn:
    """The noise predictor at a condition [b, h, w, z], as any sampler takes it."""

    def eps_fn(z_t: Array, t: Array) -> Array:
        times = jnp.broadcast_to(t, z_t.shape[:1])
        return unet.apply(variables, jnp.concatenate([z_t, condition], -1), times)  # type: ignore[return-value]

    return eps_fn


def noise_errors(
    unet: LatentUNet,
    variables: Variables,
    z: Array,
    c: Array,
    noise: Array,
    noise_condition: Array,
    t: Array,
    t_condition: Array,
    *,
    alpha_bar: Array,
) -> Array:
    """Mean squared error of the noise, [b]; z: a sample of the clean picture's posterior, c: the mean of the damaged
    one's, noised to its own time, which the network is not told, so that it cannot copy c; as it is where that is
    -1."""
    c_noisy = perturb(c, noise_condition, alpha_bar_at(alpha_bar, t_condition))
    eps = conditioned_latent(unet, variables, c_noisy)(perturb(z, noise, alpha_bar_at(alpha_bar, t)), t)
    return jnp.square(eps - noise).mean((1, 2, 3))


def redrawn(
    networks: LatentNetworks,
    autoencoder: Variables,
    eps_fn: EpsFn,
    c: Array,
    start: Array,
    grid: TimeGrid,
    *,
    scale: Array | float = 1.0,
    share: Array | float = 0.5,
    eta: Array | float = 0.0,
    alpha_bar: Array,
    noise_fn: NoiseFn,
    solver: Solver = DDIM,
) -> DrawnPictures:
    """From pure noise to pictures.

    Args:
      eps_fn: of ``conditioned_latent`` at the mean of the picture to judge, without noise as published. c: that mean.
        start: where the grid begins, standard normal [b, h, w, z] as published. scale: latents are this many times what
        the sampler sees.
      share: of c in the picture between; published 0.5.
    """
    z_r = trajectory(eps_fn, start, grid, eta=eta, alpha_bar=alpha_bar, noise_fn=noise_fn, solver=solver).x0
    both = scale * jnp.concatenate([z_r, (1.0 - share) * z_r + share * c])
    picture, between = jnp.split(networks.autoencoder.apply(autoencoder, both, method="decode"), 2)  # type: ignore[arg-type]
    return DrawnPictures(z_r, picture, between)


def marks_of(
    segmentation: SegmentationUNet,
    variables: Variables,
    drawn: DrawnPictures,
    pictures: Array,
    *,
    between: bool = True,
    train: bool = False,
) -> tuple[Array, Any]:
    """(logits [b, h, w, 2], statistics as the pass left them); between: whether it is shown what lies half-way."""
    seen = jnp.concatenate([drawn.picture, *([drawn.between] if between else []), pictures], -1)
    return with_statistics(segmentation, variables, seen, train=train)


def mark_losses(logits: Array, mask: Array) -> Array:
    """Mean focal loss of each picture, [b]; mask: bool [b, h, w]."""
    return focal_losses(logits, mask.astype(logits.dtype)).mean((1, 2))
