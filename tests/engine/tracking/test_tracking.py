"""Trackers are told a run once, whatever becomes of the process, and a tracker that fails costs the run nothing."""

import logging
import re
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tracked import CONFIG, ROW, events, row_of_sweep, scalars, tags

from ddad_jax.engine import tracking
from ddad_jax.engine.methods.ddad.points import SETTINGS
from ddad_jax.engine.tracking import end, writer_of
from ddad_jax.errors import first_line


def test_numbers_texts_and_pictures_are_in_the_event_files_at_once(tmp_path: Path) -> None:
    write = writer_of(tmp_path, (), CONFIG, SETTINGS)
    write(0, {"train/begun": 1.0})
    for step in (10, 20):
        write(step, {"train/loss": 1.0 / step, "train/images_per_s": 5.0})
    write(0, {"run/note": "two\nlines", "run/grid": np.full((4, 5, 3), 9, np.uint8)})
    # Nothing is closed: what was said is on the disk, as after kill -9.
    assert scalars(tmp_path / "tensorboard/train", "train/loss") == [(10, 0.1), (20, 0.05)]
    assert tags(tmp_path / "tensorboard/run") == {
        "run/config/text_summary", "run/note/text_summary", "run/grid"
    }  # fmt: skip
    (picture,) = [v.image for e in events(tmp_path / "tensorboard/run") for v in e.summary.value if v.tag == "run/grid"]
    assert (picture.height, picture.width) == (4, 5)


def test_a_row_of_a_sweep_is_a_run_with_settings_and_metrics_of_its_own(tmp_path: Path) -> None:
    write = writer_of(tmp_path, (), CONFIG, SETTINGS)
    step, values = row_of_sweep({**ROW, "missed": None, "selected": True})
    write(step, values)
    write(*row_of_sweep({**ROW, "w": 4.0}))
    assert len(list((tmp_path / "tensorboard/sweep").iterdir())) == 2
    own = tmp_path / "tensorboard/sweep" / f"{step:08x}"
    assert scalars(own, "sweep/image_auroc") == [(0, 0.75)]
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    (start,) = [
        HParamsPluginData.FromString(v.metadata.plugin_data.content).session_start_info
        for e in events(own) for v in e.summary.value if v.tag == "_hparams_/session_start_info"
    ]  # fmt: skip
    assert start.hparams["w"].number_value == 3.0 and start.hparams["layers"].string_value == "layer2+layer3"


