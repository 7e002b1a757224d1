"""L1. Which files are the masks of which pictures: the names that data sets and annotators give them.

For a picture NAME.EXT, the first of these that is there:

1. NAME_mask.* (MVTec AD);
2. NAME.* (BTAD, VisA, and tools that write a mask under the picture's own name);
3. one of: NAME and a word for a mask in any order and case, parted by "_", "-", "." or a blank (NAME_gt.*,
   NAME-Label.*, mask_NAME.*); a folder NAME or NAME_mask whose masks belong together (MVTec LOCO: NAME/000.png,
   NAME/001.png).

Each of them may also carry the picture's ending, NAME.EXT_mask.* or NAME.EXT.*, which tells NAME.png from NAME.bmp.
Names are compared as they are, then in Unicode's composed form (a Mac writes ü as u and dots), then without case.
What could be meant in two ways is refused.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ddad_jax.data.listing import listed, picture_files, subfolders
from ddad_jax.data.mask_or_photo import looks_like_mask
from ddad_jax.data.names import folded
from ddad_jax.errors import InputError

WORDS = (
    *("mask", "masks", "gt", "groundtruth", "ground_truth", "ground-truth", "ground truth"),
    *("label", "labels", "lbl", "seg", "segmentation", "annotation", "annotations", "anno", "annot", "binary", "bw"),
)
"""For a mask, in names."""
FOLDERS = ("ground_truth", "ground-truth", "groundtruth", "gt", "masks", "mask")
"""What the folder of masks beside ``train`` and ``test`` may be called, in any case."""

_ALTERNATIVES = "|".join(sorted(map(re.escape, WORDS), key=len, reverse=True))
_BEHIND = re.compile(rf"(.+?)((?:[_\-. ](?:{_ALTERNATIVES}))+)", re.IGNORECASE | re.DOTALL)
_BEFORE = re.compile(rf"((?:(?:{_ALTERNATIVES})[_\-. ])+)(.+)", re.IGNORECASE | re.DOTALL)


class Called(NamedTuple):
    """One reading of a mask's name: ``base``, and whether a ``word`` for a mask was taken off. rank: as of the module's
    docstring, 0 to 2."""

    base: str
    word: bool
    rank: int


class Candidate(NamedTuple):
    """A mask file, or a folder whose mask files belong to one picture."""

    path: Path
    name: str
    """Without ending."""
    files: tuple[Path, ...]
    is_folder: bool = False


def composed(name: str) -> str:
    """Unicode's composed form (NFC)."""
    return unicodedata.normalize("NFC", name)


FORMS: tuple[Callable[[str], str], ...] = (str, composed, folded)
"""Names are alike if one of these makes them equal, the first the likeliest."""


def readings(name: str) -> Iterator[Called]:
    """What a mask called ``name`` (no ending) may belong to, the likeliest first.

    >>> [(called.base, called.rank) for called in readings("017_mask")]
    [('017', 0), ('017_mask', 1)]
    >>> [(called.base, called.rank) for called in readings("017-GT")]
    [('017-GT', 1), ('017', 2)]
    """
    if name.endswith("_mask") and name != "_mask":
        yield Called(name.removesuffix("_mask"), True, 0)
    yield Called(name, False, 1)
    if (behind := _BEHIND.fullmatch(name)) and f"{behind[1]}_mask" != name:
        yield Called(behind[1], True, 2)
    if before := _BEFORE.fullmatch(name):
        yield Called(before[2], True, 2)


