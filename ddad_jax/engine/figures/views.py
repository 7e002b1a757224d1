"""The views of a machine beside each other: ROC, overlap of regions, precision and IoU, a line a view."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ddad_jax.data import ImageSet
from ddad_jax.engine.figures.parts import save_figure, tidy
from ddad_jax.image import centre_crop
from ddad_jax.metrics import label_regions
from ddad_jax.metrics.at_threshold import Curves, curves
from ddad_jax.metrics.curve import Curve, operating_points
from ddad_jax.metrics.region_overlap import pixel_curve

_STYLES = ("-", "--", "-.", ":")
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


class ViewCurves(NamedTuple):
    """image: operating points of the scores; pixel: of the maps, its coverage that of regions; rest: the others."""

    image: Curve
    pixel: Curve
    rest: Curves


def view_curves(maps: Any, scores: Any, test: ImageSet, *, crop: int = 0) -> ViewCurves:
    """Of maps [n, h, w] and scores [n] of a view's test pictures. crop: to whose side the maps were cropped, or 0."""
    masks: Any = test.masks
    regions = label_regions(np.asarray(centre_crop(masks, crop) if crop else masks), test.has_mask)
    positive = test.labels == 1
    image = operating_points(np.asarray(scores)[positive], np.asarray(scores)[~positive])
    return ViewCurves(image, pixel_curve(maps, regions), curves(maps, scores, test.labels, regions))


def views_figure(views: Mapping[str, ViewCurves], path: str | Path) -> Path:
    """Five panels: image ROC, pixel ROC, overlap of regions (PRO), precision over recall of pixels, and IoU over the
    threshold as a share of the view's largest. Source: line clearance thesis, section 5.6."""
    figure = Figure(figsize=(13.5, 3.1), layout="constrained")
    axes = figure.subplots(1, 5)
    for i, (name, view) in enumerate(views.items()):
        look = {"color": _COLOURS[i % len(_COLOURS)], "ls": _STYLES[i // len(_COLOURS) % len(_STYLES)], "lw": 1.5}
        for panel, curve, height in (
            (axes[0], view.image, view.image.tp / max(view.image.n_pos, 1)),
            (axes[1], view.pixel, view.pixel.tp / max(view.pixel.n_pos, 1)),
            (axes[2], view.pixel, view.pixel.coverage),
        ):
            rate = curve.fp / max(curve.n_neg, 1)
            panel.plot(np.r_[0.0, rate, 1.0], np.r_[0.0, height, 1.0], label=name, **look)
        axes[3].plot(view.rest.pixel_recall, view.rest.pixel_precision, **look)
        top = max(float(np.max(view.rest.threshold, initial=0.0)), 1e-12)
        axes[4].plot(view.rest.threshold / top, view.rest.iou, **look)
    titles = ("image ROC", "pixel ROC", "regions (PRO)", "pixel precision, recall", "IoU, threshold")
    labels = ("false alarms", "normal pixels above", "normal pixels above", "recall", "threshold / largest")
    for panel, title, label in zip(axes, titles, labels, strict=True):
        panel.set_title(title, fontsize=9)
        panel.set_xlabel(label)
        panel.set_ylim(-0.02, 1.02)
        tidy(panel)
    axes[2].set_xlim(0, 0.3)
    axes[0].legend(fontsize=8, frameon=False, loc="lower right")
    return save_figure(figure, path)
