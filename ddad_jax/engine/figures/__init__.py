"""The pictures of a run, one function each, gathered from the ``figure_*`` modules beside this one.

Matplotlib's object-oriented API on the Agg canvas: no screen, no pyplot, no state shared between calls.
Every function writes one PNG and returns its path, or returns None and writes nothing where there is nothing
to show.
"""

from ddad_jax.engine.figures.curves import PARAMETERS, adaptation_curves, metric_curves, training_curves
from ddad_jax.engine.figures.frontier import frontier_figure, frontier_table
from ddad_jax.engine.figures.grid import Example, grid_figure, verdict
from ddad_jax.engine.figures.scores import iou_curve, precision_recall, roc_curve, score_histogram
from ddad_jax.engine.figures.side_by_side import side_by_side_figure
from ddad_jax.engine.figures.verdicts import verdict_figure

__all__ = [
    "PARAMETERS",
    "Example",
    "adaptation_curves",
    "frontier_figure",
    "frontier_table",
    "grid_figure",
    "iou_curve",
    "metric_curves",
    "precision_recall",
    "roc_curve",
    "score_histogram",
    "side_by_side_figure",
    "training_curves",
    "verdict",
    "verdict_figure",
]
