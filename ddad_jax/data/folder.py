"""L1. The MVTec AD layout, which is also the layout to bring pictures of one's own in.

ROOT/CATEGORY/train/good/*            normal pictures, to learn from
ROOT/CATEGORY/test/good/*             normal pictures, to test on (may be missing)
ROOT/CATEGORY/test/DEFECT/*           one folder for each kind of defect (may be missing)
ROOT/CATEGORY/ground_truth/DEFECT/*   NAME_mask.* or NAME.* for test/DEFECT/NAME.* (may be missing)
"""

from pathlib import Path

from ddad_jax.data import DataSet
from ddad_jax.data.captured import recordings_of
from ddad_jax.data.load import GOOD, Picture, Pictures, listed, load, picture_files, require_folder, subfolders
from ddad_jax.data.names import require_inside
from ddad_jax.data.read import SUFFIXES, Size
from ddad_jax.errors import InputError


def mvtec_folder(
    root: str | Path, category: str, size: Size, *, require_masks: bool = False, orient: bool = True
) -> DataSet:
    """One category of a folder in the MVTec AD layout.

    A picture is normal if and only if its folder is named exactly "good". Pictures are sorted by folder and
    name; folders of ``train`` other than ``good`` are not read. A defect picture without a mask is kept, with
    ``has_mask`` False.
      Deviation: the published code takes every folder whose name ends with "good" for normal, reads
      only ``*.png``, keeps the order of the file system and fails on a missing mask.

    Args:
      root: the folder of categories.
      category: a folder in it; "" or "." when ``root`` itself holds ``train`` and ``test``.
      size: in pixels, what every picture is resized to; the side of a square or (height, width).
      require_masks: refuse defect pictures without a mask.
      orient: turn pictures upright as their EXIF tag says (see `ddad_jax.data.read.read_image`).

    Returns:
      The data set; its name is the category, names of pictures are relative to ``root``.

    Raises:
      InputError: the category leads out of ``root``, a folder is missing or holds no pictures, a picture or mask
        cannot be used, masks differ in size from their pictures or are missing although required.

    Source: Bergmann et al., MVTec AD, CVPR 2019 (layout).
    """
    found = mvtec_pictures(root, category, require_masks=require_masks)
    train, test = (load(pictures, size, orient=orient) for pictures in (found.train, found.test))
    return DataSet(found.name, train, test, found.recordings)


def mvtec_pictures(root: str | Path, category: str, *, require_masks: bool = False) -> Pictures:
    """The files that ``mvtec_folder`` reads, in its order; arguments and errors are its own."""
    root = Path(root)
    base = _find_category(root, category)
    train = [
        Picture(p, p.relative_to(root).as_posix())
        for p in _pictures_of(
            base / "train" / GOOD, f"Put normal pictures ({_suffixes()}) into it; training needs them."
        )
    ]
    test = _test_pictures(root, base)
    without = [p.name for p in test if p.defect != GOOD and p.mask is None]
    if require_masks and without:
        raise InputError(
            f"{len(without)} defect pictures have no mask under {base / 'ground_truth'}: "
            f"{listed(without, 5)}. Add NAME_mask.png or NAME.png for each, or do without pixel metrics "
            f"(require_masks=False)."
        )
    name = base.resolve().name if category in ("", ".") else category
    return Pictures(name, train, test, recordings_of(base, [picture.name for picture in train]) or ())


def _find_category(root: Path, category: str) -> Path:
    require_folder(root, "the data root", "Pass the folder that holds the category folders (--config.data.root=...).")
    found = [p.name for p in subfolders(root) if (p / "train").is_dir()]
    # Maps and overlays are put under a picture's path below the root.
    base = root / require_inside(category or ".", "--config.data.category", mend="Name a folder in data.root")
    if base.is_dir() and category:
        return base
    if (root / "train").is_dir():
        if not category:
            return root
        mend = f'{root} holds a "train" folder itself: pass root={root.parent} and category={root.name}.'
    else:
        mend = f"Categories found in {root}: {listed(found)}. Pass one of them (--config.data.category=...)."
    problem = f"{base} (the category {category!r}) is not a folder" if category else "no category was named"
    raise InputError(f"{problem}. {mend}")


def _pictures_of(folder: Path, mend: str) -> list[Path]:
    parent = folder.parent
    if parent.is_dir() and not folder.is_dir():
        there = listed([p.name for p in sorted(parent.iterdir())])
        mend = f"{parent} holds: {there}. The folder of normal pictures must be named exactly {GOOD!r}. {mend}"
    require_folder(folder, "normal training pictures", mend)
    pictures = picture_files(folder)
    if not pictures:
        there = listed([p.name for p in sorted(folder.iterdir())], 5)
        raise InputError(f"{folder} has no pictures in it (it holds {there}). {mend}")
    return pictures


def _test_pictures(root: Path, base: Path) -> list[Picture]:
    layout = f"Put pictures ({_suffixes()}) into test/{GOOD} or test/DEFECT, DEFECT being any name."
    folder = require_folder(base / "test", "test pictures", layout)
    pictures = []
    for kind in subfolders(folder):
        masks = {} if kind.name == GOOD else _masks_by_stem(base / "ground_truth" / kind.name)
        for path in picture_files(kind):
            name = path.relative_to(root).as_posix()
            pictures.append(Picture(path, name, kind.name, _mask_of(path, masks)))
    if not pictures:
        there = listed([p.name for p in sorted(folder.iterdir())])
        raise InputError(f"{folder} has no pictures in folders of its own (it holds {there}). {layout}")
    return pictures


def _masks_by_stem(folder: Path) -> dict[str, list[Path]]:
    masks: dict[str, list[Path]] = {}
    for path in picture_files(folder) if folder.is_dir() else []:
        masks.setdefault(path.stem, []).append(path)
    return masks


def _mask_of(picture: Path, masks: dict[str, list[Path]]) -> Path | None:
    """NAME_mask.* if there is one, else NAME.*, else None; two of the same form are refused."""
    for stem in (picture.stem + "_mask", picture.stem):
        found = masks.get(stem, [])
        if len(found) > 1:
            raise InputError(f"{picture} has more than one mask: {listed([str(p) for p in found])}. Keep one.")
        if found:
            return found[0]
    return None


def _suffixes() -> str:
    return " ".join(sorted(SUFFIXES))
