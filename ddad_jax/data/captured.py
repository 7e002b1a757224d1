"""L1. Where the pictures of a data set made from recordings come from: ``manifest.json`` in its category's folder.

The folder is in MVTec AD layout (`ddad_jax.data.folder`); file names carry the recording, RECORDING_000012.png. The
manifest holds ``format``, what the set was made with, and under ``files`` one object for each picture, keyed by its
path in the category ("train/good/RECORDING_000012.png"): ``recording``, ``source``, ``index``, ``seconds``,
``sha256`` of the file, and ``mask`` (how the defect was come to know of; null where it is not).
``ddad_jax/engine/captures/assembling.py`` writes it.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ddad_jax.data.json_file import parsed
from ddad_jax.data.names import require_inside
from ddad_jax.errors import InputError

MANIFEST = "manifest.json"
FORMAT = "ddad_jax captured data set 1"
_FAMILY = FORMAT.rpartition(" ")[0]
_MEND = f"Make the data set again (python -m experiments.dataset), or remove {MANIFEST} to do without recordings"


def read_manifest(category_folder: str | Path) -> dict[str, Any] | None:
    """The manifest; None where there is none, or where the file is another program's.

    Raises:
      InputError: it cannot be read, is damaged, of another version, or names a picture outside its folder.
    """
    file = Path(category_folder) / MANIFEST
    try:
        found = parsed(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file}: cannot be read ({error}). {_MEND}.") from None
    form = found.get("format") if isinstance(found, dict) else None
    if not (isinstance(form, str) and form.startswith(_FAMILY)):
        return None
    if form != FORMAT:
        raise InputError(f"{file}: format {form!r}, expected {FORMAT!r}. {_MEND}.")
    files = found.get("files")
    if not (isinstance(files, dict) and files and all(_is_entry(entry) for entry in files.values())):
        raise InputError(f"{file}: 'files' does not name a recording for each picture. {_MEND}.")
    for key in files:
        require_inside(key, f"{file}: 'files'", mend=_MEND)
    return found


def recordings_of(category_folder: str | Path, names: Sequence[str]) -> tuple[str, ...] | None:
    """The recording of each picture.

    Args:
      category_folder: ROOT/CATEGORY, which holds ``train`` and ``test``.
      names: of pictures as in `ddad_jax.data.ImageSet`: paths that end in PART/KIND/FILE.

    Returns:
      [n], or None where the set was not made from recordings.

    Raises:
      InputError: as `read_manifest`; a picture that the manifest does not know.
    """
    manifest = read_manifest(category_folder)
    if manifest is None:
        return None
    keys = ["/".join(PurePosixPath(name).parts[-3:]) for name in names]
    unknown = [key for key in keys if key not in manifest["files"]]
    if unknown:
        raise InputError(
            f"{Path(category_folder) / MANIFEST}: does not know {len(unknown)} of the pictures, {unknown[0]} for one; "
            f"they were added by hand. Remove them. {_MEND}."
        )
    return tuple(manifest["files"][key]["recording"] for key in keys)


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("recording"), str) and bool(entry["recording"])
