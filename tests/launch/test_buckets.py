import subprocess

import pytest

from ddad_jax.errors import InputError
from launch import buckets, shell
from launch.job import Job


def job(*arguments, workdir="runs/a"):
    return Job("experiments.sweep", arguments, workdir)


def test_every_gs_argument_becomes_a_folder():
    given = job(
        "--workdir=gs://my-bucket/runs/a b", "--config.data.root", "gs://pictures.example.com/sets/", "--name=x gs://no",
        workdir="gs://my-bucket/runs/a b",
    )  # fmt: skip
    found, names = buckets.mounted(given, "/m")
    assert found.arguments == (
        "--workdir=/m/my-bucket/runs/a b", "--config.data.root", "/m/pictures.example.com/sets", "--name=x gs://no",
    )  # fmt: skip
    assert found.workdir == "/m/my-bucket/runs/a b"
    assert names == ("my-bucket", "pictures.example.com")


def test_folders_stay_as_they_are():
    assert buckets.mounted(job("--workdir=runs/a", "-x")) == (job("--workdir=runs/a", "-x"), ())


@pytest.mark.parametrize(
    "url",
    [
        "gs://", "gs://My-bucket/a", "gs://ab/c", "gs://-ab/c", "gs://a bucket/c", "gs://bucket/../other", "gs://bucket/./a",
        "gs://bucket//a", "gs://bucket/a\nb", "gs://$(touch pwned)/a", "gs://" + "a" * 64 + "/b",
    ],
)  # fmt: skip
def test_what_no_bucket_can_be_is_refused_with_its_flag(url):
    with pytest.raises(InputError, match="--config.data.root=.*expected"):
        buckets.mounted(job(f"--config.data.root={url}"))


def test_targets_on_plain_folders_say_how_to_mount():
    buckets.need_folders(job("--workdir=runs/a"), "local")
    with pytest.raises(
        InputError, match="--target=local .*gcsfuse .* bucket .*and give /tmp/ddad-buckets/bucket/runs/a"
    ):
        buckets.need_folders(job(workdir="gs://bucket/runs/a"), "local")
    with pytest.raises(InputError, match="--config.data.root=gs://pictures: --target=ssh"):
        buckets.need_folders(job("--config.data.root=gs://pictures"), "ssh")


def checked(folder, workdir_bucket="bucket", before=""):
    """scripts/buckets.sh on a folder that stands for a mounted bucket."""
    values = {
        "workdir_bucket": workdir_bucket,
        "workdir_url": "gs://bucket/a",
        "role": buckets.ROLE,
        "folder": str(folder),
    }
    script = shell.HEAD + shell.variables(values) + shell.body("fail.sh", "buckets.sh")
    script += f'\naccount() {{ echo me@example.com; }}\n{before}\ncheck_workdir "$folder"\n'
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True)


def test_a_folder_that_does_all_a_run_needs_passes_and_is_left_empty(tmp_path):
    assert checked(tmp_path).returncode == 0
    assert not list(tmp_path.iterdir())


def test_a_bucket_that_cannot_be_written_is_told_with_account_and_role(tmp_path):
    (tmp_path / "file").touch()
    done = checked(tmp_path / "file")
    assert done.returncode == 2
    for word in (
        "gs://bucket/a cannot be written",
        "me@example.com",
        "roles/storage.objectUser",
        "add-iam-policy-binding",
    ):
        assert word in done.stderr


def test_a_bucket_whose_folders_cannot_be_renamed_is_told(tmp_path):
    flat = 'mv() { [ ! -d "${@: -2:1}" ] && command mv "$@"; }'
    done = checked(tmp_path, before=flat)
    assert done.returncode == 2 and "--enable-hierarchical-namespace" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_plain_folder_is_not_tried(tmp_path):
    assert checked(tmp_path / "not there", workdir_bucket="").returncode == 0
