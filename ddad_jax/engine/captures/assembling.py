"""A data set in MVTec AD layout out of captures: chosen, checked for leaks, written as a whole, with its origin.

::

    ROOT/PRODUCT/train/good             normal recordings
    ROOT/PRODUCT/test/good              other normal recordings, and hard ones
    ROOT/PRODUCT/test/DEFECT            recordings of that state
    ROOT/PRODUCT/ground_truth/DEFECT    masks, where they are known
    ROOT/PRODUCT/manifest.json          what each picture is, as ddad_jax/data/captured.py reads it
"""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ddad_jax.data.captured import FORMAT, MANIFEST, read_manifest
from ddad_jax.data.listing import listed
from ddad_jax.data.names import require_apart
from ddad_jax.data.read import expanded
from ddad_jax.engine.captures.frame_choice import FrameChoice, Wanted, choose
from ddad_jax.engine.captures.labelling import Drawing, read_labels
from ddad_jax.engine.captures.recording import MANIFEST as CAPTURE
from ddad_jax.engine.captures.recording import (
    ROWS,
    Capture,
    checked_manifest,
    means_normal,
    read_capture,
    why_not,
)
from ddad_jax.engine.captures.set_files import require_disjoint, write_files
from ddad_jax.engine.store import lock
from ddad_jax.engine.store.tables import format_table
from ddad_jax.errors import InputError

WIDEST = 1000
"""Pixels of a line's width; wider than any picture's defect."""


class Assembled(NamedTuple):
    folder: Path
    manifest: dict[str, Any]
    new: bool
    """False: it was there already, made of the same captures with the same settings."""


def assemble(
    folders: Sequence[Path],
    out: str | Path,
    product: str,
    *,
    labels: Sequence[str | Path] = (),
    wanted: Wanted | None = None,
    drawing: Drawing | None = None,
    unfinished: bool = False,
) -> Assembled:
    """Make ``out``/``product`` of the captures in ``folders``; nothing to do where that was done before.

    Args:
      folders: captures of any product; those of ``product`` are used, labels may name frames of all.
      out: the data set's root.
      product: as captured.
      labels: VIA files and folders of masks (``ddad_jax/engine/captures/labelling.py``).
      wanted, drawing: how many of which, and how labels become masks; None: the defaults.
      unfinished: take captures that did not finish, too; they are passed over and named otherwise.

    Raises:
      InputError: captures, labels or pictures that cannot be used; no clean separation of training and test; the
        folder holds something else, another program makes it, or it cannot be written.
    """
    wanted, drawing = wanted or Wanted(), drawing or Drawing()
    if not 0 <= wanted.least_defect <= 1:
        raise InputError(f"--least_defect={wanted.least_defect}: expected a share of the picture, 0 to 1")
    if not 1 <= drawing.line_width <= WIDEST:
        raise InputError(f"--line_width={drawing.line_width}: expected pixels, 1 to {WIDEST}")
    root = expanded(out, "--out")
    with lock.folder_lock(root, flag="--out", of=_usable(product, "--product")):
        return _assemble(folders, root / product, labels, wanted, drawing, unfinished)


def _assemble(
    folders: Sequence[Path],
    target: Path,
    labels: Sequence[str | Path],
    wanted: Wanted,
    drawing: Drawing,
    unfinished: bool,
) -> Assembled:
    product = target.name
    every, running = _captures(folders, unfinished)
    captures = [capture for capture in every if capture.product == product]
    if not captures:
        there = listed(sorted({capture.product for capture in every}))
        more = f" Not finished: {listed(running)} (--unfinished takes them)." if running else ""
        raise InputError(f"--product={product}: none of the captures shows it; they show {there}.{more}")
    known = read_labels(labels, every, drawing)
    # Not where the labels lie but what they say, so that moving them changes nothing.
    settings = {**wanted._asdict(), **drawing._asdict(), "unfinished": unfinished}
    settings = json.loads(json.dumps(settings))
    made_of = {capture.recording: _digest(capture) for capture in captures}
    before = _before(target, settings, {"recordings": made_of, "labels": known.digest})
    if before:
        return Assembled(target, before, new=False)
    choice = choose(captures, known, wanted)
    require_disjoint(captures, choice.sides, keep_bad=wanted.keep_bad)
    about = {
        "format": FORMAT,
        "product": product,
        "seed": wanted.seed,
        "settings": settings,
        "made_of": {"recordings": made_of, "labels": known.digest},
        "recordings": _recordings(captures, choice),
        "unfinished": running,
    }
    counts = {f"frames left out: {why}": n for why, n in choice.left_out.items()}
    counts |= {"captures left out: not finished": len(running), "points of VIA, which mark no area": known.points}
    return Assembled(target, _write(target, choice, drawing, about, counts), new=True)


