"""What figures share: colours that colour-blind readers tell apart, names, tidy axes, a bounded file."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from ddad_jax.engine.store.tables import write_bytes

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"
"""Of the palette of Okabe and Ito; blue is good, orange is defective wherever the two meet."""
MAX_BYTES = 600_000
NAMES = {
    "t_prime": "T'",
    "eta": "η",
    "sigma": "σ",
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "image_f1_max": "image F1 (best)",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "aupro_30": "AUPRO@0.3",
    "aupro_05": "AUPRO@0.05",
    "ms_per_image": "ms/image",
    "unet_calls": "U-Net calls",
    "whole_calls": "of them whole",
    "t_prime_mean": "mean T'",
    "blend_at_end": "blend of the last step",
    "blend_in_total": "blend of all steps",
    "teacher_rmse": "distance to the fine teacher",
    "teacher_floor": "of that teacher to half its steps",
}
"""What people read instead of the keys of a result row."""


def ending(text: str, length: int) -> str:
    """The last ``length`` characters of a name, behind an ellipsis: paths differ at their end."""
    return text if len(text) <= length else "…" + text[1 - length :]


def tidy(axes: Axes) -> None:
    """Less ink: no frame, a faint grid behind the data, small labels."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, which="both")
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)


def save_figure(
    figure: Figure,
    path: str | Path,
    *,
    tries: Sequence[tuple[int, int]] = ((120, 8), (90, 8), (60, 6)),
    max_bytes: int = MAX_BYTES,
) -> Path:
    """Write a figure as PNG, replaced as a whole, at the first resolution that keeps it small.

    The same figure gives the same bytes: no date, no program's version.

    Args:
        figure: what to draw.
        path: file to write.
        tries: (dots an inch, bits a colour channel), best first; the last is taken whatever its size. Camera
            noise does not compress: dropping its two lowest bits, which nobody sees, halves such a file.
        max_bytes: what counts as small.

    Raises InputError where the file cannot be written.
    """
    path, canvas = Path(path), FigureCanvasAgg(figure)
    out, drawn = io.BytesIO(), (0, 0)
    for dpi, bits in tries:
        # A file grows about as pixels times bits: what cannot fit is not drawn.
        hopeless = out.tell() * (dpi / drawn[0]) ** 2 * bits / drawn[1] > 1.3 * max_bytes if out.tell() else False
        if hopeless and (dpi, bits) != tries[-1]:
            continue
        if dpi != drawn[0]:
            figure.set_dpi(dpi)
            canvas.draw()
        drawn = dpi, bits
        levels = 2**bits - 1
        table = np.rint(np.rint(np.arange(256) / 255 * levels) / levels * 255).astype(np.uint8)
        out = io.BytesIO()
        Image.fromarray(table[np.asarray(canvas.buffer_rgba())[..., :3]]).save(out, "png")
        if out.tell() <= max_bytes:
            break
    write_bytes(path, out.getvalue())
    return path
