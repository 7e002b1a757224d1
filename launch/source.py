"""L8. The code that workers run: the files that git tracks in this checkout, as they are now.

Changed files are sent as they are, so that one can try something out without a commit; files that git does not know are
not sent. The script says which of both there are, and leaves ``source.txt`` with commit and changes beside itself.
"""

from pathlib import Path

from ddad_jax.errors import InputError

CHECKOUT = Path(__file__).resolve().parents[1]


def checkout(given: str) -> str:
    """Folder whose code is sent, absolute: ``given``, or where this file lies, as programs run from the checkout."""
    return str(Path(given).absolute() if given else CHECKOUT)


def path_in_checkout(given: str, path: str) -> str:
    """``path``, below the checkout where it is relative, below a home where it begins with ~, as the programs read it.

    Raises:
      InputError: ~NAME of nobody here.
    """
    try:
        path = str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:
        raise InputError(f"--workdir={path}: no such user here; expected ~/path or a path") from None
    return path if path.startswith("/") else f"{checkout(given)}/{path}"
