"""Rows that a benchmark wrote before, so that it goes on where it was."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path


def finished(path: Path, columns: Sequence[str], keys: Sequence[str]) -> set[tuple[str, ...]]:
    """Return what is in some columns of a table's rows; a table that is not there yet begins with its header."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(",".join(columns) + "\n")
    with path.open(newline="") as file:
        return {tuple(row[key] for key in keys) for row in csv.DictReader(file)}
