"""L1. Names of files that can be written into a table, a report and a journal: those that are UTF-8."""

from pathlib import Path

from ddad_jax.errors import InputError


def printable_name(text: str) -> str:
    r"""With bytes that are no UTF-8 as escapes.

    >>> printable_name("gr\udcfcn.png")
    'gr\\xfcn.png'
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def require_utf8(path: Path) -> Path:
    """The path itself.

    Raises:
      InputError: its name is in another encoding, as of an archive made on an old Windows.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{printable_name(str(path))}: its name is not UTF-8 (bytes that are not are shown as \\x..), so no report "
            "could name it. Rename it, for example all of a folder by: convmv -f latin1 -t utf8 -r --notest FOLDER"
        ) from None
    return path
