"""Are wrong strokes found? The simulated person of `strokes` paints one stroke in the wrong class.

    PYTHONPATH=benchmarks python benchmarks/doubts.py DATA OUT.csv [--budget 4x5] [--seeds 2] [--sets ...]

For every set and seed, `btunet.answer` is asked once with all strokes right and once for each of three strokes, drawn
at random from background and objects, given another class. Prints how many right strokes are doubted, and how many
wrong ones are found, and found first. Finished rows of OUT.csv are not repeated.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from scipy.ndimage import label

import btunet
from btunet.device import mind_the_machine
from strokes.annotation import begin
from strokes.finished import finished
from strokes.sets import ImageSet, Masks, load, names_in

COLUMNS = ("set", "seed", "wrong", "strokes", "doubted", "found", "first")
WRONG = 3  # strokes that are given another class, one at a time
Place = tuple[int, int]


def doubts(images: ImageSet, strokes: Masks) -> list[tuple[Place, int, int]]:
    """Return image and plane, y and x of the strokes that are doubted."""
    names = [f"class {k}" for k in range(images.classes)]
    painted = [{p: v for (i, p), v in strokes.items() if i == image} for image in range(len(images.stacks))]
    task = btunet.answer(images.stacks, painted, names, next(iter(strokes)))
    progress = next(task)
    while progress.doubts is None:
        progress = next(task)
    task.close()
    return [((spot.image, spot.plane), spot.y, spot.x) for spot in progress.doubts]


def whole(strokes: Masks) -> list[tuple[Place, np.ndarray]]:
    """Return where every stroke is: its image and plane, and its pixels as (Y, X) truth values."""
    found = []
    for place, values in strokes.items():
        for kind in np.unique(values[values > 0]):
            numbers, count = label(values == kind, np.ones((3, 3)))
            found += [(place, numbers == n) for n in range(1, count + 1)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", nargs="+")
    parser.add_argument("--budget", default="4x5")
    parser.add_argument("--seeds", type=int, default=2)
    args = parser.parse_args()
    mind_the_machine()
    done = finished(args.out, COLUMNS, ("set", "seed", "wrong"))
    for name in args.sets or names_in(args.data):
        images = load(args.data, name)
        for seed in range(args.seeds):
            right = begin(images, args.budget, seed).labels
            strokes, rng = whole(right), np.random.default_rng(seed)
            for wrong in range(WRONG + 1):  # the first time none is
                chosen = int(rng.integers(len(strokes)))
                if (name, str(seed), str(wrong)) in done:
                    continue
                place, pixels = strokes[chosen]
                painted = dict(right)
                if wrong:
                    kind = int(right[place][pixels][0])
                    painted[place] = np.where(pixels, kind % images.classes + 1, right[place]).astype(np.uint8)
                found = doubts(images, painted)
                hits = [at == place and bool(pixels[y, x]) for at, y, x in found] if wrong else []
                row = [name, seed, wrong, len(strokes), len(found), int(any(hits)), int(hits[:1] == [True])]
                with args.out.open("a", newline="") as file:
                    csv.writer(file).writerow(row)
    report(args.out)


def report(path: Path) -> None:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    print("| set | right strokes | of these doubted | wrong strokes | found | found first |\n|---|---|---|---|---|---|")
    for name in [*dict.fromkeys(row["set"] for row in rows), "all"]:
        some = [row for row in rows if name in ("all", row["set"])]
        right, wrong = ([r for r in some if (r["wrong"] == "0") == is_right] for is_right in (True, False))
        strokes, doubted = (sum(int(r[column]) for r in right) for column in ("strokes", "doubted"))
        found, first = (sum(int(r[column]) for r in wrong) for column in ("found", "first"))
        print(f"| {name} | {strokes} | {doubted} | {len(wrong)} | {found} | {first} |")


if __name__ == "__main__":
    main()
