"""Eight devices give what one gives, from one program, and never talk; one device is left as it is."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import quick_compiling

from ddad_jax.errors import InputError
from ddad_jax.mesh import copied, device_mesh, jit_rows, own_rows, require_work, rounded_up, shard_rows

HERE = Path(__file__).parent
CLOSE = 1e-5


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process with eight (pretended) devices finds; see eight_devices.py."""
    environment = {
        **os.environ,
        **quick_compiling.added({"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}),
        "JAX_PLATFORMS": "cpu",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONPATH": os.pathsep.join(map(str, (HERE.parent, HERE, HERE / "data"))),
    }
    ended = subprocess.run(
        [sys.executable, HERE / "eight_devices.py", tmp_path_factory.mktemp("eight")],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def test_a_batch_is_cut_and_the_rest_copied(eight: dict[str, Any]) -> None:
    assert eight["devices"] == 8
    rows = eight["rows"]
    assert rows["rounded"] == [8, 8, 16, 16] and rows["own"] == [0, 16]
    assert rows["copied"] == [16] * 8 and rows["cut"] == [2] * 8 and rows["same"]


def test_a_sweep_on_eight_devices_equals_that_on_one(eight: dict[str, Any]) -> None:
    apart = eight["sweep"]["apart"]
    assert apart["distances"] < CLOSE and apart["x0"] <= 2**-11, "x0 is kept in float16"


def test_a_chunk_smaller_than_the_devices_is_padded_and_the_padding_does_not_show(eight: dict[str, Any]) -> None:
    assert eight["sweep"]["padded_apart"]["distances"] < CLOSE


def test_one_program_a_step_count_whatever_the_devices_and_none_the_second_time(eight: dict[str, Any]) -> None:
    # And four small ones: room for the features of the pictures, what fills it, and takes those of a chunk.
    assert eight["sweep"]["compiled"] == [6, 2, 0]
    assert eight["sweep"]["again_apart"]["distances"] == 0


def test_each_device_holds_its_pairs_and_all_weights(eight: dict[str, Any]) -> None:
    placed = eight["placed"]
    assert placed["back"] and placed["weights"]
    assert placed["rows_in"] == [2] * 8 and placed["times_in"] == [[2, 2]] * 8
    assert placed["rows_out"] == [[2] * 8] * 3


def test_the_devices_of_a_sweep_do_not_talk(eight: dict[str, Any]) -> None:
    assert eight["placed"]["talk"] == []
    assert eight["placed"]["talk_of_a_mean"] == ["all-reduce"], "else the search finds nothing"


def test_a_detector_on_eight_devices_equals_that_on_one(eight: dict[str, Any]) -> None:
    found = eight["detected"]
    assert found["apart"] < CLOSE
    assert found["rows_out"] == [[2] * 8] * 2
    assert found["talk"] == []
    assert found["refusal"] == "12 pictures in a batch: expected a multiple of the 8 devices"


def test_memories_and_what_is_measured_by_them_do_not_depend_on_the_devices(eight: dict[str, Any]) -> None:
    assert eight["remembered"].keys() == {"patchcore", "padim", "feature_ddad"}
    assert max(eight["remembered"].values()) < 1e-4


def test_training_on_eight_devices_equals_that_on_one(eight: dict[str, Any]) -> None:
    train = eight["train"]
    assert train["moved"] > 100 * CLOSE
    assert train["apart"] < CLOSE and train["figures_apart"] < CLOSE
    assert train["steps"][0] == train["steps"][1] == [2, 4, 5]


def test_training_goes_on_with_other_devices(eight: dict[str, Any]) -> None:
    assert eight["train"]["resumed_apart"] < CLOSE


def test_distillation_on_eight_devices_equals_that_on_one_and_goes_on_with_others(eight: dict[str, Any]) -> None:
    distil = eight["distil"]
    assert distil["moved"] > 100 * CLOSE
    assert max(distil["apart"], distil["resumed_apart"], distil["figures_apart"]) < CLOSE


def test_a_batch_that_cannot_be_cut_is_refused(eight: dict[str, Any]) -> None:
    assert "--config.student.batch_size=12: expected a multiple of the number of devices" in eight["distil"]["refusal"]
    assert (
        "--config.train.batch_size=12: expected a multiple of the number of devices, which is 8"
        in (eight["train"]["refusal"])
    )


def test_more_devices_than_work_is_refused_before_anything_is_made(eight: dict[str, Any]) -> None:
    assert "6 pairs of a setting and a picture for 8 devices" in eight["refused"]
    assert "--config.sweep" in eight["refused"] and eight["refused"].endswith("False")


def test_one_device_needs_no_mesh() -> None:
    assert device_mesh(jax.devices()[:1]) is None
    tree = {"a": np.arange(6.0, dtype=np.float32).reshape(3, 2)}
    assert copied(tree, None) is tree
    np.testing.assert_array_equal(shard_rows(tree, None)["a"], tree["a"])
    assert rounded_up(7, None) == 7 and own_rows(7, None) == slice(0, 7)
    assert jit_rows(lambda x, by: x * by, None, static_argnames="by")(np.float32(2.0), by=3) == 6
    require_work(0, None, what="pairs", mend="")


def test_fewer_rows_than_devices_are_named() -> None:
    class Eight:
        size = 8

    with pytest.raises(InputError, match=r"7 pairs for 8 devices.*Do more, or use fewer devices"):
        require_work(7, Eight(), what="pairs", mend="Do more")  # type: ignore[arg-type]
    require_work(8, Eight(), what="pairs", mend="")  # type: ignore[arg-type]
