"""The table of results: a CSV file that grows by whole rows, also from several processes at once."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

KEY = ("set", "arm", "effort", "budget", "seed", "round", "test")
COLUMNS = (
    *KEY,
    *("planes", "strokes", "length", "pixels", "dice", "recall", "collapsed", "train_seconds", "test_seconds", "table"),
)
NUMBERS = {"seed": int, "round": int, "test": int, "planes": int, "strokes": int, "length": int, "pixels": int}
NUMBERS |= {"dice": float, "recall": float, "train_seconds": float, "test_seconds": float}

Row = dict[str, Any]


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Add one row, in one write: what another process adds meanwhile comes before or after it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _begin(path)
    line = _line([json.dumps(row[c]) if c == "table" else row[c] for c in COLUMNS])
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        is_cut = file.read(1) != b"\n"  # a process ended within its write
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, b"\n" * is_cut + line)
    finally:
        os.close(descriptor)


def read_rows(*paths: Path) -> list[Row]:
    """Return the rows of files, each once; where one was made again, the last; lines that were cut off are left out."""
    found: dict[tuple[Any, ...], Row] = {}
    for path in paths:
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                for row in _whole(csv.DictReader(file)):
                    found[key_of(row)] = row
    return list(found.values())


def key_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what tells runs apart."""
    return tuple(row[column] for column in KEY)


def _begin(path: Path) -> None:
    """Make the file with its header, unless another process was quicker."""
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=".rows")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_line(COLUMNS))
        os.link(part, path)  # fails where there is a file, unlike a renaming
    except FileExistsError:
        pass
    finally:
        Path(part).unlink()


def _line(values: Iterable[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue().encode()


def _whole(rows: Iterable[dict[str, Any]]) -> Iterable[Row]:
    for row in rows:
        try:
            numbers = {column: kind(row[column]) for column, kind in NUMBERS.items()}
            yield {**row, **numbers, "collapsed": row["collapsed"] == "True", "table": json.loads(row["table"])}
        except (KeyError, TypeError, ValueError):
            continue
