"""L1. How good is an anomaly map? Host NumPy, arrays in, numbers out, no model code.

``evaluate_maps`` gives the figures a run reports; the parts are there for closer looks.
``metrics.reference`` holds the published code's own definitions, under their own names.
"""

from ddad_jax.metrics.confusion import Confusion, confusion
from ddad_jax.metrics.evaluation import IMAGE_METRICS, METRICS, PIXEL_METRICS, evaluate_maps, undefined_metrics
from ddad_jax.metrics.intervals import auroc_interval
from ddad_jax.metrics.masks import binarise
from ddad_jax.metrics.ranking import Ranking, auroc, average_precision, max_f1, ranking
from ddad_jax.metrics.reference import (
    ReferencePRO,
    reference_pixel_auroc,
    reference_pro,
    youden_threshold,
)
from ddad_jax.metrics.region_overlap import AUPRO, LIMITS, Regions, aupro, iou, label_regions
from ddad_jax.metrics.timing import MetricTimes, time_aupro

__all__ = [
    "AUPRO",
    "IMAGE_METRICS",
    "LIMITS",
    "METRICS",
    "PIXEL_METRICS",
    "Confusion",
    "MetricTimes",
    "Ranking",
    "ReferencePRO",
    "Regions",
    "aupro",
    "auroc",
    "auroc_interval",
    "average_precision",
    "binarise",
    "confusion",
    "evaluate_maps",
    "iou",
    "label_regions",
    "max_f1",
    "ranking",
    "reference_pixel_auroc",
    "reference_pro",
    "time_aupro",
    "undefined_metrics",
    "youden_threshold",
]
