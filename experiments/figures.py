"""L6. The pictures of a run, one function each, gathered from the ``figure_*`` modules beside this one.

Matplotlib's object-oriented API on the Agg canvas: no screen, no pyplot, no state shared between calls.
Every function writes one PNG and returns its path, or returns None and writes nothing where there is nothing
to show.
"""

from experiments.figure_curves import PARAMETERS, adaptation_curves, metric_curves, training_curves
from experiments.figure_frontier import frontier_figure, frontier_table
from experiments.figure_grid import Example, grid_figure, verdict
from experiments.figure_scores import roc_curve, score_histogram
from experiments.figure_side_by_side import side_by_side_figure

__all__ = [
    "PARAMETERS",
    "Example",
    "adaptation_curves",
    "frontier_figure",
    "frontier_table",
    "grid_figure",
    "metric_curves",
    "roc_curve",
    "score_histogram",
    "side_by_side_figure",
    "training_curves",
    "verdict",
]
