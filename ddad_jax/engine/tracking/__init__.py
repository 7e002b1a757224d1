"""Where a run tells its course: TensorBoard files always, Weights & Biases and MLflow on request."""

from ddad_jax.engine.tracking.courses import course_of, end, row_of_search, row_of_sweep
from ddad_jax.engine.tracking.given import Value
from ddad_jax.engine.tracking.opening import writer_of
from ddad_jax.engine.tracking.writer import TRACKERS, Write, Writer, require_trackers, silent

__all__ = [
    "TRACKERS",
    "Value",
    "Write",
    "Writer",
    "course_of",
    "end",
    "require_trackers",
    "row_of_search",
    "row_of_sweep",
    "silent",
    "writer_of",
]
