"""A capture whose files were changed, or that kept no frame, is not read."""

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from given_source import Given, asked, sharp

from ddad_jax.engine.captures.recording import COLUMNS, read_capture
from ddad_jax.engine.captures.writing import capture
from ddad_jax.errors import InputError

SIZES = {"size": [32], "negative": [0, -1], "truth": [True, 1], "huge": [10**12, 10**12]}


def damaged(out: Path, what: str) -> None:
    rows = list(csv.DictReader((out / "frames.csv").open(newline="")))
    manifest = json.loads((out / "manifest.json").read_text())
    if what == "manifest":
        (out / "manifest.json").write_text("{")
    elif what == "deep":
        (out / "manifest.json").write_text("[" * 200_000)
    elif what == "none":
        (out / "manifest.json").unlink()
    elif what == "format":
        (out / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    elif what in SIZES:
        (out / "manifest.json").write_text(json.dumps(manifest | {"size": SIZES[what]}))
    elif what == "key":
        (out / "manifest.json").write_text(json.dumps({k: v for k, v in manifest.items() if k != "state"}))
    elif what == "table":
        (out / "frames.csv").write_text((out / "frames.csv").read_text() + "\n")
    elif what == "missing":
        (out / rows[2]["file"]).unlink()
    elif what == "changed":
        (out / rows[2]["file"]).write_bytes((out / rows[3]["file"]).read_bytes())
    elif what in ("outside", "columns", "number"):
        rows[1] |= {"outside": {"file": "../../secret.png"}, "number": {"index": "two"}}.get(what, {})
        with (out / "frames.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS if what != "columns" else COLUMNS[:5], extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        digest = hashlib.sha256((out / "frames.csv").read_bytes()).hexdigest()
        (out / "manifest.json").write_text(json.dumps(manifest | {"sha256": digest}))


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("none", "no capture"), ("manifest", "cannot be read"), ("deep", "cannot be read"),
        ("format", "format 99, expected 1"), ("key", "'state'"),
        *((what, "'size'") for what in SIZES), ("table", "changed after the capture"), ("missing", "not there"),
        ("changed", "digest differs"), ("outside", "not a row"), ("columns", "columns"),
        ("number", "line 3: not a row"),
    ],
)  # fmt: skip
def test_a_capture_that_was_tampered_with_is_refused(tmp_path: Path, what: str, told: str) -> None:
    capture(asked(tmp_path / "a"), open=lambda *a, **k: Given([sharp(i) for i in range(4)]))
    damaged(tmp_path / "a", what)
    with pytest.raises(InputError, match=told):
        read_capture(tmp_path / "a", verify=True)


def test_a_capture_without_a_kept_frame_is_told_and_refused(tmp_path: Path) -> None:
    white = np.full((60, 90, 3), 255, np.uint8)
    manifest = capture(asked(tmp_path / "a", drop_flagged=True), open=lambda *a, **k: Given([white]))
    assert manifest["finished"] and manifest["frames"] == 0
    with pytest.raises(InputError, match="kept no frame"):
        read_capture(tmp_path / "a")
