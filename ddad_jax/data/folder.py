"""L1. The MVTec AD layout, which is also the layout to bring pictures of one's own in.

ROOT/CATEGORY/train/good/*            normal pictures, to learn from
ROOT/CATEGORY/test/good/*             normal pictures, to test on (may be missing)
ROOT/CATEGORY/test/DEFECT/*           one folder for each kind of defect (may be missing)
ROOT/CATEGORY/ground_truth/DEFECT/*   the mask of test/DEFECT/NAME.* (may be missing): NAME_mask.*, NAME.*, or as
                                      `ddad_jax.data.mask_files` says

``good`` may have another usual name (`ddad_jax.data.names`: ok, normal, in any case), which is said. So is everything
in these folders that is not read.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from ddad_jax.data import DataSet
from ddad_jax.data.captured import recordings_of
from ddad_jax.data.file_names import require_utf8
from ddad_jax.data.folder_notes import PictureFolder, folder_notes
from ddad_jax.data.listing import entries, is_folder, listed, part_of, picture_files, require_folder, subfolders
from ddad_jax.data.load import GOOD, Picture, Pictures, data_set
from ddad_jax.data.mask_files import FOLDERS, FORMS, Candidate, are_masks, candidates, matched, parted, readings
from ddad_jax.data.names import NORMAL_NAMES, folded, is_normal_name, require_inside
from ddad_jax.data.read import SUFFIXES, Size
from ddad_jax.errors import InputError


def mvtec_folder(
    root: str | Path, category: str, size: Size, *, require_masks: bool = False, orient: bool = True
) -> DataSet:
    """One category of a folder in the MVTec AD layout.

    A picture is normal if and only if its folder is named "good" or as another of `NORMAL_NAMES`. Pictures are sorted
    by folder and name; other folders of ``train`` are not read, nor are folders within the folders of pictures. A
    defect picture without a mask is kept, with ``has_mask`` False; masks that lie among the pictures are not judged.
      Deviation: the published code takes every folder whose name ends with "good" for normal, reads
      only ``*.png``, keeps the order of the file system and fails on a missing mask.

    Args:
      root: the folder of categories.
      category: a folder in it; "" or "." when ``root`` itself holds ``train`` and ``test``.
      size: in pixels, what every picture is resized to; the side of a square or (height, width).
      require_masks: refuse defect pictures without a mask.
      orient: turn pictures upright as their EXIF tag says (see `ddad_jax.data.read.read_image`).

    Returns:
      The data set; its name is the category, names of pictures are relative to ``root``, and its notes say what lies
      there unused, by reason, and which masks are not plainly black and white.

    Raises:
      InputError: the category leads out of ``root``, a folder is missing or holds no pictures, a picture or mask
        cannot be used, masks differ in size from their pictures, are missing although required, or could be of several
        pictures; a normal picture's mask marks a defect.

    Source: Bergmann et al., MVTec AD, CVPR 2019 (layout).
    """
    return data_set(mvtec_pictures(root, category, require_masks=require_masks), size, orient=orient)


def mvtec_pictures(root: str | Path, category: str, *, require_masks: bool = False) -> Pictures:
    """The files that ``mvtec_folder`` reads, in its order; arguments and errors are its own."""
    root = Path(root)
    base = _find_category(root, category)
    truth = _ground_truth(base)
    learnt, tested = _train_kinds(base), _test_kinds(base, truth)
    masks = _masks(tested, truth)
    train = [Picture(path, path.relative_to(root).as_posix()) for kind in learnt for path in kind.pictures]
    test = [
        Picture(path, path.relative_to(root).as_posix(), kind.defect, masks.get(path, ()))
        for kind in tested
        for path in kind.pictures
    ]
    without = [p.name for p in test if p.defect != GOOD and not p.masks]
    if require_masks and without:
        raise InputError(
            f"{len(without)} defect pictures have no mask under {base / 'ground_truth'}: "
            f"{listed(without, 5)}. Add NAME_mask.png or NAME.png for each, or do without pixel metrics "
            f"(require_masks=False)."
        )
    name = base.resolve().name if Path(category) == Path() else Path(category).as_posix()
    recordings = recordings_of(base, [picture.name for picture in train]) or ()
    kinds = (*learnt, *tested)
    used = {path for kind in kinds for path in kind.pictures} | {path for files in masks.values() for path in files}
    notes = folder_notes(base, truth, kinds, used)
    return Pictures(name, train, test, recordings, notes)


def _find_category(root: Path, category: str) -> Path:
    require_folder(root, "the data root", "Pass the folder that holds the category folders (--config.data.root=...).")
    # Maps and overlays are put under a picture's path below the root.
    base = root / require_inside(category or ".", "--config.data.category", mend="Name a folder in data.root")
    if category and is_folder(base):
        return require_utf8(base)
    if is_folder(part_of(root, "train")):
        if not category:
            return root
        mend = f'{root} holds a "train" folder itself: pass root={root.parent} and category={root.name}.'
    else:
        categories = [p.name for p in subfolders(root) if os.access(p, os.X_OK) and is_folder(part_of(p, "train"))]
        mend = f"Categories found in {root}: {listed(categories)}. Pass one of them (--config.data.category=...)."
    problem = f"{base} (the category {category!r}) is not a folder" if category else "no category was named"
    raise InputError(f"{problem}. {mend}")


def _kind(folder: Path) -> PictureFolder:
    pictures, beside = parted(picture_files(require_utf8(folder)))
    return PictureFolder(folder, GOOD if is_normal_name(folder.name) else folder.name, pictures, beside)


def _train_kinds(base: Path) -> list[PictureFolder]:
    """The folders of normal training pictures: ``good``, and what else is named as normal."""
    folder, mend = part_of(base, "train") / GOOD, f"Put normal pictures ({_suffixes()}) into it; training needs them."
    there = subfolders(folder.parent) if is_folder(folder.parent) else []
    normal = [path for path in there if is_normal_name(path.name)]
    if not normal:
        if is_folder(folder.parent):
            holds = listed([p.name for p in entries(folder.parent)])
            named = f"The folder of normal pictures must be named {GOOD!r}, or {listed(NORMAL_NAMES[1:], 3)}"
            mend = f"{folder.parent} holds: {holds}. {named}. {mend}"
        require_folder(folder, "normal training pictures", mend)
    kinds = [_kind(path) for path in normal]
    if not any(kind.pictures for kind in kinds):
        holds = listed([p.name for p in entries(normal[0])], 5)
        raise InputError(f"{normal[0]} has no pictures in it (it holds {holds}). {mend}")
    return kinds


def _test_kinds(base: Path, truth: Path | None) -> list[PictureFolder]:
    layout = f"Put pictures ({_suffixes()}) into test/{GOOD} or test/DEFECT, DEFECT being any name."
    folder = require_folder(part_of(base, "test"), "test pictures", layout)
    kinds = [_kind(path) for path in subfolders(folder) if not _holds_masks(path, truth)]
    if not any(kind.pictures for kind in kinds):
        there = listed([p.name for p in entries(folder)])
        raise InputError(f"{folder} has no pictures in folders of its own (it holds {there}). {layout}")
    return kinds


def _holds_masks(folder: Path, truth: Path | None) -> bool:
    """Whether a folder of ``test`` is no kind of defect but its masks: test/ground_truth, test/bent_mask beside
    test/bent. It holds what looks like masks, and there are none for it."""
    if truth is not None and is_folder(truth / folder.name):
        return False
    of = [called.base for called in readings(folder.name) if called.word]
    named = folded(folder.name) in FOLDERS or any(is_folder(folder.parent / name) for name in of)
    return named and (are_masks(folder) or any(are_masks(part) for part in subfolders(folder)))


def _ground_truth(base: Path) -> Path | None:
    """The folder of masks, ``ground_truth`` or another name of `FOLDERS`."""
    if is_folder(base / FOLDERS[0]):
        return base / FOLDERS[0]
    named = [path for path in subfolders(base) if folded(path.name) in FOLDERS]
    if len(named) > 1:
        names = listed([str(path) for path in named])
        raise InputError(f"{base} has several folders of masks: {names}. Name the one to be read {FOLDERS[0]}.")
    return named[0] if named else None


def _masks(kinds: Sequence[PictureFolder], truth: Path | None) -> dict[Path, tuple[Path, ...]]:
    """The masks of each test picture that has any: of ground_truth/KIND, else of ground_truth itself, else of those
    that lie among the pictures."""
    folders = subfolders(truth) if truth else []
    masks: dict[Path, tuple[Path, ...]] = {}
    for kind in kinds:
        if folder := _of_kind(kind.folder.name, folders):
            masks |= matched(kind.pictures, candidates(folder))
    defective = [kind for kind in kinds if kind.defect != GOOD]
    if truth:
        bare = [path for kind in defective for path in kind.pictures if path not in masks]
        masks |= matched(bare, [one for one in candidates(truth) if not one.is_folder])
    for kind in defective:  # what lies beside normal pictures may be their outlines as well
        bare = [path for path in kind.pictures if path not in masks]
        masks |= matched(bare, [Candidate(path, path.stem, (path,)) for path in kind.beside])
    of: dict[Path, Path] = {}
    for picture, files in masks.items():
        if (other := of.setdefault(files[0], picture)) != picture:  # of two kinds, whose names differ by case alone
            raise InputError(f"{files[0]} may be the mask of {other} or of {picture}. Give one kind another name.")
    return masks


def _of_kind(name: str, folders: Sequence[Path]) -> Path | None:
    """The folder of that name; where none is written alike, the one that differs in case or Unicode form only, or has
    a word for a mask besides."""
    for form in FORMS:
        alike = [folder for folder in folders if form(folder.name) == form(name)]
        alike = alike or [
            folder for folder in folders if form(name) in [form(one.base) for one in readings(folder.name) if one.word]
        ]
        if len(alike) > 1:
            raise InputError(f"{alike[0]} and {alike[1]} may both hold the masks of {name!r}. Keep one.")
        if alike:
            return alike[0]
    return None


def _suffixes() -> str:
    return " ".join(sorted(SUFFIXES))
