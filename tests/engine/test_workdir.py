"""A workdir belongs to what was made in it: reopened with other settings or other pictures, it says what differs."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny_runs
from trees import pixels, save

from ddad_jax.checkpoint import Checkpoints
from ddad_jax.engine import workdir
from ddad_jax.engine.data.splits import load_data
from ddad_jax.engine.methods.ddad.points import config_point
from ddad_jax.engine.sweep.journal import made_with
from ddad_jax.engine.workdir import environment, open_workdir, saved_config
from ddad_jax.errors import InputError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tiny_runs.folder(tmp_path / "data")


def opened(folder: Path, root: Path, **changes: object) -> Path:
    c = tiny_runs.config(root, **changes)
    return open_workdir(folder, c, load_data(c))


def pretend_trained(folder: Path) -> None:
    Checkpoints(folder / "train").save(1, {"x": np.zeros(1)})


def pretend_adapted(folder: Path) -> None:
    (folder / "adapt").mkdir()


def test_a_new_folder_holds_its_settings_and_where_they_ran(tmp_path: Path, root: Path) -> None:
    folder = opened(tmp_path / "runs" / "a", root, sweep__w=(0.0, 3.0))
    assert json.loads((folder / "config.json").read_text())["sweep"]["w"] == [0.0, 3.0]
    ran_on = json.loads((folder / "environment.json").read_text())
    assert {"python", "device", "commit", "versions", "command"} <= ran_on.keys()
    assert {"jax", "flax", "orbax-checkpoint", "numpy"} <= ran_on["versions"].keys()
    assert {p.name for p in folder.iterdir()} == {"config.json", "data.json", "environment.json"}


def test_a_setting_that_did_not_exist_yet_had_its_default(tmp_path: Path, root: Path) -> None:
    folder = opened(tmp_path / "w", root)
    pretend_trained(folder)
    old = json.loads((folder / "config.json").read_text())
    del old["model"]["groups"]
    (folder / "config.json").write_text(json.dumps(old))
    with pytest.raises(InputError, match=r"model\.groups: there 32, now 8"):
        opened(folder, root, model__groups=8)
    opened(folder, root)


def test_where_only_the_student_differs_only_the_student_has_to_go(tmp_path: Path, root: Path) -> None:
    folder = opened(tmp_path / "w", root)
    pretend_trained(folder)
    (folder / "student").mkdir()
    with pytest.raises(InputError, match=r"student\.batch_size.*\n.*delete .*student to start again"):
        opened(folder, root, student__batch_size=3)


def test_another_model_is_refused_and_the_differences_are_listed(tmp_path: Path, root: Path) -> None:
    folder = opened(tmp_path / "w", root)
    pretend_trained(folder)
    before = (folder / "config.json").read_text()
    with pytest.raises(InputError) as caught:
        opened(folder, root, train__learning_rate=1e-3, model__channel_mult=(1, 1), sweep__w=(1.0,))
    message = str(caught.value)
    assert str(folder) in message and "another --workdir" in message
    assert "train.learning_rate: there 0.0003, now 0.001" in message
    assert "model.channel_mult: there [1], now [1, 1]" in message
    assert "sweep" not in message
    assert (folder / "config.json").read_text() == before
    with pytest.raises(InputError, match="model.noise: there 'gaussian', now 'simplex'"):
        opened(folder, root, model__noise="simplex")
    opened(folder, root)


@pytest.mark.parametrize(
    "changes",
    [
        {"sweep__w": (0.0, 7.0), "sweep__seed": (3,), "sweep__v": (0.5,)},
        {"sample__w": 5.0, "sample__t_prime": 100, "sample__steps": 4, "sample__eta": 0.0, "sample__batch_size": 3},
        {"score__v": 3.0, "score__crop": 28, "score__normalise": "batch", "score__batch": 2},
        {"output__maps": True},
    ],
    ids=["sweep", "sample", "score", "output"],
)
def test_what_the_networks_do_not_depend_on_may_change(tmp_path: Path, root: Path, changes: dict) -> None:
    folder = opened(tmp_path / "w", root)
    pretend_trained(folder)
    pretend_adapted(folder)
    opened(folder, root, **changes)
    saved = json.loads((folder / "config.json").read_text())
    section, name = next(iter(changes)).split("__")
    assert saved[section][name] == json.loads(json.dumps(changes[f"{section}__{name}"]))


def test_settings_of_the_extractor_bind_once_it_was_adapted(tmp_path: Path, root: Path) -> None:
    folder = opened(tmp_path / "w", root)
    pretend_trained(folder)
    opened(folder, root, adapt__epochs=3, backbone__feature_size=64)
    pretend_adapted(folder)
    for changes in ({"adapt__lambda_dl": 0.5}, {"score__layers": ("layer1",)}, {"sample__grid": "uniform"}):
        with pytest.raises(InputError, match=next(iter(changes)).replace("__", r"\.")):
            opened(folder, root, adapt__epochs=3, backbone__feature_size=64, **changes)


def test_a_folder_without_a_model_binds_nobody(tmp_path: Path, root: Path) -> None:
    folder = opened(tmp_path / "w", root)
    opened(folder, root, train__steps=9, seed=3)


def test_other_normal_pictures_are_noticed(tmp_path: Path, root: Path) -> None:
    folder = opened(tmp_path / "w", root)
    pretend_trained(folder)
    save(pixels(500), root / "bolt/test/good/9.png")
    opened(folder, root)
    save(pixels(501), root / "bolt/train/good/3.png")
    with pytest.raises(InputError, match="normal images of bolt"):
        opened(folder, root)


@pytest.mark.parametrize("inside", ["", "deeper"])
def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path, root: Path, inside: str) -> None:
    (tmp_path / "w").write_text("a note")
    with pytest.raises(InputError, match="--workdir=.*cannot be written to.*name another folder"):
        opened(tmp_path / "w" / inside, root)
    assert (tmp_path / "w").read_text() == "a note"


@pytest.mark.parametrize("content", ["{", "[1]", ""])
def test_a_broken_config_is_refused(tmp_path: Path, root: Path, content: str) -> None:
    folder = opened(tmp_path / "w", root)
    (folder / "config.json").write_text(content)
    with pytest.raises(InputError, match=r"config\.json.*Delete the workdir"):
        opened(folder, root)


def test_the_environment_says_what_gives_other_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    plain = environment()["jax"]
    assert plain["XLA_FLAGS"] == "--xla_cpu_enable_fast_math=true" and plain["jax_default_prng_impl"]
    with jax.enable_x64(True), jax.default_matmul_precision("float32"):
        other = environment()["jax"]
    differing = {name for name in plain if plain[name] != other[name]}
    assert differing == {"jax_enable_x64", "jax_default_matmul_precision"}


def test_the_environment_needs_no_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert environment()["commit"] == ""
    monkeypatch.undo()
    monkeypatch.setattr(workdir, "__file__", "/nowhere/ddad_jax/engine/workdir.py")
    assert environment()["commit"] == ""


def test_a_setting_that_a_folder_is_older_than_is_as_it_was_then(tmp_path: Path, root: Path) -> None:
    folder = opened(tmp_path / "w", root)
    old = json.loads((folder / "config.json").read_text())
    del old["data"]["hold_out"], old["score"]["upsampling"]
    (folder / "config.json").write_text(json.dumps(old))
    assert saved_config(folder).data.hold_out == "picture"
    assert saved_config(folder).score.upsampling == "align_corners"


def test_before_mtd_was_parted_by_tile_it_was_by_picture(tmp_path: Path, root: Path) -> None:
    folder = opened(tmp_path / "w", root)
    old = json.loads((folder / "config.json").read_text())
    del old["data"]["split"]
    (folder / "config.json").write_text(json.dumps(old))
    assert saved_config(folder).data.hold_out == "recording", "of other data it says nothing"
    old["data"]["kind"] = "mtd"
    (folder / "config.json").write_text(json.dumps(old))
    data = saved_config(folder).data
    assert (data.split, data.hold_out) == ("picture", "picture")


def _spelled(folder: Path, root: Path, category: str) -> dict:
    """Another run of the workdir over pictures named so; what the rows of its journal would say of them."""
    c = tiny_runs.config(root, data__category=category)
    data = load_data(c)
    open_workdir(folder, c, data)
    point = config_point(c).costly
    return made_with(c, folder, data, tiny_runs.fitted(c, folder), [point])[point]


@pytest.mark.parametrize("first", [("", "bolt"), ("bolt", "")])
def test_pictures_are_the_same_however_their_folder_is_spelled(tmp_path: Path, root: Path, first: tuple) -> None:
    (tmp_path / "link").symlink_to(root)
    rows = _spelled(tmp_path / "w", root / first[0], first[1])
    pretend_trained(tmp_path / "w")
    for folder, category in (("bolt", ""), ("", "bolt"), ("", "./bolt/"), ("bolt", "."), ("../link/bolt/", "")):
        assert _spelled(tmp_path / "w", root / folder, category) == rows
    shutil.copytree(root / "bolt", tmp_path / "moved/and renamed")
    assert _spelled(tmp_path / "w", tmp_path / "moved", "and renamed") == rows
    picture = sorted((root / "bolt/train/good").iterdir())[0]
    picture.rename(picture.with_stem("00b"))
    with pytest.raises(InputError, match="pictures were added, removed or changed"):
        _spelled(tmp_path / "w", root / "bolt", "")


@pytest.mark.parametrize("first", [("", "bolt"), ("bolt", "")])
def test_a_workdir_from_before_knows_its_pictures_by_its_config(tmp_path: Path, root: Path, first: tuple) -> None:
    rows = _spelled(tmp_path / "w", root / first[0], first[1])
    pretend_trained(tmp_path / "w")
    known, config = (json.loads((tmp_path / "w" / name).read_text()) for name in ("data.json", "config.json"))
    del known["below"]
    for folder, category in (("bolt", ""), ("", "bolt")):
        (tmp_path / "w/data.json").write_text(json.dumps(known))
        (tmp_path / "w/config.json").write_text(json.dumps(config))
        assert _spelled(tmp_path / "w", root / folder, category) == rows
