"""The rows of a table as the report asks for them: by set, budget, arm and round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from btunet.studies.plan import planes_of

from .rows import Row
from .sets import SETS


def label(row: Row) -> str:
    """Return what a report calls an arm: its name, and how long it trained if that was given."""
    return f"{row['arm']} {row['effort']}".strip()


@dataclass(frozen=True)
class Results:
    """Rows of one number of test images."""

    rows: Sequence[Row]

    @classmethod
    def of(cls, rows: Sequence[Row], test: int | None = None) -> Results:
        """Keep the rows scored on so many test images at most; by default on those that most were scored on."""
        counts = Counter(row["test"] for row in rows)
        chosen = max(counts, key=lambda n: counts[n]) if test is None and counts else test
        return cls([row for row in rows if row["test"] == chosen])

    @property
    def sets(self) -> list[str]:
        """Names of the sets, in the order of `SETS`."""
        return sorted({r["set"] for r in self.rows}, key=lambda n: (SETS.index(n) if n in SETS else len(SETS), n))

    @property
    def budgets(self) -> list[str]:
        """Budgets, strokes first, small ones first."""
        return sorted({r["budget"] for r in self.rows}, key=lambda b: ("x" not in b, planes_of(b, 10**6)))

    @property
    def labels(self) -> list[str]:
        """Arms in the order they were first run in."""
        return list(dict.fromkeys(label(row) for row in self.rows))

    @property
    def rounds(self) -> int:
        """The last round of corrections."""
        return max((row["round"] for row in self.rows), default=0)

    def choose(self, name: str, budget: str, arm: str, turn: int = 0) -> list[Row]:
        """Return the rows of a set, a budget, an arm and a round: one per seed."""
        asked = name, budget, arm, turn
        return [r for r in self.rows if (r["set"], r["budget"], label(r), r["round"]) == asked]

    def best(self, name: str, budget: str, arms: Iterable[str], turn: int = 0) -> str | None:
        """Return which of some arms has the highest mean Dice there; None if none was run."""
        dice = {arm: [r["dice"] for r in self.choose(name, budget, arm, turn)] for arm in arms}
        known = {arm: fmean(values) for arm, values in dice.items() if values}
        return max(known, key=lambda arm: known[arm]) if known else None

    def middle(self, name: str, budget: str, arm: str, turn: int, column: str) -> float | None:
        """Return the median over the seeds of a column."""
        values = [row[column] for row in self.choose(name, budget, arm, turn)]
        return median(values) if values else None
