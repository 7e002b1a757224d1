"""What a user gets wrong ends with status 2 and one message, before anything is trained, never with a traceback."""

import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import safetensors.numpy
import tiny_runs
from trees import save, square_mask

ROOT = Path(__file__).parents[2]

DRIVER = """
import json, multiprocessing, os, sys
from experiments import entry; from ddad_jax.engine import pipeline

def run(number, argv):
    out = os.open(f"{number}.txt", os.O_CREAT | os.O_WRONLY)
    os.dup2(out, 1), os.dup2(out, 2)
    sys.argv = ["sweep", *argv]
    entry.run_experiment(lambda config, workdir: pipeline.run_all(config, workdir, sweep=True))

for number, argv in json.load(sys.stdin).items():
    child = multiprocessing.get_context("fork").Process(target=run, args=(number, argv))
    child.start(), child.join()
    print(number, child.exitcode)
"""
"""Runs many command lines after one import of everything, each in a process of its own."""


def no_good(root: Path) -> None:
    (root / "bolt/train/good").rename(root / "bolt/train/parts")


def empty_good(root: Path) -> None:
    for picture in (root / "bolt/train/good").iterdir():
        picture.unlink()


def one_good(root: Path) -> None:
    for picture in list((root / "bolt/train/good").iterdir())[1:]:
        picture.unlink()


def truncated(root: Path) -> None:
    picture = root / "bolt/train/good/001.png"
    picture.write_bytes(picture.read_bytes()[:200])


def no_picture(root: Path) -> None:
    (root / "bolt/test/bent/000.png").write_text("not a picture")


def other_mask(root: Path) -> None:
    save(square_mask(40, 40), root / "bolt/ground_truth/bent/001_mask.png")


class Harm:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def weights(root: Path) -> None:
    safetensors.numpy.save_file({"nonsense": np.zeros(3, np.float32)}, root / "other.safetensors")
    (root / "harm.pth").write_bytes(pickle.dumps({"x": Harm(root / "HARMED")}))
    (root / "torn.pth").write_bytes(b"PK\x03\x04 torn")


FAILS = "def get_config():\n    return %s"


def config(text: str) -> Callable[[Path], None]:
    return lambda root: (root / "c.py").write_text(text) and None


class Case(NamedTuple):
    flags: str
    """ROOT stands for the data's root."""
    says: str
    harm: Callable[[Path], None] | None = None


