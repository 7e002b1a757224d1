"""The command line: what is launched is checked first, shown by default, and done only with --execute."""

import re
from pathlib import Path

import pytest
from launched import Bench

from ddad_jax.errors import InputError
from launch import asked

DEMO = "experiments.sweep --config=experiments/configs/demo.py --workdir={w}"
CASES = {
    "no program": ("--target=local", r"expected a command behind --, as in: python -m launch\.run --target=local -- "),
    "no target": (f"-- {DEMO}", r"--target is missing"),
    "unknown target": (f"--target=cloud -- {DEMO}", r"target.*local"),
    "stray word": (f"--target=local two -- {DEMO}", r"two: not a flag"),
    "unknown flag": (f"--target=local --proceses=2 -- {DEMO}", r"proceses"),
    "a flag of others": (f"--target=local --slurm_nodes=2 -- {DEMO}", r"--slurm_nodes=2: belongs to --target=slurm"),
    "hosts for local": (f"--target=local --hosts=a,b -- {DEMO}", r"--hosts=a,b: belongs to --target=ssh"),
    "a file of hosts": (f"--target=ssh --hosts=@nowhere --directory=. -- {DEMO}", r"--hosts=@nowhere: cannot be read"),
    "no shards": (f"--target=local --shards=0 -- {DEMO}", r"shards"),
    "somebody else's": ("--target=local -- rm -rf {w}", r"behind -- stands 'rm': expected one of"),
    "no interpreter": (f"--target=local --python=' -- {DEMO}", r"^error: --python=\S+: expected an interpreter"),
    "no config file": ("--target=local -- experiments.sweep --config=no.py --workdir={w}", r"not start: .*no\.py"),
    "no workdir": (
        "--target=local -- experiments.sweep --config=experiments/configs/demo.py", r"would not start: .*--workdir",
    ),
    "unknown setting": (f"--target=local -- {DEMO} --config.sampel.w=1", r"sampel\.w: there is no such setting"),
    "unknown flag there": (f"--target=local -- {DEMO} --stepps=1", r"would not start: .*stepps"),
    "out of range": (f"--target=local -- {DEMO} --config.sample.w=-1", r"would not start: .*w=-1"),
    "too many shards": (
        f"--target=local --shards=99 -- {DEMO}",
        r"--shards=99: the grid has \d+ points to reconstruct; expected at most",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_launched_is_one_error_and_nothing_is_written(bench: Bench, tmp_path: Path, case: str) -> None:
    flags, says = CASES[case]
    words = [word.format(w=tmp_path / "w") for word in flags.split()]
    status, printed = bench.run("-m", "launch.run", "--execute", *words)
    assert status == 2, printed
    errors = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "Traceback" not in printed, printed
    assert re.search(says, printed[printed.index("error: ") :], re.DOTALL), printed
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "shards", "says"),
    [
        ("", 1, "behind -- stands nothing: expected one of"),
        ("experiments.inspect --model=w", 1, r"'experiments\.inspect': expected"),
        (f"{DEMO} --num_processes=2", 1, "--num_processes=2: the launch sets"),
        (f"{DEMO} --shard=0/2", 1, "--shard=0/2: the launch sets"),
        ("experiments.train --workdir=w", 2, r"only experiments\.sweep has a grid"),
    ],
)
def test_what_stands_behind_the_dashes_is_checked_first(command: str, shards: int, says: str) -> None:
    with pytest.raises(InputError, match=says):
        asked.job_of(command.split(), shards)


def test_what_is_rendered_for_two_buckets_lies_apart(bench: Bench, tmp_path: Path) -> None:
    found = set()
    for url in ("gs://aaa/x/run", "gs://bbb/x/run", "gs://bbb/y/run"):
        command = ["experiments.train", f"--config={bench.config}", f"--workdir={url}"]
        status, printed = bench.run("-m", "launch.run", "--target=slurm", "--", *command)
        assert status == 0, printed
        found |= set(re.findall("^bash (.*)/submit.sh", printed, re.MULTILINE))
    assert found == {"runs/launch/aaa/x/run", "runs/launch/bbb/x/run", "runs/launch/bbb/y/run"}
    flags = ("--target=local", "--processes=2", "--out=~/o")
    command = ["experiments.train", f"--config={bench.config}", f"--workdir={tmp_path}/w"]
    _, printed = bench.run("-m", "launch.run", *flags, "--", *command, HOME=str(tmp_path))
    assert f"# file {tmp_path}/o/processes.json\n" in printed


def test_without_execute_it_is_only_shown(bench: Bench, tmp_path: Path) -> None:
    w = tmp_path / "it's $(w)"
    command = [*["python", "-m", "experiments.sweep"], f"--config={bench.config}", f"--workdir={w}"]
    command += ["--config.sweep.w=(1.0,)"]
    status, printed = bench.run("-m", "launch.run", "--target=local", "--processes=2", "--python=py", "--", *command)
    assert status == 0, printed
    assert f"# file {w}/launch/processes.json\n" in printed
    assert "# step 1 of 1: 2 processes of one run\npy -m launch.together '" in printed
    assert "--coordinator=127.0.0.1:8476 --num_processes=2 --process_id=1" in printed
    assert "'--config.sweep.w=(1.0,)'" in printed
    assert "# Nothing was written or run: --execute does it." in printed
    assert not list(tmp_path.iterdir())


def test_hosts_may_stand_in_a_file(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("# ours\nfirst\n\n me@second \n")
    flags = f"--target=ssh --hosts=@{tmp_path}/hosts --directory=/d --out={tmp_path}/o"
    command = ["experiments.train", f"--config={bench.config}", "--workdir=/w"]
    status, printed = bench.run("-m", "launch.run", *flags.split(), "--", *command)
    assert status == 0, printed
    assert '"process 0 on first": ["ssh", ' in printed and '"process 1 on me@second": ["ssh", ' in printed
    assert f"-m launch.same {tmp_path}/o/hosts.json" in printed and not (tmp_path / "o").exists()
