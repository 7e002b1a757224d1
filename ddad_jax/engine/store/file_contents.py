"""Files known by what is in them: the same one is another spelling, another folder or a link to it."""

import hashlib

from ddad_jax.data.read import expanded


def checksum(path: str) -> str:
    """First 16 hexadecimal digits of a file's SHA-256; "" for "", and the path itself where no such file is."""
    file = expanded(path, "--config.backbone.weights")
    if not path or not file.is_file():
        return path
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:16]


def same_file(one: str, other: str) -> bool:
    """Whether two settings mean the same content. Where one of the files is gone, as after a move, its name decides:
    published weights carry the digits of their checksum in it."""
    if not one or not other:
        return one == other
    files = [expanded(path, "--config.backbone.weights") for path in (one, other)]
    if all(file.is_file() for file in files):
        return checksum(one) == checksum(other)
    return files[0].name == files[1].name
