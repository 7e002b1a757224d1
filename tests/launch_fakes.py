"""gcloud, sbatch, srun, xpk, kubectl, gcsfuse and others, as scripts on PATH that write down what they were given.

``Machine(tmp_path)`` has a checkout and these programs. Those that hand a command to another machine run it here, with
``bash -c`` as an SSH server or a container does, each worker in a folder of its own. Every fake shadows the real one.
"""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

from launch.rendered import Rendered

HOSTILE = (
    "--config.data.category=two  words",
    '--config.a=it\'s "quoted"',
    "--config.b=$(touch pwned)`touch pwned`",
    "--config.c=x; touch pwned #",
    "--config.d=line one\nline two\n",
    "--config.e=\u00fcml\u00e4ut \u6f22 \U0001f642",
    "--config.f=$HOME $$ $$(HOME) %j {x} \\ \\n !!",
    "-leading",
    "",
    "*",
    "&& exit 1",
)
"""Arguments that are changed, or run, by whoever forgets to quote."""

_PROGRAM = r"""#!{python} -IS
import json, os, sys  # what takes longer to import is imported where it is needed
tool, argv, root = os.path.basename(sys.argv[0]), sys.argv[1:], {root!r}
with open(f"{{root}}/calls.jsonl", "a") as calls:
    calls.write(json.dumps([tool, argv]) + "\n")
with open(f"{{root}}/plan.json") as file:
    plan = json.load(file)

def option(name, default=None):
    found = [word.partition("=")[2] for word in argv if word.startswith(f"--{{name}}=")]
    return found[-1] if found else default

def say_next():
    with open(f"{{root}}/plan.json", "w") as file:
        json.dump(plan, file)

def turn(name, default):
    # The next of what the test planned; the last one stays.
    todo = plan.get(name, [default])
    if len(todo) > 1:
        plan[name] = todo[1:]
        say_next()
    return todo[0]

def exists(now):
    if now:
        open(f"{{root}}/exists", "w").write(json.dumps(argv))
    elif os.path.exists(f"{{root}}/exists"):
        os.remove(f"{{root}}/exists")

def described():
    # What is there, as its creator called it; the status.
    if turn("describe", 0):
        sys.stderr.write("ERROR: UNAVAILABLE: try again\n")
        return 1
    if not os.path.exists(f"{{root}}/exists"):
        sys.stderr.write("ERROR: NOT_FOUND: no such resource\n")
        return 1
    print("the reason that Google gives", open(f"{{root}}/exists").read())
    return 0

def hesitate():
    if plan.get("creating"):
        import time
        time.sleep(plan["creating"])

def inside(folder, command):
    os.makedirs(folder, exist_ok=True)
    os.chdir(folder)
    return os.spawnvpe(os.P_WAIT, "bash", ["bash", "-c", command], {{**os.environ, "HOME": folder}})

def workers():
    asked = option("worker", "0")
    return [f"{{root}}/workers/{{k}}" for k in (range(plan.get("workers", 2)) if asked == "all" else [asked])]

def gcloud():
    words = " ".join(argv[:4]) + " "
    if words.startswith("compute tpus queued-resources create "):
        status = turn("create", 0)
        if status == 0:
            exists(True)
        hesitate()
        return status
    if words.startswith("compute tpus queued-resources describe "):
        if "--format=value(state.state)" not in argv:
            return described()
        if not os.path.exists(f"{{root}}/exists"):
            return 1
        print(turn("state", "ACTIVE"))
        return 0
    if words.startswith("compute tpus queued-resources delete "):
        status = turn("delete", 0)
        if status == 0:
            exists(False)
            os.spawnvp(os.P_WAIT, "rm", ["rm", "-rf", f"{{root}}/workers"])
        return status
    if words.startswith("compute tpus tpu-vm describe "):
        print(turn("node", "READY"))
        return 0
    if words.startswith("compute tpus tpu-vm ssh "):
        done = [turn("ssh", 0)]
        if not done[0]:
            done = [inside(worker, option("command")) for worker in workers()] + [turn("ssh_after", 0)]
        return next((status for status in done if status), 0)
    if words.startswith("compute tpus tpu-vm scp "):
        import shutil
        *sources, target = [word for word in argv[4:] if not word.startswith("--")]
        for worker in workers():
            os.makedirs(worker, exist_ok=True)
            for source in sources:
                remote = source.partition(":")[2]
                shutil.copy(f"{{worker}}/{{remote}}" if remote else source, target if remote else worker)
        return turn("scp", 0)
    if words.startswith("storage ls "):
        return turn("ls", 0)
    if words.startswith("storage buckets describe "):
        print(turn("hierarchical", "True"))
        return 0
    if words.startswith("config get account "):
        print("me@example.com")
        return 0
    return 64

def sbatch():
    if turn("sbatch", 0):
        return 1
    plan["jobs"] = plan.get("jobs", 100) + 1
    say_next()
    print(f"{{plan['jobs']}};cluster")
    return 0

def srun():
    while argv and argv[0].startswith("--"):
        argv.pop(0)
    return os.spawnvp(os.P_WAIT, argv[0], argv)

def xpk():
    if argv[:2] == ["workload", "create"]:
        status = turn("create", 0)
        if status == 0:
            exists(True)
            hesitate()
            command = option("command")
            # What Kubernetes and YAML would change.
            assert not any(bad in command for bad in ("$", "\n")), command
            if option("script-dir"):
                import shutil
                shutil.copytree(option("script-dir"), f"{{root}}/app", dirs_exist_ok=True)
            done = inside(f"{{root}}/app", f"({{command}})")
            with open(f"{{root}}/plan.json") as file:
                plan.update(json.load(file))
            plan["ended"] = 125 if done else 0
            say_next()
        return status
    if argv[:2] == ["workload", "list"]:
        return plan.get("timeout") or plan["ended"]
    if argv[:2] == ["workload", "delete"]:
        exists(False)
        return turn("delete", 0)
    return 64

def kubectl():
    return described() if argv[:2] == ["get", "jobsets"] else 0

def python():
    if "venv" in argv:
        import shutil
        os.makedirs(argv[-1] + "/bin", exist_ok=True)
        shutil.copy(sys.argv[0], argv[-1] + "/bin/python")
    if "experiments.sweep" in argv:
        with open(f"{{root}}/ran.jsonl", "a") as file:
            file.write(json.dumps([os.getcwd(), argv]) + "\n")
        with open(f"{{root}}/devices.jsonl", "a") as file:
            file.write(json.dumps(os.environ.get("JAX_LOCAL_DEVICE_IDS")) + "\n")
        workdir = os.path.expanduser(option("workdir", "."))
        os.makedirs(workdir, exist_ok=True)
        open(f"{{workdir}}/results.csv", "w").write("w\n")
        if plan.get("seconds"):
            import time
            time.sleep(plan["seconds"])
        return turn("run", 0)
    return turn("pip", 0) if "pip" in argv else 0

def other():
    return plan.get(tool, 0)

chosen = {{"gcloud": gcloud, "sbatch": sbatch, "srun": srun, "xpk": xpk, "kubectl": kubectl}}.get(tool, other)
sys.exit((python if tool.startswith("python") else chosen)())
"""

