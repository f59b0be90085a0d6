"""What the runs say: medians, paired differences, what corrections cost, collapses, seconds; and curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from statistics import fmean, median

import numpy as np

from btunet.replace import replacing
from btunet.studies.plan import planes_of

from .bootstrap import Difference, difference, paired
from .results import Results, label
from .rows import Row, read_rows

Cells = Sequence[Sequence[str]]
MANY = 10**6  # more images than any set has


def report(out: Path, against: Sequence[str] = ("forest",), test: int | None = None) -> Path:
    """Write ``report.md`` and the curves of all runs in a folder.

    Parameters
    ----------
    out
        Where ``rows.csv`` is.
    against
        Arms that differences are taken from; of several, the one that is best on each set and budget.
    test
        Only runs scored on so many test images; by default as many as most runs.
    """
    results = Results.of(read_rows(out / "rows.csv"), test)
    unknown = [arm for arm in against if arm not in results.labels]
    if unknown:
        raise ValueError(f"there are no runs of {unknown[0]!r}; choose among {', '.join(results.labels)}")
    drawn: list[str] = []
    if find_spec("matplotlib") and results.rows:
        from .curves import draw

        drawn = draw(results, out)
    lines = [*_lines(results, against), *(f"![{name}]({name})" for name in drawn)]
    with replacing(out / "report.md") as part:
        part.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    return out / "report.md"


def _lines(results: Results, against: Sequence[str]) -> Iterator[str]:
    named = " or ".join(against) + (", whichever is better there" if len(against) > 1 else "")
    yield from (
        "# The same strokes for all",
        "",
        f"{len(results.rows)} runs.",
        "",
        "## Dice, median over the seeds",
        "",
    )
    yield from _table(["set", "annotations", *results.labels], list(_medians(results)))
    classes = list(_classes(results))
    if classes:
        yield from ("## Dice by class, where there are several", "")
        yield from _table(["set", "annotations", "class", *results.labels], classes)
    yield from (f"## Difference in Dice from {named}", "")
    yield "Paired by seed and test image; 95 % bootstrap interval over both. In the mean every set counts the same."
    yield ""
    yield from _table(["annotations", "arm", "set", "difference", "verdict"], list(_differences(results, against)))
    if results.rounds:
        yield from (f"## Corrections: what it takes to reach the last Dice of {named}", "")
        head = ["set", "annotations", "arm", "Dice at first", "Dice at last", "strokes", "length", "factor"]
        yield from _table(head, list(_costs(results, against)))
    yield from ("## Collapses and seconds", "")
    yield "Collapsed: one class everywhere, or less than 5 % of the objects found. Seconds: median, of first trainings."
    yield ""
    yield from _table(["arm", "collapsed", "training", "predicting the test images"], list(_health(results)))


def _medians(results: Results) -> Iterator[list[str]]:
    for budget in results.budgets:
        columns: dict[str, list[float]] = {arm: [] for arm in results.labels}
        for name in results.sets:
            found = {arm: results.middle(name, budget, arm, 0, "dice") for arm in results.labels}
            if any(value is not None for value in found.values()):
                yield [name, budget, *(_dice(value) for value in found.values())]
                for arm, value in found.items():
                    columns[arm] += [] if value is None else [value]
        full = max(len(values) for values in columns.values())
        means = {arm: fmean(values) if len(values) == full else None for arm, values in columns.items()}
        yield ["**mean**", budget, *(_dice(value) for value in means.values())]


def _classes(results: Results) -> Iterator[list[str]]:
    for budget, name in product(results.budgets, results.sets):
        found = {arm: [_by_class(row) for row in results.choose(name, budget, arm)] for arm in results.labels}
        count = max((len(classes) for rows in found.values() for classes in rows), default=0)
        for k in range(count if count > 1 else 0):
            known = ([row[k] for row in rows if row[k] is not None] for rows in found.values())
            yield [name, budget, str(k + 1), *(_dice(median(values) if values else None) for values in known)]


def _by_class(row: Row) -> list[float | None]:
    """Return the mean over the images, for every class."""
    known = ([d for d in classes if d is not None] for classes in zip(*row["table"], strict=True))
    return [fmean(values) if values else None for values in known]


def _differences(results: Results, against: Sequence[str]) -> Iterator[list[str]]:
    for budget in results.budgets:
        for arm in (arm for arm in results.labels if arm not in against):
            sets = {}
            for name in results.sets:
                base = results.best(name, budget, against)
                if base and results.choose(name, budget, arm):
                    sets[name] = paired(results.choose(name, budget, arm), results.choose(name, budget, base))
            for name, found in {**{n: difference(p) for n, p in sets.items()}, "**mean**": _mean(sets)}.items():
                if found:
                    yield [budget, arm, name, str(found), found.verdict]


def _mean(sets: dict[str, np.ndarray]) -> Difference | None:
    return difference(*sets.values()) if len(sets) > 1 else None


def _costs(results: Results, against: Sequence[str]) -> Iterator[list[str]]:
    last = results.rounds
    for budget in (b for b in results.budgets if "x" in b):
        for name in results.sets:
            base = results.best(name, budget, against, last)
            if base is None:
                continue
            goal = results.middle(name, budget, base, last, "dice") or 0.0
            price = results.middle(name, budget, base, last, "strokes") or 0.0
            for arm in results.labels:
                ends = [results.middle(name, budget, arm, turn, "dice") for turn in (0, last)]
                if ends[1] is None:
                    continue
                reached = first_reaching(results, name, budget, arm, goal)
                cells = ["not reached", "", ""]
                if reached is not None:
                    paid, length = (results.middle(name, *reached, c) or 0 for c in ("strokes", "length"))
                    cells = [f"{paid:.0f}", f"{length:.0f}", f"{price / max(1, paid):.1f}"]
                yield [name, budget, arm, *(_dice(end) for end in ends), *cells]


def first_reaching(results: Results, name: str, budget: str, arm: str, goal: float) -> tuple[str, str, int] | None:
    """Return the least with which an arm's median Dice is a goal or more, None if it never is: budget, arm, round.

    That is fewer strokes on as many images, if that was run, or the budget after a round of corrections.
    """
    count, strokes = planes_of(budget, MANY)
    fewer = [
        b for b in results.budgets if "x" in b and planes_of(b, MANY)[0] == count and planes_of(b, MANY)[1] < strokes
    ]
    places = [*((b, arm, 0) for b in fewer), *((budget, arm, turn) for turn in range(results.rounds + 1))]
    return next((p for p in places if (results.middle(name, *p, "dice") or 0.0) >= goal), None)


def _health(results: Results) -> Iterator[list[str]]:
    for arm in results.labels:
        rows = [row for row in results.rows if label(row) == arm]
        first = [row for row in rows if not row["round"]]
        seconds = [f"{median(row[column] for row in first):.1f}" for column in ("train_seconds", "test_seconds")]
        yield [arm, f"{sum(row['collapsed'] for row in rows)} of {len(rows)}", *seconds]


def _dice(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _table(head: Sequence[str], rows: Cells) -> list[str]:
    if not rows:
        return ["None yet.", ""]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)] + [""]
