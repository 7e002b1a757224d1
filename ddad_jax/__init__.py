"""L6. A finished run in use: ``ddad_jax.load``. Importing the package imports nothing else of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ddad_jax.engine.detector.frames import FrameDetector

__all__ = ["load"]


def load(workdir: str | os.PathLike[str], *, batch: int = 4) -> FrameDetector:
    """The detector of a finished run: frames in, verdicts and maps out, those that the run's evaluation gave its
    test pictures.

    It is called with a list of frames, uint8 [H, W, 3] each, RGB, of any sizes, and gives a
    `ddad_jax.engine.detector.frames.Judged` a frame, in order: the verdict ``anomalous``, with ``score`` and
    ``threshold`` in one unit, that of the run's scores; ``map``, float32 [h, w], to be stretched over the frame, in
    the unit of ``pixel_threshold``; and ``regions(min_area=0)``, each `ddad_jax.vision.regions.Region` above that, in
    pixels of the frame.

    The first call compiles the program, as ``warm()`` does beforehand.

    Args:
      workdir: of ``experiments.sweep`` or ``experiments.evaluate``, read and not written; the data set of the run is
        not needed, a file of weights that it names (--config.backbone.weights) is.
      batch: pictures, or tiles of them, in one call of the compiled program, at least 1. A shorter list is filled up,
        a longer one cut; no verdict depends on it.

    Raises:
      InputError: the extra ``engine`` is not installed; the folder holds no finished run or one that does not fit
        together; a batch that is no whole number above 0. Calling the detector: a frame that is no such array.
    """
    try:
        from ddad_jax.engine.detector.frames import detector_of
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == __name__:
            raise
        from ddad_jax.errors import InputError

        raise InputError(
            f"ddad_jax.load: the package {error.name} is not installed; pip install 'ddad-jax[engine]'"
        ) from error
    return detector_of(workdir, batch=batch)