def parted(files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Pictures, and the masks that lie among them in one folder.

    A mask there is called as a file beside it is, with a word for a mask (KolektorSDD2: 10301.png, 10301_GT.png), or as
    it is but for the ending (Magnetic Tile Defects: 1.jpg, 1.png); and it looks like one, which the other does not.

    Raises:
      InputError: one of two files whose names leave it open cannot be read.
    """
    names: dict[str, list[Path]] = {}
    for file in files:
        for name in {folded(file.stem), folded(file.name)}:
            names.setdefault(name, []).append(file)
    looks: dict[Path, bool] = {}

    def masked(file: Path) -> bool:
        if file not in looks:
            looks[file] = looks_like_mask(file)
        return looks[file]

    def is_mask(file: Path) -> bool:
        others = [other for other in names[folded(file.stem)] if other != file and other.suffix != file.suffix]
        for called in readings(file.stem):
            others += [other for other in names.get(folded(called.base), ()) if called.word and other != file]
        return any(masked(file) and not masked(other) for other in others)

    masks = {file for file in files if is_mask(file)}
    return [file for file in files if file not in masks], [file for file in files if file in masks]


def are_masks(folder: Path) -> bool:
    """Whether a folder holds pictures and the first of them look like masks; a handful tells."""
    files = picture_files(folder)
    return bool(files) and all(looks_like_mask(file) for file in files[:8])


def candidates(folder: Path) -> list[Candidate]:
    """The masks lying in a folder of ground truth, and the folders in it that may hold those of one picture each."""
    files = [Candidate(path, path.stem, (path,)) for path in picture_files(folder)]
    folders = [Candidate(path, path.name, tuple(picture_files(path)), True) for path in subfolders(folder)]
    return files + [one for one in folders if one.files]


def matched(pictures: Sequence[Path], masks: Iterable[Candidate]) -> dict[Path, tuple[Path, ...]]:
    """The masks of each picture that has any.

    Args:
      pictures: files of one kind of defect.
      masks: what there is for that kind.

    Raises:
      InputError: two masks of one picture, a mask that may be of two pictures, a folder of masks with something else in
        it; the files are named.
    """
    claims: dict[Path, list[tuple[Fit, Candidate]]] = {}
    for candidate, owners in _owners(pictures, masks):
        for picture, key in owners:
            claims.setdefault(picture, []).append((key, candidate))
    found, of_mask = {}, dict[Path, Path]()
    for picture in pictures:
        if picture not in claims:
            continue
        chosen = _best(picture, claims[picture])
        other = of_mask.setdefault(chosen.path, picture)
        if other != picture:
            raise InputError(
                f"{chosen.path} may be the mask of {other} or of {picture}. {_a_mask_each(other, picture)}"
            )
        found[picture] = _of_one_picture(picture, chosen)
    return found


Fit = tuple[int, bool, int]
"""How well a mask's name fits a picture, the least the best: rank; whether it lacks the picture's ending; likeness."""


def _a_mask_each(one: Path, other: Path) -> str:
    if one.parent == other.parent:
        return f"Name a mask for each: {one.name}_mask.png and {other.name}_mask.png."
    return f"Put it into ground_truth/{one.parent.name} or ground_truth/{other.parent.name}."


def _owners(pictures: Sequence[Path], masks: Iterable[Candidate]) -> Iterator[tuple[Candidate, list[tuple[Path, Fit]]]]:
    """Each mask with the pictures whose name fits its own best, and how well."""
    by_name: list[Mapping[tuple[bool, str], list[Path]]] = []
    for form in FORMS:
        names: dict[tuple[bool, str], list[Path]] = {}
        for picture in pictures:
            names.setdefault((False, form(picture.name)), []).append(picture)
            names.setdefault((True, form(picture.stem)), []).append(picture)
        by_name.append(names)
    for candidate in masks:
        fits: list[tuple[Path, Fit]] = []
        called = [(one.base, one.rank, short) for one in readings(candidate.name) for short in (False, True)]
        if not candidate.is_folder:
            called.append((candidate.path.name, 1, False))  # 7.bmp is the mask of 7.bmp rather than of 7.png
        for base, rank, short in called:
            for likeness, form in enumerate(FORMS):
                alike = by_name[likeness].get((short, form(base)), ())
                fits += [(path, (2 if candidate.is_folder else rank, short, likeness)) for path in alike]
        if fits:
            best = min(fit for _, fit in fits)
            yield candidate, [(path, best) for path in dict.fromkeys(path for path, fit in fits if fit == best)]


def _best(picture: Path, claims: list[tuple[Fit, Candidate]]) -> Candidate:
    """The one mask of those that fit a picture."""
    best = min(fit for fit, _ in claims)
    # Of the third form any two are one too many: none is more usual than the others.
    rivals = [one for fit, one in claims if fit == best or (best[0] == 2 and fit[0] == 2)]
    if len(rivals) > 1:
        names = listed([str(one.path) for one in rivals])
        raise InputError(f"{picture} has more than one mask: {names}. Keep one.")
    return rivals[0]


def _of_one_picture(picture: Path, mask: Candidate) -> tuple[Path, ...]:
    """The files of a folder are parts of one mask if they are numbered, or called as the picture or a mask is, or look
    like masks."""
    if not mask.is_folder:
        return mask.files
    known = {folded(picture.stem), folded(picture.name), *WORDS}
    odd = [
        file
        for file in mask.files
        if not any(called.base.isdigit() or folded(called.base) in known for called in readings(file.stem))
        and not looks_like_mask(file)
    ]
    if odd:
        raise InputError(
            f"{mask.path} is taken for the masks of {picture}, and {odd[0].name} in it does not look like one "
            "(000.png, 001.png, ...). Keep nothing but masks there."
        )
    return mask.files
