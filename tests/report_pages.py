"""Reports to look at: rows of made-up sweeps, and pictures with all that the browser shows of them."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from ddad_jax.engine.report.browser import Browser, BrowserPicture
from ddad_jax.engine.report.content import Report

HOSTILE = "</script></style><script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;\x00\x1b\u2028ü→"
LEARNT = "It learnt from 200 pictures of good parts (cans)."
BARE = Report("Demo", "cans", explanation=LEARNT, n_held_out=30, n_good=60, n_defective=120, image_size=64)
TIMES = (250, 140, 60)


def row(w: float, auroc: float | None, *, selected: bool = False, **more: Any) -> dict:
    return {"w": w, "eta": 1.0, "layers": ["layer2"], "image_auroc": auroc, "aupro_30": math.nan} | {
        "selected": selected,
        **more,
    }


ROWS = [row(0, 0.9), row(3, 0.95, selected=True), row(11, 0.97), row(20, math.nan), row(30, None)]
"""Row 1, counted from 0, is selected, row 2 the best by label; the last two have no image AUROC."""


def sweep(n: int = 120) -> list[dict[str, Any]]:
    """Rows with two settings, a word, a metric that rises with the row and is undefined in the last, and a selected
    one (row 3, counted from 0)."""
    rows: list[dict[str, Any]] = [
        {
            "w": float(i % 6), "steps": 1 + i % 4, "solver": ("ddim", "dpm2m")[i % 2], "eta": 1.0,
            "image_auroc": 0.5 + 0.4 * i / n, "pixel_auroc": 0.9 - 0.3 * i / n, "ms_per_image": 1.0 + i % 50,
            "selected": i == 3,
        }
        for i in range(n)
    ]  # fmt: skip
    rows[-1]["image_auroc"] = math.nan
    return rows


def seen(i: int, *, size: int = 16, steps: bool = True, mask: bool = True, name: str = "") -> BrowserPicture:
    """Picture i: defective where i is odd, its score 0.2 i, its reconstructions flat grey, lighter at each time."""
    rng, bad = np.random.default_rng(i), bool(i % 2)
    anomaly = np.zeros((size, size), np.float32)
    anomaly[4:8, 5:9] = 0.2 * i
    score = float(anomaly.max())
    outcome = ("found" if score > 0.5 else "missed") if bad else ("false alarm" if score > 0.5 else "passed")
    grey = [np.full((size, size, 3), 40 * (j + 1), np.uint8) for j in range(len(TIMES) + 1)]
    return BrowserPicture(
        name or f"test/{i}", "dent" if bad else "good", int(bad), score, outcome, int(score > 0.5), 0.06,
        rng.integers(0, 256, (size, size, 3), np.uint8), grey[-1],
        list(zip(TIMES, grey[:-1], strict=True)) if steps else [],
        anomaly + 0.1, anomaly + 0.2, anomaly, anomaly > 0 if mask else None,
    )  # fmt: skip


def browser(n: int = 6, **how: Any) -> Browser:
    return Browser([seen(i, **how) for i in range(n)], 10, 0.5, 0.45)


def full(**changes: Any) -> Report:
    return replace(BARE, rows=sweep(), browser=browser(), **changes)
