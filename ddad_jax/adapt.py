"""L4. Domain adaptation of the feature extractor: pure functions, state in and state out.

The extractor F learns to give a reconstruction x0 and its target y equal features, while distillation
ties it to the frozen extractor Fz it started from. The reconstructions come from the caller. How long
to go on is decided in ``contrast.py``.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ddad_jax.backbones import Backbone, require_sides
from ddad_jax.data.batches import epoch_order
from ddad_jax.errors import InputError
from ddad_jax.image import resize
from ddad_jax.types import Array, Image, Variables


class AdaptState(NamedTuple):
    """step: int32 []. params, batch_stats: of the live extractor, {} without BatchNorm. opt_state: optax's."""

    step: Array
    params: Any
    batch_stats: Any
    opt_state: Any

    @property
    def variables(self) -> Variables:
        """The live extractor as ``feature_fn`` takes it."""
        return {"params": self.params, **({"batch_stats": self.batch_stats} if self.batch_stats else {})}


def flat_cosine_loss(
    a: Mapping[str, Array],
    b: Mapping[str, Array],
    layers: Sequence[str] | None = None,
    *,
    valid: Array | None = None,
) -> Array:
    """For every layer, mean over the batch of 1 - cos(a, b), each image's map taken as one vector; [L].

    Not the per-position distance of ``distance.feature_distances``, although the paper writes both alike.

    Args:
      a, b: features [b, h_j, w_j, c_j]; norms below 1e-8 count as 1e-8.
      layers: J; None: every stage of the backbone, as published.
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

    return jnp.stack([distance(a[j], b[j]) for j in (a if layers is None else layers)])


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
    require_sides(backbone, *y.shape[1:3])
    apply, x0, y = backbone.module.apply, backbone.normalise(x0), backbone.normalise(y)

    def evaluated(variables: Variables) -> tuple[dict[str, Array], dict[str, Array]]:
        # Images do not see each other with stored statistics, so both halves go through at once.
        both: Any = apply(variables, jnp.concatenate([x0, y]))
        return {j: f[: len(x0)] for j, f in both.items()}, {j: f[len(x0) :] for j, f in both.items()}

    if train:
        live_x0, moved = apply(live, x0, train=True, mutable=["batch_stats"])
        live_y, moved = apply({"params": params, **moved}, y, train=True, mutable=["batch_stats"])
        batch_stats = moved.get("batch_stats", {})
    else:
        live_x0, live_y = evaluated(live)
    frozen = evaluated(jax.lax.stop_gradient(frozen_variables))
    terms = adaptation_terms(live_x0, live_y, *frozen, lambda_dl=lambda_dl, valid=valid)
    return terms.sum(), (terms, batch_stats)


def adaptation_optimiser(*, learning_rate: float = 1e-4, weight_decay: float = 0.01) -> optax.GradientTransformation:
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
    params, batch_stats = jax.tree.map(jnp.copy, (variables["params"], variables.get("batch_stats", {})))
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
      x0: reconstructions [b, h, w, 3], about [-1, 1], that show ``y`` (``pair_shares``): of other normal images steered
        towards it, or of ``y`` itself.
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
      InputError: unknown ``batch_norm``; images of a size that the backbone does not take.

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


def self_pairs(n: int, batch_size: int, *, epoch: int, seed: int) -> np.ndarray:
    """Who is reconstructed towards itself in one epoch; *host*. A pure function of its arguments.

      Deviation: the paper reconstructs another picture towards the target (``pairs``), which shows the target only
      where guidance is strong and begins late. Scoring reconstructs a picture towards itself, so self pairs show the
      extractor exactly what it has to ignore.

    Args:
      n: number of normal images, >= 1.
      batch_size: images a step, >= 1; epoch, seed: as of ``pairs``.

    Returns:
      int32 [steps, min(batch_size, n)]; none twice in an epoch.
    """
    return epoch_order(n, min(batch_size, n), epoch, seed)


class PairShares(NamedTuple):
    """How much of two pictures a reconstruction shows. target: of y. other: of the other one."""

    target: float
    other: float

    @property
    def share(self) -> float:
        """target / (|target| + |other|), 0 to 1: of what it shows of the two, how much is the target."""
        both = abs(self.target) + abs(self.other)
        return max(self.target, 0.0) / both if both else 0.0


def pair_shares(x0: np.ndarray, y: np.ndarray, other: np.ndarray, mean: np.ndarray) -> PairShares:
    """Least squares of x0 on its target and another picture, over a batch; no label; *host*.

        min_{a, b}  sum |(x0 - m) - a (other - m) - b (y - m)|^2

    Eq. 10 makes F(x0) and F(y) equal, which says what reconstruction does only where x0 shows y: b near 1, a near 0.

    Args:
      x0, y, other: [b, h, w, c]. other: what the reconstruction began from, or where that is y, an unrelated picture.
      mean: m, of normal pictures, [h, w, c].

    Returns:
      (1, 0) where y and the other picture cannot be told apart.
    """
    r, a, b = ((image - mean).astype(np.float64).ravel() for image in (x0, other, y))
    gram = np.array([[b @ b, a @ b], [a @ b, a @ a]])
    if np.linalg.det(gram) <= 1e-6 * gram[0, 0] * gram[1, 1]:
        return PairShares(1.0, 0.0)
    return PairShares(*(float(value) for value in np.linalg.solve(gram, np.array([b @ r, a @ r]))))
