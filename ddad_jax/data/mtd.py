"""L1. Magnetic Tile Defects as published: six folders of ``Imgs/NAME.jpg`` with masks ``Imgs/NAME.png``."""

from pathlib import Path

import numpy as np

from ddad_jax.data import DataSet
from ddad_jax.data.listing import entries, listed, picture_files, require_folder, walked
from ddad_jax.data.load import Picture, Pictures, data_set
from ddad_jax.data.read import JPEG_SUFFIXES, Size
from ddad_jax.data.unused import DEEPER, Reason, pictures_elsewhere, unused_notes
from ddad_jax.errors import InputError

FREE = "MT_Free"
NO_JPEG: Reason = ("neither a .jpg nor its .png mask", "The published pictures are NAME.jpg, their masks NAME.png.")
ELSEWHERE: Reason = ("pictures beside the published folders", f"Move them into Imgs of {FREE} or of their defect.")
DEFECTS = ("MT_Blowhole", "MT_Break", "MT_Crack", "MT_Fray", "MT_Uneven")


def mtd(root: str | Path, size: Size, *, seed: int = 0, train_fraction: float = 0.8) -> DataSet:
    """MTD under the DDAD paper's rule: learn from 80 % of the defect-free pictures, test on everything else.

    No list of the 80 % was published, so it is drawn here: a permutation of the sorted names by ``seed``, its
    first ``round(train_fraction * n)`` entries to learn from. With the published 952 that is 762 and 190.

    The draw is by picture, as the paper words it. The names number frames of one recording, and neighbouring
    numbers show the same tile under other exposures (``exp1`` to ``exp6``), so most tiles of the test's good
    pictures were also seen in training. Results under this rule are comparable with the paper's, and
    kinder than a split by tile would be.

    A few ``MT_Uneven`` masks are published empty; they are kept as published.

    Args:
      root: the folder that holds ``MT_Free``, ``MT_Blowhole``, ``MT_Break``, ``MT_Crack``, ``MT_Fray`` and
        ``MT_Uneven``.
      size: in pixels, what every picture is resized to (they are grey, about 100 to 600 a side); the side of a square
        or (height, width).
      seed: of the draw.
      train_fraction: in (0, 1); at least one defect-free picture stays on either side.

    Returns:
      The data set "mtd"; kinds are "good", "blowhole", "break", "crack", "fray", "uneven".

    Raises:
      InputError: a folder is missing or without pictures, a defect picture has no mask, a file is unreadable,
        the fraction is out of range.

    Source: Huang, Qiu and Yuan, The Visual Computer 2020 (data); DDAD, section 5.1 (rule).
    """
    return data_set(mtd_pictures(root, seed=seed, train_fraction=train_fraction), size, orient=False)


def mtd_pictures(root: str | Path, *, seed: int = 0, train_fraction: float = 0.8) -> Pictures:
    """The files that ``mtd`` reads, in its order; arguments and errors are its own."""
    if not 0 < train_fraction < 1:
        raise InputError(f"train_fraction {train_fraction}: expected a number between 0 and 1; the paper's is 0.8.")
    root = Path(root)
    require_folder(root, "the root of MTD", f"Pass the folder that holds {FREE} (--config.data.root=...).")
    good = [Picture(p, p.relative_to(root).as_posix()) for p in _pictures_of(root, FREE)]
    if len(good) < 2:
        raise InputError(f"{root / FREE} holds 1 picture; at least 2 are needed, to learn from and to test on.")
    n_train = min(max(round(train_fraction * len(good)), 1), len(good) - 1)
    drawn = np.random.default_rng(seed).permutation(len(good))
    train = [good[i] for i in sorted(drawn[:n_train])]
    test = [good[i] for i in sorted(drawn[n_train:])]
    for folder in DEFECTS:
        test += [_defective(root, path) for path in _pictures_of(root, folder)]
    return Pictures("mtd", train, test, notes=tuple(_unused(root, [*train, *test])))


def _pictures_of(root: Path, folder: str) -> list[Path]:
    there = listed([p.name for p in entries(root)])
    mend = f"{root} holds {there}; expected {FREE}, {', '.join(DEFECTS)}, each with a folder Imgs."
    imgs = require_folder(root / folder / "Imgs", f"pictures of {folder}", mend)
    pictures = [p for p in picture_files(imgs) if p.suffix.lower() in JPEG_SUFFIXES]  # .png are the masks
    if not pictures:
        raise InputError(f"{imgs} holds no .jpg pictures. Unpack the published archive again.")
    return pictures


def _defective(root: Path, path: Path) -> Picture:
    mask = path.with_suffix(".png")
    if not mask.is_file():
        raise InputError(f"{path} has no mask {mask.name} beside it. Unpack the published archive again.")
    kind = path.parent.parent.name.removeprefix("MT_").lower()
    return Picture(path, path.relative_to(root).as_posix(), kind, (mask,))


def _unused(root: Path, pictures: list[Picture]) -> list[str]:
    """Of normal pictures the masks, which are black, count as used."""
    files = [root / p.name for p in pictures]
    used = {*files, *(file.with_suffix(".png") for file in files)}
    folders = [root / folder for folder in (FREE, *DEFECTS)]

    def reason(path: Path) -> Reason:
        return NO_JPEG if path.parent.name == "Imgs" and path.parent.parent in folders else DEEPER

    notes = unused_notes(root, (path for folder in folders for path in walked(folder)), used, reason)
    return notes + unused_notes(root, pictures_elsewhere(root, folders), (), lambda path: ELSEWHERE)
