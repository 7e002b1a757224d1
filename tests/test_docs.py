"""The pages: they build without a warning and without a network, and what is generated misses nothing."""

import ast
import doctest
import html
import importlib
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path
from types import ModuleType

import pytest

from ddad_jax.engine.methods.table import METHODS
from experiments.config import base

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built pages: as `make docs` builds them, from where no proxy would let a request pass."""
    out = tmp_path_factory.mktemp("site")
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    flags = ["-W", "--keep-going", "-n", "-q", "-b", "html", "-d", str(out.parent / "doctrees")]
    run = subprocess.run(
        [sys.executable, "-m", "sphinx", *flags, str(DOCS), str(out)],
        capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ | nowhere,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert not run.stderr.strip()
    return out


@pytest.fixture(scope="module")
def found(site: Path) -> dict[str, str]:
    """Every documented name and its kind, as Sphinx lists them for other projects."""
    head, _, packed = (site / "objects.inv").read_bytes().partition(b"zlib.\n")
    assert b"Sphinx inventory" in head
    lines = zlib.decompress(packed).decode().splitlines()
    return {name: kind for name, kind, *_ in (line.split(" ") for line in lines) if kind.startswith("py:")}


@pytest.fixture
def extensions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))


def own(name: str) -> ModuleType:
    return __import__(name)


def modules() -> list[Path]:
    """Of the core of ddad_jax, with something in them."""
    paths = sorted((ROOT / "ddad_jax").rglob("*.py"))
    return [path for path in paths if path.read_text().strip() and (ROOT / "ddad_jax/engine") not in path.parents]


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def page(site: Path, name: str) -> str:
    """What a reader sees of it, spaces and line breaks evened out."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", (site / name).read_text())).split())


def test_every_module_is_in_the_reference(found: dict[str, str]) -> None:
    assert {dotted(path) for path in modules()} == {name for name, kind in found.items() if kind == "py:module"}


def test_every_public_function_and_class_is_in_the_reference(found: dict[str, str]) -> None:
    public = {
        f"{dotted(path)}.{node.name}"
        for path in modules()
        for node in ast.parse(path.read_text()).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
    }
    assert public <= set(found)


def test_signatures_name_the_types_of_the_source(site: Path) -> None:
    assert "pixel_distance(x0: Image, y: Image) → Array" in page(site, "reference/l3.html")


def test_the_pages_fetch_nothing(site: Path) -> None:
    def fetched(text: str) -> list[str]:
        return re.findall(r"<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)=[\"'](?:https?:)?//[^\"']+", text)

    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 25
    assert not {p.name: urls for p in pages if (urls := fetched(p.read_text()))}
    styles = [
        style for p in site.rglob("*.css") for style in re.findall(r"(?:@import|url\()[^;)]*https?:", p.read_text())
    ]
    assert not styles


def test_formulae_are_drawn_by_the_browser(site: Path) -> None:
    text, written = (site / "how-it-works.html").read_text(), (DOCS / "how-it-works.md").read_text()
    formulae = written.count("\n$$\n") // 2
    assert text.count('<math xmlns="http://www.w3.org/1998/Math/MathML" display="block"') == formulae > 5
    assert not re.search(r"<script[^>]*(?:mathjax|katex)", text, re.IGNORECASE)


def test_every_departure_is_in_the_table(site: Path, extensions: None) -> None:
    table = own("deviations").all_of_them()
    written = sum(
        said.count("Deviation: ")
        for path in own("source_tree").sources("ddad_jax", "experiments", "launch")
        for _, said in own("source_tree").docstrings(ast.parse(path.read_text()))
    )
    assert len(table) == written > 40
    shown = page(site, "two-behaviours.html")
    assert "fade the blend is w (1 - alpha_bar_t)^fade; published 1." in shown
    assert all(found.module.removeprefix("ddad_jax.") in shown for found in table)


