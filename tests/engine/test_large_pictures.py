"""A machine's picture of 2048 x 3072 pixels, cut into tiles: a 24-pixel defect is found in less than 2.5 GiB, and
inspecting it takes less than 3."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ddad_jax.engine.sweep.selected import load_selected

ROOT = Path(__file__).parents[2]
SIDES = (2048, 3072)
DEFECT = 24
RUN_GIB, GIB = 2.5, 3


def machine(random: np.random.Generator) -> np.ndarray:
    """Panels, bolts and print, always at the same places; light and grain differ from picture to picture."""
    fixed = np.random.default_rng(7)
    picture = np.full((*SIDES, 3), 96, np.uint8)
    for _ in range(60):
        x, y = int(fixed.integers(0, SIDES[1])), int(fixed.integers(0, SIDES[0]))
        w, h = int(fixed.integers(120, 600)), int(fixed.integers(120, 600))
        colour = tuple(int(v) for v in fixed.integers(60, 200, 3))
        cv2.rectangle(picture, (x, y), (x + w, y + h), colour, -1)
        cv2.circle(picture, (x, y), int(fixed.integers(10, 40)), tuple(int(v) for v in fixed.integers(30, 220, 3)), -1)
    small = random.normal(size=(8, 12)).astype(np.float32)
    light = 1 + 0.03 * cv2.resize(small, SIDES[::-1], interpolation=cv2.INTER_CUBIC)
    grain = random.normal(scale=2.0, size=SIDES).astype(np.float32)
    lit = cv2.GaussianBlur(picture, (0, 0), 1.2).astype(np.float32) * light[..., None] + grain[..., None]
    return np.clip(lit, 0, 255).astype(np.uint8)


def places(n: int) -> list[tuple[int, int]]:
    random = np.random.default_rng(11)
    return [(int(random.integers(100, SIDES[0] - 100)), int(random.integers(100, SIDES[1] - 100))) for _ in range(n)]


def station(root: Path) -> None:
    """8 normal pictures to learn from, 2 good ones and 2 with one foreign spot to test on."""
    random = np.random.default_rng(0)
    spots = places(2)
    for folder, n in (("train/good", 8), ("test/good", 2), ("test/spot", 2)):
        (root / "machine" / folder).mkdir(parents=True)
        for i in range(n):
            picture = machine(random)
            if folder == "test/spot":
                mask = np.zeros(SIDES, np.uint8)
                y, x = spots[i]
                cv2.circle(mask, (x, y), DEFECT // 2, 255, -1)
                picture[mask > 0] = (250, 250, 60) if picture[y, x].mean() < 128 else (20, 20, 90)
                (root / "machine/ground_truth/spot").mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(root / f"machine/ground_truth/spot/{i:03d}_mask.png"), mask)
            cv2.imwrite(str(root / "machine" / folder / f"{i:03d}.png"), picture)


def peak_of(program: str, flags: list[str]) -> float:
    """GiB that a program takes at most, in a process of its own, which says so at its end."""
    said = "import atexit, resource as r; atexit.register(lambda: print(r.getrusage(r.RUSAGE_SELF).ru_maxrss / 2**20))"
    code = (
        f"{said}; import runpy, sys; sys.argv = {['x', *flags]!r}; runpy.run_module({program!r}, run_name='__main__')"
    )
    # With the setting there already it is not started a second time.
    env = {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, env=env, stdout=subprocess.PIPE, text=True
    )
    return float(done.stdout.split()[-1])


@pytest.mark.slow
def test_a_small_defect_of_a_large_picture_is_found_in_little_memory(tmp_path: Path) -> None:
    station(tmp_path / "data")
    flags = [
        "--config=experiments/configs/folder.py:ddad", f"--workdir={tmp_path / 'w'}",
        f"--config.data.root={tmp_path / 'data'}",
        "--config.data.category=machine", f"--config.data.picture={SIDES}", "--config.data.size=128",
        "--config.model.patch=4", "--config.data.overlap=32", "--config.data.train_tiles=2048",
        "--config.train.max_minutes=3.0", "--config.adapt.epochs=0", "--config.score.sigma=2.0",
        "--config.model.predict=x0",  # 48 noise values of a 4 x 4 patch do not pass through 32 channels
        "--config.score.standardise=True",  # the machine stands still: every pixel by its own spread
    ]  # fmt: skip
    assert peak_of("experiments.evaluate", flags) < RUN_GIB
    maps = load_selected(tmp_path / "w")["maps"]
    with (tmp_path / "w/scores.csv").open(newline="") as file:
        verdicts = {row["name"]: row["verdict"] for row in csv.DictReader(file)}
    found = [np.unravel_index(one.argmax(), SIDES) for one in maps[2:]]
    far = [float(np.hypot(y - at[0], x - at[1])) for (y, x), at in zip(places(2), found, strict=True)]
    assert max(far) <= DEFECT
    assert all(verdict == "anomalous" for name, verdict in verdicts.items() if "/spot/" in name)
    asked = [f"--model={tmp_path / 'w'}", f"--source={tmp_path / 'data/machine/test/spot'}", "--batch=4",
             f"--out={tmp_path / 'record.jsonl'}"]  # fmt: skip
    peak = peak_of("experiments.inspect", asked)
    rows = [json.loads(line) for line in (tmp_path / "record.jsonl").read_text().splitlines()]
    lines = [row for row in rows if "verdict" in row]
    assert [row["verdict"] for row in lines] == ["anomaly", "anomaly"]
    for row, (y, x) in zip(lines, places(2), strict=True):
        left, top, width, height = row["regions"][0]["box"]
        assert left <= x <= left + width and top <= y <= top + height
    assert peak < GIB
