"""What a camera's view asks for before the model sees its pictures: a mask, a reference to be brought onto, tiles."""

import csv
import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from ddad_jax.data import DataSet, ImageSet
from ddad_jax.data.encode import png
from ddad_jax.data.load import Picture, Pictures
from ddad_jax.data.read import Encoded, expanded, image_size, read_full
from ddad_jax.data.split import spread
from ddad_jax.engine.data.data_sets import KINDS, picture_size
from ddad_jax.engine.settings.sections import Settings
from ddad_jax.engine.store.tables import write_csv
from ddad_jax.errors import InputError
from ddad_jax.image import centre_crop
from ddad_jax.vision.aligned import Aligned, load_aligned
from ddad_jax.vision.registration import Reference, Registration, reference_of
from ddad_jax.vision.tiles import Tiling, cut, tile_names, tiling
from ddad_jax.vision.view_mask import read_view_mask

log = logging.getLogger(__name__)


class View(NamedTuple):
    """watched: bool [h, w] at the pictures' size, False where the mask leaves out; None for no mask. tiling: None for
    no tiles. reference: the picture that others are brought onto, its file or its bytes, to be read upright; "" for
    none. registered: what became of each picture that was to be, by its name."""

    watched: np.ndarray | None = None
    tiling: Tiling | None = None
    reference: str | Encoded = ""
    registered: Mapping[str, Registration] = {}  # noqa: RUF012 - a tuple's default, never written to

    @property
    def tiles(self) -> int:
        """Of a picture, 1 without tiles."""
        return self.tiling.count if self.tiling else 1

    @property
    def watched_tiles(self) -> np.ndarray | None:
        """bool [k, s, s], or [1, h, w] without tiles; None for no mask."""
        if self.watched is None:
            return None
        return cut(self.watched[None], self.tiling) if self.tiling else self.watched[None]


def view_of(c: Settings) -> View:
    """The mask and the tiles of ``c.view`` and ``c.data``; nothing is registered yet.

    Raises:
      InputError: as ``read_view_mask``, where a point of the config masks.
    """
    size, watched = picture_size(c.data), None
    if c.view.mask:
        watched = read_view_mask(c.view.mask, _name_of(c), size, picture_size=_taken(c))
        seen: Any = watched[None]
        if c.score.crop and not centre_crop(seen, c.score.crop).any():
            raise InputError(
                f"--config.view.mask={c.view.mask}: nothing of the {c.score.crop} px that --config.score.crop keeps is "
                "watched; expected a mask and a crop with something in common"
            )
    return View(watched, tiling(size, c.data.size, c.data.overlap) if c.data.picture else None)


def _name_of(c: Settings) -> str:
    """Of the view in a file of polygons: that of the category's folder, however its path is spelled."""
    if c.view.name or c.data.kind != "folder":
        return c.view.name or c.data.category
    category = PurePosixPath(c.data.category)
    return str(category) if category.parts else Path(c.data.root).resolve().name


def _taken(c: Settings) -> tuple[int, int] | None:
    """The size the camera's pictures have, all of them: a mask drawn for another would cover another place. None where
    they are rendered, at whatever size is asked for.

    Raises:
      InputError: pictures of several sizes.
    """
    kind = KINDS[c.data.kind]
    if kind.rendered:
        return None
    pictures = kind.pictures(c.data, c.seed)
    if c.view.register:
        # What is scored lies in the reference's frame, and so does the mask.
        return image_size(_reference_source(c, pictures.train), orient=kind.upright)
    first = pictures.train[0].path
    size = image_size(first, orient=kind.upright)
    for picture in (*pictures.train, *pictures.test):
        other = image_size(picture.path, orient=kind.upright)
        if other != size:
            raise InputError(
                f"--config.view.mask={c.view.mask}: {picture.path} is {other[0]} x {other[1]} pixels (height x width) "
                f"and {first} {size[0]} x {size[1]}; expected pictures of one size, as a mask is drawn for one"
            )
    return size


def made_of(view: View) -> dict[str, str]:
    """What the rows of a run say of its view: nothing of what it does not use."""
    settings = {}
    if view.watched is not None:
        settings["mask"] = hashlib.sha256(np.packbits(view.watched).tobytes()).hexdigest()[:16]
    if view.tiling:
        rows, columns = view.tiling.rows, view.tiling.columns
        settings["tiles"] = f"{len(rows)} x {len(columns)} of {view.tiling.size} px"
    if view.reference:
        settings["reference"] = _name_of_reference(view)
    return settings


def _name_of_reference(view: View) -> str:
    return Path(str(view.reference)).name


def view_notes(view: View, selected: Mapping[str, Any]) -> list[str]:
    """What was done to the pictures of this view, in words; selected: the row of the point in use."""
    sentences = []
    for name, when in (("mask_before", "before the distances were taken"), ("mask_after", "in the maps")):
        if selected.get(name) and view.watched is not None:
            sentences.append(f"{1 - view.watched.mean():.0%} of the view is masked out, {when}.")
    if view.tiling:
        height, width = view.tiling.picture
        sentences.append(f"Pictures of {height} x {width} pixels were judged in {view.tiles} tiles each.")
    if view.registered:
        refused = sum(not registration.accepted for registration in view.registered.values())
        outcome = f"{refused} were refused and taken as they are" if refused else "none was refused"
        sentences.append(
            f"Of {len(view.registered)} pictures to be brought onto {_name_of_reference(view)}, {outcome}."
        )
    return sentences


