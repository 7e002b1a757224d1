"""Captures and labels written by hand, and what the folders of a data set made of them hold."""

import csv
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from trees import save

from ddad_jax.engine.captures.frame_choice import Wanted
from ddad_jax.engine.captures.recording import COLUMNS, COUNTS

SIZE = (20, 28)
SMALL = Wanted(train=12, per_defect=6, test_good=4)
RECT = {"name": "rect", "x": 4, "y": 5, "width": 6, "height": 3}


def capture(
    root: Path, recording: str, state: str = "normal", n: int = 10, *, visible: Callable[[int], bool] | None = None,
    flagged: tuple[int, ...] = (), finished: bool = True, source: str = "", pictures: str = "", kind: str = "video",
    product: str = "melon", folder: str = "", packed: int = 6, flag: str = "blurred",
) -> Path:  # fmt: skip
    """A capture written by hand: ``visible`` gives the frames whose known mask is not empty; None: nothing is known."""
    out = root / "captures" / (folder or recording)
    rows = []
    for i in range(n):
        rng = np.random.default_rng([int.from_bytes((pictures or recording).encode(), "big"), i])
        file = out / f"frames/{i:06d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*SIZE, 3), np.uint8)).save(file, compress_level=packed)
        mask = np.zeros(SIZE, np.uint8)
        mask[5:8, 4:10] = 255
        masked = visible is not None and visible(i)
        if masked:
            save(mask, out / f"masks/{i:06d}.png")
        row = dict.fromkeys(COLUMNS, "") | {
            "file": f"frames/{i:06d}.png", "index": i, "seconds": float(i), "dropped": 0,
            "flags": flag if i in flagged else "", "mask": f"masks/{i:06d}.png" if masked else "",
            "mask_pixels": 18 if masked else 0, "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }  # fmt: skip
        rows.append(row)
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    (out / "frames.csv").write_text(table.getvalue())
    manifest = {
        "format": 1, "recording": recording, "product": product, "state": state, "angle": "", "kind": kind,
        "source": source or f"{recording}.mp4", "started": "2025-06-06T10:00:00+00:00", "settings": {}, "fps": 1.0,
        "size": list(SIZE), "frames": n, "counts": dict.fromkeys(COUNTS, 0), "has_masks": visible is not None,
        "finished": finished, "ended": "end" if finished else "interrupted",
        "sha256": hashlib.sha256(table.getvalue().encode()).hexdigest(),
    }  # fmt: skip
    (out / "manifest.json").write_text(json.dumps(manifest))
    return out


def station(root: Path) -> list[Path]:
    """Three normal recordings, a hard one, two dented ones and a painted one."""
    for name in ("n1", "n2", "n3"):
        capture(root, name, flagged=(3,))
    capture(root, "h1", "hard")
    capture(root, "d1", "dent", visible=lambda i: i < 6)
    capture(root, "d2", "dent", visible=lambda i: i % 2 == 0)
    capture(root, "p1", "paint", visible=lambda i: True)
    return sorted((root / "captures").iterdir())


def via(path: Path, regions: dict[str, list[dict[str, Any]]], **attributes: Any) -> Path:
    pictures = {
        name: {
            "filename": name,
            "size": 1,
            "regions": [{"shape_attributes": shape, "region_attributes": attributes} for shape in shapes],
        }
        for name, shapes in regions.items()
    }
    path.write_text(json.dumps(pictures))
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def recordings(folder: Path) -> set[str]:
    return {name.rpartition("_")[0] for name in names(folder)}
