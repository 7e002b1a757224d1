"""L4. Domain adaptation of the feature extractor: pure functions, state in and state out.

The extractor F learns to give a reconstruction x0 and its target y equal features, while distillation
ties it to the frozen extractor Fz it started from. The reconstructions come from the caller. How long
to go on is decided by ``contrast``, measured on held-out normal images without any label.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ddad_jax.backbones import Backbone
from ddad_jax.data.batches import epoch_order, image_seed
from ddad_jax.errors import InputError
from ddad_jax.image import resize
from ddad_jax.metrics import ranking
from ddad_jax.types import Array, Image, Variables

LAYERS = ("layer1", "layer2", "layer3")
"""J of DDAD Eq. 10."""


class AdaptState(NamedTuple):
    """step: int32 []. params, batch_stats: of the live extractor. opt_state: optax's."""

    step: Array
    params: Any
    batch_stats: Any
    opt_state: Any

    @property
    def variables(self) -> Variables:
        """The live extractor as ``feature_fn`` takes it."""
        return {"params": self.params, "batch_stats": self.batch_stats}


def flat_cosine_loss(
    a: Mapping[str, Array],
    b: Mapping[str, Array],
    layers: Sequence[str] = LAYERS,
    *,
    valid: Array | None = None,
) -> Array:
    """For every layer, mean over the batch of 1 - cos(a, b), each image's map taken as one vector; [L].

    Not the per-position distance of ``distance.feature_distances``, although the paper writes both alike.

    Args:
      a, b: features [b, h_j, w_j, c_j]; norms below 1e-8 count as 1e-8.
      valid: bool [b], False for padding that must not count.

    Source: DDAD Eq. 10, its inner term; loss of the published feature_extractor.py.
    """

    def distance(x: Array, y: Array) -> Array:
        wide = jnp.promote_types(x.dtype, jnp.float32)
        x, y = x.reshape(len(x), -1).astype(wide), y.reshape(len(y), -1).astype(wide)
        # The floor is inside the root, where the gradient of a zero vector stays finite.
        norms = [jnp.sqrt(jnp.maximum((v * v).sum(1), 1e-16)) for v in (x, y)]
        d = 1.0 - (x * y).sum(1) / (norms[0] * norms[1])
        return d.mean() if valid is None else jnp.where(valid, d, 0.0).sum() / jnp.maximum(valid.sum(), 1)

    return jnp.stack([distance(a[j], b[j]) for j in layers])


def adaptation_terms(
    live_x0: Mapping[str, Array],
    live_y: Mapping[str, Array],
    frozen_x0: Mapping[str, Array],
    frozen_y: Mapping[str, Array],
    *,
    lambda_dl: Array | float,
    valid: Array | None = None,
) -> Array:
    """The summands of the loss by term and layer, [3, L]; the loss is their sum.

        [ 1 - cos(F_j(x0), F_j(y)),  lambda (1 - cos(F_j(y), Fz_j(y))),  lambda (1 - cos(F_j(x0), Fz_j(x0))) ]

    Args:
      live_x0, live_y, frozen_x0, frozen_y: features of F and Fz. No gradient goes into the frozen ones; the
        published code computes one and never uses it, so values and updates are the same.
      lambda_dl: weight of distillation, >= 0. Paper: 0.1 for MVTec, 0.01 for VisA.
      valid: bool [b], False for padding.

    Source: DDAD Eq. 10.
    """
    frozen_x0, frozen_y = jax.lax.stop_gradient((dict(frozen_x0), dict(frozen_y)))
    similarity = flat_cosine_loss(live_x0, live_y, valid=valid)
    distilled = [
        flat_cosine_loss(live_y, frozen_y, valid=valid),
        flat_cosine_loss(live_x0, frozen_x0, valid=valid),
    ]
    return jnp.stack([similarity, *(lambda_dl * d for d in distilled)])


def adaptation_loss(
    params: Any,
    batch_stats: Any,
    x0: Image,
    y: Image,
    frozen_variables: Variables,
    *,
    backbone: Backbone,
    lambda_dl: Array | float = 0.1,
    batch_norm: str = "frozen",
    feature_size: int | None = None,
    valid: Array | None = None,
) -> tuple[Array, tuple[Array, Any]]:
    """L_DA of one batch; arguments as in ``adapt_step``. Returns loss [], (terms [3, L], new batch_stats)."""
    if batch_norm not in ("frozen", "train"):
        raise InputError(f"batch_norm is {batch_norm!r}; expected 'frozen' or 'train' (as published)")
    train = batch_norm == "train"
    if train and valid is not None:
        raise ValueError("padding would enter the batch's statistics: no `valid` with batch_norm='train'")
    live = {"params": params, "batch_stats": batch_stats}
    x0, y = (x if feature_size is None else resize(x, feature_size) for x in (x0, y))
    apply, x0, y = backbone.module.apply, backbone.normalise(x0), backbone.normalise(y)

    def evaluated(variables: Variables) -> tuple[dict[str, Array], dict[str, Array]]:
        # Images do not see each other with stored statistics, so both halves go through at once.
        both: Any = apply(variables, jnp.concatenate([x0, y]))
        return {j: f[: len(x0)] for j, f in both.items()}, {j: f[len(x0) :] for j, f in both.items()}

    if train:
        live_x0, moved = apply(live, x0, train=True, mutable=["batch_stats"])
        live_y, moved = apply({"params": params, **moved}, y, train=True, mutable=["batch_stats"])
        batch_stats = moved["batch_stats"]
    else:
        live_x0, live_y = evaluated(live)
    frozen = evaluated(jax.lax.stop_gradient(frozen_variables))
    terms = adaptation_terms(live_x0, live_y, *frozen, lambda_dl=lambda_dl, valid=valid)
    return terms.sum(), (terms, batch_stats)


