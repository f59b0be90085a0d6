"""Do suggested places save strokes? A simulated person paints where it is sent, by each of three guides.

    PYTHONPATH=benchmarks python benchmarks/spots.py DATA OUT.csv [--turns 12] [--seeds 2] [--sets ...]

In every turn the person goes to one place, a window of 96 pixels, and paints one stroke of every class that is there.
*suggested*: the first place of `btunet.answer` that was not visited, also before the first stroke; *random*: windows
drawn evenly; *errors*: the one of fifty random windows in which most pixels are wrong, which nobody can know. After
every turn the instant classifier learns all strokes and predicts test images. Prints Dice after a
third, two thirds and all of the turns, and how many turns a guide needs for the Dice that *random* ends with. Finished
rows are not repeated.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import numpy as np
import torch

import btunet
from btunet.device import mind_the_machine
from btunet.instant import learn, untaught
from btunet.labels import target_of_strokes
from btunet.metrics import count
from btunet.networks.pixels import Pixels
from btunet.normalise import Normalisation
from btunet.patches import Annotations, Source, random_place
from btunet.spots import CONTEXT, SIDE
from btunet.tiles import forward, predict_plane
from btunet.windows import Place
from strokes.finished import finished
from strokes.hand import Hand
from strokes.sets import ImageSet, load, names_in

COLUMNS = ("set", "guide", "seed", "turn", "strokes", "dice")
GUIDES = ("suggested", "random", "errors")
STEP = 3  # pixels between two that are looked at for errors
TILE = 512  # pixels
LOOKED_AT = 50  # windows among which the one with most errors is found


class Person:
    """Paints on the planes of a set, one window at a time."""

    def __init__(self, images: ImageSet, seed: int) -> None:
        self.images, self.sources = images, [Source(stack, Normalisation()) for stack in images.stacks]
        self.rng = np.random.default_rng(seed)
        self._seed = seed
        self._memory = untaught(self.sources, images.classes, seed)
        self._pixels = self._memory.pixels
        self.hands: dict[tuple[int, int], Hand] = {}

    @property
    def strokes(self) -> int:
        return sum(hand.strokes for hand in self.hands.values())

    def paint(self, place: Place) -> tuple[int, int]:
        """Paint a stroke of every class in a window; return the image and the plane."""
        image, plane, y, x = place
        mask = self.images.masks[image, plane]
        hand = self.hands.setdefault(
            (image, plane), Hand(mask.shape, np.random.default_rng([self._seed, image, plane]))
        )
        here = np.zeros(mask.shape, bool)
        here[max(0, y) : y + SIDE, max(0, x) : x + SIDE] = True
        for k in range(self.images.classes):
            if (here & (mask == k)).any():
                hand.stroke(here & (mask == k), k)
        return image, plane

    def classifier(self) -> Pixels | None:
        """Return what learned all strokes, if they are of two classes."""
        annotations = Annotations()
        for (image, plane), hand in self.hands.items():
            annotations.put(image, plane, target_of_strokes(hand.values))
        if len(annotations.classes) < 2:
            return None
        classifier = learn(self.sources, annotations, self.images.classes, self._seed, self._memory)
        self._pixels.weight.copy_(torch.from_numpy(classifier.weight))
        self._pixels.bias.copy_(torch.from_numpy(classifier.bias))
        return self._pixels


def score(pixels: Pixels | None, images: ImageSet, limit: int) -> float:
    """Return the mean Dice of some test images; 0 while nothing can be predicted."""
    if pixels is None:
        return 0.0
    found = []
    for image, plane in images.test_planes(limit):
        source = Source(images.test_stacks[image], Normalisation())
        mask = predict_plane(pixels, source.plane(plane), TILE).argmax(0).astype(np.uint8)
        counts = count(mask, images.test_masks[image, plane], images.classes)[1:]
        dice = [c.scores["dice"] for c in counts]
        found.append(fmean([d for d in dice if d is not None] or [1.0]))
    return fmean(found)


def at_random(person: Person) -> Callable[[Pixels | None], Place]:
    return lambda _: random_place(person.sources, SIDE, person.rng)


def at_errors(person: Person) -> Callable[[Pixels | None], Place]:
    def wrong(pixels: Pixels, place: Place) -> int:
        image, plane, y, x = place
        window = person.sources[image].patch(plane, y - CONTEXT, x - CONTEXT, SIDE + 2 * CONTEXT)
        inside = slice(CONTEXT, CONTEXT + SIDE, STEP)
        seen = forward(pixels)(window)[:, inside, inside].argmax(0)
        mask = person.images.masks[image, plane]
        rows, columns = (np.arange(first, first + SIDE, STEP) for first in (y, x))
        known = ((rows >= 0) & (rows < mask.shape[0]))[:, None] & (columns >= 0) & (columns < mask.shape[1])
        truth = mask[rows.clip(0, mask.shape[0] - 1)][:, columns.clip(0, mask.shape[1] - 1)]
        return int(((seen != truth) & (truth != 255) & known).sum())

    def place(pixels: Pixels | None) -> Place:
        some = [random_place(person.sources, SIDE, person.rng) for _ in range(LOOKED_AT if pixels else 1)]
        return max(some, key=lambda p: wrong(pixels, p)) if pixels else some[0]

    return place


def suggested(person: Person, seed: int) -> Callable[[Pixels | None], Place]:
    names = [f"class {k}" for k in range(person.images.classes)]
    task = btunet.answer(person.images.stacks, [{} for _ in person.images.stacks], names, (0, 0), seed=seed)
    last: dict[tuple[int, int], np.ndarray] = {}
    spots: list[btunet.Spot] = []
    visited: list[Place] = []

    def place(_: Pixels | None) -> Place:
        changed: dict[int, dict[int, np.ndarray]] = {}
        for (image, plane), hand in person.hands.items():
            if not np.array_equal(hand.values, last.get((image, plane))):
                last[image, plane] = hand.values.copy()
                changed.setdefault(image, {})[plane] = last[image, plane]
        progress = task.send(btunet.Steer(strokes=changed)) if changed else next(task)
        while progress.spots is None and (changed or not spots):
            progress = next(task)
        if progress.spots is not None:
            spots[:] = progress.spots
        new = ((s.image, s.plane, s.y - SIDE // 2, s.x - SIDE // 2) for s in spots)
        found = next((p for p in new if p not in visited), None) or random_place(person.sources, SIDE, person.rng)
        visited.append(found)
        return found

    return place


def one(images: ImageSet, guide: str, seed: int, turns: int, limit: int) -> list[tuple[int, int, float]]:
    """Return turn, strokes and Dice after every turn."""
    person, rows = Person(images, seed), []
    choose = {"random": at_random, "errors": at_errors}.get(guide, lambda p: suggested(p, seed))(person)
    classifier = None
    for turn in range(1, turns + 1):
        person.paint(choose(classifier))
        classifier = person.classifier()
        rows.append((turn, person.strokes, score(classifier, images, limit)))
    return rows


def report(path: Path) -> None:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    turns = max(int(row["turn"]) for row in rows)
    shown = [turns // 3, 2 * turns // 3, turns]
    mean: dict[tuple[str, str, int], float] = {}
    for name, guide, turn in itertools.product(dict.fromkeys(r["set"] for r in rows), GUIDES, range(1, turns + 1)):
        some = [float(r["dice"]) for r in rows if (r["set"], r["guide"], r["turn"]) == (name, guide, str(turn))]
        if some:
            mean[name, guide, turn] = fmean(some)
    head = [f"{guide}: {', '.join(map(str, shown))} turns" for guide in GUIDES]
    print("| set |", " | ".join(head), "| turns to the last Dice of random: suggested | errors |\n|" + "---|" * 6)
    for name in dict.fromkeys(r["set"] for r in rows):
        cells = [" ".join(f"{mean.get((name, guide, turn), 0):.3f}" for turn in shown) for guide in GUIDES]
        goal = mean.get((name, "random", turns), 1.0)
        for guide in ("suggested", "errors"):
            reached = [t for t in range(1, turns + 1) if mean.get((name, guide, t), 0) >= goal]
            cells.append(str(reached[0]) if reached else f"more than {turns}")
        print(f"| {name} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", nargs="+")
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--test", type=int, default=8, help="test images of a set, 0 = all")
    args = parser.parse_args()
    mind_the_machine()
    done = finished(args.out, COLUMNS, ("set", "guide", "seed"))
    for name in args.sets or names_in(args.data):
        images = load(args.data, name)
        for seed, guide in itertools.product(range(args.seeds), GUIDES):
            if (name, guide, str(seed)) not in done:
                rows = one(images, guide, seed, args.turns, args.test)
                with args.out.open("a", newline="") as file:
                    csv.writer(file).writerows((name, guide, seed, t, n, f"{dice:.4f}") for t, n, dice in rows)
    report(args.out)


if __name__ == "__main__":
    main()
