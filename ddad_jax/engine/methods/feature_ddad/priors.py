"""What the noise predictor of features is made of: of each kind, what is remembered of normal pictures, and the noise
predictor that comes of it. A new kind is a line of ``PRIORS``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import jax.numpy as jnp
import numpy as np

from ddad_jax import empirical_prior, gaussian_prior, padim, patchcore
from ddad_jax.coreset import drawn_evenly
from ddad_jax.engine.methods.padim import MOST_BYTES
from ddad_jax.errors import InputError
from ddad_jax.schedule import alpha_bar_table
from ddad_jax.types import Array, EpsFn

if TYPE_CHECKING:
    from ddad_jax.engine.methods.feature_ddad.sections import Diffused

Shape = tuple[int, int, int, int]
Batches = Iterable[tuple[Array, np.ndarray]]
Memory = Mapping[str, Array]

BANK = 4096
"""Patches of a bank, as many as PatchCore's at most."""
MOST_ROWS = patchcore.MOST_ROWS // 2
CANDIDATES = 16
"""Patches for each one of a coreset that it is chosen among, where there are more: the choice takes 40 s of one core
then."""
CHOICES = ("coreset", "even")
BANDWIDTH = 0.03


class FeaturePrior(NamedTuple):
    """settings: that decide its memory. remember: (point, shape, batches) as of ``MemoryMethod`` -> arrays, among them
    ``centre`` and ``unit``, in which features enter the diffusion. eps_fn: (point, memory) -> of features in units.
    in_use: settings that ``eps_fn`` alone looks at."""

    settings: tuple[str, ...]
    remember: Callable[["Diffused", Shape, Batches], dict[str, Array]]
    eps_fn: Callable[["Diffused", Memory], EpsFn]
    in_use: tuple[str, ...] = ()


def _positions(costly: "Diffused", shape: Shape, batches: Batches) -> dict[str, Array]:
    _, h, w, d = shape
    _require_memory("channels", costly.channels, shape, h * w * d * d)
    moments = padim.no_pictures((h, w, d))
    for vectors, valid in batches:
        # Of several devices to the one that the sums are on.
        moments = padim.add(moments, jnp.asarray(np.asarray(vectors)), jnp.asarray(valid))
    return _gaussian(gaussian_prior.position_prior(moments, pooled=costly.pooled, share=costly.share))


def _picture(costly: "Diffused", shape: Shape, batches: Batches) -> dict[str, Array]:
    n, *of_one = shape
    rank = max(1, min(costly.rank, n - 1))
    _require_memory("rank", costly.rank, shape, 2 * rank * int(np.prod(of_one)))
    subspace = gaussian_prior.no_subspace(tuple(of_one), 2 * rank)
    for vectors, valid in batches:
        subspace = gaussian_prior.widened_subspace(subspace, jnp.asarray(np.asarray(vectors)), jnp.asarray(valid))
    return _gaussian(gaussian_prior.picture_prior(subspace, rank=rank, share=costly.share))


def _gaussian(prior: gaussian_prior.Prior) -> dict[str, Array]:
    prior, units = gaussian_prior.in_units(prior)
    return {**prior._asdict(), **units._asdict()}


def _require_memory(flag: str, value: int, shape: Shape, numbers: int) -> None:
    if 4 * numbers > MOST_BYTES:
        _, h, w, d = shape
        mend = "keep fewer channels" if flag == "channels" else "keep fewer directions"
        raise InputError(
            f"--config.feature_ddad.{flag}={value}: the Gaussian of {h} x {w} positions in {d} channels takes "
            f"{4 * numbers / 2**30:.1f} GiB; expected at most {MOST_BYTES / 2**30:g}: {mend}, or "
            "--config.feature_ddad.layers that begin with a coarser one"
        )


def _patches(costly: "Diffused", shape: Shape, batches: Batches) -> dict[str, Array]:
    n_rows, d = int(np.prod(shape[:3])), shape[3]
    evenly = costly.choice == "even"
    wanted = costly.bank if evenly else min(CANDIDATES * costly.bank, patchcore.MOST_ROWS)

    def rows() -> Iterator[np.ndarray]:
        seen = 0
        for vectors, valid in batches:
            new = np.asarray(vectors)[valid].reshape(-1, d)
            places, seen = np.arange(seen, seen + len(new)), seen + len(new)
            yield new[drawn_evenly(places, min(1.0, wanted / n_rows))]

    prior, units = empirical_prior.fit_patches(rows(), costly.bank, evenly=evenly)
    return {**prior._asdict(), **units._asdict()}


def _position_eps(costly: "Diffused", memory: Memory) -> EpsFn:
    return _gaussian_eps(gaussian_prior.PositionPrior(memory["mean"], memory["basis"], memory["variance"]))


def _picture_eps(costly: "Diffused", memory: Memory) -> EpsFn:
    prior = gaussian_prior.PicturePrior(memory["mean"], memory["basis"], memory["variance"], memory["rest"])
    return _gaussian_eps(prior)


def _gaussian_eps(prior: gaussian_prior.Prior) -> EpsFn:
    return gaussian_prior.gaussian_eps(prior, jnp.asarray(alpha_bar_table()))


def _patch_eps(costly: "Diffused", memory: Memory) -> EpsFn:
    prior = empirical_prior.PatchPrior(memory["rows"], memory["spacing"])
    return empirical_prior.patch_eps(prior, jnp.asarray(alpha_bar_table()), bandwidth=costly.bandwidth)


PRIORS = {
    "position": FeaturePrior(("pooled", "share"), _positions, _position_eps),
    "picture": FeaturePrior(("rank", "share"), _picture, _picture_eps),
    "patches": FeaturePrior(("bank", "choice"), _patches, _patch_eps, ("bandwidth",)),
}

OF_PRIORS = {
    name: tuple(kind for kind, prior in PRIORS.items() if name in (*prior.settings, *prior.in_use))
    for prior in PRIORS.values()
    for name in (*prior.settings, *prior.in_use)
}
"""Setting -> the priors that look at it."""


def in_words(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """A memory of arrays of these shapes, in words."""
    if "rows" in shapes:
        rows, d = shapes["rows"]
        return f"a bank of {rows} patches, {d} numbers each, any of which a position may be"
    h, w, d = shapes["mean"]
    if "rest" in shapes:
        rank = shapes["variance"][0]
        return f"a Gaussian of whole maps of {h} x {w} positions and {d} channels, in {rank} directions"
    return f"a Gaussian at each of {h} x {w} positions, in {d} channels"
