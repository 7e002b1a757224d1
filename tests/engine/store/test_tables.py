"""Rows reach the terminal, CSV and the journal whole, and come back as they went."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from ddad_jax.engine.store import tables
from ddad_jax.errors import InputError

ROWS = [
    {"w": 0, "layers": ("layer2", "layer3"), "image_auroc": 0.98765, "selected": True},
    {"w": 11, "layers": ("layer2",), "image_auroc": math.nan, "selected": False},
    {"w": 3.5, "layers": ("layer1",), "selected": np.False_},
]


def test_the_table_is_aligned_and_short() -> None:
    text = tables.format_table(ROWS, ["w", "image_auroc", "layers", "selected"], max_rows=2)
    lines = text.splitlines()
    assert lines[0].split() == ["w", "image_auroc", "layers", "selected"]
    assert lines[2].split() == ["0", "0.9877", "layer2+layer3", "yes"]
    assert lines[3].split() == ["11", tables.DASH, "layer2", "no"]
    assert lines[4] == "... and 1 more"
    ends = lines[0].index("image_auroc") + len("image_auroc")
    assert lines[2][:ends].endswith("0.9877") and lines[3][:ends].endswith(tables.DASH)


def test_a_hostile_cell_stays_on_its_line() -> None:
    text = tables.format_table([{"name": "a\nb\x1b[31m" + "x" * 200}], ["name"])
    assert len(text.splitlines()) == 3
    assert "\x1b" not in text and max(map(len, text.splitlines())) <= tables.SHORT_CELL


def test_an_empty_table_still_has_its_header() -> None:
    assert tables.format_table([], ["w"]).splitlines() == ["w", "-"]


def test_max_rows_below_one_is_refused() -> None:
    with pytest.raises(InputError, match="max_rows"):
        tables.format_table(ROWS, ["w"], max_rows=0)


@pytest.mark.parametrize(
    ("values", "cells"),
    [
        ([1.0, 0.25], ["1.00", "0.25"]),
        ([1e-5, 2.0], ["1e-05", "2"]),
        ([3, 4], ["3", "4"]),
        ([123.456, 0.98765432], ["123.4560", "0.9877"]),
        ([0.00123, 0.002], ["0.00123", "0.00200"]),
        ([math.inf, None, "x"], ["inf", tables.DASH, "x"]),
    ],
)
def test_a_column_shares_its_decimals(values: list, cells: list) -> None:
    assert tables.column_cells(values) == cells


def test_csv_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.csv"
    rows = [
        {"name": 'a "quoted", name\nwith a break', "x": 0.1 + 0.2, "n": 3, "layers": ["layer2", "layer3"]},
        {"name": "Dosenöffner", "x": math.nan, "late": np.float32(0.5)},
    ]
    tables.write_csv(path, rows)
    with path.open(newline="", encoding="utf-8") as file:
        back = list(csv.DictReader(file))
    assert list(back[0]) == ["name", "x", "n", "layers", "late"]
    assert back[0]["name"] == rows[0]["name"] and back[1]["name"] == "Dosenöffner"
    assert float(back[0]["x"]) == 0.1 + 0.2 and back[1]["x"] == "" and float(back[1]["late"]) == 0.5
    assert json.loads(back[0]["layers"]) == ["layer2", "layer3"]
    assert [p.name for p in path.parent.iterdir()] == ["results.csv"]


def test_csv_columns_may_be_chosen(tmp_path: Path) -> None:
    tables.write_csv(tmp_path / "a.csv", ROWS, ["image_auroc", "w"])
    assert (tmp_path / "a.csv").read_text().splitlines()[0] == "image_auroc,w"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(InputError, match=r"cannot be written.*--workdir"):
        tables.write_text(tmp_path / "file" / "a.csv", "new")
    with pytest.raises(InputError, match="cannot be written"):
        tables.append_jsonl(tmp_path / "file" / "a.jsonl", {})
    assert (tmp_path / "file").read_text() == "old"


def test_journal_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    assert tables.read_jsonl(path) == []
    rows = [
        {"w": np.float32(0.5), "map": np.arange(3), "metric": jnp.float32(math.nan), "limit": -math.inf},
        {"w": 1, "dtype": np.dtype("float32"), "type": np.float32, "ok": True, "layers": ("a", "b")},
    ]
    for row in rows:
        tables.append_jsonl(path, row)
    back = tables.read_jsonl(path)
    assert back[0] == {"w": 0.5, "map": [0, 1, 2], "metric": None, "limit": "-inf"}
    assert back[1]["dtype"] == "float32" and back[1]["ok"] is True and back[1]["layers"] == ["a", "b"]
    assert "NaN" not in path.read_text() and "null" in path.read_text()
    tables.write_jsonl(path, back[1:])
    assert tables.read_jsonl(path) == back[1:]


def test_every_cut_of_the_last_line_is_survived(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "results.jsonl"
    tables.append_jsonl(path, {"point": 0})
    first = path.stat().st_size
    tables.append_jsonl(path, {"point": 1, "name": "ü"})
    whole = path.read_bytes()
    for cut in range(first + 1, len(whole)):
        path.write_bytes(whole[:cut])
        complete = cut == len(whole) - 1  # only the newline is missing
        caplog.clear()
        assert len(tables.read_jsonl(path)) == 1 + complete
        assert ("results.jsonl, line 2" in caplog.text) != complete
        tables.append_jsonl(path, {"point": 2})
        caplog.clear()
        assert [row["point"] for row in tables.read_jsonl(path)] == ([0, 1, 2] if complete else [0, 2])
        assert not caplog.text


@pytest.mark.parametrize("broken", [b'{"point": 1', b"[1, 2]", b"\xff\xfe", b"\x00\x00"])
def test_a_broken_line_in_the_middle_is_named(tmp_path: Path, broken: bytes) -> None:
    path = tmp_path / "results.jsonl"
    path.write_bytes(b'{"point": 0}\n' + broken + b'\n{"point": 2}\n')
    with pytest.raises(InputError, match=r"results\.jsonl, line 2"):
        tables.read_jsonl(path)


def test_a_killed_writer_leaves_every_finished_row(tmp_path: Path) -> None:
    """kill -9 in the middle of appending: what was reported as written is there, in order."""
    path = tmp_path / "results.jsonl"
    code = (
        "import sys; from ddad_jax.engine.store.tables import append_jsonl\n"
        "for i in range(10**6):\n"
        "    append_jsonl(sys.argv[1], {'point': i, 'fill': 'x' * 5000}); print(i, flush=True)"
    )
    root = Path(tables.__file__).parents[3]
    process = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, cwd=root)
    assert process.stdout is not None
    seen = [int(process.stdout.readline()) for _ in range(20)]
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    points = [row["point"] for row in tables.read_jsonl(path)]
    assert points == list(range(len(points))) and len(points) >= len(seen)


def test_what_is_no_file_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        tables.write_bytes(pipe, b"rows")
        assert os.read(reader, 10) == b"rows" and pipe.is_fifo()
    finally:
        os.close(reader)