NAMES = (
    *("gcloud", "sbatch", "srun", "scancel", "scontrol", "xpk", "kubectl", "gcsfuse", "fusermount", "ssh-agent"),
    *("ssh-add", "ssh", "curl", "sudo", "python3", "python3.11", "python3.12", "apptainer"),
)

_COMMITTED: dict[tuple[str, ...], Path] = {}


class Machine:
    """plan: what the fakes answer, name -> answers in turn, the last of which stays."""

    def __init__(self, tmp_path: Path, **plan: Any) -> None:
        self.root = tmp_path / "fakes"
        self.checkout = tmp_path / "the checkout"
        self.mounts = tmp_path / "mounts"
        self.out = tmp_path / "out folder"
        bin_folder = self.root / "bin"
        bin_folder.mkdir(parents=True)
        for name in NAMES:
            program = bin_folder / name
            program.write_text(_PROGRAM.format(python=sys.executable, root=str(self.root)))
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.checkout.mkdir()
        (self.checkout / "constraints.txt").write_text("jax\n")
        (self.checkout / ".venv/bin").mkdir(parents=True)
        (self.checkout / ".gitignore").write_text(".venv\n")
        (self.checkout / ".venv/bin/python").symlink_to(bin_folder / "python3")
        self.environment = {
            "PATH": f"{bin_folder}:/usr/bin:/bin",
            "HOME": str(self.root),
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "LC_ALL": "C.UTF-8",
            "TMPDIR": str(tmp_path),
        }
        self.say(**plan)

    def say(self, **plan: Any) -> None:
        (self.root / "plan.json").write_text(json.dumps(plan))

    def commit(self) -> None:
        """The checkout as a git repository with one commit, which is made once for all tests with the same files."""
        files = tuple(sorted(file.name for file in self.checkout.iterdir() if file.is_file()))
        git = _COMMITTED.get(files)
        if git is None or not git.exists():  # pytest removes folders of tests that passed, if asked to
            for words in (["init", "-q", "--template="], ["add", "."], ["commit", "-q", "-m", "first"]):
                identity = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
                subprocess.run(["git", *identity, *words], cwd=self.checkout, env=self.environment, check=True)
            _COMMITTED[files] = self.checkout / ".git"
        else:
            shutil.copytree(git, self.checkout / ".git")

    def write(self, rendered: Rendered) -> None:
        self.out.mkdir(exist_ok=True)
        for name, text in rendered.files.items():
            (self.out / name).write_text(text)
            subprocess.run(["bash", "-n", str(self.out / name)], check=True)

    def run(self, rendered: Rendered) -> subprocess.CompletedProcess:
        """All steps, as ``launch.execute`` would; stops at the first that fails."""
        self.write(rendered)
        for step in rendered.steps:
            argv = [str(self.out / word) if word in rendered.files else word for word in step.argv]
            done = self.bash(argv[1:])
            if done.returncode:
                break
        return done

    def bash(self, argv: list[str], cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["bash", *argv], cwd=cwd or self.root, env={**self.environment, **more}, capture_output=True, text=True,
            timeout=60, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def calls(self, tool: str, *words: str) -> list[list[str]]:
        """What ``tool`` was given, of the calls that have all of ``words``."""
        return [argv for name, argv in _rows(self.root / "calls.jsonl") if name == tool and set(words) <= set(argv)]

    def ran(self) -> list[list[str]]:
        """Arguments of the experiments program, of every process that ran it."""
        return [argv for _, argv in _rows(self.root / "ran.jsonl")]

    def devices(self) -> list[str | None]:
        """JAX_LOCAL_DEVICE_IDS of every process that ran the experiments program."""
        return _rows(self.root / "devices.jsonl")

    def exists(self) -> bool:
        """Whether something goes on costing."""
        return (self.root / "exists").exists()

    def unharmed(self) -> bool:
        """Whether nothing that a user wrote was run."""
        return not list(self.root.parent.rglob("pwned"))


def same_as_kept(name: str, rendered: Rendered) -> None:
    """The rendered files are those of tests/launch/rendered/NAME; UPDATE_RENDERED=1 keeps them anew."""
    folder = Path(__file__).parent / "launch/rendered" / name
    if os.environ.get("UPDATE_RENDERED"):
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in rendered.files.items():
            (folder / file).write_text(text)
    assert rendered.files == {file.name: file.read_text() for file in folder.iterdir()}


def _rows(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
