"""Which runs a study makes, and which planes each is shown."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..annotator import paint
from ..images import Stack
from ..labels import IGNORE
from ..model import Model
from ..settings import ZOO, PretrainSettings, StudySettings

Labelled = tuple[Stack, np.ndarray]
"""A stack and its mask on its spatial axes."""

Plane = tuple[int, int]
"""Image and plane."""

MOST_HELD_OUT = 6  # planes


@dataclass(frozen=True)
class Run:
    """One training of the study."""

    network: str
    initialisation: str
    budget: str
    seed: int
    rate: float = 0.0  # tried in this run, to choose one for the others; 0 in the others

    def describe(self) -> str:
        """Say which run this is, in a few words."""
        rate = f", rate {self.rate:g}" if self.rate else ""
        return f"{self.network}, {self.initialisation}, {self.budget}, seed {self.seed}{rate}"

    @property
    def name(self) -> str:
        """A file name that tells runs apart."""
        rate = [f"rate{self.rate:g}"] if self.rate else []
        return file_name(self.network, self.initialisation, self.budget, f"seed{self.seed}", *rate)


def file_name(network: str, initialisation: str, *parts: str) -> str:
    """Return a name for a file about a network and its start."""
    start = "+".join(Path(part).stem for part in initialisation.split("+"))
    return "__".join([network, start, *parts]).replace(":", "-").replace("%", "pc")


class Plan:
    """The runs of a study, and what each is trained on.

    Parameters
    ----------
    train
        Stacks with masks: 0 = background, 1..K = classes, 255 = ignore.
    settings
        What to compare.

    Raises
    ------
    ValueError
        If the settings cannot be understood or fit no network, or a mask is not of its image.
    """

    def __init__(self, train: Sequence[Labelled], settings: StudySettings) -> None:
        self.settings = settings
        self.masks = [_planes_of_mask(stack, mask) for stack, mask in train]
        self.planes, self.held_out = self._split()
        self.runs = self._runs()

    def _split(self) -> tuple[list[Plane], list[Plane]]:
        """Return the planes to train on, and those held out to choose and to draw curves; the same for all runs."""
        every = [(i, plane) for i, masks in enumerate(self.masks) for plane in range(len(masks))]
        order = self._showing_all_classes(every, np.random.default_rng(0))
        count = min(MOST_HELD_OUT, len(every) // 5)
        return sorted(order[count:]), sorted(order[:count])

    def _showing_all_classes(self, planes: Sequence[Plane], rng: np.random.Generator) -> list[Plane]:
        """Return the planes in random order, but first those that show a class not seen before: a user would, too."""
        order = [planes[i] for i in rng.permutation(len(planes))]
        seen: set[int] = set()
        first = []
        for image, plane in order:
            new = set(np.unique(self.masks[image][plane]).tolist()) - {IGNORE} - seen
            if new - {0}:
                first.append((image, plane))
                seen |= new
        return [*first, *(p for p in order if p not in first)]

    def _runs(self) -> list[Run]:
        """Return all runs: those of a seed together, so that an unfinished study is balanced."""
        s, available = self.settings, len(self.planes)
        for network in s.networks:
            PretrainSettings(network=network)  # refuses a name that nobody knows
        if s.rates and not self.held_out:
            raise ValueError(f"{available} labelled planes are too few to choose a rate on some of them; give no rates")
        for initialisation in s.initialisations:
            if not any(_fits(network, initialisation) for network in s.networks):
                raise ValueError(f"the start {initialisation} fits none of the networks {', '.join(s.networks)}")
        sizes = {budget: planes_of(budget, available)[0] for budget in s.budgets}
        possible = [b for b in s.budgets if sizes[b] <= available]
        if not possible:
            raise ValueError(f"there are {available} labelled planes to train on; give a budget of that or less")
        tuning = [Run(n, s.initialisations[0], possible[len(possible) // 2], 0, r) for n in s.networks for r in s.rates]
        runs = tuning + [
            Run(network, initialisation, budget, seed)
            for seed in range(s.seeds)
            for budget in possible
            for network in s.networks
            for initialisation in s.initialisations
            if _fits(network, initialisation)
        ]
        if len({run.name for run in runs}) < len(runs):
            raise ValueError("two starts or budgets of the study have one name; give each once, and files own names")
        return runs

    def labels(self, run: Run) -> tuple[dict[int, dict[int, np.ndarray]], int]:
        """Return {image: {plane: mask or strokes}} and the strokes per class, 0 for dense masks.

        One seed has one order of planes, so that a bigger budget holds the smaller ones, and all arms see the same.
        """
        count, strokes = planes_of(run.budget, len(self.planes))
        rng = np.random.default_rng([run.seed, 1])
        chosen: dict[int, dict[int, np.ndarray]] = {}
        for image, plane in self._showing_all_classes(self.planes, rng)[:count]:
            mask = self.masks[image][plane]
            hand = np.random.default_rng([run.seed, 2, image, plane])
            chosen.setdefault(image, {})[plane] = paint(mask, strokes, hand) if strokes else mask
        return chosen, strokes


def _fits(network: str, initialisation: str) -> bool:
    """Whether a network can start so: files must be of this network, imagenet is for encoders of the zoo."""
    first, *rest = initialisation.split("+")
    if any(part != "barlow" for part in rest):
        raise ValueError(f"the start {initialisation!r} is not understood; after a + only barlow can follow")
    if first in ("random", "barlow"):
        return True
    if first == "imagenet":
        return network.startswith(ZOO)
    if not Path(first).is_file():
        raise ValueError(f"the start {first!r} is none of random, barlow and imagenet, and there is no such file")
    return Model.load(first).network == network


def planes_of(budget: str, available: int) -> tuple[int, int]:
    """Return the planes a budget stands for, and the strokes per class on each, 0 for dense masks.

    >>> planes_of("5", 80), planes_of("10%", 80), planes_of("all", 80), planes_of("3x5", 80)
    ((5, 0), (8, 0), (80, 0), (3, 5))

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if budget == "all":
        return available, 0
    found = re.fullmatch(r"(\d+(?:\.\d+)?)%|([1-9]\d*)(?:x([1-9]\d*))?", budget)
    if not found or (found[1] and not 0 < float(found[1]) <= 100):
        raise ValueError(f"the budget {budget!r} is not understood; write 5, 10%, all, or 3x5 (strokes)")
    if found[1]:
        return max(1, math.ceil(available * float(found[1]) / 100)), 0
    return int(found[2]), int(found[3] or 0)


def _planes_of_mask(stack: Stack, mask: np.ndarray) -> np.ndarray:
    """Return a mask as (planes, Y, X)."""
    if tuple(mask.shape) != stack.spatial_shape:
        raise ValueError(f"the mask of {stack.name} is {mask.shape} but the image is {stack.spatial_shape}")
    return mask.reshape(stack.planes, *stack.plane_shape)
