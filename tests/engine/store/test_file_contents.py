"""A file is known by what is in it."""

from pathlib import Path

from ddad_jax.engine.store.file_contents import checksum, same_file


def test_spellings_copies_and_links_of_one_file_are_one_and_another_content_is_not(tmp_path: Path) -> None:
    one, copy, link, other = (tmp_path / name for name in ("a.pth", "b.pth", "c.pth", "d.pth"))
    one.write_bytes(b"1")
    copy.write_bytes(b"1")
    link.symlink_to(one)
    other.write_bytes(b"2")
    for same in (copy, link, tmp_path / "." / "a.pth"):
        assert same_file(str(one), str(same)) and checksum(str(one)) == checksum(str(same))
    assert not same_file(str(one), str(other)) and not same_file("", str(one)) and same_file("", "")


def test_where_the_file_was_moved_its_name_decides(tmp_path: Path) -> None:
    (tmp_path / "net-1234.pth").write_bytes(b"1")
    assert same_file("/gone/net-1234.pth", str(tmp_path / "net-1234.pth"))
    assert not same_file("/gone/net-5678.pth", str(tmp_path / "net-1234.pth"))
