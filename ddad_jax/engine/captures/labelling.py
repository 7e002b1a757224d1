"""What is known of a captured frame's pixels: mask images, regions drawn in VIA, or the capture's own truth.

Where several speak of one frame, a mask image counts before VIA's regions, and both before the capture's own masks:
what a person gave with ``--labels`` was meant to be used.
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np

from ddad_jax.data.listing import entries, listed, picture_files, subfolders, walked
from ddad_jax.data.load import mask_note
from ddad_jax.data.outlines import LINE_WIDTH, OutlinePoint, draw
from ddad_jax.data.read import named_as_picture, read_mask, read_mask_values
from ddad_jax.data.unused import Reason, unused_notes
from ddad_jax.data.via import ViaRegion, kinds_of, read_via
from ddad_jax.engine.captures.recording import NORMAL, Capture, Captured
from ddad_jax.errors import InputError

log = logging.getLogger(__name__)

VIA = (".csv", ".json")
TOO_DEEP: Reason = (
    "in deeper folders, or VIA files in a folder of masks",
    "Name them RECORDING_000012.png in --labels itself, or 000012.png in a folder named by their recording.",
)
COMBINED = "combined"
"""The kind of a picture that shows several, in MVTec AD's word; a region that is called so says the same."""

Key = tuple[str, str]
"""Recording and frame ("000012")."""


class Drawing(NamedTuple):
    """How regions become masks.

    line_width: of a polyline in pixels. listed_is_looked_at: a picture that a VIA file lists without regions shows no
    defect; otherwise nothing is known of it, as VIA lists every picture that was opened. attribute: the region
    attribute that names the defect; empty: the recording's state does.
    """

    line_width: float = LINE_WIDTH
    listed_is_looked_at: bool = False
    attribute: str = ""


class Label(NamedTuple):
    """What is known of one frame."""

    origin: str
    """"image", "via", "capture", or "" where nothing is known."""
    defect: bool | None
    """Whether a defect is in view; None: not known."""
    kind: str
    """Of the defect, where the label says so itself; else empty."""
    file: Path | None = None
    regions: tuple[ViaRegion, ...] = ()
    area: int = 0
    """Pixels of the defect; 0 where none is in view or nothing is known."""


UNKNOWN = Label("", None, "")


class Labels(NamedTuple):
    """Of all frames that somebody labelled; ``digest`` changes when any of their files does. points: of VIA, which have
    no area and mark nothing."""

    of: Mapping[Key, Label]
    digest: str
    points: int


class FrameMask(NamedTuple):
    pixels: np.ndarray
    """bool [h, w], at the picture's size."""
    clipped: int
    """Regions that go beyond the picture."""


def read_labels(paths: Sequence[str | Path], captures: Sequence[Capture], drawing: Drawing) -> Labels:
    """Labels from VIA files and folders; a folder may hold VIA files, mask images, and mask images in folders named by
    recording.

    A label names its frame as RECORDING_000012, RECORDING/000012 or RECORDING/frames/000012, with any ending and any
    folders before; masks also with "_mask" behind. 000012 alone does where there is one capture, or the VIA file is
    named RECORDING.csv or RECORDING.json.

    Raises:
      InputError: a file that cannot be used; a label of a frame that no capture has, or that could be of several; two
        labels of one kind for a frame; a defect in a recording whose state says that it has none; a mask of another
        size than its picture; a region outside it.
    """
    names = _names(captures)
    found: dict[str, dict[Key, Label]] = {"via": {}, "image": {}}
    digest, points = hashlib.sha256(), 0
    for file in _files(paths):
        digest.update(f"{file.name}\n".encode() + _content(file))
        if file.suffix.lower() in VIA:
            pictures = read_via(file)
            points += sum(
                isinstance(region.outline, OutlinePoint) for regions in pictures.values() for region in regions
            )
            keys = {name: names.key(name, file) for name in pictures}
            labels = [(key, _of_via(pictures[name], names.captures[key], drawing)) for name, key in keys.items()]
        else:
            labels = [_of_image(file, names)]
        for key, label in labels:
            state = names.captures[key].state
            if label.defect and state in NORMAL:
                raise InputError(
                    f"{file}: marks a defect in frame {key[1]} of {key[0]}, whose state is {state!r}. Mend the label, "
                    "or capture the recording with the defect's name as its --state."
                )
            if key in found[label.origin]:
                raise InputError(f"{file}: frame {key[1]} of {key[0]} is labelled already. Keep one of the labels.")
            found[label.origin][key] = label
    known = {key: label for key, label in found["via"].items() if label.defect is not None}
    return Labels(known | found["image"], digest.hexdigest(), points)


def label_of(capture: Capture, frame: Captured, labels: Labels) -> Label:
    """What is known of a kept frame; at least whether a defect is in view, where the capture's truth is known."""
    given = labels.of.get((capture.recording, frame_name(frame)))
    if given is not None:
        return given
    if not capture.has_masks:
        return UNKNOWN
    return Label("capture", frame.mask is not None, "", frame.mask, area=frame.mask_pixels)


