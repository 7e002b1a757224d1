"""DDAD on features, behind the seam: a diffusion of feature maps whose noise predictor is a Gaussian of normal ones.

The "pictures" of the diffusion are the maps of a frozen network, in one unit. Nothing is trained: the Gaussian is what
is remembered, and exact at every time. Schedule, conditioning, samplers and times are those of DDAD.

Source: DDAD (Mousakhan et al. 2023) for the reconstruction, InversionAD (Sakai et al. 2026) and Score-PR (Shin et al.
2023) for the scores without one; a closed form in the place of their networks is ours.
"""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddad_jax import gaussian_prior as core
from ddad_jax import padim
from ddad_jax.embedding import channel_choice, patch_descriptors
from ddad_jax.engine.methods.memory.method import MemoryMethod
from ddad_jax.engine.methods.memory.sections import BATCH, PATCH, MapScoreSettings
from ddad_jax.engine.methods.padim import MOST_BYTES, Blur
from ddad_jax.engine.methods.point import SIGMA_STEP, Plan, SearchableSetting
from ddad_jax.engine.settings.need import Need, values_at, without_effect
from ddad_jax.engine.settings.section import Section
from ddad_jax.engine.settings.sections import LABEL_FREE, SEEDS, Settings, SweepSettings
from ddad_jax.engine.settings.setting import LAYERS, TEXT, above, number, one_of, setting, swept, whole_number
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


class Diffused(NamedTuple):
    """Another value is another pass over the pictures. Fields: as in ``DiffusionSettings``."""

    layers: tuple[str, ...] = ("layer2", "layer3")
    patch: int = 3
    channels: int = 0
    prior: str = "position"
    pooled: float = core.POOLED
    share: float = core.SHARE
    rank: int = core.RANK
    scoring: str = "reconstruction"
    residual: str = "distance"
    w: float = 1.0
    t_prime: int = 250
    steps: int = 3
    eta: float = 0.0
    grid: str = "trailing"
    solver: str = "ddim"
    start_noise: float = 0.0
    draws: int = 4
    seed: int = 0

    @property
    def reconstructs(self) -> bool:
        return self.scoring == "reconstruction"

    @property
    def draws_noise(self) -> bool:
        own = self.start_noise > 0 or (self.eta > 0 and SOLVERS[self.solver].stochastic)
        return self.scoring == "resilience" or (self.reconstructs and own)


SEEN = ("layers", "patch", "channels")
REMEMBERED = (*SEEN, "prior", "pooled", "share")
"""What decides the Gaussian, with rank for that of whole pictures."""


ORIGIN = f"{LABEL_FREE}, but for layers, pooled and steps, which were settled with results on four data sets in view"
"""share: where held-out normal pictures were likeliest. prior: which finds synthetic defects better, on three sets. T':
the paper's; w: so that no blend passes the picture."""


@dataclass(frozen=True)
class DiffusionSettings(Section):
    """The diffusion that a verdict uses."""

    origin: str = setting(ORIGIN, TEXT, "how its values were come by, as the report says it")
    layers: tuple[str, ...] = setting(
        ("layer2", "layer3"), LAYERS, "of the backbone; the first sets the grid of positions"
    )
    patch: int = setting(3, PATCH, "side of the neighbourhood whose mean a position is, in positions")
    channels: int = setting(
        0, whole_number(0, 2**14, "0 (all) or a number of channels"), "so many of all, drawn by sweep.seed; 0: all"
    )
    prior: str = setting(
        "position", one_of("position", "picture"),
        "what is Gaussian: each position by itself; | picture: the whole map, in a few directions",
    )  # fmt: skip
    pooled: float = setting(
        core.POOLED, number(0, 1e9), "pictures that the covariance of all positions counts as, with prior = position"
    )
    share: float = setting(core.SHARE, above(0, 1e3), "of the mean variance, added to every variance")
    rank: int = setting(
        core.RANK, whole_number(1, 2**12), "directions with a variance of their own, with prior = picture"
    )
    scoring: str = setting(
        "reconstruction", one_of("reconstruction", "inversion", "resilience"),
        "distance to the reconstruction, as DDAD; | inversion: length of the noise that a picture is led to, as "
        "InversionAD; | resilience: the part of a little noise that is not seen, as Score-PR",
    )  # fmt: skip
    residual: str = setting(
        "distance", one_of("distance", "mahalanobis"),
        "of picture and reconstruction: their distance; | mahalanobis: in the spread of training pictures' own",
    )  # fmt: skip
    w: float = setting(1.0, number(0, expected="a finite number, 0 (no conditioning) or more"), "of a reconstruction")
    t_prime: int = setting(
        250,
        whole_number(1, 999),
        "T', the time at which a reconstruction begins, an inversion ends, resilience is measured",
    )
    steps: int = setting(3, whole_number(1, 999), "of a reconstruction or an inversion; published 3 for inversion")
    eta: float = setting(0.0, number(0, 1, "a number from 0 (deterministic) to 1"), "of the noise of a step of ddim")
    grid: str = setting(
        "trailing",
        one_of(*sorted(GRIDS)),
        "of the times; inversion published: uniform in the code, trailing in the paper",
    )
    solver: str = setting("ddim", one_of(*sorted(SOLVERS)), "of a reconstruction, a name of ddad_jax/solvers")
    start_noise: float = setting(0.0, number(0, expected="0 (the scaled picture) or more"), "published 1")
    draws: int = setting(
        4, whole_number(1, 2**10), "of noise, each with both signs, with scoring = resilience; published 3"
    )
    batch_size: int = setting(16, BATCH, "pictures in one call")


