"""What a study found: a tidy table, a summary as the papers lay it out, and curves."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from ..errors import BtunetError
from ..replace import replacing
from ..settings import StudySettings
from .plan import short

COLUMNS = (
    *("network", "initialisation", "budget", "planes", "strokes", "seed", "rate", "tuning", "precision", "recall"),
    *("dice", "dice_pooled", "mean_iou", "foreground_iou", "collapsed", "validation_dice", "seconds"),
)
RESAMPLED = 2000
CLOSE = 0.95  # of the first start's last validation Dice counts as converged

Record = dict[str, Any]


def report(out: Path, settings: StudySettings, *, pictures: bool = True) -> Path:
    """Write ``runs.csv``, ``summary.md`` and the curves of all finished runs.

    Parameters
    ----------
    out
        Folder of the study.
    settings
        What it compares, in the order of the tables.
    pictures
        Whether to draw the curves; they need matplotlib (extra ``study``).

    Returns
    -------
    Path
        ``summary.md``.
    """
    files = sorted((out / "runs").glob("[!.]*.json"))  # a hidden one is being written, or was when its process ended
    records = [read_record(file) for file in files]
    with replacing(out / "runs.csv") as part, part.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        table.writeheader()
        table.writerows({**r, "validation_dice": r["curve"][-1][1] if r["curve"] else None} for r in records)
    settings = replace(settings, initialisations=tuple(short(start) for start in settings.initialisations))
    asked = [r for r in (r | {"initialisation": short(r["initialisation"])} for r in records) if _asked(r, settings)]
    tuning = [r for r in asked if r["tuning"]]
    runs = [r for r in asked if not r["tuning"]]
    drawn = _curves(out, runs, settings) if pictures and runs and find_spec("matplotlib") else []
    with replacing(out / "summary.md") as part:
        part.write_text(_summary(runs, tuning, settings, drawn), encoding="utf-8")
    return out / "summary.md"


def read_record(file: Path) -> Record:
    """Return what a study wrote.

    Raises
    ------
    BtunetError
        If the file was altered or cut off.
    """
    try:
        record: Record = json.loads(file.read_text())
    except ValueError as error:
        raise BtunetError(f"{file} is broken ({error}); delete it, and what it held is made again") from error
    return record


def difference(records: Sequence[Record], others: Sequence[Record]) -> tuple[float, float, float] | None:
    """Return the mean difference in Dice between two starts, and its 95 % bootstrap interval.

    Paired by seed and test image; seeds and images are drawn again, each with replacement, so that the interval covers
    both which planes were labelled and which were tested.

    Parameters
    ----------
    records, others
        Runs of one network and budget; the difference is records - others. Seeds that only one has are left out.

    Returns
    -------
    mean, low, high
        None when no seed is in both.
    """
    first, second = ({r["seed"]: r["images"] for r in arm} for arm in (records, others))
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        return None
    pairs = np.array([first[s] for s in seeds], float) - np.array([second[s] for s in seeds], float)  # (seeds, images)
    pairs = pairs[:, ~np.isnan(pairs).any(0)]  # an image without the class in one arm has no Dice to compare
    if not pairs.size:
        return None
    rng = np.random.default_rng(0)
    count, images = pairs.shape
    drawn_seeds = rng.integers(count, size=(RESAMPLED, count))
    drawn_images = rng.integers(images, size=(RESAMPLED, images))
    means = [pairs[np.ix_(s, i)].mean() for s, i in zip(drawn_seeds, drawn_images, strict=True)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(pairs.mean()), float(low), float(high)


def verdict(low: float, high: float, seeds: int) -> str:
    """Say what the interval of a difference means; one seed says nothing, because its interval lacks the training."""
    if seeds < 2:
        return "one seed only"
    return "helps" if low > 0 else "hurts" if high < 0 else "no clear difference"


def steps_to(curve: Sequence[tuple[int, float]], dice: float) -> float:
    """Return the first step of a validation curve that reaches a Dice, infinity if none does."""
    return next((float(step) for step, value in curve if value >= dice), float("inf"))


def _asked(record: Record, settings: StudySettings) -> bool:
    """Whether a run belongs to what is compared now; an earlier study in the folder may have compared more."""
    return (
        record["network"] in settings.networks
        and record["initialisation"] in settings.initialisations
        and record["budget"] in settings.budgets
        and record["seed"] < settings.seeds
    )


def _arm(runs: Sequence[Record], **choice: Any) -> list[Record]:
    return [r for r in runs if all(r[key] == value for key, value in choice.items())]


def _middle(values: Sequence[float]) -> str:
    """Return median and range."""
    return f"{median(values):.3f} ({min(values):.3f} – {max(values):.3f})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return ["None yet.", ""]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)] + [""]


def _summary(runs: Sequence[Record], tuning: Sequence[Record], settings: StudySettings, drawn: Sequence[str]) -> str:
    s = settings
    lines = [
        "# Study",
        "",
        f"{len(runs)} runs of {s.steps} steps, {s.pretrain_steps} of pre-training, recipe {s.recipe}, {s.seeds} seeds. "
        "All starts of a network get the same labels, steps and schedule.",
        "",
    ]
    if tuning:
        tried = "; ".join(f"{r['network']} {r['rate']:g}: {r['curve'][-1][1]:.3f}" for r in tuning)
        lines += [f"Learning rates tried, each from the first start (validation Dice): {tried}.", ""]
    lines += [
        "## Scores on the test images",
        "",
        "Median over the seeds (smallest – largest). Precision is pooled over all pixels, Dice the mean over the "
        "images, mean IoU pooled with the background. Collapsed: less than 5 % of the object was found, or one class "
        "was predicted everywhere.",
        "",
    ]
    for budget in _present(runs, s.budgets):
        lines += [f"### {_budget(budget)}", "", *_scores(runs, budget, s)]
    lines += [
        f"## Difference in Dice from {s.initialisations[0]}",
        "",
        "Paired by seed and test image; 95 % bootstrap interval over both. Pairs with a collapsed run are counted, "
        "because one of them can make the whole difference.",
        "",
        *_differences(runs, s),
        "## Convergence",
        "",
        f"Steps until the validation Dice reaches {CLOSE:.0%} of the last one of {s.initialisations[0]} "
        "(median over the seeds in which that one did not collapse).",
        "",
        *_convergence(runs, s),
    ]
    missing = [_budget(b) for b in s.budgets if b not in _present(runs, s.budgets)]
    if missing:
        lines += [f"No runs, either not yet or because there are fewer images: {', '.join(missing)}.", ""]
    lines += [f"![{name}]({name})" for name in drawn]
    return "\n".join(lines).rstrip() + "\n"


def _budget(budget: str) -> str:
    if "x" in budget:
        planes, strokes = budget.split("x")
        return f"{strokes} strokes per class on each of {planes} images"
    return f"{budget} of the labelled images" if "%" in budget else f"{budget} labelled images"


def _present(runs: Sequence[Record], budgets: Sequence[str]) -> list[str]:
    return [b for b in budgets if _arm(runs, budget=b)]


def _arms(runs: Sequence[Record], settings: StudySettings, budget: str) -> list[tuple[str, str, list[Record]]]:
    """Return (network, initialisation, runs) in the order of the settings, those without runs left out."""
    arms = product(settings.networks, settings.initialisations)
    found = [(n, i, _arm(runs, network=n, initialisation=i, budget=budget)) for n, i in arms]
    return [arm for arm in found if arm[2]]


def _scores(runs: Sequence[Record], budget: str, settings: StudySettings) -> list[str]:
    rows = []
    for network, start, arm in _arms(runs, settings, budget):
        scores = [_middle([r[key] for r in arm]) for key in ("precision", "dice", "mean_iou")]
        collapsed = f"{sum(r['collapsed'] for r in arm)} of {len(arm)}"
        rows.append([network, start, *scores, collapsed])
    return _table(["network", "start", "precision", "Dice", "mean IoU", "collapsed"], rows)


def _differences(runs: Sequence[Record], settings: StudySettings) -> list[str]:
    rows, base = [], settings.initialisations[0]
    for budget in _present(runs, settings.budgets):
        for network, start, arm in _arms(runs, settings, budget):
            others = _arm(runs, network=network, initialisation=base, budget=budget)
            found = difference(arm, others) if start != base else None
            if found:
                mean, low, high = found
                seeds = {r["seed"] for r in arm} & {r["seed"] for r in others}
                fallen = {r["seed"] for r in (*arm, *others) if r["collapsed"]} & seeds
                interval = f"{low:+.3f} to {high:+.3f}"
                said = verdict(low, high, len(seeds))
                pairs = f"{len(fallen)} of {len(seeds)}"
                rows.append([budget, network, start, f"{mean:+.3f}", interval, said, pairs])
    head = ["labels", "network", "start", "difference", "interval", "verdict", "pairs with a collapsed run"]
    return _table(head, rows)


def _convergence(runs: Sequence[Record], settings: StudySettings) -> list[str]:
    rows, base = [], settings.initialisations[0]
    for budget in _present(runs, settings.budgets):
        for network, start, arm in _arms(runs, settings, budget):
            goals = {
                r["seed"]: CLOSE * r["curve"][-1][1]
                for r in _arm(runs, network=network, initialisation=base, budget=budget)
                if r["curve"] and not r["collapsed"]  # 95 % of nothing is reached at once
            }
            steps = [steps_to(r["curve"], goals[r["seed"]]) for r in arm if r["seed"] in goals]
            if steps:
                rows.append([budget, network, start, f"{median(steps):.0f}".replace("inf", "not reached")])
    return _table(["labels", "network", "start", "steps"], rows)


def _curves(out: Path, runs: Sequence[Record], settings: StudySettings) -> list[str]:
    """Draw Dice against labels and validation Dice against steps; return the names of the files."""
    from matplotlib.figure import Figure

    def figure(panels: Sequence[str], draw: Callable[[Any, str], None], name: str, x: str, y: str) -> str:
        picture = Figure(figsize=(4 * len(panels), 3.2), layout="constrained")
        axes = picture.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for panel, ax in zip(panels, axes, strict=True):
            draw(ax, panel)
            ax.set_title(panel, fontsize=10)
            ax.set_xlabel(x)
            ax.grid(alpha=0.3)
        axes[0].set_ylabel(y)
        if axes[0].get_legend_handles_labels()[0]:
            axes[0].legend(fontsize=8)
        with replacing(out / name) as part:
            picture.savefig(part, dpi=120)
        return name

    def labels(ax: Any, network: str) -> None:
        for start in settings.initialisations:
            arm = [r for r in _arm(runs, network=network, initialisation=start) if not r["strokes"]]
            sizes = sorted({r["planes"] for r in arm})
            dice = [[r["dice"] for r in arm if r["planes"] == n] for n in sizes]
            if sizes:
                ax.plot(sizes, [median(d) for d in dice], marker="o", label=start)
                ax.fill_between(sizes, [min(d) for d in dice], [max(d) for d in dice], alpha=0.2)
        ax.set_xscale("log")

    def steps(ax: Any, budget: str) -> None:
        for network, start, arm in _arms(runs, settings, budget):
            curves = [r["curve"] for r in arm if r["curve"]]
            if curves:
                at = [step for step, _ in curves[0]]
                middle = [median(curve[i][1] for curve in curves) for i in range(len(at))]
                ax.plot(at, middle, label=f"{network}, {start}")

    drawn = [figure(settings.networks, labels, "dice_by_labels.png", "labelled images", "Dice on the test images")]
    budgets = [b for b in _present(runs, settings.budgets) if any(r["curve"] for r in _arm(runs, budget=b))]
    if budgets:
        drawn.append(figure(budgets, steps, "convergence.png", "step", "Dice on held-out images"))
    return drawn
