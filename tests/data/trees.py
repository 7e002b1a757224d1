"""Small data sets written under a test's own folder; every picture is made from its number."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def pixels(number: int, height: int = 20, width: int = 28) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)


def save(array: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def square_mask(height: int = 20, width: int = 28, value: int = 255) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[5:15, 7:21] = value
    return mask


def mvtec(root: Path, category: str = "bolt", n_train: int = 5) -> Path:
    """train/good, test/good (2), test/bent (2, masks NAME_mask.png), test/rust (1, mask NAME.png)."""
    base = root / category
    for i in range(n_train):
        save(pixels(i), base / f"train/good/{i:03d}.png")
    for i in range(2):
        save(pixels(100 + i), base / f"test/good/{i:03d}.png")
        save(pixels(200 + i), base / f"test/bent/{i:03d}.png")
        save(square_mask(), base / f"ground_truth/bent/{i:03d}_mask.png")
    save(pixels(300), base / "test/rust/000.png")
    save(square_mask(), base / "ground_truth/rust/000.png")
    return base


def visa(root: Path) -> Path:
    rows = []
    for name in ("candle", "pcb1"):
        for i in range(4):
            file = f"{name}/Data/Images/Normal/{i:04d}.JPG"
            save(pixels(i), root / file)
            rows.append([name, "train" if i < 3 else "test", "normal", file, ""])
        for i in range(2):
            file, mask = f"{name}/Data/Images/Anomaly/{i:03d}.JPG", f"{name}/Data/Masks/Anomaly/{i:03d}.png"
            save(pixels(50 + i), root / file)
            labels = square_mask(value=1)
            labels[8:12, 10:14] = 5  # two kinds of defect in one picture, as class numbers
            save(labels, root / mask)
            rows.append([name, "test", "anomaly", file, mask])
    write_table(root, rows[::-1])  # the published table is not sorted either
    return root


def write_table(root: Path, rows: list[list[str]], columns: str = "object,split,label,image,mask") -> Path:
    table = root / "split_csv" / "1cls.csv"
    table.parent.mkdir(parents=True, exist_ok=True)
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns.split(","))
        writer.writerows(rows)
    return table


def mtd(root: Path, n_free: int = 10) -> Path:
    """MT_Free: two exposures of each tile; of each defect one picture."""
    for i in range(n_free):
        height, width = 19 + i % 3, 31 - i % 4
        name = f"exp{1 + i % 2}_num_{100 * (i // 2) + 20 * (i % 2):04d}"
        save(pixels(i, height, width)[..., 0], root / f"MT_Free/Imgs/{name}.jpg")
        save(np.zeros((height, width), np.uint8), root / f"MT_Free/Imgs/{name}.png")
    for k, kind in enumerate(("Blowhole", "Break", "Crack", "Fray", "Uneven")):
        save(pixels(60 + k)[..., 0], root / f"MT_{kind}/Imgs/exp2_num_{k}.jpg")
        save(square_mask(), root / f"MT_{kind}/Imgs/exp2_num_{k}.png")
    return root