def print_assembled(made: Assembled) -> None:
    """Print what the data set holds, and everything that was left out of it."""
    manifest = made.manifest
    rows = [{"recording": name, **about} for name, about in manifest["recordings"].items()]
    print(format_table(rows, ("recording", "side", "state", "angle", "pictures"), max_rows=50))
    print("; ".join(f"{what}: {n}" for what, n in manifest["counts"].items() if n or "/" in what))
    if manifest["unfinished"]:
        print(f"not finished, passed over: {', '.join(manifest['unfinished'])} (--unfinished takes them)")
    for part, asked in (("train/good", "train"), ("test/good", "test_good")):
        if manifest["counts"].get(part, 0) < manifest["settings"][asked]:
            print(f"fewer than asked: {manifest['counts'].get(part, 0)} of {manifest['settings'][asked]} for {part}")
    print(f"data set: {made.folder}" + ("" if made.new else " (made before; nothing to do)"))


def captures_of(patterns: list[str]) -> list[Path]:
    """The folders that the patterns name, each once.

    Raises:
      InputError: a pattern names none, or is none.
    """
    found: dict[Path, None] = {}
    for pattern in filter(None, patterns):
        path = expanded(pattern, "--captures")
        try:
            named = [path] if path.is_dir() else Path(path.anchor).glob(str(path.relative_to(path.anchor)))
            matches = sorted(folder for folder in named if folder.is_dir())
        except (OSError, ValueError) as error:
            raise InputError(f"--captures={pattern}: cannot be used as a pattern ({error})") from None
        if not matches:
            raise InputError(f"--captures={pattern}: no such folder; expected one or more --out of experiments.capture")
        found |= dict.fromkeys(matches)
    return list(found)


def _captures(folders: Sequence[Path], unfinished: bool) -> tuple[list[Capture], list[str]]:
    """All that can be used, and the names of recordings that did not finish and are passed over."""
    captures, running = [], []
    for folder in sorted(folders):
        about = checked_manifest(folder)
        if about["finished"] or unfinished:
            captures.append(read_capture(folder, unfinished=True))
        else:
            running.append(about["recording"])
    of: dict[str, Path] = {}
    for capture in captures:
        file = capture.folder / CAPTURE
        _usable(capture.recording, f"{file}: the recording's name")
        _usable(capture.state, f"{file}: the state")
        if means_normal(capture.state):
            raise InputError(f"{file}: state {capture.state!r}; expected normal, hard, or a defect's name")
        if capture.recording in of:
            raise InputError(
                f"{of[capture.recording]} and {capture.folder} are both named {capture.recording!r}; give each "
                "recording a name of its own (--recording), for files are named by it"
            )
        of[capture.recording] = capture.folder
    require_apart((name, f"{folder / CAPTURE}: the recording's name") for name, folder in of.items())
    return captures, running


def _usable(name: str, what: str) -> str:
    """The name itself, if it can be part of a file's name everywhere."""
    if why := why_not(name):
        raise InputError(f"{what} is {name!r}: {why}. Give it another name")
    return name


def _digest(capture: Capture) -> str:
    """Of what the capture says of itself, which holds the digests of its pictures."""
    return hashlib.sha256(b"".join((capture.folder / name).read_bytes() for name in (CAPTURE, ROWS))).hexdigest()


def _before(target: Path, settings: Mapping[str, Any], made_of: Mapping[str, Any]) -> dict[str, Any] | None:
    """The manifest of the same set made before; None where there is nothing."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return None
    again = "Name another --out, or remove that folder to have it made again."
    try:
        found = read_manifest(target) if target.is_dir() else None
    except InputError as error:  # which says to make it again; that is what somebody tries here
        raise InputError(f"{target}: holds a data set whose {MANIFEST} cannot be used. {again}") from error
    if found is None:
        raise InputError(f"{target}: is there already, and is no data set made of captures. Name another --out.")
    was = {**_section(found, "settings"), **_section(found, "made_of")}
    differ = [f"--{name}" for name, value in settings.items() if was.get(name) != value]
    differ += [name for name, value in made_of.items() if was.get(name) != value]
    differ += [name for name in ("counts", "recordings", "unfinished") if name not in found]
    differ += [name for name in found["files"] if not (target / name).is_file()]
    if differ:
        raise InputError(f"{target}: holds a data set made otherwise ({listed(differ, 5)} differ). {again}")
    return found


def _section(manifest: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = manifest.get(name)
    return section if isinstance(section, dict) else {}


def _write(
    target: Path, choice: FrameChoice, drawing: Drawing, about: dict[str, Any], counts: dict[str, int]
) -> dict[str, Any]:
    beside = target.parent / f".{target.name}.{os.getpid()}.part"
    try:
        beside.mkdir(parents=True)
        try:
            files, made = write_files(beside, choice.pictures, drawing)
            manifest = {**about, "counts": made | counts, "files": files}
            (beside / MANIFEST).write_text(json.dumps(manifest, indent=1), "utf-8")
            if target.exists():
                target.rmdir()  # it is empty
            beside.rename(target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise InputError(f"--out={target.parent}: cannot be written ({error.strerror or error})") from error
    return manifest


def _recordings(captures: Sequence[Capture], choice: FrameChoice) -> dict[str, dict[str, Any]]:
    taken = Counter(chosen.capture.recording for chosen in choice.pictures)
    return {
        capture.recording: {
            "side": choice.sides[capture.recording],
            "state": capture.state,
            "angle": capture.angle,
            "source": capture.source,
            "kind": capture.kind,
            "started": capture.manifest["started"],
            "finished": capture.finished,
            "pictures": taken[capture.recording],
        }
        for capture in captures
    }
