"""Files known by what is in them: the same one is another spelling, another folder or a link to it."""

import hashlib
import re
from pathlib import Path

from ddad_jax.data.read import expanded

_PUBLISHED = re.compile(r"-([0-9a-f]{8,64})\.\w+$")
"""Names of published weights end with the first digits of their SHA-256."""


def checksum(path: str) -> str:
    """First 16 hexadecimal digits of a file's SHA-256; "" for "", and the path itself where no such file is."""
    file = _file(path)
    if not path or not file.is_file():
        return path
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:16]


def same_file(one: str, other: str) -> bool:
    """Whether two settings mean the same content. Where one of the files is gone, as after a move, its name decides if
    it ends with digits of the content's checksum, as those of published weights do; else they are two."""
    if not one or not other or one == other:
        return one == other
    files = [_file(path) for path in (one, other)]
    present = [file for file in files if file.is_file()]
    if len(present) == len(files):
        return checksum(one) == checksum(other)
    digits = _PUBLISHED.search(files[0].name)
    if not digits or files[0].name != files[1].name:
        return False
    return all(checksum(str(file)).startswith(digits[1][:16]) for file in present)


def why_another(one: str, other: str) -> str:
    """What to add to "there one, now the other": which of the files cannot be looked into; "" where both can."""
    gone = [path for path in (one, other) if path and not _file(path).is_file()]
    if not gone:
        return ""
    return f" ({gone[0]} is gone, and no checksum in its name tells; if it is the same, put a link to it there)"


def _file(path: str) -> Path:
    return expanded(path, "--config.backbone.weights")
