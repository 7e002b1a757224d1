import subprocess

import pytest
from launch_fakes import HOSTILE

from ddad_jax.errors import InputError
from launch import shell
from launch.job import Job


def job(*arguments, program="experiments.sweep", shards=1):
    return Job(program, arguments, "runs/a", shards)


def test_values_reach_a_script_byte_for_byte(tmp_path):
    values = {"words": HOSTILE, "word": HOSTILE[4], "none": (), "empty": "", "yes": True, "no": False, "number": 7}
    script = shell.HEAD + shell.variables(values)
    script += 'printf "%s\\0" "${words[@]}" "$word" "${#none[@]}" "$empty" "$yes" "$no" "$number"'
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == [*HOSTILE, HOSTILE[4], "0", "", "1", "", "7"]
    assert not list(tmp_path.iterdir())


def test_the_command_is_python_the_program_and_its_flags():
    found = shell.argv("python3 -X 'a b'", job("--x=1 2"), "--shard=0/2")
    assert found == ("python3", "-X", "a b", "-u", "-m", "experiments.sweep", "--x=1 2", "--shard=0/2")


@pytest.mark.parametrize("python", ["", "  ", "it's"])
def test_an_interpreter_that_is_none(python):
    with pytest.raises(InputError, match="^--slurm_python.*interpreter"):
        shell.argv(python, job(), name="--slurm_python")


@pytest.mark.parametrize(
    "given",
    ["--coordinator=h:1", "-process_id=0", "--num_processes", "--shard=0/2", "--models_only", "--nomodels_only"],
)
def test_flags_of_the_launch_are_not_the_users(given):
    with pytest.raises(InputError, match="the launch sets"):
        shell.check_job(job(given))


@pytest.mark.parametrize("given", ["--sharding=1", "--config.shard=1", "shard", "--name=--shard"])
def test_other_flags_are(given):
    shell.check_job(job(given))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (job("a\0b"), "NUL"),
        (job(program="os; rm"), "a module such as"),
        (job(shards=0), "--shards=0"),
        (job(program="experiments.train", shards=2), "--shards=2"),
    ],
)
def test_what_no_launch_can_do_is_refused(asked, told):
    with pytest.raises(InputError, match=told):
        shell.check_job(asked)


def test_shards_are_refused_with_the_reason_of_the_target():
    with pytest.raises(InputError, match="--shards=2: expected 1, as it is one pod"):
        shell.check_job(job(shards=2), shards_by="as it is one pod")