FOLDER = "--config=experiments/configs/folder.py --config.data.root=ROOT "
BOLT = FOLDER + "--config.data.category=bolt --config.train.steps=1 "
CASES = {
    "no flags": Case("", r"--config"),
    "no config file": Case("--config=nowhere.py", r"nowhere\.py"),
    "no config file, where": Case("--config=no/c.py", r"no such file \(/.*/no/c\.py, seen from the current folder /"),
    "no config file, a setting": Case("--config=nowhere.py --config.sample.w=3", r"nowhere\.py"),
    "no Python": Case("--config=ROOT/c.py", r"c\.py: line 2: SyntaxError: ", config("\ndef get_config(:\n")),
    "no text": Case("--config=ROOT/c.py", r"c\.py: (line 1: )?SyntaxError: ", config("\0\0\0")),
    "no module": Case(
        "--config=ROOT/c.py", r"c\.py: line 1: ModuleNotFoundError: No.*'nowhere'", config("import nowhere")
    ),
    "no config": Case("--config=ROOT/c.py --config.seed=1", r"c\.py: has no function get_config", config("seed = 1")),
    "no number": Case("--config=ROOT/c.py", r"c\.py: line 2: ZeroDivisionError: division", config(FAILS % "1 / 0")),
    "no such file in it": Case(
        "--config=ROOT/c.py", r"c\.py: line 2: FileNotFound.*/no/", config(FAILS % "open('/no/f')")
    ),
    "a number": Case(
        "--config=ROOT/c.py --config.seed=1", r"get_config\(\) returned 5; expected a ConfigDict", config(FAILS % "5")
    ),
    "unknown argument": Case("--config=experiments/configs/mvtec.py:srew", r"'srew'; it has carpet, .* zipper"),
    "unknown setting": Case(BOLT + "--config.sampel.w=1", r"--config\.sampel\.w: there is no such setting"),
    "unknown setting, no": Case(BOLT + "--noconfig.output.map", r"--config\.output\.map: there is no such setting"),
    "unknown flag": Case(BOLT + "--stepps=3", "stepps"),
    "stray argument": Case(BOLT + "cable", "cable"),
    "wrong type": Case(BOLT + "--config.sample.steps=many", r"sample\.steps.*many"),
    "negative w": Case(BOLT + "--config.sample.w=-1", r"sample\.w=-1\.0.*0 \(no conditioning\) or more"),
    "NaN w": Case(BOLT + "--config.sample.w=nan", r"--config\.sample\.w=nan: expected"),
    "negative w in the sweep": Case(
        BOLT + "--config.sweep.w=(0.0,-3.0)", r"--config\.sweep\.w=\(0\.0, -3\.0\): expected a tuple"
    ),
    "words for w": Case(BOLT + '--config.sweep.w=("a",)', r"sweep\.w.*expected a tuple"),
    "a part of a sweep": Case(
        "--config=experiments/configs/fast_sampling.py --config.sweep.parts.ddim.steps=(1,300)",
        r"sweep\.parts\.ddim: steps = 300",
    ),
    "unknown method": Case(BOLT + "--config.method=ouija", r"--config\.method='ouija': expected ddad"),
    "unknown part of a sweep": Case(
        "--config=experiments/configs/fast_sampling.py --config.sweep.parts.dim.steps=(1,)",
        r"parts\.dim\.steps=.*no such part",
    ),
    "T' too large": Case(BOLT + "--config.sweep.t_prime=(250,1000)", "1000"),
    "T' too small": Case(BOLT + "--config.sample.t_prime=0", r"--config\.sample\.t_prime=0: expected"),
    "too many steps": Case(BOLT + "--config.sweep.steps=(10,300)", "steps = 300"),
    "no steps": Case(BOLT + "--config.sample.steps=0", r"--config\.sample\.steps=0: expected"),
    "eta": Case(BOLT + "--config.sample.eta=1.5", r"--config\.sample\.eta=1\.5: expected"),
    "unknown backbone": Case(BOLT + "--config.backbone.name=vgg16", "vgg16.*efficientnet_lite0"),
    "no data root": Case("--config=experiments/configs/folder.py", r"--config\.data\.root"),
    "missing root": Case(FOLDER.replace("ROOT", "ROOT/nowhere"), "nowhere.*does not exist"),
    "missing category": Case(FOLDER + "--config.data.category=nut", "'nut'.*bolt"),
    "no train/good": Case(BOLT, "train.*good.*normal", no_good),
    "empty train/good": Case(BOLT, "no pictures", empty_good),
    "one normal picture": Case(BOLT, "at least 2", one_good),
    "truncated picture": Case(BOLT, r"001\.png", truncated),
    "not a picture": Case(BOLT, r"bent/000\.png", no_picture),
    "mask of another size": Case(BOLT, r"001_mask\.png", other_mask),
    "missing weights": Case(BOLT + "--config.backbone.weights=ROOT/w.pth", r"w\.pth: no such weights file"),
    "other weights": Case(BOLT + "--config.backbone.weights=ROOT/other.safetensors", "nonsense", weights),
    "torn weights": Case(BOLT + "--config.backbone.weights=ROOT/torn.pth", r"torn\.pth", weights),
    "malicious weights": Case(BOLT + "--config.backbone.weights=ROOT/harm.pth", r"harm\.pth", weights),
    "weights of another network": Case(
        BOLT + "--config.backbone.weights=ROOT/other.safetensors --config.backbone.name=resnet50", "resnet50", weights
    ),
    "workdir is a file": Case(
        BOLT + "--workdir=ROOT/bolt/test/good/000.png", r"000\.png: is a file, expected a folder"
    ),
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, Path]]:
    """Case -> (status, everything printed, its folder)."""
    base, command_lines, folders = tmp_path_factory.mktemp("cases"), {}, {}
    for number, (name, case) in enumerate(CASES.items()):
        folders[name] = tiny_runs.folder(base / str(number), n_train=4)
        if case.harm:
            case.harm(folders[name])
        workdir = [] if name == "no flags" else [f"--workdir={folders[name]}/w"]
        given = [flag.replace("ROOT", str(folders[name])) for flag in case.flags.split()]
        command_lines[number] = [
            str(ROOT / flag) if flag.endswith(".py") and not flag.startswith("-") else flag
            for flag in [*workdir, *given]
        ]
    environment = {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=0", "PYTHONPATH": str(ROOT)}
    driver = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=json.dumps(command_lines).replace("experiments/configs", f"{ROOT}/experiments/configs"),
        capture_output=True, text=True, cwd=base, env=environment, timeout=300,
    )  # fmt: skip
    assert driver.returncode == 0, driver.stderr
    status = {int(number): int(code) for number, code in map(str.split, driver.stdout.splitlines())}
    return {
        name: (status[number], (base / f"{number}.txt").read_text(), folders[name]) for number, name in enumerate(CASES)
    }


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_told_in_one_message(ended: dict[str, tuple[int, str, Path]], name: str) -> None:
    status, printed, folder = ended[name]
    assert status == 2, printed
    assert re.search(CASES[name].says, printed, re.DOTALL), printed
    assert "Traceback" not in printed and 'File "' not in printed, printed
    assert len(re.findall("^error: ", printed, re.MULTILINE)) == 1, printed
    assert not (folder / "w" / "train").exists(), "it was found only after training"
    assert not (folder / "HARMED").exists(), "the file was executed"


def test_a_program_started_as_users_start_it_ends_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "experiments.sweep", "--config=experiments/configs/folder.py"]
    flags = [f"--workdir={tmp_path / 'w'}", f"--config.data.root={tmp_path / 'nowhere'}"]
    ended = subprocess.run([*command, *flags], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ") and "does not exist" in ended.stderr and "Traceback" not in ended.stderr
    assert not (tmp_path / "w").exists()
