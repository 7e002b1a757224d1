"""DDAD on features, behind the seam: a diffusion of feature maps whose noise predictor is made of normal ones.

The "pictures" of the diffusion are the maps of a frozen network, in one unit. Nothing is trained: what is remembered is
a distribution (``priors``), whose noise predictor is exact at every time. Schedule, conditioning, samplers and times
are those of DDAD.

Source: DDAD (Mousakhan et al. 2023) for the reconstruction, InversionAD (Sakai et al. 2026) and Score-PR (Shin et al.
2023) for the scores without one; a closed form in the place of their networks is ours.
"""

import itertools
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax import padim
from ddad_jax.embedding import channel_choice, coarser_grid, patch_descriptors
from ddad_jax.engine.methods.feature_ddad.priors import OF_PRIORS, PRIORS, in_words
from ddad_jax.engine.methods.feature_ddad.sections import NEWER, Diffused, FeatureDDADSettings
from ddad_jax.engine.methods.memory.method import MemoryMethod
from ddad_jax.engine.methods.padim import Blur
from ddad_jax.engine.methods.point import SIGMA_STEP, Plan, SearchableSetting
from ddad_jax.engine.settings.need import Need, values_at, without_effect
from ddad_jax.errors import InputError
from ddad_jax.inversion import inverted, norms
from ddad_jax.pair_program import pair_keys
from ddad_jax.patch_map import patch_map
from ddad_jax.resilience import resilience
from ddad_jax.sampler import noise_of, reconstruct
from ddad_jax.schedule import alpha_bar_table
from ddad_jax.solvers import SOLVERS
from ddad_jax.timesteps import GRIDS
from ddad_jax.types import Array, EpsFn

SEEN = ("layers", "patch", "channels", "pool")
"""What decides what is seen of a picture."""
SCORED = {
    "reconstruction": "Features of a test picture are drowned in some noise and made normal again; where they come out "
    "otherwise,",
    "inversion": "Features of a test picture are led back to the noise that belongs to them; where that noise is long,",
    "resilience": "A little noise is put on features of a test picture; where the predictor does not see it,",
}
"""``feature_ddad.scoring`` -> where a map is bright."""