def test_a_resumed_run_goes_on_and_a_step_is_there_once(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    write = writer_of(tmp_path, (), CONFIG, SETTINGS)
    for step in (10, 20, 30):
        write(step, {"train/loss": float(step)})
    # Killed after the event and before the line that says it was given: readers see it once nevertheless.
    journal = tmp_path / "tracking.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:-1]))
    again = writer_of(tmp_path, (), CONFIG, SETTINGS)
    for step in (20, 30, 40):
        again(step, {"train/loss": float(step)})
    assert scalars(tmp_path / "tensorboard/train", "train/loss") == [(10, 10.0), (20, 20.0), (30, 30.0), (40, 40.0)]


def test_a_section_that_begins_anew_replaces_what_it_said(tmp_path: Path) -> None:
    write = writer_of(tmp_path, (), CONFIG, SETTINGS)
    for step in (0, 10, 20):
        write(step, {"distil/loss": 1.0})
    write(0, {"distil/begun": 1.0, "distil/loss": 7.0})
    write(10, {"distil/loss": 8.0})
    assert scalars(tmp_path / "tensorboard/distil", "distil/loss") == [(0, 7.0), (10, 8.0)]


def test_the_same_run_again_leaves_no_file_behind(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    Image.new("RGB", (6, 4)).save(tmp_path / "figures" / "roc.png")

    def run() -> None:
        write = writer_of(tmp_path, (), CONFIG, SETTINGS)
        write(10, {"train/loss": 1.0})
        write(*row_of_sweep(ROW))
        end(write, tmp_path)

    run()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert "run/roc" in tags(tmp_path / "tensorboard/run")
    run()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_what_was_deleted_is_told_again(tmp_path: Path) -> None:
    writer_of(tmp_path, (), CONFIG, SETTINGS)(10, {"train/loss": 1.0})
    shutil.rmtree(tmp_path / "tensorboard")
    for _ in range(2):
        writer_of(tmp_path, (), CONFIG, SETTINGS)(10, {"train/loss": 1.0})
    assert scalars(tmp_path / "tensorboard/train", "train/loss") == [(10, 1.0)]


def test_a_tracker_that_fails_warns_once_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    write = writer_of(tmp_path, (), CONFIG, SETTINGS)
    other = write.trackers[0]._replace(write=lambda section, step, values: told.append(step))
    other = other._replace(name="other", given=tracking.given.Given(tmp_path, "other"))
    write.trackers.append(other)
    (tmp_path / "tensorboard" / "train").touch()  # where a folder has to be
    with caplog.at_level(logging.WARNING):
        for step in (1, 2, 3):
            write(step, {"train/loss": 1.0})
    assert told == [1, 2, 3]
    assert len([r for r in caplog.records if "TensorBoard failed" in r.getMessage()]) == 1
    # A defect of ours is not one of the tracker's failures.
    write.trackers[0] = other._replace(write=lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(4, {"train/loss": 1.0})


def test_event_files_are_checksummed_as_tensorboard_reads_them(tmp_path: Path) -> None:
    from tensorboardX.crc32c import crc32c

    assert crc32c(b"123456789") == 0xE3069283 != zlib.crc32(b"123456789")
    writer_of(tmp_path, (), CONFIG, SETTINGS)
    (path,) = (tmp_path / "tensorboard/run").iterdir()
    data = path.read_bytes()
    crc = crc32c(data[:8])
    assert int.from_bytes(data[8:12], "little") == (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        '{"to": "tensorboard", "of": "train"}',
        '{"to": "tensorboard", "of": "sweep", "step": null}',
        '{"to": "tensorboard", "of": "run"}',
        '{"to": "tensorboard", "of": "train", "step": Infinity}',
    ],
)
def test_a_damaged_journal_is_set_aside_and_the_trackers_are_told_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, line: str
) -> None:
    writer_of(tmp_path, (), CONFIG, SETTINGS)(10, {"train/loss": 1.0})
    path = tmp_path / "tracking.jsonl"
    damaged = f"{line}\n{path.read_text()}"
    path.write_text(damaged)
    with caplog.at_level(logging.WARNING):
        write = writer_of(tmp_path, (), CONFIG, SETTINGS)
    assert len(caplog.records) == 1
    assert re.search(r"tracking\.jsonl: damaged \(.*kept as tracking-damaged\.jsonl", caplog.records[0].getMessage())
    assert (tmp_path / "tracking-damaged.jsonl").read_text() == damaged
    write(10, {"train/loss": 1.0})
    write(20, {"train/loss": 2.0})
    assert scalars(tmp_path / "tensorboard/train", "train/loss") == [(10, 1.0), (20, 2.0)]


def test_an_error_that_says_nothing_is_named_by_its_type() -> None:
    assert first_line(TimeoutError()) == "TimeoutError" == first_line(TimeoutError(" \n"))
    assert first_line(OSError("\none\ntwo")) == "one" and first_line(OSError("abc"), 2) == "ab"


def test_files_where_folders_have_to_be_cost_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "tensorboard").write_text("mine")
    with caplog.at_level(logging.WARNING):
        write = writer_of(tmp_path, (), CONFIG, SETTINGS)
        write(10, {"train/loss": 1.0})
        end(write, tmp_path)
    assert [r.getMessage().partition(":")[0] for r in caplog.records] == ["TensorBoard failed"]
    assert (tmp_path / "tensorboard").read_text() == "mine"
