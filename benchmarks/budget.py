"""Is the forecast right? What it says along the way, against what further strokes then brought.

    PYTHONPATH=benchmarks python benchmarks/budget.py DATA OUT.csv [--turns 12] [--planes 2] [--seeds 1] [--sets ...]

In every turn the simulated person of `strokes` paints one stroke of each class on each of a few planes, in the
background beside objects and far away in turn. Every turn from the second on has a score, the mean Dice of the classes
from held-out strokes as the panel shows it, and a truth, the same over all pixels of those planes. Half-way and later
`btunet.budget` is asked what a third as many strokes again will bring, and the truth as many strokes later answers.
Finished rows of OUT.csv are not repeated.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import numpy as np
from scipy.ndimage import distance_transform_edt

from btunet.budget import FEWEST, Forecast, forecast
from btunet.device import mind_the_machine
from btunet.labels import IGNORE
from score import answered
from strokes.annotation import NEAR, showing_all
from strokes.finished import finished
from strokes.hand import Hand
from strokes.sets import ImageSet, Masks, load, names_in

COLUMNS = ("set", "seed", "turn", "strokes", "score", "true")
FIRST = 2  # turn that is scored


def painting(images: ImageSet, planes: int, turns: int, seed: int) -> Iterator[tuple[int, int, Masks]]:
    """Yield turn, strokes so far and all of them."""
    chosen = showing_all(images, seed)[:planes]
    hands = {p: Hand(images.masks[p].shape, np.random.default_rng([seed, *p])) for p in chosen}
    for turn in range(1, turns + 1):
        for place, hand in hands.items():
            mask = images.masks[place]
            beside = distance_transform_edt(mask == 0) <= NEAR
            part = (mask == 0) & (beside if turn % 2 else ~beside)
            hand.stroke(part if part.any() else mask == 0, 0)
            for k in (int(k) for k in np.unique(mask) if k not in (0, IGNORE)):
                hand.stroke(mask == k, k)
        yield turn, sum(hand.strokes for hand in hands.values()), {p: hand.values.copy() for p, hand in hands.items()}


def measured(images: ImageSet, strokes: Masks) -> tuple[str, str]:
    """Return the score, "" if there are too few strokes for one, and the truth."""
    estimates, totals = answered(images, strokes)
    true = [c.scores["dice"] for c in totals[1:]]
    score = f"{fmean(e.dice for e in estimates.values()):.4f}" if estimates else ""
    return score, f"{fmean(d for d in true if d is not None):.4f}"


def asked(rows: list[dict[str, str]]) -> Iterator[tuple[Forecast, float]]:
    """Yield every forecast of one person, and what a third as many turns again truly brought."""
    for n, now in enumerate(rows):
        later = [r for r in rows if int(r["turn"]) == int(now["turn"]) + int(now["turn"]) // 3]
        known = [r for r in rows[: n + 1] if r["score"]]
        if later and len(known) >= FEWEST:
            more = int(later[0]["strokes"]) - int(now["strokes"])
            said = forecast([float(r["strokes"]) for r in known], [float(r["score"]) for r in known], more)
            if isinstance(said, Forecast):
                yield said, float(later[0]["true"]) - float(now["true"])


def report(path: Path) -> None:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    print("| set | forecasts | mean gain: forecast | true | mean error | interval holds the truth | noise |", end="")
    print(' "you can stop" | true gain after it: mean | most |\n|' + "---|" * 10)
    names = list(dict.fromkeys(row["set"] for row in rows))
    people = dict.fromkeys((row["set"], row["seed"]) for row in rows)
    found = {p: list(asked([r for r in rows if (r["set"], r["seed"]) == p])) for p in people}
    for name in [*names, "all"]:
        some = [pair for (of, _), pairs in found.items() if name in ("all", of) for pair in pairs]
        if not some:
            print(f"| {name} | 0 |" + " |" * 8)
            continue
        means = fmean(said.gain for said, _ in some), fmean(true for _, true in some)
        error, noise = fmean(abs(s.gain - true) for s, true in some), fmean(said.noise for said, _ in some)
        held = sum(said.low <= true <= said.high for said, true in some)
        stops = [true for said, true in some if said.may_stop]
        after = f"{fmean(stops):+.3f} | {max(stops):+.3f}" if stops else " | "
        print(
            f"| {name} | {len(some)} | {means[0]:+.3f} | {means[1]:+.3f} | {error:.3f} | {held} | {noise:.3f} "
            f"| {len(stops)} | {after} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", nargs="+")
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--planes", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    mind_the_machine()
    done = finished(args.out, COLUMNS, ("set", "seed", "turn"))
    for name in args.sets or names_in(args.data):
        images = load(args.data, name)
        for seed in range(args.seeds):
            for turn, strokes, values in painting(images, args.planes, args.turns, seed):
                if turn >= FIRST and (name, str(seed), str(turn)) not in done:
                    with args.out.open("a", newline="") as file:
                        csv.writer(file).writerow([name, seed, turn, strokes, *measured(images, values)])
    report(args.out)


if __name__ == "__main__":
    main()
