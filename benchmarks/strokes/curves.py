"""Pictures of the runs: Dice against what was painted, and against seconds of training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from btunet.replace import replacing

from .results import Results

Draw = Callable[[Any, str, str], None]  # axes, set, budget


def draw(results: Results, out: Path) -> list[str]:
    """Draw what there is to compare; return the names of the files."""
    names = []
    if results.rounds:
        strokes = [budget for budget in results.budgets if "x" in budget]
        names.append(_grid(results, strokes, _lengths(results), out / "dice_by_length.png", "painted length, pixels"))
    names.append(_grid(results, results.budgets, _seconds(results), out / "dice_by_seconds.png", "training, seconds"))
    return names


def _lengths(results: Results) -> Draw:
    def draw_one(ax: Any, name: str, budget: str) -> None:
        for i, arm in enumerate(results.labels):
            turns = range(results.rounds + 1)
            _line(ax, i, arm, [[results.middle(name, budget, arm, t, c) for t in turns] for c in ("length", "dice")])

    return draw_one


def _seconds(results: Results) -> Draw:
    kinds = list(dict.fromkeys(row["arm"] for row in results.rows))

    def draw_one(ax: Any, name: str, budget: str) -> None:
        for i, kind in enumerate(kinds):
            arms = dict.fromkeys(f"{kind} {row['effort']}".strip() for row in results.rows if row["arm"] == kind)
            points = [[results.middle(name, budget, arm, 0, c) for arm in arms] for c in ("train_seconds", "dice")]
            _line(ax, i, kind, points)

    return draw_one


def _line(ax: Any, i: int, name: str, points: list[list[float | None]]) -> None:
    """Draw the points that are known, from left to right."""
    known = sorted((x, y) for x, y in zip(*points, strict=True) if x is not None and y is not None)
    if known:
        ax.plot(*zip(*known, strict=True), marker="o", markersize=3, color=f"C{i}", label=name)


def _grid(results: Results, budgets: list[str], draw_one: Draw, file: Path, along: str) -> str:
    """Draw a row of panels per budget, one panel per set."""
    rows, columns = len(budgets), len(results.sets)
    picture = Figure(figsize=(max(6, 2.6 * columns + 1), 2.2 * rows + 1.2), layout="constrained")
    axes = picture.subplots(rows, columns, squeeze=False, sharey="col")
    shown: dict[str, Any] = {}
    for budget, line in zip(budgets, axes, strict=True):
        for name, ax in zip(results.sets, line, strict=True):
            draw_one(ax, name, budget)
            ax.set_title(f"{name}, {budget}", fontsize=8)
            ax.tick_params(labelsize=7)
            ax.grid(alpha=0.3)
            handles, labels = ax.get_legend_handles_labels()
            shown |= dict(zip(labels, handles, strict=True))
    picture.supxlabel(along, fontsize=9)
    picture.supylabel("Dice on the test images", fontsize=9)
    if shown:
        picture.legend(list(shown.values()), list(shown), loc="outside upper center", ncols=max(2, columns), fontsize=8)
    with replacing(file) as part:
        picture.savefig(part, dpi=110, format="png")
    return file.name
