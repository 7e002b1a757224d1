"""L1. A JSON file read, the one way there is, whoever wrote it.

UTF-8 with or without a byte order mark (as editors on Windows save it), UTF-16 and UTF-32, any line ends. An object
that has one name twice is refused: another reader may take the other value. So are NaN and infinities, which no JSON
has, and numbers that are read as such, unless they may be this program's own.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ddad_jax.errors import InputError, first_line


def read_json(path: str | Path, *, mend: str, what: str = "", constants: bool = False) -> Any:
    """What the file holds.

    Args:
      mend: the end of the message: what to do about it.
      what: the file is, for the message, such as "mask of the view".
      constants: NaN and infinities are read, as Python writes them.

    Raises:
      InputError: the file is missing, a folder, may not be read, or holds no JSON; it is named.
    """
    try:
        return parsed(Path(path).read_bytes(), constants=constants)
    except (OSError, ValueError) as error:
        why = (isinstance(error, OSError) and error.strerror) or first_line(error)
        raise InputError(f"{path}{f' ({what})' if what else ''}: cannot be read ({why}). {mend}") from None


def read_object(path: str | Path, *, mend: str, what: str = "", constants: bool = False) -> dict[str, Any]:
    """``read_json`` of a file whose outermost value is an object.

    Raises:
      InputError: as ``read_json``; it is another value.
    """
    found = read_json(path, mend=mend, what=what, constants=constants)
    if not isinstance(found, dict):
        raise InputError(f"{path}: expected a JSON object, found {str(found)[:60]!r}. {mend}")
    return found


def parsed(content: bytes | str, *, constants: bool = False) -> Any:
    """The value; ``content``: of a file, or text of it.

    Raises:
      ValueError: no JSON, in no encoding that JSON has, or nested too deeply.
    """
    content = text_of(content) if isinstance(content, bytes) else content
    hooks: dict[str, Any] = {"parse_constant": _no_constant, "parse_float": _finite, "parse_int": _finite_int}
    try:
        return json.loads(content, object_pairs_hook=_object, **({} if constants else hooks))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def text_of(content: bytes) -> str:
    """Of a file of JSON or CSV, without its byte order mark.

    Raises:
      UnicodeDecodeError: it is in another encoding.
    """
    return content.decode(json.detect_encoding(content)).removeprefix("\ufeff")


def _object(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands twice in one object")
    return found


def _finite(text: str) -> float:
    if math.isinf(value := float(text)):
        raise ValueError(f"{text[:20]} is too large for a number")
    return value


def _finite_int(text: str) -> int:
    _finite(text)  # it may be used as one
    return int(text)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")