def optimiser(*, learning_rate: float = 1e-4, weight_decay: float = 0.01) -> optax.GradientTransformation:
    """AdamW: theta <- theta - learning_rate (m / (sqrt(v) + 1e-8) + weight_decay theta).

    Every parameter of our extractors takes part in the loss, so decaying all of them touches none that the
    published code leaves alone (its stage 4 and classifier, which do not exist here).

    Args:
      learning_rate: 1e-4 as published; a number or an optax schedule of one.
      weight_decay: decoupled. The paper is silent; 0.01 is PyTorch's default, which the published code uses.

    Source: DDAD supplement 7; feature_extractor.py of the published code.
    """
    return optax.adamw(learning_rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=weight_decay)


def init_adapt(variables: Variables, tx: optax.GradientTransformation) -> AdaptState:
    """The live extractor begins as a copy of the frozen one, so that a step may donate its state."""
    params, batch_stats = jax.tree.map(jnp.copy, (variables["params"], variables["batch_stats"]))
    return AdaptState(jnp.zeros((), jnp.int32), params, batch_stats, tx.init(params))


def adapt_step(
    state: AdaptState,
    x0: Image,
    y: Image,
    frozen_variables: Variables,
    *,
    backbone: Backbone,
    tx: optax.GradientTransformation,
    lambda_dl: Array | float = 0.1,
    batch_norm: str = "frozen",
    feature_size: int | None = None,
    valid: Array | None = None,
) -> tuple[AdaptState, dict[str, Array]]:
    """One update of the live extractor on a batch of reconstructions and their targets.

    Args:
      x0: reconstructions [b, h, w, 3], about [-1, 1], of other normal images steered towards ``y``.
      y: targets [b, h, w, 3] in [-1, 1].
      frozen_variables: of Fz, evaluated with its stored statistics.
      backbone, tx, batch_norm, feature_size: bound by the caller before ``jit``.
      lambda_dl: weight of distillation, >= 0; may be traced.
      batch_norm: "train" as published: F(x0) and F(y) are normalised by their own batch's statistics and
        move the stored ones, x0 first. "frozen": the stored statistics are used and kept; scale and bias
        learn.
        Deviation: default "frozen". As published, the features that are compared while learning are
        not those that scoring compares afterwards with the stored statistics, reconstruction and target are
        normalised differently, and distillation ties one kind to the other, so that it is above zero
        even before the first step. With 8 images a half the statistics are noisy, too.
      feature_size: resize both images to this many pixels before the extractor; None leaves them.
        Deviation: published None. Networks trained at 224 px see too little in a 64 px image, and
        adaptation has to see what scoring sees.
      valid: bool [b], False for padding; only with batch_norm="frozen".

    Returns:
      the new state, and {"loss", "terms" [3, L], "grad_norm"}. A loss or gradient that is not finite leaves
      the state as it was, step included.

    Raises:
      InputError: unknown ``batch_norm``.

    Source: DDAD section 4.4, Eq. 10.
    """

    def loss_fn(params: Any) -> tuple[Array, tuple[Array, Any]]:
        return adaptation_loss(
            params,
            state.batch_stats,
            x0,
            y,
            frozen_variables,
            backbone=backbone,
            lambda_dl=lambda_dl,
            batch_norm=batch_norm,
            feature_size=feature_size,
            valid=valid,
        )

    (loss, (terms, batch_stats)), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    grad_norm = optax.tree.norm(grads)
    good = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
    updated = AdaptState(state.step + 1, params, batch_stats, opt_state)
    state = jax.tree.map(lambda new, old: jnp.where(good, new, old), updated, state)
    return state, {"loss": loss, "terms": terms, "grad_norm": grad_norm}


