"""The profile accounts for a picture: its pieces are those of the detector, and what they multiply is counted."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs
from absl import flags
from absl.testing import flagsaver

from ddad_jax.engine.cost import profiling, untrained
from ddad_jax.engine.cost.macs import by_dtype, by_level, counted
from ddad_jax.engine.cost.profile_figure import profile_figure
from ddad_jax.engine.cost.profiling import SHALLOW, SUM, UNET, WHOLE, profile_run
from ddad_jax.engine.methods.ddad import evidence
from ddad_jax.engine.methods.ddad.grids import _schedule
from ddad_jax.engine.methods.ddad.sections import DDADSettings
from ddad_jax.errors import InputError
from ddad_jax.reuse import Layered
from ddad_jax.types import EpsFn
from experiments import benchmark

pytestmark = pytest.mark.drawn


def config(root: Path, **changes: Any) -> DDADSettings:
    return tiny_runs.config(root, **{"sample__steps": 3, "model__base": 8, **changes})


@pytest.fixture(scope="module", autouse=True)
def small_backbone() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        tiny_runs.small_backbone(patch.setattr)
        patch.setattr(untrained, "random_backbone", lambda name, key: tiny_runs.variables())
        patch.setattr(profiling, "matmul", lambda dtype: (lambda: jnp.ones(3) * 2.0, 10**9))
        yield


@pytest.fixture
def small_predictor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the network does not matter, one that compiles in no time."""
    tiny_runs.small_predictor(monkeypatch.setattr)
    monkeypatch.setattr(untrained, "init_params", tiny_runs.init_params)
    monkeypatch.setattr(untrained, "init_student", tiny_runs.init_student)


def test_a_convolution_and_a_product_are_counted_by_hand() -> None:
    def network(x: jax.Array, kernel: jax.Array, matrix: jax.Array) -> jax.Array:
        with jax.named_scope("first"):
            x = jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        with jax.named_scope("second"):
            # Three times over: a scan runs its body once a step.
            return jax.lax.scan(lambda h, _: (jnp.einsum("bhwc,cd->bhwd", h, matrix), None), x, None, length=3)[0]

    found = counted(network, jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 5)), jnp.ones((5, 5)))
    assert sum(n for path, n in found.items() if "first" in path) == 2 * 4 * 4 * 5 * 9 * 3
    assert sum(n for path, n in found.items() if "second" in path) == 3 * 2 * 4 * 4 * 5 * 5
    assert sum(found.values()) == 2 * 4 * 4 * 5 * 9 * 3 + 3 * 2 * 4 * 4 * 5 * 5


