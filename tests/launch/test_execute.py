"""Steps one after another, commands at the same time: who failed is named, nobody is left behind, all is kept."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import launch.together
from ddad_jax.errors import InputError
from launch.execute import execute
from launch.rendered import LaunchCommand, Rendered, Tool
from launch.show import rendered_text

ROOT = Path(__file__).parents[2]
PY = sys.executable


def step(code: str, *words: str, what: str = "a step") -> LaunchCommand:
    return LaunchCommand(what, (PY, "-c", code, *words))


def test_files_are_written_and_steps_find_them(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    files = {"run.sh": '#!/usr/bin/env bash\necho "$1"\n', "sub/it's $(x).json": '{"ü": 1}\n'}
    read = step("import sys; print(open(sys.argv[1]).read())", "sub/it's $(x).json")
    assert (
        execute(Rendered(files, (LaunchCommand("script", ("bash", "run.sh", "a  b")), read)), tmp_path / "o u t") == 0
    )
    printed = capfdbinary.readouterr().out.decode()
    assert "[1/2] script\n" in printed and "a  b\n" in printed and '{"ü": 1}' in printed
    assert os.access(tmp_path / "o u t" / "run.sh", os.X_OK)
    assert "a  b\n" in (tmp_path / "o u t" / "logs" / "step-1.log").read_text()


def test_the_first_step_that_fails_ends_the_launch_and_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    steps = (step("print('fine')"), step("print('bad'); exit(7)", what="the second"), step("print('never')"))
    assert execute(Rendered({}, steps), tmp_path) == 7
    out, err = capfd.readouterr()
    assert "bad" in out and "never" not in out
    assert f"error: step 2 of 3 (the second) ended with status 7. What it printed is in {tmp_path}/logs/step-2" in err
    assert "bad" in (tmp_path / "logs" / "step-2.log").read_text()
    assert execute(Rendered({}, (step("import os; os.kill(os.getpid(), 9)"),)), tmp_path) == 128 + 9
    assert execute(Rendered({}, (LaunchCommand("none", (str(tmp_path / "nowhere"),)),)), tmp_path) == 127
    assert execute(Rendered({}, (steps[1]._replace(leashed=True),)), tmp_path) == 7


def test_a_missing_tool_is_named_before_anything_is_written(tmp_path: Path) -> None:
    rendered = Rendered({"a": "b"}, (step("pass"),), (Tool("no-such-tool", "from nowhere"), Tool("bash", "")))
    with pytest.raises(InputError, match=r"nothing was written or run:\nno-such-tool .* from nowhere\n"):
        execute(rendered, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert "# warning: no-such-tool is not on this machine's PATH. How to get it: from nowhere" in rendered_text(
        rendered, tmp_path
    )


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/out/a: cannot be written .*choose another --out"):
        execute(Rendered({"a": "b"}, ()), tmp_path / "file" / "out")


# --- At the same time ----------------------------------------------------------------------------------------------


def together(folder: Path, **commands: list[str]) -> subprocess.Popen:
    folder.mkdir(exist_ok=True)
    (folder / "all.json").write_text(json.dumps(commands))
    return subprocess.Popen(
        [PY, "-m", "launch.together", str(folder / "all.json")], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def code(text: str, *words: str) -> list[str]:
    return [PY, "-u", "-c", text, *words]


FOREVER = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"


def gone(pid_file: Path) -> bool:
    try:
        os.kill(int(pid_file.read_text()), 0)
    except ProcessLookupError:
        return True
    return False


def wait_for(*paths: Path) -> None:
    until = time.monotonic() + 60
    while not all(path.exists() and path.read_text() for path in paths):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_each_command_has_a_log_of_its_own(tmp_path: Path) -> None:
    names = ["me@a_b:22", "me@a-b-22", "ME@A-B-22", "me@a-b-22.2", "process 0", "x" * 300, "x" * 299]
    logs = launch.together.logs_of(names, tmp_path)
    assert logs["me@a_b:22"] == tmp_path / "me@a-b-22.log" and logs["process 0"] == tmp_path / "process-0.log"
    assert len({path.name.lower() for path in logs.values()}) == len(names)
    assert all(len(path.name) < 256 for path in logs.values())


def test_all_are_waited_for_and_their_lines_told_apart(tmp_path: Path) -> None:
    first, second = code("print('one\\rtwo\\nlast', end='')"), code("print('50%\\r100%\\nlast', end='')")
    run = together(tmp_path, first=first, **{"se cond": second})
    printed, _ = run.communicate(timeout=60)
    assert run.returncode == 0
    assert "[se cond] 100%\n" in printed and "[se cond] last\n" in printed and "[first]" not in printed
    assert "one\rtwo\nlast" in (tmp_path / "logs" / "first.log").read_bytes().decode()
    assert "50%\r100%\nlast" in (tmp_path / "logs" / "se-cond.log").read_bytes().decode()


def test_when_one_fails_it_is_named_and_the_others_are_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launch.together, "PATIENCE_S", 0.3)
    # One of them will not listen to SIGTERM.
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + FOREVER
    fails = "import sys, time\nwhile not open(sys.argv[1]).read(): time.sleep(0.01)\nsys.exit(5)"
    (tmp_path / "pid").touch()
    pid = str(tmp_path / "pid")
    assert launch.together.run_together({"stays": code(deaf, pid), "fails": code(fails, pid)}, tmp_path / "logs") == 5
    printed = capfd.readouterr().err
    assert "error: fails ended with status 5; the others are ended." in printed and "fails.log" in printed
    assert gone(tmp_path / "pid")


def test_one_that_cannot_be_started_is_named_and_the_others_are_ended(tmp_path: Path) -> None:
    run = together(tmp_path, stays=code(FOREVER, str(tmp_path / "pid")), absent=[str(tmp_path / "no python")])
    printed, _ = run.communicate(timeout=60)
    assert run.returncode == 127
    assert f"error: absent cannot be started: {tmp_path}/no python: No such file" in printed
    assert not (tmp_path / "pid").exists() or gone(tmp_path / "pid")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_all(tmp_path: Path, number: signal.Signals) -> None:
    names = {name: code(FOREVER, str(tmp_path / name)) for name in ("a", "b")}
    run = together(tmp_path, **names)
    wait_for(*(tmp_path / name for name in names))
    run.send_signal(number)
    printed, _ = run.communicate(timeout=60)
    assert run.returncode == 128 + number
    assert all(gone(tmp_path / name) for name in names)
    assert ("KeyboardInterrupt" in printed) == (number == signal.SIGINT)


@pytest.mark.parametrize("text", ["", "[]", '{"a": ""}', "{}", '{"a": 3}', '{"a": "\'"}'])
def test_a_file_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "f.json").write_text(text)
    with pytest.raises(InputError, match=r"f\.json: .*expected"):
        launch.together.commands_of(tmp_path / "f.json")


LAUNCHER = """
import sys
from pathlib import Path
from launch.execute import execute
from launch.rendered import LaunchCommand, Rendered
step = LaunchCommand("", (sys.executable, "-m", "launch.together", "all.json"), leashed=True)
execute(Rendered({"all.json": sys.argv[1]}, (step,)), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("killed", ["launcher", "together"])
def test_nothing_outlives_a_launcher_that_is_killed(tmp_path: Path, killed: str) -> None:
    # One of them will not listen to SIGTERM, as a process of jax.distributed does not.
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + FOREVER
    leash = [PY, "-m", "launch.leash"]
    commands = {"a": [*leash, *code(FOREVER, str(tmp_path / "a"))], "b": [*leash, *code(deaf, str(tmp_path / "b"))]}
    words = [PY, "-c", LAUNCHER, json.dumps(commands), str(tmp_path / "out")]
    run = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_for(tmp_path / "a", tmp_path / "b")
    if killed == "launcher":
        run.kill()
    else:
        leash_of_a = int(asked_of(int((tmp_path / "a").read_text()), "ppid"))
        os.kill(int(asked_of(leash_of_a, "ppid")), signal.SIGKILL)
    run.communicate(timeout=60)
    until = time.monotonic() + 30
    while any(asked_of(int((tmp_path / name).read_text()), "stat").strip("Z<+NsLl") for name in ("a", "b")):
        assert time.monotonic() < until
        time.sleep(0.05)


def asked_of(pid: int, what: str) -> str:
    """Of ps, about a process; "" where there is none."""
    return subprocess.run(["ps", "-o", f"{what}=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()


def test_one_that_is_killed_on_its_leash_is_named_as_killed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    dies = [PY, "-m", "launch.leash", *code("import os; os.kill(os.getpid(), 9)")]
    assert launch.together.run_together({"dies": dies}, tmp_path / "logs") == 128 + 9
    assert "error: dies was killed (SIGKILL)" in capfd.readouterr().err


def test_a_leash_ends_its_command_with_the_connection(tmp_path: Path) -> None:
    words = [PY, "-m", "launch.leash", *code(FOREVER, str(tmp_path / "pid"))]
    leash = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE)
    wait_for(tmp_path / "pid")
    assert leash.stdin
    leash.stdin.close()
    assert leash.wait(60) == 128 + signal.SIGTERM
    assert gone(tmp_path / "pid")
    with subprocess.Popen([*words[:3], PY, "-c", "exit(3)"], cwd=ROOT, stdin=subprocess.PIPE) as done:
        assert done.wait(60) == 3
