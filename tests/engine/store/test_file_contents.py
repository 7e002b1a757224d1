"""A file is known by what is in it."""

import hashlib
from pathlib import Path

import pytest

from ddad_jax.engine.store.file_contents import checksum, same_file, why_another


def test_spellings_copies_and_links_of_one_file_are_one_and_another_content_is_not(tmp_path: Path) -> None:
    one, copy, link, other = (tmp_path / name for name in ("a.pth", "b.pth", "c.pth", "d.pth"))
    one.write_bytes(b"1")
    copy.write_bytes(b"1")
    link.symlink_to(one)
    other.write_bytes(b"2")
    for same in (copy, link, tmp_path / "." / "a.pth"):
        assert same_file(str(one), str(same)) and checksum(str(one)) == checksum(str(same))
    assert not same_file(str(one), str(other)) and not same_file("", str(one)) and same_file("", "")


def test_where_the_file_was_moved_a_published_name_decides(tmp_path: Path) -> None:
    digits = hashlib.sha256(b"1").hexdigest()
    for name in (f"net-{digits[:8]}.pth", f"net-{digits[:20]}.npz"):
        (tmp_path / name).write_bytes(b"1")
        for old, new in ((f"/gone/{name}", str(tmp_path / name)), (str(tmp_path / name), f"/gone/{name}")):
            assert same_file(old, new)
        assert same_file(f"/gone/{name}", f"/gone/too/{name}")
        assert not same_file(f"/gone/other-{digits[:8]}.pth", str(tmp_path / name))


@pytest.mark.parametrize("name", ["net.pth", "model-v2.pth", "net-2024.pth", "net-20240101.pth", "net-deadbeef.pth"])
def test_another_name_says_nothing_of_a_file_that_is_gone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"1")
    old, new = f"/gone/{name}", str(tmp_path / name)
    assert not same_file(old, new) and not same_file(new, old)
    assert f"{old} is gone" in why_another(old, new) and not why_another(new, new)
    assert same_file(old, old)