@dataclass(frozen=True)
class DiffusionSweepSettings(SweepSettings):
    """What a sweep tries besides the point above, every value with every other; an empty tuple means that point's value
    alone."""

    layers: tuple[tuple[str, ...], ...] = swept(DiffusionSettings, "layers")
    patch: tuple[int, ...] = swept(DiffusionSettings, "patch")
    channels: tuple[int, ...] = swept(DiffusionSettings, "channels")
    prior: tuple[str, ...] = swept(DiffusionSettings, "prior")
    pooled: tuple[float, ...] = swept(DiffusionSettings, "pooled")
    share: tuple[float, ...] = swept(DiffusionSettings, "share")
    rank: tuple[int, ...] = swept(DiffusionSettings, "rank")
    scoring: tuple[str, ...] = swept(DiffusionSettings, "scoring")
    residual: tuple[str, ...] = swept(DiffusionSettings, "residual")
    w: tuple[float, ...] = swept(DiffusionSettings, "w")
    t_prime: tuple[int, ...] = swept(DiffusionSettings, "t_prime")
    steps: tuple[int, ...] = swept(DiffusionSettings, "steps")
    eta: tuple[float, ...] = swept(DiffusionSettings, "eta")
    grid: tuple[str, ...] = swept(DiffusionSettings, "grid")
    solver: tuple[str, ...] = swept(DiffusionSettings, "solver")
    start_noise: tuple[float, ...] = swept(DiffusionSettings, "start_noise")
    draws: tuple[int, ...] = swept(DiffusionSettings, "draws")
    seed: tuple[int, ...] = setting((0,), SEEDS, "of noise, and of the channels that are drawn")
    sigma: tuple[float, ...] = swept(MapScoreSettings, "sigma")
    repeat_edge: tuple[bool, ...] = swept(MapScoreSettings, "repeat_edge")


@dataclass(frozen=True)
class FeatureDDADSettings(Settings):
    """Of a run of DDAD in feature space with a Gaussian as noise predictor."""

    method: str = setting(
        "feature_ddad", TEXT, "what is learnt, and what it measures; the sections of a config are its own"
    )
    feature_ddad: DiffusionSettings = DiffusionSettings()
    score: MapScoreSettings = MapScoreSettings()
    sweep: DiffusionSweepSettings = DiffusionSweepSettings()


