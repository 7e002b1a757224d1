"""L1. The one rule that turns a ground-truth mask into defect and normal pixels (host NumPy).

A pixel is defective where the mask, after resizing to the size of the anomaly map, is above one half of
full scale: where more than half of what the pixel covers was drawn as defect. Neither grows nor shrinks
the defect on average.

The published code has two rules instead. Its pixel AUROC takes everything above 0 for defect (a mask one
pixel wider all round after bilinear resizing), its PRO only what is exactly at full scale (one pixel
narrower, the grey rim counting as false alarm). Its two numbers describe different defects. Those rules
live in ``metrics.reference``; everything else uses this one.
"""

from typing import Any

import numpy as np

from ddad_jax.errors import InputError


def binarise(mask: Any, full_scale: float | None = None) -> np.ndarray:
    """True where the mask is above half of full scale.

    defect = mask > full_scale / 2

    Args:
        mask: any shape, values in [0, full_scale]; bool is returned as it is.
        full_scale: the value that means "defect"; None: 1 for floats, the type's largest value for integers
            (255 for uint8). Masks that store 0 and 1 (or class numbers) as integers must say so, or be
            compared with 0 before they are resized.

    Raises InputError for values that are NaN or outside [0, full_scale].

    Deviation: the published code uses mask > 0 for pixel AUROC and mask = 1 for PRO (see above).

    >>> binarise(np.array([0.0, 0.4, 0.5, 1.0])).tolist()
    [False, False, False, True]
    """
    mask = np.asarray(mask)
    if mask.dtype == bool:
        return mask
    if full_scale is None:
        full_scale = float(np.iinfo(mask.dtype).max) if mask.dtype.kind in "iu" else 1.0
    if mask.size and not (mask.min() >= 0 and mask.max() <= full_scale):
        raise InputError(
            f"mask: expected values in [0, {full_scale:g}], got [{mask.min()}, {mask.max()}]; "
            "give full_scale if the mask has another range"
        )
    return mask > full_scale / 2
