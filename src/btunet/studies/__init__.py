"""Studies: which start, which network, how many labels; on any images, with the numbers that decide."""

from __future__ import annotations

from .bench import study
from .report import report
from .sets import find_split, split_set

__all__ = ["find_split", "report", "split_set", "study"]
