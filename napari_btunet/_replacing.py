"""Asks before files are replaced."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtWidgets import QMessageBox, QWidget


def may_replace(parent: QWidget, files: Sequence[Path], typed: Path) -> bool:
    """Return whether these files may be written; asks if others than the typed one are there already.

    A file dialog asks about the name that was typed, not about the one with a suffix, or the many of a stack.
    """
    there = [file.name for file in files if file != typed and file.exists()]
    if not there:
        return True
    more = f" and {len(there) - 1} more files are" if len(there) > 1 else " is"
    question = f"{there[0]}{more} there already. Replace {'them' if len(there) > 1 else 'it'}?"
    return bool(QMessageBox.question(parent, "Replace", question) == QMessageBox.StandardButton.Yes)