class FeatureDDAD(MemoryMethod):
    """``method.Method``."""

    name, title, settings = "feature_ddad", "DDAD in feature space", FeatureDDADSettings
    costly, cheap, view = Diffused, Blur, (*SEEN, "seed")
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
            "feature_ddad.pooled": (own.prior == "position", "prior = position"),
            "feature_ddad.rank": (own.prior == "picture", "prior = picture"),
        }
        found = without_effect(c, FeatureDDADSettings, needs)
        if c.data.picture:
            found.append(
                f"--config.data.picture={tuple(c.data.picture)}: {self.title} has one Gaussian for the same place of "
                "all tiles, which shows another part of the object in each; PatchCore (folder.py:patchcore) knows no "
                "places"
            )
        return found

    def plan(self, c: Any, *, sweep: bool) -> Plan:
        found, own = super().plan(c, sweep=sweep), c.feature_ddad
        # What a prior does not look at is the config's, lest the same be measured twice.
        costly = dict.fromkeys(
            point._replace(rank=own.rank) if point.prior == "position" else point._replace(pooled=own.pooled)
            for point in found.costly
        )
        # Those of one memory together, so that a batch of pictures is looked at once for all of them.
        order = list(dict.fromkeys(map(self.memory_point, costly)))
        return found._replace(costly=sorted(costly, key=lambda point: order.index(self.memory_point(point))))

    def random(self, costly: Diffused) -> bool:
        return costly.channels > 0 or costly.draws_noise

    def memory_point(self, costly: Diffused) -> Diffused:
        names = (*REMEMBERED, *(["rank"] if costly.prior == "picture" else []), *(["seed"] if costly.channels else []))
        if costly.reconstructs and costly.residual == "mahalanobis":
            return costly  # which is remembered of its own reconstructions
        return Diffused(**{name: getattr(costly, name) for name in names})

    # --- The mathematics

    def embed(self, costly: Diffused, features: Mapping[str, Array]) -> Array:
        vectors = patch_descriptors(features, costly.layers, patch=costly.patch)
        if not costly.channels:
            return vectors
        try:
            return vectors[..., channel_choice(vectors.shape[-1], costly.channels, seed=costly.seed)]
        except InputError as error:
            raise InputError(f"--config.feature_ddad.channels={costly.channels}: {error}") from None

    def remember(
        self, costly: Diffused, shape: tuple[int, int, int, int], batches: Iterable[tuple[Array, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        n, h, w, d = shape
        by_position = costly.prior == "position"
        rank = max(1, min(costly.rank, n - 1))
        needed = 4 * h * w * d * (d if by_position else 2 * rank)
        if needed > MOST_BYTES:
            flag, mend = ("channels", "keep fewer channels") if by_position else ("rank", "keep fewer directions")
            raise InputError(
                f"--config.feature_ddad.{flag}={getattr(costly, flag)}: the Gaussian of {h} x {w} positions in {d} "
                f"channels takes {needed / 2**30:.1f} GiB; expected at most {MOST_BYTES / 2**30:g}: {mend}, or "
                "--config.feature_ddad.layers that begin with a coarser one"
            )
        prior: core.Prior
        if by_position:
            moments = padim.no_pictures((h, w, d))
            for vectors, valid in batches:
                # Of several devices to the one that the sums are on.
                moments = padim.add(moments, jnp.asarray(np.asarray(vectors)), jnp.asarray(valid))
            prior = core.position_prior(moments, pooled=costly.pooled, share=costly.share)
        else:
            subspace = core.no_subspace((h, w, d), 2 * rank)
            for vectors, valid in batches:
                subspace = core.widened_subspace(subspace, jnp.asarray(np.asarray(vectors)), jnp.asarray(valid))
            prior = core.picture_prior(subspace, rank=rank, share=costly.share)
        prior, units = core.in_units(prior)
        memory = {**prior._asdict(), **units._asdict()}
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
        """The noise predictor of features in units. Here a trained network adds to what the Gaussian says."""
        if costly.prior == "position":
            prior: core.Prior = core.PositionPrior(memory["mean"], memory["basis"], memory["variance"])
        else:
            prior = core.PicturePrior(memory["mean"], memory["basis"], memory["variance"], memory["rest"])
        return core.gaussian_eps(prior, jnp.asarray(alpha_bar_table()))

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
        h, w, d = shapes["mean"]
        if "rest" in shapes:
            rank = shapes["variance"][0]
            return f"a Gaussian of whole maps of {h} x {w} positions and {d} channels, in {rank} directions"
        return f"a Gaussian at each of {h} x {w} positions, in {d} channels"

    def explained(self, n_train: int, subject: str) -> str:
        return (
            f"Knows from {n_train} pictures of good parts ({subject}) how the features of a trained network are "
            "distributed; it has never seen a defect, and nothing was trained. That distribution is the noise "
            "predictor of a diffusion: features of a test picture are drowned in some noise and made normal again. "
            "Where they come out otherwise, the anomaly map is bright; its highest value is the picture's score. Parts "
            "must lie alike in all pictures."
        )


def _in_units(memory: Mapping[str, Array], vectors: Array) -> Array:
    return (vectors - memory["centre"][None, None, None]) / memory["unit"]


def _keys(costly: Diffused, seeds: Array) -> Array:
    return pair_keys(jnp.full_like(seeds, costly.seed), seeds)