def pairs(n: int, batch_size: int, *, epoch: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Who is steered towards whom in one epoch; *host*. A pure function of its arguments.

    A permutation of all images is cut into batches, and each batch into targets and inputs.

    Args:
      n: number of normal images, >= 2.
      batch_size: images a step, targets and inputs together, >= 2. Published: 16 (32 for most of VisA).
      epoch: >= 0; seed: of the permutations.

    Returns:
      (targets, inputs): int32 [steps, half] each, half = min(batch_size, n) // 2 and steps = n // (2 half).
      No image is in both, or twice in an epoch; the last partial batch is left out.
        Deviation: with n < batch_size the published loader gives no batch at all; here one smaller batch.

    Raises:
      InputError: fewer than two images, or a batch of fewer than two.

    Source: DDAD section 4.4; loader of the published feature_extractor.py.
    """
    if n < 2:
        raise InputError(
            f"domain adaptation pairs different normal images and found {n}; "
            "give it at least 2 in train/good, or switch adaptation off"
        )
    if batch_size < 2:
        raise InputError(f"adaptation batch size {batch_size}: expected at least 2 (a target and an input)")
    half = min(batch_size, n) // 2
    order = epoch_order(n, 2 * half, epoch, seed)
    return order[:, :half], order[:, half:]


def cut_paste(images: np.ndarray, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probes for ``contrast``: in every image one rectangle of its own pixels is pasted elsewhere; *host*.

    The rectangle covers 1 to 10 % of the area with sides in proportion 1:3 to 3:1. Of eight draws the one
    that changes the pixels most is kept, or most probes on a plain background would show nothing. What an
    image becomes depends on its own pixels and the seed alone.

    Args:
      images: held-out normal images [n, h, w, c], uint8 or float.

    Returns:
      (probes like images, masks bool [n, h, w]: where something was pasted).

    Source: the idea is Li et al. 2021 (CutPaste); here the probe measures and nothing is trained on it.
    """
    probes, masks = images.copy(), np.zeros(images.shape[:3], bool)
    for image, probe, mask in zip(images, probes, masks, strict=True):
        rng = np.random.default_rng([seed, int(image_seed(image))])
        draws = [_paste(rng, *image.shape[:2]) for _ in range(8)]
        changes = [np.abs(image[source].astype(np.float64) - image[target]).mean() for source, target in draws]
        source, target = draws[int(np.argmax(changes))]
        probe[target], mask[target] = image[source], True
    return probes, masks


def _paste(rng: np.random.Generator, h: int, w: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where a rectangle is taken from and where it goes."""
    area, aspect = rng.uniform(0.01, 0.1) * h * w, 3.0 ** rng.uniform(-1.0, 1.0)
    rows = int(np.clip(round(math.sqrt(area * aspect)), 1, h))
    columns = int(np.clip(round(math.sqrt(area / aspect)), 1, w))
    tops, lefts = rng.integers(0, h - rows + 1, 2), rng.integers(0, w - columns + 1, 2)
    source, target = (np.s_[i : i + rows, j : j + columns] for i, j in zip(tops, lefts, strict=True))
    return source, target


def contrast(d_normal: np.ndarray, d_probe: np.ndarray, masks: np.ndarray) -> float:
    """How well a change stands out from what reconstruction alone does; no label, no defect; *host*.

    The average precision of finding the pasted pixels among all pixels of probes and normal images, by D_f.
    Adaptation should calm normal pixels, so that fewer come before pasted ones. Forgetting lowers the
    response to the paste, or smears it over its surroundings. Only the order counts: distances that shrink
    everywhere alike change nothing.

    A probe is compared with the reconstruction of the image it was made from, as if it had been repaired
    perfectly: the choice is about the extractor, not about how well the diffusion model repairs a paste.
    Reconstructions do not depend on the extractor, so those of the held-out images, towards themselves as
    at test time, serve all epochs.

      Deviation: the published epochs were picked by hand for every category, test labels in view. Ratios of
      response to normal peaks were tried, too: they go on rising after forgetting has set in, and with
      probes that are reconstructed themselves they fall while detection improves.

    Args:
      d_normal: D_f [n, h, w] between held-out normal images and their reconstructions, layers and blur as in
        scoring.
      d_probe, masks: D_f [m, h, w] between ``cut_paste``'s probes and the same reconstructions, and the
        bool masks [m, h, w].

    Returns:
      a number in 0 .. 1, greater is better; NaN where a distance is not finite.

    Raises:
      InputError: no normal images, no probes, or nothing pasted.
    """
    if len(d_normal) == 0 or not masks.any():
        raise InputError(
            f"{len(d_normal)} held-out normal images and {len(d_probe)} probes: choosing the adaptation "
            "epoch needs at least one of each"
        )
    scores = np.concatenate([d_normal, d_probe])
    if not np.isfinite(scores).all():
        return math.nan
    return ranking(scores, np.concatenate([np.zeros(d_normal.shape, bool), masks])).ap


def stop_epoch(history: Sequence[float], *, patience: int = 3) -> tuple[int, bool]:
    """The epoch to use so far, and whether to stop: the greatest ``contrast``, the earlier one on a tie.

    Args:
      history: ``contrast`` after epochs 0, 1, ...; epoch 0 is the unadapted extractor, so that adaptation
        which does not help is not used. An entry that is not finite counts as worst.
      patience: stop after this many epochs without a new best, >= 1.

    Raises:
      InputError: patience below 1. ValueError: empty history.
    """
    if patience < 1:
        raise InputError(f"adaptation patience {patience}: expected at least 1 epoch")
    values = [value if math.isfinite(value) else -math.inf for value in history]
    best = values.index(max(values))
    return best, len(values) - 1 - best >= patience