def frame_mask(label: Label, picture: Path, size: tuple[int, int], drawing: Drawing) -> FrameMask:
    """The mask of a frame with a known defect, at its picture's ``size`` (h, w).

    Raises:
      InputError: the mask image is of another size or unreadable; a region outside its picture or without a pixel.
    """
    if label.file is not None:
        return FrameMask(read_mask(label.file, size, image=picture), 0)
    pixels, clipped = np.zeros(size, bool), 0
    for region in label.regions:
        drawn = draw(region.outline, size, where=region.where, line_width=drawing.line_width)
        pixels |= drawn.mask
        clipped += drawn.clipped
    return FrameMask(pixels, clipped)


def _files(paths: Sequence[str | Path]) -> Iterator[Path]:
    for path in map(Path, paths):
        if not path.exists():
            raise InputError(f"--labels={path}: does not exist. Name a VIA file (.csv, .json) or a folder of masks.")
        if path.is_file():
            if path.suffix.lower() not in VIA:
                raise InputError(f"--labels={path}: expected a VIA file (.csv, .json) or a folder of mask images.")
            yield path
            continue
        drawn = [p for p in entries(path) if p.suffix.lower() in VIA and p.is_file()]
        files = [*drawn, *picture_files(path), *(file for folder in subfolders(path) for file in picture_files(folder))]
        if not files:
            raise InputError(f"--labels={path}: holds no VIA file and no mask image, nor do its folders.")
        for note in unused_notes(path, walked(path), set(files), lambda file: TOO_DEEP):
            log.warning("--labels: %s", note)
        yield from files


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"--labels: {file} cannot be read ({error.strerror}).") from error


class _Names(NamedTuple):
    """Frames by what a label may call them; several where a name is not enough."""

    frames: Mapping[str, Sequence[Key]]
    captures: Mapping[Key, Capture]

    def key(self, name: str, file: Path) -> Key:
        """Of the frame that ``name`` in the label file ``file`` stands for."""
        *folders, last = PurePosixPath(unquote(name).replace("\\", "/")).parts or ("",)
        last = last[: -len(Path(last).suffix)] if named_as_picture(last) else last
        own = [f"{file.stem}_{last}"]  # in the VIA file of a recording
        calls = ["/".join([*folders[-n:], last]) for n in (2, 1) if len(folders) >= n] + own + [last]
        for call in calls:
            keys = self.frames.get(call, ())
            if len(keys) > 1:
                raise InputError(
                    f"{file}: {name!r} could be a frame of {len(keys)} recordings, {keys[0][0]} and {keys[1][0]} for "
                    f"two. Name it {keys[0][0]}_{last}, or label each recording in a VIA file of its name."
                )
            if keys:
                return keys[0]
        recordings = sorted({recording for recording, _ in self.captures})
        raise InputError(
            f"{file}: {name!r} is a label for a picture that no capture has. Expected RECORDING_000012, the recording "
            f"being one of {listed(recordings, 5)}. Do --captures name all that were labelled?"
        )


def _names(captures: Sequence[Capture]) -> _Names:
    frames: dict[str, list[Key]] = {}
    of: dict[Key, Capture] = {}
    for capture in captures:
        for frame in capture.frames:
            stem = frame_name(frame)
            key = (capture.recording, stem)
            calls = {stem, f"{capture.recording}_{stem}"}
            for folder in (capture.recording, capture.folder.name):
                calls |= {f"{folder}/{stem}", f"{folder}/frames/{stem}"}
            for call in calls:
                frames.setdefault(call, []).append(key)
            of[key] = capture
    return _Names(frames, of)


def frame_name(frame: Captured) -> str:
    """ "000012"."""
    assert frame.file is not None  # kept
    return frame.file.stem


def _of_via(regions: Sequence[ViaRegion], capture: Capture, drawing: Drawing) -> Label:
    areas = tuple(region for region in regions if not isinstance(region.outline, OutlinePoint))
    if not areas:
        return Label("via", False if drawing.listed_is_looked_at and not regions else None, "")
    kinds = kinds_of(areas, drawing.attribute) if drawing.attribute else ("",)
    label = Label("via", True, kinds[0] if len(kinds) == 1 else COMBINED, None, areas)
    return label._replace(area=int(frame_mask(label, capture.folder, capture.size, drawing).pixels.sum()))


def _of_image(file: Path, names: _Names) -> tuple[Key, Label]:
    called = file.with_name(file.stem.removesuffix("_mask") + file.suffix)
    key = names.key(f"{called.parent.name}/{called.name}", called)
    capture = names.captures[key]
    picture = capture.folder / "frames" / f"{key[1]}.png"
    mask = read_mask_values(file, capture.size, image=picture, must_be_mask=True)
    if mask.rule != "plain":
        log.warning("--labels: %s", mask_note(mask.rule, [file], 1))
    area = int((mask.share > 0.5).sum())
    return key, Label("image", area > 0, "", file, area=area)