def test_what_no_result_needs_is_not_counted() -> None:
    @jax.jit
    def both(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return x @ x, x.astype(jnp.bfloat16) @ jnp.ones((4, 7), jnp.bfloat16)

    x = jnp.ones((4, 4))
    assert by_dtype(both, x) == {"float32": 4**3, "bfloat16": 4 * 4 * 7}
    assert by_dtype(lambda x: both(x)[1], x) == {"bfloat16": 4 * 4 * 7}


def test_what_doubles_a_side_belongs_to_the_finer_level(tmp_path: Path) -> None:
    c = config(tmp_path, model__channel_mult=(1, 1))
    paths = {
        "UNet/down_0_0": 1,
        "UNet/down_1_0/in_layers_2": 10,
        "UNet/down_2_0/out_layers_3": 100,  # halves
        "UNet/middle_1/to_qkv": 1_000,
        "UNet/up_1_0/in_layers_2": 10_000,
        "UNet/up_1_1/to_qkv": 100_000,
        "UNet/up_1_2/in_layers_2": 1_000_000,  # doubles
        "UNet/up_3_0/in_layers_2": 10_000_000,
        "UNet/out_2": 100_000_000,
        "UNet/time_embedding/linear_1": 1_000_000_000,
        "UNet/up_3_0/embed_layers_1": 10_000_000_000,
    }
    found = by_level(c.model, c.data.size, Counter(paths))
    assert found == {"32 px": 111_000_011, "16 px": 111_100, "embeddings": 11_000_000_000}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return profile_run(config(tmp_path_factory.mktemp("none")), 2, 2, Path("nowhere"))


def test_the_pieces_are_the_detector(rows: list[dict[str, Any]]) -> None:
    by_name = {row["name"]: row for row in rows}
    pieces = [row for row in rows if "ms_per_image" in row and row["name"] not in (SUM, WHOLE)]
    assert [row["name"] for row in pieces] == [
        "pictures to the device", "noise, steering, solver", UNET, "features of both pictures",
        "distances, upsampling", "map, blur, score", "maps and scores to the host",
    ]  # fmt: skip
    assert by_name[UNET]["calls"] == 3
    assert by_name[SUM]["ms_per_image"] == pytest.approx(sum(row["ms_per_image"] for row in pieces))
    whole = by_name[WHOLE]["ms_per_image"]
    for row in pieces:
        assert row["ms_per_image"] > 0 and row["share"] == pytest.approx(row["ms_per_image"] / whole, abs=1e-4)
    assert by_name[WHOLE]["share"] == 1.0 and by_name[WHOLE]["compile_s"] > 0
    # Counted apart: in the programs of the pieces, and in the one program of the detector.
    assert by_name[WHOLE]["gmac_per_image"] == pytest.approx(by_name[SUM]["gmac_per_image"], rel=1e-9)
    assert by_name[WHOLE]["share_of_peak"] > 0


def test_the_levels_multiply_what_the_unet_does(rows: list[dict[str, Any]]) -> None:
    (unet,) = (row for row in rows if row["name"] == UNET)
    levels = [row for row in rows if "of it" in row["name"]]
    assert [row["name"].split("of it ")[1] for row in levels] == ["32 px", "embeddings"]
    assert sum(row["gmac_per_image"] for row in levels) == pytest.approx(unet["gmac_per_image"])
    assert all("ms_per_image" not in row for row in levels)  # they are counted, not timed
    # The peak was said to be 1e9 multiply-adds a call: the share is a rate over that rate.
    assert unet["share_of_peak"] > 0


LAYERS = {"layer1": 8 * 8 * 6 * (4 * 4 * 3), "layer2": 4 * 4 * 6 * (2 * 2 * 6), "layer3": 2 * 2 * 6 * (2 * 2 * 6)}
"""Multiply-adds of ``tiny_runs.BACKBONE`` for a picture of 32 px; each layer begins where the one before ends."""


@pytest.mark.parametrize("asked", [("layer1",), ("layer3",), ("layer1", "layer2", "layer3")], ids="+".join)
def test_features_are_counted_once_whatever_layers_are_asked_for(
    tmp_path: Path, small_predictor: None, asked: tuple[str, ...]
) -> None:
    c = config(tmp_path, sample__steps=1, score__layers=asked)
    (piece,) = (p for p in profiling.pieces(c, untrained.untrained(c, 2, tmp_path), 1) if "features" in p.name)
    needed = [count for name, count in LAYERS.items() if name <= max(asked)]
    assert sum(piece.layers.values()) == 2 * 2 * sum(needed)  # both pictures of two pairs


def test_the_bars_are_the_pieces_and_the_whole(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    drawn = profile_figure(rows, tmp_path / "profile.png")
    assert drawn.read_bytes().startswith(b"\x89PNG")
    again = profile_figure(rows, tmp_path / "again.png")
    assert again.read_bytes() == drawn.read_bytes()


def test_reused_calls_are_a_cheaper_piece(
    tmp_path: Path, small_predictor: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def layered(_unet: Any, params: Any, plain: EpsFn) -> Layered:
        def whole(x_t: jax.Array, t: jax.Array) -> tuple[jax.Array, jax.Array]:
            deep = jnp.einsum("bhwc,cd->bhwd", x_t, jnp.ones((3, 3)))
            return shallow(x_t, t, deep), deep

        def shallow(x_t: jax.Array, t: jax.Array, deep: jax.Array) -> jax.Array:
            return plain(x_t, t) + 1e-3 * jnp.einsum("bhwc,c->bhw", deep, jnp.ones(3))[..., None]

        return Layered(lambda x_t, t: whole(x_t, t)[0], whole, shallow)

    monkeypatch.setattr(evidence, "layered", layered)
    found = {row["name"]: row for row in profile_run(config(tmp_path, sample__reuse=2), 2, 1, Path("nowhere"))}
    assert (found[UNET]["calls"], found[SHALLOW]["calls"]) == (2, 1)
    assert found[UNET]["gmac_per_image"] == pytest.approx(2 * 32 * 32 * (9 + 3) / 1e9)
    assert found[SHALLOW]["gmac_per_image"] == pytest.approx(32 * 32 * 3 / 1e9)
    assert found[WHOLE]["gmac_per_image"] == pytest.approx(found[SUM]["gmac_per_image"], rel=1e-9)


def test_a_student_is_profiled_in_the_unets_place(tmp_path: Path, small_predictor: None) -> None:
    c = config(tmp_path, sample__model="student", sample__steps=1, sample__solver="dpm2m", sample__eta=0.0)
    found = {row["name"]: row for row in profile_run(c, 2, 1, Path("nowhere"))}
    assert found[UNET]["calls"] == 1 and found[UNET]["ms_per_image"] > 0
    assert found[WHOLE]["gmac_per_image"] == pytest.approx(found[SUM]["gmac_per_image"], rel=1e-9)


@pytest.mark.parametrize(("model", "expected"), [("teacher", 6), ("student", 6 + 12)])
def test_the_parameters_are_those_of_the_network_that_is_called(
    tmp_path: Path, small_predictor: None, model: str, expected: int
) -> None:
    c = config(tmp_path, sample__model=model, sample__steps=1, sample__eta=0.0)
    known = untrained.untrained(c, 1, tmp_path).known
    assert (known["model"], known["parameters"]) == (model, expected)
    # Its three convolutions; the running mean is no parameter.
    assert known["backbone_parameters"] == (4 * 4 * 3 * 6 + 6) + 2 * (2 * 2 * 6 * 6 + 6)


def test_the_command_writes_table_figures_and_json(
    tmp_path: Path, small_predictor: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(what=["profile"], against="", batch_sizes=["1"], repeats=1, json=str(out)):
        benchmark.main(config(tmp_path), tmp_path)
    printed = capsys.readouterr().out
    assert UNET in printed and WHOLE in printed and "share_of_peak" in printed
    found = json.loads(out.read_text())
    assert found["rows"][-1]["name"] == WHOLE and "versions" in found["environment"]
    assert (tmp_path / "out_profile_1.png").exists()


# --- Where an optimised grid is asked for ---------------------------------------------------------------------


def saved(path: Path, *entries: dict[str, Any], schedule: str | None = None) -> None:
    path.write_text(json.dumps({"alpha_bar": schedule or _schedule(), "grids": entries}))


def test_an_optimised_grid_is_timed_without_a_model(tmp_path: Path, small_predictor: None) -> None:
    known = untrained.untrained(config(tmp_path, sample__grid="optimised"), 1, tmp_path).known
    assert known["grid"].startswith("trailing")
    assert known["times"] == "250-167-83"


def test_the_grid_of_a_run_is_visited_where_there_is_one(tmp_path: Path, small_predictor: None) -> None:
    key = {"t_prime": 250, "steps": 3, "solver": "ddim"}
    first, last, other = [250, 90, 20], [250, 120, 40], [250, 100]
    saved(tmp_path / "grids.json", key | {"times": first}, key | {"times": last}, key | {"steps": 2, "times": other})
    c = config(tmp_path, sample__grid="optimised")
    found = untrained.untrained(c, 1, tmp_path)
    assert (found.known["grid"], found.known["times"]) == ("optimised", "250-120-40")
    assert found.detector.place(found.images).grid.t[:, 0].tolist() == last
    saved(tmp_path / "grids.json", schedule="of another")
    assert untrained.untrained(c, 1, tmp_path).known["grid"].startswith("trailing")


def test_the_time_of_a_picture_that_waits_for_its_start_is_refused(tmp_path: Path, small_predictor: None) -> None:
    with pytest.raises(InputError, match=r"sample\.rise=0\.5"):
        untrained.untrained(config(tmp_path, sample__rise=0.5), 1, tmp_path)


def test_everything_the_score_asks_for_is_in_the_timed_program(tmp_path: Path, small_predictor: None) -> None:
    c = config(tmp_path, score__standardise=True, score__crop=24)
    maps, scores = untrained.untrained(c, 2, tmp_path).detect()
    assert maps.shape == (2, 24, 24)
    np.testing.assert_array_equal(scores, maps.max((1, 2)))
