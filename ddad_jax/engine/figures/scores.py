"""Image scores: how far good and defective pictures lie apart; precision, recall and IoU over the threshold."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ddad_jax.engine.figures.parts import BLUE, GREEN, GREY, ORANGE, ending, save_figure, tidy
from ddad_jax.errors import InputError
from ddad_jax.metrics.at_threshold import Curves


def score_histogram(
    scores: Any,
    labels: Any,
    defects: Sequence[str],
    path: str | Path,
    *,
    held_out: Any = None,
    threshold: float | None = None,
) -> Path | None:
    """Image scores: a histogram of good against defective, and below it a strip of dots for each kind.

    Args:
        scores: [n]; NaN and infinite ones are left out.
        labels: [n], 1 = anomalous.
        defects: [n], kind of each picture.
        path: PNG to write.
        held_out: scores of normal pictures kept out of training, [k].
        threshold: drawn as a line.

    Raises InputError where the lengths differ.
    """
    scores, labels = np.asarray(scores, float), np.asarray(labels).astype(bool)
    if not scores.shape == labels.shape == (len(defects),):
        raise InputError(
            f"expected a score, a label and a defect for each picture, got scores {scores.shape}, "
            f"labels {labels.shape} and {len(defects)} defects"
        )
    normal = np.asarray([] if held_out is None else held_out, float)
    normal, finite = normal[np.isfinite(normal)], np.isfinite(scores)
    kinds = np.asarray(defects, dtype=object)[finite]
    scores, labels = scores[finite], labels[finite]
    everything = np.concatenate([scores, normal])
    if not everything.size:
        return None
    strips = [("held-out normal", normal, GREEN)] if normal.size else []
    good_kinds = list(dict.fromkeys(kinds[~labels]))
    bad_kinds = sorted(dict.fromkeys(kinds[labels]))
    strips += [(str(kind), scores[~labels & (kinds == kind)], BLUE) for kind in good_kinds]
    strips += [(str(kind), scores[labels & (kinds == kind)], ORANGE) for kind in bad_kinds]
    figure = Figure(figsize=(7.6, 2.6 + 0.28 * len(strips)), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[2.0, 0.35 + 0.28 * len(strips)])
    edges = np.histogram_bin_edges(everything, bins=min(40, max(10, everything.size // 5)))
    for values, colour, name in ((scores[~labels], BLUE, "good"), (scores[labels], ORANGE, "defective")):
        if values.size:
            top.hist(values, edges, color=colour, alpha=0.45, label=f"{name} ({values.size})")
            top.hist(values, edges, color=colour, histtype="step", lw=1.4)
    if normal.size:
        name = f"held-out normal ({normal.size})"
        top.hist(normal, edges, color=GREEN, histtype="step", lw=1.4, ls="--", label=name)
    top.set_ylabel("pictures")
    top.yaxis.set_major_locator(MaxNLocator(integer=True))
    jitter = np.random.default_rng(0)
    for height, (_, values, colour) in enumerate(strips):
        heights = height + jitter.uniform(-0.28, 0.28, values.size)
        bottom.scatter(values, heights, s=14, color=colour, alpha=0.6, linewidths=0)
    bottom.set_yticks(
        range(len(strips)),
        [f"{ending(name, 24)} ({values.size})" for name, values, _ in strips],
        parse_math=False,
    )
    bottom.set(xlabel="image score", ylim=(len(strips) - 0.5, -0.5))
    if threshold is not None and math.isfinite(threshold):
        for axes in (top, bottom):
            label = f"threshold {threshold:.4g}" if axes is top else None
            axes.axvline(threshold, color="black", lw=1.1, ls=":", label=label)
    top.legend(fontsize=8, frameon=False)
    for axes in (top, bottom):
        tidy(axes)
    return save_figure(figure, path)


def roc_curve(scores: Any, labels: Any, path: str | Path) -> Path | None:
    """True against false positive rate at every threshold; None where a class is missing.

    Args:
        scores: finite, [n].
        labels: [n], 1 = anomalous.
        path: PNG to write.
    """
    scores, labels = np.asarray(scores, float), np.asarray(labels).astype(bool)
    positive, negative = np.sort(scores[labels]), np.sort(scores[~labels])
    if not positive.size or not negative.size or not np.isfinite(scores).all():
        return None
    cuts = np.unique(scores)[::-1]
    tpr = 1 - np.searchsorted(positive, cuts) / positive.size
    fpr = 1 - np.searchsorted(negative, cuts) / negative.size
    figure = Figure(figsize=(3.4, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":")
    axes.plot([0, *fpr], [0, *tpr], color=BLUE, lw=1.8, clip_on=False)
    axes.set(xlabel="false alarms / good pictures", ylabel="found / defective pictures")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    tidy(axes)
    return save_figure(figure, path)


def precision_recall(curves: Curves, path: str | Path, *, at: tuple[float, float] | None = None) -> Path | None:
    """Precision over recall of images and of pixels; None where both are empty.

    Args:
        curves: of ``metrics.at_threshold``.
        path: PNG to write.
        at: (recall, precision) of the images at the threshold in use, marked; NaN or None: not.
    """
    kinds = (
        ("images", curves.image_recall, curves.image_precision, BLUE),
        ("pixels", curves.pixel_recall, curves.pixel_precision, GREEN),
    )
    if not any(recall.size for _, recall, _, _ in kinds):
        return None
    figure = Figure(figsize=(3.7, 3.2), layout="constrained")
    axes = figure.subplots()
    for name, recall, precision, colour in kinds:
        if recall.size:
            axes.plot(recall, precision, color=colour, lw=1.8, label=name, clip_on=False)
    if at is not None and np.isfinite(at).all():
        axes.plot(*at, "o", color="black", ms=6, mfc="none", label="threshold in use", clip_on=False)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(fontsize=8, frameon=False, loc="lower left")
    tidy(axes)
    return save_figure(figure, path)


def iou_curve(curves: Curves, path: str | Path, *, thresholds: Mapping[str, float]) -> Path | None:
    """IoU of the pixels over their threshold, with the label-free thresholds as lines; None where there is no curve.

    Args:
        curves: of ``metrics.at_threshold``.
        path: PNG to write.
        thresholds: of pixels, by the name of their rule.
    """
    if not curves.threshold.size:
        return None
    figure = Figure(figsize=(4.6, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(curves.threshold, curves.iou, color=GREEN, lw=1.8)
    for (name, value), style in zip(thresholds.items(), ("-", "--", ":", "-."), strict=False):
        axes.axvline(value, color="black", lw=1.1, ls=style, label=f"{name} {value:.4g}")
    axes.set(xlabel="pixel threshold", ylabel="IoU", ylim=(0, max(0.05, 1.05 * float(curves.iou.max()))))
    axes.legend(fontsize=8, frameon=False)
    tidy(axes)
    return save_figure(figure, path)