class FeatureDDAD(MemoryMethod):
    """``method.Method``."""

    name, title, settings = "feature_ddad", "DDAD in feature space", FeatureDDADSettings
    costly, cheap, view, newer = Diffused, Blur, (*SEEN, "seed"), NEWER
    axes: Mapping[str, SearchableSetting] = {
        "w": SearchableSetting("feature_ddad.w", 0.0, 4.0, step=0.25, costly=True),
        "t_prime": SearchableSetting("feature_ddad.t_prime", 50, 600, step=50, whole=True, costly=True),
        "sigma": SearchableSetting("score.sigma", 0.0, 12.0, step=SIGMA_STEP),
    }
    searched = ("w", "t_prime", "sigma")
    printed = ("layers", "prior", "scoring", "w", "t_prime", "steps", "sigma")

    # --- Settings

    def together(self, c: FeatureDDADSettings, need: Need) -> None:
        super().together(c, need)
        own = {name: values_at(c, f"feature_ddad.{name}") for name in ("grid", "t_prime", "steps")}
        tried = {name: values_at(c, f"sweep.{name}") or value for name, value in own.items()}
        visited = itertools.chain(itertools.product(*own.values()), itertools.product(*tried.values()))
        for grid, t_prime, steps in visited:
            try:
                GRIDS[grid](t_prime, steps)
            except InputError as error:
                flag = "sweep" if steps in c.sweep.steps else "feature_ddad"
                of = ["feature_ddad.t_prime", "sweep.t_prime", "feature_ddad.grid", "sweep.grid"]
                need(f"{flag}.steps", False, f"other steps, T' or grid: {error}", of)

    def doubts(self, c: FeatureDDADSettings) -> list[str]:
        own, point = c.feature_ddad, self.point(c).costly
        noisy, called = SOLVERS[own.solver].stochastic, point.scoring != "resilience"
        by_reconstruction = (point.reconstructs, "scoring = reconstruction")
        needs = {
            **{f"feature_ddad.{name}": by_reconstruction for name in ("residual", "w", "solver", "start_noise")},
            "feature_ddad.eta": (point.reconstructs and noisy, "scoring = reconstruction and solver = ddim"),
            "feature_ddad.steps": (called, "scoring = reconstruction or inversion"),
            "feature_ddad.grid": (called, "scoring = reconstruction or inversion"),
            "feature_ddad.draws": (not called, "scoring = resilience"),
            **{
                f"feature_ddad.{name}": (own.prior in priors, f"prior = {' or '.join(priors)}")
                for name, priors in OF_PRIORS.items()
            },
        }
        found = without_effect(c, FeatureDDADSettings, needs)
        if c.data.picture and own.prior != "patches":
            found.append(
                f"--config.data.picture={tuple(c.data.picture)}: {self.title} has one Gaussian for the same place of "
                "all tiles, which shows another part of the object in each; --config.feature_ddad.prior=patches and "
                "PatchCore (folder.py:patchcore) know no places"
            )
        return found

    def plan(self, c: Any, *, sweep: bool) -> Plan:
        found, own = super().plan(c, sweep=sweep), c.feature_ddad
        # What a prior does not look at is the config's, lest the same be measured twice.
        costly = dict.fromkeys(
            point._replace(**{name: own[name] for name, priors in OF_PRIORS.items() if point.prior not in priors})
            for point in found.costly
        )
        # Those of one memory together, so that a batch of pictures is looked at once for all of them.
        order = list(dict.fromkeys(map(self.memory_point, costly)))
        return found._replace(costly=sorted(costly, key=lambda point: order.index(self.memory_point(point))))

    def random(self, costly: Diffused) -> bool:
        return costly.channels > 0 or costly.draws_noise

    def memory_point(self, costly: Diffused) -> Diffused:
        names = (*SEEN, "prior", *PRIORS[costly.prior].settings, *(["seed"] if costly.channels else []))
        if costly.reconstructs and costly.residual == "mahalanobis":
            return costly  # which is remembered of its own reconstructions
        return Diffused(**{name: getattr(costly, name) for name in names})

    # --- The mathematics

    def embed(self, costly: Diffused, features: Mapping[str, Array]) -> Array:
        vectors = coarser_grid(patch_descriptors(features, costly.layers, patch=costly.patch), costly.pool)
        if not costly.channels:
            return vectors
        try:
            return vectors[..., channel_choice(vectors.shape[-1], costly.channels, seed=costly.seed)]
        except InputError as error:
            raise InputError(f"--config.feature_ddad.channels={costly.channels}: {error}") from None

    def remember(
        self, costly: Diffused, shape: tuple[int, int, int, int], batches: Iterable[tuple[Array, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        memory = PRIORS[costly.prior].remember(costly, shape, batches)
        if costly.reconstructs and costly.residual == "mahalanobis":
            memory |= self._residual_statistics(costly, memory, batches)
        return {name: np.asarray(array) for name, array in memory.items()}

    def _residual_statistics(
        self, costly: Diffused, memory: Mapping[str, Array], batches: Iterable[tuple[Array, np.ndarray]]
    ) -> dict[str, Array]:
        """Mean [d] and L^-1 of the covariance L L^T [d, d] of y - x0 of training pictures, over all positions.

        Of training pictures: held-out ones, which a threshold is taken from, stay new to it.
        """
        seen = jax.jit(partial(self._residual, costly))
        moments = None
        for number_, (vectors, valid) in enumerate(batches):
            rows = jnp.asarray(np.asarray(vectors))
            seeds = jnp.arange(len(rows), dtype=jnp.uint32) + jnp.uint32(number_ * len(rows))
            of = seen(memory, rows, seeds)
            moments = padim.no_pictures((1, 1, of.shape[-1])) if moments is None else moments
            places = jnp.repeat(jnp.asarray(valid), of.shape[1] * of.shape[2])
            moments = padim.add(moments, of.reshape(-1, 1, 1, of.shape[-1]), places)
        found = padim.fitted(moments, share=1e-3)
        return {"residual_mean": found.mean[0, 0], "residual_whiten": found.whiten[0, 0]}

    def eps_fn(self, costly: Diffused, memory: Mapping[str, Array]) -> EpsFn:
        """The noise predictor of features in units. Here a trained network adds to what the prior says."""
        return PRIORS[costly.prior].eps_fn(costly, memory)

    def _residual(self, costly: Diffused, memory: Mapping[str, Array], vectors: Array, seeds: Array) -> Array:
        """y - x0, features in units, [b, h, w, d]."""
        y = _in_units(memory, vectors)
        x0 = reconstruct(
            self.eps_fn(costly, memory),
            y,
            y,
            GRIDS[costly.grid](costly.t_prime, costly.steps),
            w=costly.w,
            eta=costly.eta,
            alpha_bar=jnp.asarray(alpha_bar_table()),
            noise_fn=noise_of(_keys(costly, seeds), y.shape[1:]),
            solver=SOLVERS[costly.solver],
            start_noise=costly.start_noise,
        )
        return y - x0

    def compare(self, costly: Diffused, memory: Mapping[str, Array], vectors: Array, seeds: Array) -> Array:
        """How anomalous each position is, [b, h, w]."""
        if costly.reconstructs:
            residual = self._residual(costly, memory, vectors, seeds)
            if costly.residual == "mahalanobis":
                residual = (residual - memory["residual_mean"][None, None, None]) @ memory["residual_whiten"].T
            return norms(residual)
        alpha_bar, y, eps_fn = jnp.asarray(alpha_bar_table()), _in_units(memory, vectors), self.eps_fn(costly, memory)
        if costly.scoring == "inversion":
            grid = GRIDS[costly.grid](costly.t_prime, costly.steps)
            return norms(inverted(eps_fn, y, grid, alpha_bar=alpha_bar).latent)
        noise = jax.lax.map(noise_of(_keys(costly, seeds), y.shape[1:]), jnp.arange(costly.draws))
        return resilience(eps_fn, y, costly.t_prime, noise, alpha_bar=alpha_bar, antithetic=True)

    def judge(self, evidence: Array, cheap: Blur, size: tuple[int, int]) -> tuple[Array, None]:
        return patch_map(evidence, size, sigma=cheap.sigma, repeat_edge=cheap.repeat_edge), None

    # --- Told

    def described(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        return in_words(shapes)

    def explained(self, n_train: int, subject: str, row: Mapping[str, Any]) -> str:
        return (
            f"Knows from {n_train} pictures of good parts ({subject}) how the features of a trained network are "
            "distributed; it has never seen a defect, and nothing was trained. That distribution is the noise "
            f"predictor of a diffusion. {SCORED[row.get('scoring', 'reconstruction')]} the anomaly map is bright; its "
            "highest value is the picture's score. Parts must lie alike in all pictures."
        )


def _in_units(memory: Mapping[str, Array], vectors: Array) -> Array:
    return (vectors - memory["centre"][None, None, None]) / memory["unit"]


def _keys(costly: Diffused, seeds: Array) -> Array:
    return pair_keys(jnp.full_like(seeds, costly.seed), seeds)