def test_a_departure_ends_with_its_paragraph_and_knows_its_argument(extensions: None) -> None:
    said = """One line.

    Deviation: published without; here
      with. Source: somebody.

    Args:
      eta: in [0, 1].
      rise: in [0, 1].
        Deviation: published 0. Above
        it rises.
      w: a weight. Deviation: any but 1.
    """
    assert own("deviations").of_docstring(said) == [
        ("", "published without; here with."),
        ("rise", "published 0. Above it rises."),
        ("w", "any but 1."),
    ]


def test_every_setting_is_in_the_table_with_its_default(extensions: None) -> None:
    by_method = own("settings").settings()
    for method in METHODS:
        shown = {setting.flag: setting.default for setting in (*by_method[""], *by_method[method])}
        assert {**shown, "sweep.parts": {}, "method": method} == {
            **leaves("", base(method).to_dict()),
            "sweep.parts": {},
        }


def leaves(prefix: str, section: dict[str, object]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in section.items():
        found |= leaves(f"{prefix}{name}.", value) if isinstance(value, dict) else {prefix + name: value}
    return found


def test_every_program_is_in_the_reference_with_its_flags(site: Path) -> None:
    shown = page(site, "reference/programs.html")
    for folder in ("experiments", "launch"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if '__name__ == "__main__"' not in path.read_text():
                continue
            assert f"{dotted(path)}¶" in shown
            flags = re.findall(r"flags\.DEFINE_\w+\(\s*\"(\w+)\"", path.read_text())
            assert not [flag for flag in flags if f"--{flag}" not in shown], path


def test_every_config_is_in_the_reference(site: Path) -> None:
    shown = page(site, "reference/configs.html")
    files = sorted((ROOT / "experiments" / "configs").rglob("*.py"))
    assert not [path.name for path in files if "get_config" in path.read_text() and path.name not in shown]


@pytest.mark.parametrize(
    ("plain", "rst"),
    [
        ("The map is |a| * b_ of `UNet`s", r"The map is \|a\| \* b\_ of ``UNet``\ s"),
        ("A list:\n\n    x = 1", "A list:\n\n::\n\n    x = 1"),
        ("max     S_(n)\nsigma     mean", "::\n\n    max     S_(n)\n    sigma     mean"),
        ("First\n  Deviation: hangs", "First\n\n**Deviation:** hangs"),
        (">>> 1 * 2\n2", ">>> 1 * 2\n2"),
        ("with --config.w=1.", "with ``--config.w=1``."),
    ],
    ids=["marks", "indented", "aligned", "hanging", "example", "flag"],
)
def test_docstrings_are_plain_text(extensions: None, plain: str, rst: str) -> None:
    made = "\n".join(own("docstrings").to_rst(plain.split("\n")))
    assert re.sub(r"\n{3,}", "\n\n", made).strip() == rst


def test_what_the_readme_says_is_written_once(site: Path) -> None:
    """The pages take it from there: the same line of prose stands in no file of docs."""
    prose = re.sub(r"```.*?```", "", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    sentences = [line for line in prose.split("\n") if len(line) > 90 and line[0] not in "|`-"]
    files = [path for path in [*DOCS.rglob("*.md"), *DOCS.rglob("*.rst")] if "_build" not in path.parts]
    pages = "\n".join(path.read_text() for path in files)
    assert len(sentences) > 20
    assert not [line for line in sentences if line in pages]
    assert "report.html start here" in page(site, "getting-started.html")


EXAMPLES = [path for path in modules() if ">>>" in path.read_text()]


@pytest.mark.parametrize("path", EXAMPLES, ids=dotted)
def test_examples_of_docstrings_are_what_python_answers(path: Path) -> None:
    found = doctest.testmod(importlib.import_module(dotted(path)))
    assert found.attempted and not found.failed


def test_what_everybody_calls_first_has_an_example() -> None:
    wanted = "schedule timesteps conditioning sampler distance score image points metrics.ranking metrics.thresholds"
    assert {f"ddad_jax.{name}" for name in wanted.split()} <= {dotted(path) for path in EXAMPLES}
