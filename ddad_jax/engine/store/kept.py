"""A file that is kept with what made it: one way to write it, to know it again, and to do without it.

By its ending a file holds arrays (``.npz``, what made it as JSON in the array ``made_of``) or, for people to read,
values of JSON (``.json``, what made it under ``made_with``, or beside the other values where there is no such part).
Files are replaced as a whole, so that a kill leaves the old one or the new.
"""

import json
import logging
import shutil
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ddad_jax.data.json_file import parsed
from ddad_jax.engine.store.tables import plain, replacing, write_text
from ddad_jax.errors import InputError, first_line

log = logging.getLogger(__name__)

Content = dict[str, Any]
"""Name -> array, or value of JSON."""

Holds = Collection[str] | Mapping[str, type]
"""Names that a content must have; with a type where JSON could say them otherwise."""

_DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    MemoryError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading says of a file that is cut off, has other bytes than were written, or is none of ours at all; a flipped
bit in a header may ask for a password or a compression that nobody knows, which zipfile calls a RuntimeError."""

_SAID: set[tuple[Path, str]] = set()
"""What the log says already of files that could not be used."""


def save_content(path: Path, content: Mapping[str, Any], made_with: Mapping[str, Any], *, packed: bool = False) -> None:
    """Write the file, as a whole or not at all.

    Args:
      content: arrays for .npz, values of JSON for .json (what that has no form for as ``tables.plain`` says it).
      made_with: all that tells this content from another of the same name; values of JSON.
      packed: compress the arrays; pictures become smaller, floats only slower.

    Raises:
      InputError: it cannot be written.
    """
    if path.suffix == ".json":
        write_text(path, json.dumps(plain({**content, **({"made_with": made_with} if made_with else {})}), indent=1))
    else:
        arrays: Any = {name: np.asarray(array) for name, array in content.items()}
        if objects := [name for name, array in arrays.items() if array.dtype.hasobject]:
            raise TypeError(f"{path}: {objects} would be pickled")
        with replacing(path) as file:
            how = np.savez_compressed if packed else np.savez
            how(file, **arrays, made_of=np.array(json.dumps(plain(made_with))))
    _forget_words(path)


def load_content(
    path: Path,
    made_with: Mapping[str, Any],
    holds: Holds = (),
    *,
    usual: Mapping[str, Any] | None = None,
    more: bool = False,
    otherwise: str = "it is made anew",
) -> Content | None:
    """The content of a file that was made with this; None of one that is absent, damaged or of something else, which
    the log says once.

    Args:
      holds: what the content must have; a file without is of something else.
      usual: what a file was made with that says nothing of these names, as one from before a setting existed.
      more: ``made_with`` may say more than the file does, as the row of a table.
      otherwise: what happens now, for the log.
    """
    if not path.exists():
        _say_once(path, logging.DEBUG, f"{path}: is not there: {otherwise}")
        return None
    try:
        content, there = read_content(path, mend=f"{otherwise[:1].upper()}{otherwise[1:]}")
    except InputError as error:
        _say_once(path, logging.WARNING, str(error))
        return None
    if lacking := _lacking(content, holds):
        _say_once(path, logging.INFO, f"{path}: is of something else (it has no {lacking}): {otherwise}")
        return None
    now = plain(made_with)
    if not there and path.suffix == ".json":
        there = {name: plain(content.pop(name)) for name in now if name in content}
    if there and usual:
        there, now = ({**plain(usual), **one} for one in (there, now))
    if more and there:
        now = {name: value for name, value in now.items() if name in there}
    if differing := provenance_differences(there, now):
        _say_once(path, logging.INFO, f"{path}: is of something else ({'; '.join(differing[:3])}): {otherwise}")
        return None
    return content


def read_content(path: Path, holds: Holds = (), *, mend: str = "Delete it") -> tuple[Content, dict[str, Any]]:
    """(content, what it was made with), for who must have the file and judge by himself whether it is the one.

    Args:
      holds: what the content must have.
      mend: what to do where it cannot be used.

    Raises:
      InputError: it is missing or damaged, or does not hold that.
    """
    if not path.exists():
        raise InputError(f"{path}: is missing; expected what a run keeps there. {mend}")
    try:
        content, made_with = _values(path) if path.suffix == ".json" else _arrays(path)
    except _DAMAGED as error:
        # What NumPy and zipfile say advises on their own arguments.
        reason = first_line(error) if path.suffix == ".json" else type(error).__name__
        why = getattr(error, "strerror", None) or f"damaged: {reason}"
        raise InputError(f"{path}: cannot be read ({why}); expected what a run keeps there. {mend}") from None
    if lacking := _lacking(content, holds):
        raise InputError(f"{path}: has no {lacking}; expected what a run keeps there. {mend}")
    return content, made_with


def remove_paths(*paths: Path) -> None:
    """Remove files, and folders of them, that may be there."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        _forget_words(path)


def provenance_differences(there: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Of two ``made_with`` that are values of JSON: "name: there 1, now 2" for each name that tells them apart."""
    names = [name for name in sorted({**now, **there}) if there.get(name) != now.get(name)]
    return [f"{name}: there {_short(there.get(name))}, now {_short(now.get(name))}" for name in names]


def _values(path: Path) -> tuple[Content, dict[str, Any]]:
    content = parsed(path.read_bytes(), constants=True)
    if not isinstance(content, dict):
        raise TypeError(f"{_short(content)} is no object")
    made_with = content.pop("made_with", {})
    if not isinstance(made_with, dict):
        raise TypeError(f"made_with = {_short(made_with)} is no object")
    return content, plain(made_with)


def _arrays(path: Path) -> tuple[Content, dict[str, Any]]:
    """Every array is read, so that the checksums of all hold."""
    with np.load(path, allow_pickle=False) as archive:
        content = {name: archive[name] for name in archive.files}
    made_of = parsed(str(content.pop("made_of")), constants=True) if "made_of" in content else {}
    # Files of before may have several objects in a list, or lists of words, which say nothing that can be compared.
    parts = made_of if isinstance(made_of, list) else [made_of]
    return content, {name: plain(value) for part in parts if isinstance(part, dict) for name, value in part.items()}


def _lacking(content: Content, holds: Holds) -> str:
    types: Mapping[str, type] = holds if isinstance(holds, Mapping) else dict.fromkeys(holds, object)
    return ", ".join(name for name, kind in types.items() if name not in content or not isinstance(content[name], kind))


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else text[:99] + "…"


def _say_once(path: Path, level: int, sentence: str) -> None:
    if (path, sentence) not in _SAID:
        _SAID.add((path, sentence))
        log.log(level, "%s", sentence)


def _forget_words(path: Path) -> None:
    """What is true of a new file is said again."""
    _SAID.difference_update([logged for logged in _SAID if logged[0] == path])
