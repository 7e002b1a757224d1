"""Hosts by ssh: what the remote shell makes of the rendered line, and a run of two hosts through a stand-in for ssh."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import processes
import pytest
import quick_python
from launched import SOME, Bench, lines

from ddad_jax.errors import InputError
from launch import same, witness
from launch.job import Job
from launch.show import rendered_text
from launch.targets.ssh import SshSettings, render_ssh

ROOT = Path(__file__).parents[2]
RENDERED = Path(__file__).parent / "rendered"
JOB = Job("experiments.sweep", ("--config=c.py", "--workdir=/nfs/a b", "--config.data.root=it's $(here)"), "/nfs/a b")
SETTINGS = SshSettings(hosts=("a", "me@b.example"), directory="/home/me/dd ad", setup="module load cuda", here="python")
HOSTILE = [
    "--a= b", "--b='", '--c="', "--d=$(touch HARM)", "--e=`touch HARM`", "--f=; touch HARM", "--g=a\nb", "--h=\\",
    "--i=$HOME", "--j=ü 漢 🥫", "--k=!!", "--l=*", "--m=~", "--n=#", "--o=&& touch HARM", "--p=\t", "--q=",
    "", "--r=>HARM", "--s={a,b}",
]  # fmt: skip
FAKE = """#!/usr/bin/env bash
# As ssh and the sshd behind it: options, host, then one line for the shell there.
while [ "${1:0:1}" = - ]; do shift 2; done
host=$1; shift
[ "$host" = locked ] && { echo "me@locked: Permission denied (publickey)." >&2; exit 255; }
[ "$host" = other ] && export OTHER=1
cd / && exec bash -c "$*"
"""
ECHO = """#!{python}
import json, os, sys
print(json.dumps([sys.argv[1:], os.getcwd()]))
"""


@pytest.fixture
def fake_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on PATH with ssh in it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ssh").write_text(FAKE)
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return folder


@pytest.mark.parametrize("shards", [1, 2])
def test_what_is_rendered(shards: int) -> None:
    found = rendered_text(render_ssh(JOB._replace(shards=shards), SETTINGS), Path("/nfs/a b/launch"))
    found = re.sub(r"# warning: ssh is not on.*\n", "", found)
    assert found.rstrip() == (RENDERED / f"ssh_{shards}.txt").read_text().rstrip()


def test_hostile_arguments_reach_the_program_as_they_are(fake_ssh: Path, tmp_path: Path) -> None:
    directory = tmp_path / 'it\'s a "$(touch HARM)" ; folder\n#'
    directory.mkdir()
    echo = tmp_path / "bin" / "echo argv"
    echo.write_text(ECHO.format(python=sys.executable))
    echo.chmod(0o755)
    python = f"'{echo}'"
    workdir = "/nfs/$(touch HARM) 'x'"
    job = Job("experiments.sweep", (*HOSTILE, f"--workdir={workdir}"), workdir)
    settings = SETTINGS._replace(directory=str(directory), python=python, setup="true")
    files = render_ssh(job, settings).files

    def said(name: str, command: str) -> Any:
        done = subprocess.run(json.loads(files[name])[command], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    argv, folder = said("processes.json", "process 1 on me@b.example")
    found = ["--coordinator=a:8476", "--num_processes=2", "--process_id=1"]
    own = ["-u", "-m", "experiments.sweep", *job.arguments, *found]
    assert argv == ["-m", "launch.leash", str(echo), *own]
    assert Path(folder) == directory.resolve()
    assert said("hosts.json", "a")[0] == ["-m", "launch.witness", workdir, "--leave"]
    assert not list(Path("/").glob("HARM")) and not list(tmp_path.rglob("HARM"))


def test_a_home_folder_is_left_to_the_host(fake_ssh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my checkout").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = SETTINGS._replace(directory="~/my checkout", python="pwd; :", setup="")
    line = json.loads(render_ssh(JOB, settings).files["hosts.json"])["a"]
    line[-1] = line[-1].partition(" && ")[0] + " && pwd"
    assert subprocess.run(line, capture_output=True, text=True).stdout.strip() == str(tmp_path / "my checkout")


def test_nothing_is_done_where_there_is_no_checkout(fake_ssh: Path, tmp_path: Path) -> None:
    settings = SETTINGS._replace(directory="nowhere", python="echo", setup=f"cd {tmp_path}; touch HARM;")
    line = json.loads(render_ssh(JOB, settings).files["hosts.json"])["a"]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode and not done.stdout and "nowhere" in done.stderr
    assert not (tmp_path / "HARM").exists()
    line = json.loads(render_ssh(JOB, settings._replace(directory=str(tmp_path))).files["hosts.json"])["a"]
    assert "launch.witness" in subprocess.run(line, capture_output=True, text=True, check=True).stdout
    assert (tmp_path / "HARM").exists()


@pytest.mark.parametrize(
    ("changes", "shards", "says"),
    [
        ({"hosts": ()}, 1, "--hosts is missing"),
        ({"hosts": ("a", "-oProxyCommand=x")}, 1, "--hosts='-oProxyCommand=x'"),
        ({"hosts": ("a b",)}, 1, "--hosts='a b'"),
        ({"hosts": ("a", "a")}, 1, "a is there twice"),
        ({"directory": ""}, 1, "--directory is missing"),
        ({"setup": "a\nb"}, 1, "on one line"),
        ({"port": 70000}, 1, "--port=70000"),
        ({"address": "a:1"}, 1, "--address='a:1'"),
        ({"python": "'"}, 1, '--python="\'": expected an interpreter'),
        ({"here": "'"}, 1, '--here="\'": expected an interpreter'),
        ({}, 3, "--shards=3: expected one for each of the 2 hosts"),
    ],
)
def test_settings_that_cannot_be_are_named(changes: dict[str, Any], shards: int, says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        render_ssh(JOB._replace(shards=shards), SETTINGS._replace(**changes))


# --- Before anything runs ------------------------------------------------------------------------------------------


def witnesses(workdir: Path, *hosts: str, python: str = sys.executable, directory: Path = ROOT) -> dict[str, list[str]]:
    settings = SETTINGS._replace(hosts=hosts, directory=str(directory), python=f"'{python}'", setup="true")
    return json.loads(render_ssh(JOB._replace(workdir=str(workdir)), settings).files["hosts.json"])


def test_hosts_that_share_workdir_and_code_pass(fake_ssh: Path, tmp_path: Path) -> None:
    same.require_same_hosts(witnesses(tmp_path / "w", "a", "b", "c"))
    assert (tmp_path / "w").is_dir()


def test_what_is_wrong_with_each_host_is_said_at_once(
    fake_ssh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # "other" has another folder under the same path, and other code.
    odd = tmp_path / "odd"
    odd.write_text(
        f'#!/usr/bin/env bash\n[ -z "$OTHER" ] && exec {sys.executable} "$@"\n'
        f'exec {sys.executable} -c \'from launch import witness; witness.WAIT_S = 0; witness.code_hash = lambda: "0"; '
        f'witness.main(["{tmp_path}/elsewhere"])\'\n'
    )
    odd.chmod(0o755)
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(InputError) as error:
        same.require_same_hosts(witnesses(tmp_path / "w", "a", "locked", "other", python=str(odd)))
    said = str(error.value)
    assert "locked: no log in by ssh (me@locked: Permission denied (publickey).)" in said
    assert "ssh -o BatchMode=yes locked true must work" in said
    assert "other does not see in --workdir what a wrote there" in said
    assert f"other has other code than a (hash 0 and {witness.code_hash()})" in said


def test_a_host_without_the_checkout_is_named(fake_ssh: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a: .*No such file.*Expected a checkout in --directory"):
        same.require_same_hosts(witnesses(tmp_path / "w", "a", directory=tmp_path / "nowhere"))


# --- A run ---------------------------------------------------------------------------------------------------------


def test_what_runs_on_two_hosts_ends_with_the_launcher(bench: Bench, fake_ssh: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "w"
    flags = f"--hosts=a,b --address=127.0.0.1 --port={processes.free_port()} --directory={ROOT} --python={bench.python}"
    setup = "--setup=export XLA_FLAGS=--xla_force_host_platform_device_count=2"
    # So many that some are left when the signal arrives.
    w = tuple(i / 10 for i in range(60))
    command = ["experiments.sweep", f"--config={bench.config}", f"--workdir={workdir}", f"--config.sweep.w={w}"]
    words = ["-m", "launch.run", "--target=ssh", "--execute", *flags.split(), setup, "--", *command]

    launch, journal = bench.start(*words), workdir / "journal.jsonl"
    until = time.monotonic() + 120
    while lines(journal) < SOME:
        assert launch.poll() is None and time.monotonic() < until, launch.communicate(timeout=5)[0]
        time.sleep(0.005)
    launch.send_signal(signal.SIGINT)
    printed, _ = launch.communicate(timeout=60)
    assert launch.returncode == 128 + signal.SIGINT, printed
    assert "2 hosts answer, share the workdir and have the same code" in printed
    for k in (0, 1):
        pid = quick_python.pid_of(bench.python, "experiments.sweep", f"--process_id={k}")
        with pytest.raises(ProcessLookupError):
            os.kill(pid or 0, 0)
    assert lines(journal) < len(w) and not (workdir / "results.csv").exists()
