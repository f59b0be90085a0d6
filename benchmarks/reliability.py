"""Are planes in the right order? Signs of a bad prediction against the true Dice of every plane.

    PYTHONPATH=benchmarks python benchmarks/reliability.py DATA OUT.csv [--steps 80] [--most 30] [--sets ...]

The simulated person of `strokes` paints two strokes of each class on two planes, then five on four; after each a
network is fine-tuned, so that there is a model and one before. All planes that were not painted are predicted (of sets
that are no stack as many as ``most``, evenly spread), and their signs and the order of `btunet.reliability` are
compared with Dice over all pixels of the objects. Prints Spearman's correlation with it for each sign and for the
order, the mean of the Dice that the model expects of itself and how far off it is, and the mean Dice of the last fifth
of the planes in that order. Finished sets of OUT.csv are not repeated.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from statistics import fmean

import numpy as np
from scipy.stats import spearmanr

import btunet
from btunet.device import mind_the_machine
from btunet.labels import IGNORE
from btunet.reliability import EARLIER, NEIGHBOURS, UNSURE, Reliability
from strokes.annotation import begin
from strokes.finished import finished
from strokes.sets import ImageSet, Masks, load, names_in

SIGNS = ("sure", "expected", "neighbours", "earlier")
COLUMNS = ("set", "seed", "group", "true", *SIGNS, "order")
STACKS = ("isbi2012_em",)  # whose planes are neighbours
BUDGETS = ("2x2", "4x5")


def trained(images: ImageSet, strokes: Masks, steps: int, seed: int) -> btunet.Model:
    painted = [{p: v for (i, p), v in strokes.items() if i == n} for n in range(len(images.stacks))]
    settings = btunet.FinetuneSettings(steps=steps, batch=4, patch_size=96, seed=seed)
    used = [n for n, planes in enumerate(painted) if planes]
    names = [f"class {k}" for k in range(images.classes)]
    chosen = [images.stacks[n] for n in used], [painted[n] for n in used]
    return btunet.run(btunet.finetune(*chosen, settings, classes=names))


def predicted(model: btunet.Model, stack: btunet.Stack) -> dict[int, btunet.PredictedPlane]:
    return {done.plane: done for progress in btunet.predict(model, [stack]) for done in progress.planes}


def dice(mask: np.ndarray, truth: np.ndarray) -> float:
    """Return Dice of the objects, of all classes together, 1 where there are none."""
    mask, truth = (np.where(truth == IGNORE, 0, values) for values in (mask, truth))
    total = np.count_nonzero(mask) + np.count_nonzero(truth)
    return 2 * np.count_nonzero((mask == truth) & (mask > 0)) / total if total else 1.0


def groups_of(images: ImageSet, name: str, painted: Masks, most: int) -> list[list[tuple[btunet.Stack, int, Masks]]]:
    """Return what is ordered together: the planes of a stack, or some of the images that were not painted."""
    some = [(stack, n, images.masks) for n, stack in enumerate(images.stacks)]
    some += [(stack, n, images.test_masks) for n, stack in enumerate(images.test_stacks)]
    if name in STACKS:
        return [[each] for each in some]
    fresh = [each for each in some if each[2] is images.test_masks or (each[1], 0) not in painted]
    return [[fresh[i * len(fresh) // most] for i in range(most)] if len(fresh) > most else fresh]


def rows_of(images: ImageSet, name: str, steps: int, most: int, seed: int) -> list[list[object]]:
    painted = [begin(images, budget, seed).labels for budget in BUDGETS]
    models, rows = [trained(images, strokes, steps, seed) for strokes in painted], list[list[object]]()
    for number, group in enumerate(groups_of(images, name, painted[-1], most)):
        count = sum(stack.planes for stack, _, _ in group)
        found, known, first = Reliability(count, count if name in STACKS else 1), list[tuple[int, float, float]](), 0
        for stack, image, masks in group:
            before, now = (predicted(model, stack) for model in models)
            for plane in range(stack.planes):
                done, after = now[plane], now.get(plane + 1)
                found.take(first + plane, done.mask, done.doubt, before[plane].mask)
                if after is not None:
                    found.take_pair(first + plane, done.mask, after.mask)
                truth, strokes = masks[image, plane], masks is images.masks and (image, plane) in painted[-1]
                if not strokes:
                    true = dice(done.mask, truth)
                    known.append((first + plane, true, 1 - float(done.doubt.mean()) / 255))
            first += stack.planes
        signs = np.concatenate([found.signs[:, [UNSURE, NEIGHBOURS, EARLIER]], found.value()[:, None]], 1)
        rows += [[name, seed, number, f"{t:.4f}", f"{s:.4f}", *(f"{v:.4f}" for v in signs[p])] for p, t, s in known]
    return rows


def report(path: Path) -> None:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    print(
        "| set | planes | mean Dice | its spread | less doubt | expected Dice | neighbours | model before | order |",
        end="",
    )
    print(" last fifth: Dice | worst fifth | expected | off by |\n|" + "---|" * 13)
    kinds: dict[str, list[float]] = {}
    for key in dict.fromkeys((r["set"], r["seed"], r["group"]) for r in rows):
        some = [r for r in rows if (r["set"], r["seed"], r["group"]) == key]
        true = np.array([float(r["true"]) for r in some])
        cells = []
        for sign in (*SIGNS, "order"):
            values = np.array([float(r[sign]) for r in some])
            usable = not np.isnan(values).any() and np.ptp(values) > 0
            cells.append(f"{spearmanr(values, true).statistic:+.2f}" if usable else "")
            kinds.setdefault(sign, []).extend([float(cells[-1])] if usable else [])
        few = max(1, len(some) // 5)
        worst = true[np.argsort([float(r["order"]) for r in some])[:few]].mean()
        name = f"{key[0]} {int(key[2]) + 1}" if key[0] in STACKS else key[0]
        print(f"| {name} | {len(some)} | {true.mean():.3f} | {true.std():.3f} | {' | '.join(cells)} |", end="")
        expected = np.array([float(r["expected"]) for r in some])
        off = np.abs(expected - true).mean()
        print(f" {worst:.3f} | {np.sort(true)[:few].mean():.3f} | {expected.mean():.3f} | {off:.3f} |")
    means = (f"{fmean(kinds[sign]):+.2f}" if kinds.get(sign) else "" for sign in (*SIGNS, "order"))
    print(f"| **mean** | {len(rows)} | | | {' | '.join(means)} | | | | |")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", nargs="+")
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--most", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    mind_the_machine()
    done = finished(args.out, COLUMNS, ("set", "seed"))
    for name in args.sets or names_in(args.data):
        for seed in range(args.seeds):
            if (name, str(seed)) not in done:
                rows = rows_of(load(args.data, name), name, args.steps, args.most, seed)
                with args.out.open("a", newline="") as file:
                    csv.writer(file).writerows(rows)
    report(args.out)


if __name__ == "__main__":
    main()
