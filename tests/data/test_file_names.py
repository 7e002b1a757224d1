"""Names that no report could hold are refused where they enter."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ddad_jax.data.listing import picture_files, subfolders
from ddad_jax.errors import InputError
from ddad_jax.sources.folder import Folder


@pytest.mark.parametrize("entry", [picture_files, Folder])
def test_pictures_are_refused_by_name(tmp_path: Path, entry: Callable[[Path], object]) -> None:
    (tmp_path / os.fsdecode(b"gr\xfcn.png")).write_bytes(b"")
    with pytest.raises(InputError, match=r"gr\\xfcn.png: its name is not UTF-8.*Rename") as refused:
        entry(tmp_path)
    str(refused.value).encode()


def test_kinds_are_refused_by_name_and_utf8_is_not(tmp_path: Path) -> None:
    (tmp_path / "grün").mkdir()
    assert subfolders(tmp_path)
    (tmp_path / os.fsdecode(b"sch\xe4den")).mkdir()
    with pytest.raises(InputError, match=r"sch\\xe4den"):
        subfolders(tmp_path)
