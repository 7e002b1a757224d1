import subprocess
import tarfile
from pathlib import Path

import pytest

from ddad_jax.errors import InputError
from launch import shell, source


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "it's the checkout"
    folder.mkdir()
    for name in ("plain.py", "-dash", "two words", "gone"):
        (folder / name).write_text("first")
    (folder / "line\nbreak").write_text("first")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@b.c", *words], cwd=folder, check=True)
    return folder


def packed(folder, to):
    script = shell.HEAD + shell.body("fail.sh", "source.sh") + '\npack_source "$1" "$2" "$3"\n'
    words = ["bash", "-c", script, "bash", str(folder), str(to / "source.tar.gz"), str(to / "source.txt")]
    return subprocess.run(words, capture_output=True, text=True)


def test_tracked_files_are_packed_as_they_are_now(checkout, tmp_path):
    (checkout / "plain.py").write_text("changed")
    (checkout / "gone").unlink()
    (checkout / "untracked").touch()
    done = packed(checkout, tmp_path)
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / "source.tar.gz") as archive:
        assert sorted(archive.getnames()) == ["-dash", "line\nbreak", "plain.py", "two words"]
        assert archive.extractfile("plain.py").read() == b"changed"
    told = (tmp_path / "source.txt").read_text()
    assert "M plain.py" in told and "D gone" in told and "not sent:\nuntracked" in told
    assert told == done.stderr


def test_a_clean_tree_is_its_commit(checkout, tmp_path):
    packed(checkout, tmp_path)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True).stdout
    assert (tmp_path / "source.txt").read_text() == f"commit {commit}"


def test_packing_changes_nothing_in_the_checkout(checkout, tmp_path):
    def state():
        return subprocess.run(["git", "status", "--porcelain"], cwd=checkout, capture_output=True, text=True).stdout

    (checkout / "plain.py").write_text("changed")
    before = state()
    packed(checkout, tmp_path)
    assert state() == before


def test_a_folder_without_git_is_refused(tmp_path):
    done = packed(tmp_path, tmp_path)
    assert done.returncode == 2 and "is no git checkout" in done.stderr
    assert not (tmp_path / "source.tar.gz").exists()


def test_relative_paths_lie_in_the_checkout():
    assert source.path_in_checkout("/a b", "runs/x") == "/a b/runs/x"
    assert source.path_in_checkout("/a", "/b/x") == "/b/x"
    assert source.path_in_checkout("/a", "~/x") == str(Path.home() / "x")
    with pytest.raises(InputError, match="--workdir=~no body/x: no such user"):
        source.path_in_checkout("/a", "~no body/x")
    assert (source.CHECKOUT / "pyproject.toml").is_file() and source.checkout("") == str(source.CHECKOUT)
