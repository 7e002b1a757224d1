"""L1. What is to be told of the folders of a data set in the MVTec AD layout: a sentence for each matter."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ddad_jax.data.listing import entries, is_folder, listed, part_of, walked
from ddad_jax.data.load import GOOD
from ddad_jax.data.mask_files import FOLDERS, WORDS
from ddad_jax.data.names import folded, may_be_normal
from ddad_jax.data.read import LOSSY_SUFFIXES
from ddad_jax.data.unused import (
    AMONG,
    DEEPER,
    ELSEWHERE,
    MASKS_ELSEWHERE,
    NO_KIND,
    NO_PICTURE,
    NOT_NORMAL,
    OUTSIDE,
    Reason,
    pictures_elsewhere,
    unused_notes,
)


class PictureFolder(NamedTuple):
    """A folder of pictures of one kind; beside: masks that lie among them."""

    folder: Path
    defect: str
    pictures: list[Path]
    beside: list[Path]


def folder_notes(base: Path, truth: Path | None, kinds: Sequence[PictureFolder], used: set[Path]) -> tuple[str, ...]:
    """Of normal folders by another name, names that leave open whether pictures are normal, pictures that share a name,
    formats that are mixed, and everything that is not read.

    Args:
      base: the category's folder; truth: that of the masks, None where there is none.
      kinds: the folders that are read; used: every picture and mask that is.
    """
    sentences = (_normal(base, kinds), _unsure(base, kinds), _same_stem(base, kinds), _formats(base, kinds))
    return tuple(sentence for some in (*sentences, _unused(base, truth, kinds, used)) for sentence in some)


def _normal(base: Path, kinds: Iterable[PictureFolder]) -> list[str]:
    otherwise = [kind for kind in kinds if kind.defect == GOOD and kind.folder.name != GOOD and kind.pictures]
    if not otherwise:
        return []
    names = listed([kind.folder.relative_to(base).as_posix() for kind in otherwise])
    return [f"{base}: pictures of {names} are taken for normal ones, as those of a folder named {GOOD!r} are"]


def _unsure(base: Path, kinds: Iterable[PictureFolder]) -> list[str]:
    unsure = [kind.folder for kind in kinds if kind.defect != GOOD and kind.pictures and may_be_normal(kind.defect)]
    if not unsure:
        return []
    names = listed([folder.relative_to(base).as_posix() for folder in unsure])
    return [f"{base}: {names} counts as a kind of defect. If those are normal pictures, rename the folder to {GOOD!r}."]


def _same_stem(base: Path, kinds: Iterable[PictureFolder]) -> list[str]:
    counts = Counter((kind.folder, path.stem) for kind in kinds for path in kind.pictures)
    twice = [f"{(folder / stem).relative_to(base).as_posix()}.*" for (folder, stem), n in counts.items() if n > 1]
    if not twice:
        return []
    return [f"{base}: several pictures are called {listed(twice, 3)}, and each counts. Is one part there twice?"]


def _formats(base: Path, kinds: Iterable[PictureFolder]) -> list[str]:
    counts = Counter(path.suffix.lower() for kind in kinds for path in kind.pictures)
    if not (counts.keys() & LOSSY_SUFFIXES and counts.keys() - LOSSY_SUFFIXES):
        return []
    endings = ", ".join(f"{n} {suffix}" for suffix, n in sorted(counts.items()))
    what = "compression leaves traces that a detector may take for a difference between parts"
    return [
        f"{base}: pictures of several kinds of file are read ({endings}); {what}. Record all of them in one format."
    ]


def _unused(base: Path, truth: Path | None, kinds: Sequence[PictureFolder], used: set[Path]) -> list[str]:
    folders = {kind.folder for kind in kinds}
    beside = {path for kind in kinds for path in kind.beside}
    train = part_of(base, "train")
    parts = [part for part in (train, part_of(base, "test"), truth) if part is not None]

    def reason(path: Path) -> Reason:
        if truth is not None and truth in path.parents:
            return NO_PICTURE
        if path in beside:
            return AMONG
        part, *below = path.relative_to(base).parts[:-1]
        if not below:
            return NO_KIND
        if base / part / below[0] in folders:
            return AMONG if any(folded(name) in WORDS for name in below[1:]) else DEEPER
        return NOT_NORMAL if part == train.name else AMONG

    def elsewhere(path: Path) -> Reason:
        top = path.relative_to(base).parts
        if len(top) == 1:
            return OUTSIDE
        words = re.split(r"[_\-. ]", re.sub("([a-z])([A-Z])", r"\1_\2", top[0]).casefold())
        return MASKS_ELSEWHERE if {*words, folded(top[0])} & {*WORDS} else ELSEWHERE

    notes = unused_notes(base, (path for part in parts for path in walked(part)), used, reason)
    # A folder of masks that is a file, or a link that leads nowhere.
    odd = [path for path in entries(base) if folded(path.name) in FOLDERS and not is_folder(path)]
    notes += unused_notes(base, odd, (), lambda path: MASKS_ELSEWHERE)
    return notes + unused_notes(base, pictures_elsewhere(base, [*parts, *odd]), (), elsewhere)
