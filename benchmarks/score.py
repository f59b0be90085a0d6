"""Is the score honest? Dice as estimated from held-out strokes, against Dice from the masks of the same planes.

    python benchmarks/score.py DATA OUT.csv [--budgets 1x5 4x5 10x5] [--seeds 3] [--sets ...]

The simulated person of `strokes` paints; `btunet.answer` shows what it makes of every painted plane, and its estimate
of Dice; the truth is Dice over all pixels of those planes. Finished rows of OUT.csv are not repeated. Prints bias,
error, and how often the interval holds the truth.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from pathlib import Path
from statistics import fmean

import btunet
from btunet.device import mind_the_machine
from btunet.metrics import Counts, count
from btunet.task import Estimate
from strokes.annotation import begin
from strokes.sets import ImageSet, Masks, load, names_in

COLUMNS = ("set", "budget", "seed", "class", "strokes", "dice", "low", "high", "true")


def answered(images: ImageSet, strokes: Masks) -> tuple[dict[int, Estimate], list[Counts]]:
    """Return the estimates, and the counts of every class over the painted planes."""
    names = [f"class {k}" for k in range(images.classes)]
    painted = [{p: v for (i, p), v in strokes.items() if i == image} for image in range(len(images.stacks))]
    task = btunet.answer(images.stacks, painted, names, next(iter(strokes)))
    progress = next(task)
    while progress.estimates is None:
        progress = next(task)
    estimates, totals = dict(progress.estimates), [Counts()] * images.classes
    others = ((i, p) for i, stack in enumerate(images.stacks) for p in range(stack.planes))
    shown = next(place for place in others if place != next(iter(strokes)))
    task.send(btunet.Steer(look_at=shown))  # away from the first plane, which would not be shown twice
    for place in strokes:
        progress = task.send(btunet.Steer(look_at=place))
        while progress.planes:
            for part in progress.planes:
                (y, x), (height, width) = part.corner, part.mask.shape
                truth = images.masks[place][y : y + height, x : x + width]
                totals = [a + b for a, b in zip(totals, count(part.mask, truth, images.classes), strict=True)]
            progress = next(task)
    task.close()
    return estimates, totals


def report(path: Path) -> None:
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["dice"]]
    print("| set | estimates | mean Dice: estimated | true | bias | mean error | interval holds the truth |")
    print("|---|---|---|---|---|---|---|")
    for name in [*dict.fromkeys(row["set"] for row in rows), "all"]:
        some = [{k: float(v) for k, v in r.items() if k in COLUMNS[5:]} for r in rows if name in ("all", r["set"])]
        errors = [r["dice"] - r["true"] for r in some]
        inside = sum(r["low"] <= r["true"] <= r["high"] for r in some)
        means = fmean(r["dice"] for r in some), fmean(r["true"] for r in some), fmean(errors), fmean(map(abs, errors))
        print(
            f"| {name} | {len(some)} | {means[0]:.2f} | {means[1]:.2f} | {means[2]:+.2f} | {means[3]:.2f} | {inside} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", nargs="+")
    parser.add_argument("--budgets", nargs="+", default=["1x5", "4x5", "10x5"])
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    mind_the_machine()
    done = set[tuple[str, str, str]]()
    if args.out.exists():
        with args.out.open(newline="") as file:
            done = {(row["set"], row["budget"], row["seed"]) for row in csv.DictReader(file)}
    else:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(",".join(COLUMNS) + "\n")
    for name in args.sets or names_in(args.data):
        images = load(args.data, name)
        for budget, seed in itertools.product(args.budgets, range(args.seeds)):
            if (name, budget, str(seed)) in done:
                continue
            estimates, totals = answered(images, begin(images, budget, seed).labels)
            with args.out.open("a", newline="") as file:
                for k in range(1, images.classes):
                    e, true = estimates.get(k), totals[k].scores["dice"]
                    numbers = [f"{v:.4f}" for v in (e.dice, e.low, e.high, true or 0.0)] if e else [""] * 4
                    csv.writer(file).writerow([name, budget, seed, k, e.strokes if e else 0, *numbers])
    report(args.out)


if __name__ == "__main__":
    main()
