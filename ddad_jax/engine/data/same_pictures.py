"""Pictures known by what they show and what they are called in their category's folder, however that is spelled.

Names of pictures are relative to ``data.root``, so ``root=sets, category=part`` and ``root=sets/part`` name the same
files differently. A workdir counts them under the names that its first run gave them, which data.json notes as "below".
"""

import contextlib
from pathlib import Path, PurePosixPath
from typing import Any

from ddad_jax.data import ImageSet
from ddad_jax.data.split import images_fingerprint
from ddad_jax.engine.settings.sections import DataSettings
from ddad_jax.engine.store import kept
from ddad_jax.errors import InputError


def category_prefix(kind: str, category: str) -> str:
    """What names of pictures begin with: "part/"; "" where no category's folder is part of them.

    >>> category_prefix("folder", "./part/"), category_prefix("folder", "."), category_prefix("visa", "candle")
    ('part/', '', '')
    """
    folder = PurePosixPath(category)
    return f"{folder}/" if kind == "folder" and folder.parts else ""


def first_below(workdir: Path, data: DataSettings) -> str:
    """``category_prefix`` of the run that first opened the workdir; that of ``data`` where nobody did."""
    own = category_prefix(data.kind, data.category)
    known = _read(workdir / "data.json")
    if not known or data.kind != "folder":
        return own
    if isinstance(known.get("below"), str):
        return known["below"]
    # Before names were counted so, the config beside it had the category that they began with.
    saved = _read(workdir / "config.json").get("data")
    if not isinstance(saved, dict):
        return own
    return category_prefix(str(saved.get("kind", "folder")), str(saved.get("category", "")))


def fingerprint_in(workdir: Path, data: DataSettings, images: ImageSet) -> str:
    """``images_fingerprint`` of pictures of a run of ``data`` as the workdir counts them."""
    own, first = category_prefix(data.kind, data.category), first_below(workdir, data)
    if own == first:
        return images_fingerprint(images)
    return images_fingerprint(images._replace(names=tuple(first + name.removeprefix(own) for name in images.names)))


def _read(path: Path) -> dict[str, Any]:
    """Empty where there is no such file, or nothing readable in it: ``workdir`` refuses that by name."""
    with contextlib.suppress(InputError):
        return kept.read_content(path)[0]
    return {}
