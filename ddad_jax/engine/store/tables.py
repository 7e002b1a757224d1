"""Rows of results: to the terminal, to CSV, and to a JSON-lines journal that survives ``kill -9``.

A row is a mapping from setting or metric to a number, a word or a list. Undefined numbers (NaN) are
``null`` in JSON, an empty cell in CSV and a dash for the eye. Files other than the journal are written
beside their place and moved there, so that a reader meets the old content or the new, never half of it.
"""

import contextlib
import csv
import io
import json
import logging
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from ddad_jax.errors import InputError

Row = Mapping[str, Any]

DASH = "–"
SHORT_CELL = 40


def plain(value: Any) -> Any:
    """``value`` as JSON can say it: NumPy and JAX scalars and arrays as numbers and lists, NaN as None.

    Infinities become the strings "inf" and "-inf", which ``float`` reads back. Named tuples become objects,
    other sequences lists, and what JSON has no form for (paths, dtypes) its ``str``.
    """
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return [plain(item) for item in sorted(value)]
    if hasattr(value, "__array__") and not isinstance(value, type):
        return plain(np.asarray(value).tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None if math.isnan(value) else str(value)
    return value if isinstance(value, int) else str(value)


def format_table(rows: Sequence[Row], columns: Sequence[str], *, max_rows: int = 20) -> str:
    """Rows as aligned text: numbers to the right and to the same decimals, words to the left.

    Args:
        rows: any number of rows; a missing key and NaN print as a dash.
        columns: which keys, in this order.
        max_rows: print the first this many and say how many were left out; at least 1.

    Raises InputError for ``max_rows`` below 1.
    """
    if max_rows < 1:
        raise InputError(f"max_rows: expected at least 1, got {max_rows}")
    shown = rows[:max_rows]
    cells = [column_cells([row.get(name) for row in shown]) for name in columns]
    cells = [[_short(cell) for cell in column] for column in cells]
    right = [all(is_number(row.get(name)) or row.get(name) is None for row in shown) for name in columns]
    widths = [max(map(len, (name, *column))) for name, column in zip(columns, cells, strict=True)]

    def line(parts: Sequence[str]) -> str:
        aligned = (
            part.rjust(width) if to_right else part.ljust(width)
            for part, width, to_right in zip(parts, widths, right, strict=True)
        )
        return "  ".join(aligned).rstrip()

    lines = [line(columns), line(["-" * width for width in widths])]
    lines += [line([column[i] for column in cells]) for i in range(len(shown))]
    if len(rows) > max_rows:
        lines.append(f"... and {len(rows) - max_rows} more")
    return "\n".join(lines)


def column_cells(values: Sequence[Any]) -> list[str]:
    """One column as text, for people: floats to at most 4 significant digits and equally many decimals."""
    finite = [float(v) for v in values if isinstance(v, (float, np.floating)) and math.isfinite(v)]
    rounded = [format(abs(v), ".4g") for v in finite]
    # Exponents (1e-05, 2.5e+07) do not line up with anything: then each number for itself.
    aligned = not any("e" in text for text in rounded)
    decimals = max((len(text.partition(".")[2]) for text in rounded), default=0)
    if max(map(abs, finite), default=0.0) >= 0.1:
        decimals = min(decimals, 4)
    return [_cell(value, decimals if aligned else None) for value in values]


def is_number(value: Any) -> bool:
    """Whether a value sorts and aligns as a number (bool does not)."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def columns_of(rows: Iterable[Row]) -> list[str]:
    """Every key of the rows, in the order of first sight."""
    return list(dict.fromkeys(key for row in rows for key in row))


def write_csv(path: str | Path, rows: Sequence[Row], columns: Sequence[str] | None = None) -> None:
    """All rows as UTF-8 CSV with a header (RFC 4180 quoting, line feeds), replaced as a whole.

    Floats are written so that they read back to the same float64; NaN and missing values are empty cells;
    lists and objects are JSON.

    Args:
        path: file to replace; its folder is made if it is not there.
        rows: mappings; a row may lack keys.
        columns: which keys, in this order; None: all, in the order of first sight.

    Raises InputError where the file cannot be written.
    """
    columns = columns_of(rows) if columns is None else list(columns)
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        values = [plain(row.get(name)) for name in columns]
        writer.writerow([json.dumps(v) if isinstance(v, (list, dict)) else v for v in values])
    write_text(path, out.getvalue())


def append_jsonl(path: str | Path, row: Row) -> None:
    """Add one row to a journal and wait until it is on the disk.

    The line goes out in a single write. A line that an earlier process left torn is cut off first, so that
    it never ends up in the middle of the file. One writer a file.

    Raises InputError where the file cannot be written.
    """
    path = Path(path)
    line = _line(row).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("r+b" if path.exists() else "w+b") as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(size - 1)
                if file.read(1) != b"\n":
                    line = _mend_tail(file) + line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as e:
        raise _unwritable(path, e) from e


def write_jsonl(path: str | Path, rows: Iterable[Row]) -> None:
    """The journal with exactly these rows, replaced as a whole; raises as ``write_bytes`` does."""
    write_text(path, "".join(_line(row) for row in rows))


def read_jsonl(path: str | Path) -> list[dict[str, Any]]:
    """Every whole row of a journal; no rows where the file does not exist yet.

    A last line without its newline that does not parse was being written when the process was killed: it is
    dropped, which a logged warning says. NaN comes back as None.

    Raises InputError, with file and line, for a broken line anywhere else and for a line that is no object.
    """
    path = Path(path)
    if not path.exists():
        return []
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as e:
        raise InputError(f"{path}: cannot be read ({e.strerror}); expected a .jsonl file") from e
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row = _parse(line)
        if row is not None:
            rows.append(row)
        elif number == len(lines):
            logging.getLogger(__name__).warning(
                "%s, line %d: dropped, its writer was stopped half-way through it", path, number
            )
        else:
            raise InputError(
                f"{path}, line {number}: expected one JSON object, got {line[:60]!r}; "
                "delete this line to go on with the others"
            )
    return rows


def require_writable(path: str | Path, flag: str) -> None:
    """Before anything is computed for it: raises InputError, naming ``flag``, where ``write_text`` could not put it."""
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError(f"{flag}={path}: is a folder; name a file in it")
        path.parent.mkdir(parents=True, exist_ok=True)
        # As ``write_bytes`` does: beside it.
        tempfile.NamedTemporaryFile(prefix=f".{path.name}.", dir=path.parent).close()
    except OSError as e:
        raise InputError(f"{flag}={path}: cannot be written ({e.strerror}); name another file") from None


def write_text(path: str | Path, text: str, *, flag: str = "--workdir") -> None:
    """``write_bytes`` of UTF-8 text; what a file's name had that is no UTF-8 appears as escapes."""
    write_bytes(path, text.encode(errors="backslashreplace"), flag=flag)


def write_bytes(path: str | Path, content: bytes, *, flag: str = "--workdir") -> None:
    """``replacing`` a file with ``content``."""
    with replacing(path, flag=flag) as file:
        file.write(content)


@contextlib.contextmanager
def replacing(path: str | Path, *, flag: str = "--workdir") -> Iterator[IO[bytes]]:
    """A file to write to that takes the place of ``path`` when the block ends: written beside it, flushed to the disk,
    renamed over it. What is there and no file (a device, a pipe) is written to, and stays what it is.

    Raises InputError, naming ``flag``, where the folder or the file cannot be written; the old file is then untouched.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file() and not path.is_dir():
            with path.open("wb") as file:
                yield file
            return
        try:
            with beside.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as e:
        raise _unwritable(path, e, flag) from e


def _cell(value: Any, decimals: int | None) -> str:
    if value is None or (isinstance(value, (float, np.floating)) and math.isnan(value)):
        return DASH
    if isinstance(value, (float, np.floating)):
        return format(float(value), ".4g" if decimals is None else f".{decimals}f")
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return "+".join(_cell(item, None) for item in value)
    # A line break or a control character in a file's name must not break the table.
    return "".join(c if c.isprintable() else " " for c in str(value))


def _line(row: Row) -> str:
    return json.dumps(plain(row), allow_nan=False) + "\n"


def _short(text: str) -> str:
    return text if len(text) <= SHORT_CELL else "…" + text[1 - SHORT_CELL :]


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:  # bad UTF-8 and bad JSON alike
        return None
    return row if isinstance(row, dict) else None


def _mend_tail(file: Any) -> bytes:
    """Leave ``file`` where the next line may go; b"\\n" if the last row only lacks its newline."""
    file.seek(0)
    content = file.read()
    start = content.rfind(b"\n") + 1
    if _parse(content[start:]) is not None:
        return b"\n"
    file.truncate(start)
    file.seek(start)
    return b""


def _unwritable(path: Path, error: OSError, flag: str = "--workdir") -> InputError:
    return InputError(f"{path}: cannot be written ({error.strerror or error}); choose another {flag}")