class OnReference(NamedTuple):
    """The picture that others are brought onto, ready for it; source: as of ``View.reference``."""

    source: str | Encoded
    reference: Reference


def reference_picture(c: Settings, trained_on: Sequence[Picture]) -> OnReference:
    """``c.view.reference``, or the first of the training pictures.

    Raises:
      InputError: it cannot be read or has no texture.
    """
    source, upright = _reference_source(c, trained_on), KINDS[c.data.kind].upright
    whole = read_full(source, orient=upright)
    # Of pictures that are not turned the reference is not turned either, by whoever reads it.
    name = str(source) if isinstance(source, Path) else trained_on[0].name
    encoded = name if upright and isinstance(source, Path) else Encoded(name, png(whole))
    try:
        return OnReference(encoded, reference_of(whole))
    except InputError as error:
        default_source = "" if c.view.reference else " (where it names none, the first of the training pictures)"
        raise InputError(f"--config.view.reference: {source}{default_source}: {error}") from None


def _reference_source(c: Settings, trained_on: Sequence[Picture]) -> Path | Encoded:
    return expanded(c.view.reference, "--config.view.reference") if c.view.reference else trained_on[0].path


def all_onto_reference(c: Settings, listed: Pictures) -> tuple[DataSet, View]:
    """A data set with every picture brought onto the reference (``view.register`` = all)."""
    onto, view = reference_picture(c, listed.train), view_of(c)
    train, test = (_aligned(c, listed, pictures, onto) for pictures in (listed.train, listed.test))
    view = view._replace(reference=onto.source, registered={**train.found, **test.found})
    notes = (*listed.notes, *test.notes)
    return DataSet(listed.name, train.images, test.images, listed.recordings, notes), view


def scored_onto_reference(c: Settings, pictures: Pictures, view: View, *sets: ImageSet) -> tuple[View, list[ImageSet]]:
    """Sets of a data set's pictures brought onto the reference, and the view that says so (``view.register`` =
    scored)."""
    onto = reference_picture(c, pictures.train)
    by_name = {picture.name: picture for picture in (*pictures.train, *pictures.test)}
    parts = [_aligned(c, pictures, [by_name[name] for name in images.names], onto) for images in sets]
    registered = {name: how for part in parts for name, how in part.found.items()}
    return view._replace(reference=onto.source, registered=registered), [part.images for part in parts]


def _aligned(c: Settings, of: Pictures, pictures: Sequence[Picture], onto: OnReference) -> Aligned:
    how: Any = {"orient": KINDS[c.data.kind].upright, "any_nonzero": of.any_nonzero}
    aligned = load_aligned(pictures, picture_size(c.data), onto.reference, **how)
    refused = [name for name, r in aligned.found.items() if not r.accepted]
    if refused:
        log.warning(
            "%d of %d pictures could not be brought onto %s and are taken as they are, %s first: %s",
            len(refused), len(pictures), onto.source, refused[0], aligned.found[refused[0]].reason,
        )  # fmt: skip
    return aligned


def tiles_of(images: ImageSet, view: View, most: int) -> ImageSet:
    """At most ``most`` tiles of normal pictures, evenly over them; the pictures themselves without tiles."""
    if view.tiling is None:
        return images
    taken = spread(len(images.names) * view.tiles, most)
    one_by_one = (cut(images.images[i : i + 1], view.tiling) for i in range(len(images.names)))
    # A picture at a time: all tiles of all pictures would be in memory twice.
    chosen = [tiles[taken[taken // view.tiles == i] % view.tiles] for i, tiles in enumerate(one_by_one)]
    names = [name for whole in images.names for name in tile_names(whole, view.tiling)]
    n, s = len(taken), view.tiling.size
    return ImageSet(
        images=np.concatenate(chosen),
        labels=np.zeros(n, np.int32),
        masks=np.zeros((n, s, s), bool),
        has_mask=np.ones(n, bool),
        defects=("good",) * n,
        names=tuple(names[i] for i in taken),
    )


# --- registration.csv: what became of each picture that was to be brought onto the reference of its view.

COLUMNS = ("name", "accepted", "inliers", "matches", "error_px", "uncertainty_px", "agreement", "reason")
"""Pixels are those of a picture of 256 (``vision.registration.Registration``)."""


def write_registered(workdir: Path, registered: Mapping[str, Registration]) -> None:
    """One row a picture; nothing where none was to be registered."""
    rows = [
        dict(
            zip(
                COLUMNS,
                (name, r.accepted, r.inliers, r.matches, r.error, r.uncertainty, r.agreement, r.reason),
                strict=True,
            )
        )
        for name, r in registered.items()
    ]
    if rows:
        write_csv(workdir / "registration.csv", rows, columns=COLUMNS)


def read_registered(workdir: Path) -> list[dict[str, str]]:
    """Its rows; none where there is no such file.

    Raises:
      InputError: it is not what ``write_registered`` writes.
    """
    path = workdir / "registration.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise InputError(f"{path}: expected the columns {', '.join(COLUMNS)}. Delete it and run again")
        return list(reader)
