"""Can held-out strokes tell how good a plane is? What a model expects of itself against the true Dice of planes.

    PYTHONPATH=benchmarks python benchmarks/calibration.py DATA OUT.csv [--seeds 3] [--most 12] [--sets ...]

The simulated person of `strokes` paints five strokes of each class on four images; the instant classifier predicts
planes that were not painted. Compared with their true Dice: the Dice that it expects of itself (`btunet.reliability`);
the same with probabilities softened by the temperature (Guo et al. 2017) under which the strokes are likeliest, each
judged by a classifier that did not learn it; and the first, shifted by how much the Dice estimated from those
judgements (`btunet.honest`) is off on the painted planes. Prints the mean error of each. Finished rows of OUT.csv are
not repeated.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from statistics import fmean

import numpy as np

from btunet.crossfit import judgements
from btunet.device import mind_the_machine
from btunet.folds import Folds
from btunet.guide import Guide
from btunet.honest import estimate
from btunet.instant import look
from btunet.labels import target_of_strokes
from btunet.normalise import Normalisation
from btunet.patches import Annotations, Source
from btunet.reliability import expected_dice
from btunet.settings import PredictSettings
from btunet.tiles import doubt, most_likely, predict_plane
from reliability import dice
from strokes.annotation import begin
from strokes.finished import finished
from strokes.sets import ImageSet, load, names_in

BUDGET = "4x5"
WINDOW = 128  # pixels, side of what is looked at
TEMPERATURES = np.exp(np.linspace(np.log(0.5), np.log(10), 25))
WAYS = ("expected", "tempered", "shifted")
COLUMNS = ("set", "seed", "temperature", "true", *WAYS)


def softened(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities (K, ...) at another temperature."""
    logits = np.log(np.maximum(probabilities, 1e-6)) / temperature
    powers = np.exp(logits - logits.max(0))
    found: np.ndarray = powers / powers.sum(0)
    return found


def temperature_of(kinds: np.ndarray, sure: np.ndarray) -> float:
    """Return the likeliest temperature of strokes of these classes (S,), probabilities (S, K); classes count the same.

    Two or a half are a priori e^0.5 times less likely than one, so that few strokes say little.
    """
    weights = len(kinds) / np.bincount(kinds)[kinds] / len(np.unique(kinds))
    costs = []
    for temperature in TEMPERATURES:
        right = softened(sure.T, temperature)[kinds, np.arange(len(kinds))]
        costs.append(-(weights * np.log(right + 1e-6)).sum() + np.log(temperature) ** 2)
    return float(TEMPERATURES[int(np.argmin(costs))])


def rows_of(images: ImageSet, seed: int, most: int) -> list[list[object]]:
    sources = [Source(stack, Normalisation()) for stack in images.stacks]
    annotations, folds, painted = Annotations(), Folds(), begin(images, BUDGET, seed).labels
    for key, strokes in painted.items():
        target = target_of_strokes(strokes)
        annotations.put(*key, target)
        folds.deal(*key, target)
    guide = Guide(sources, annotations, images.classes, WINDOW, seed)
    seen = look(sources, annotations, seed, guide.memory)
    judged = list(judgements(seen, folds, annotations.targets, guide.prior, seed))
    kinds = np.array([folds.strokes[n].kind for numbers, _, _ in judged for n in numbers], int)
    shares, sure = (np.concatenate([some[i] for some in judged]) for i in (1, 2))

    def predicted(key: tuple[int, int]) -> np.ndarray:
        return predict_plane(guide.pixels, sources[key[0]].plane(key[1]), PredictSettings().tile)

    def believed(found: np.ndarray) -> float:
        return expected_dice(most_likely(found), doubt(found))

    here = [predicted(key) for key in painted]
    counts = np.sum([np.bincount(most_likely(found).ravel(), minlength=images.classes) for found in here], 0)
    estimates = estimate(kinds.tolist(), shares, counts / counts.sum(), seed)
    shift = fmean(e.dice for e in estimates.values()) - fmean(map(believed, here)) if estimates else 0.0
    temperature = temperature_of(kinds, sure)
    rest = [key for key in sorted(images.masks) if key not in painted]
    chosen = np.random.default_rng(seed).permutation(len(rest))[:most]
    rows = list[list[object]]()
    for key in (rest[i] for i in chosen):
        found = predicted(key)
        values = believed(found), believed(softened(found, temperature)), np.clip(believed(found) + shift, 0, 1)
        rows.append([images.name, seed, temperature, dice(most_likely(found), images.masks[key]), *values])
    return rows


def report(path: Path) -> None:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    print("| set | planes | temperatures | true Dice | expected | off by | tempered: off by | shifted: off by |")
    print("|" + "---|" * 8)
    offs: dict[str, list[float]] = {way: [] for way in WAYS}
    for name in dict.fromkeys(row["set"] for row in rows):
        some = [row for row in rows if row["set"] == name]
        values = {way: np.array([float(row[way]) for row in some]) for way in (*WAYS, "true", "temperature")}
        for way in WAYS:
            offs[way].append(float(np.abs(values[way] - values["true"]).mean()))
        heat = " ".join(f"{t:.2f}" for t in dict.fromkeys(values["temperature"].tolist()))
        print(
            f"| {name} | {len(some)} | {heat} | {values['true'].mean():.3f} | {values['expected'].mean():.3f} |", end=""
        )
        print(" " + " | ".join(f"{offs[way][-1]:.3f}" for way in WAYS) + " |")
    print(f"| **mean** | {len(rows)} | | | | " + " | ".join(f"{fmean(offs[way]):.3f}" for way in WAYS) + " |")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--most", type=int, default=12, help="planes of each set and seed")
    args = parser.parse_args()
    mind_the_machine()
    done = finished(args.out, COLUMNS, ("set", "seed"))
    for name in args.sets or names_in(args.data):
        for seed in range(args.seeds):
            if (name, str(seed)) not in done:
                rows = rows_of(load(args.data, name), seed, args.most)
                with args.out.open("a", newline="") as file:
                    csv.writer(file).writerows([[f"{v:.4f}" if isinstance(v, float) else v for v in r] for r in rows])
    report(args.out)


if __name__ == "__main__":
    main()
