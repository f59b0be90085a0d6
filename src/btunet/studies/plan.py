"""Which runs a study makes, and which planes each is shown."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..annotator import paint
from ..labels import IGNORE
from ..model import Model
from ..settings import ZOO, PretrainSettings, StudySettings

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
        return f"{self.network}, {short(self.initialisation)}, {self.budget}, seed {self.seed}{rate}"

    @property
    def name(self) -> str:
        """A file name that tells runs apart."""
        rate = [f"rate{self.rate:g}"] if self.rate else []
        return file_name(self.network, self.initialisation, self.budget, f"seed{self.seed}", *rate)


def chain(initialisation: str) -> list[str]:
    """Return the links of a start; the name of a file may hold a +.

    >>> chain("imagenet+barlow"), chain("c++/encoder.safetensors")
    (['imagenet', 'barlow'], ['c++/encoder.safetensors'])
    """
    first = initialisation
    while first.endswith("+barlow"):
        first = first.removesuffix("+barlow")
    return [first, *initialisation[len(first) :].split("+")[1:]]


def short(initialisation: str) -> str:
    """Return what a start is called: a file without its folder and ending."""
    first, *rest = chain(initialisation)
    return "+".join([Path(first).stem, *rest])


def file_name(network: str, initialisation: str, *parts: str) -> str:
    """Return a name for a file about a network and its start."""
    name = "__".join([network, short(initialisation), *parts]).replace("%", "pc")
    return re.sub(r'[\\/:*?"<>|]', "-", name)


class Plan:
    """The runs of a study, and what each is trained on.

    Parameters
    ----------
    masks
        (image, plane) → (Y, X) mask: 0 = background, 1..K = classes, 255 = ignore.
    settings
        What to compare.

    Raises
    ------
    ValueError
        If the settings cannot be understood, or fit no network or not the number of planes.
    """

    def __init__(self, masks: Mapping[Plane, np.ndarray], settings: StudySettings) -> None:
        self.settings = settings
        self.masks = masks
        self._shown = {plane: frozenset(np.unique(mask).tolist()) - {IGNORE} for plane, mask in masks.items()}
        self.planes, self.held_out = self._split()
        self.possible = self._possible()
        self.runs = self._runs()

    @property
    def tuned_on(self) -> str:
        """The budget that learning rates are tried with."""
        return self.possible[len(self.possible) // 2]

    def _split(self) -> tuple[list[Plane], list[Plane]]:
        """Return the planes to train on, and those held out to choose and to draw curves; the same for all runs.

        The last plane that shows a class is never held out, or it could not be learned.
        """
        every = sorted(self.masks)
        count = min(MOST_HELD_OUT, len(every) // 5)
        left = Counter(k for classes in self._shown.values() for k in classes)
        held_out: list[Plane] = []
        for plane in self._showing_all_classes(every, np.random.default_rng(0)):
            if len(held_out) < count and all(left[k] > 1 for k in self._shown[plane]):
                held_out.append(plane)
                left.subtract(self._shown[plane])
        return sorted(set(every) - set(held_out)), sorted(held_out)

    def _showing_all_classes(self, planes: Sequence[Plane], rng: np.random.Generator) -> list[Plane]:
        """Return the planes in random order, but first those that show a class not seen before: a user would, too."""
        order = [planes[i] for i in rng.permutation(len(planes))]
        seen, first = {0}, []
        for plane in order:
            if self._shown[plane] - seen:
                first.append(plane)
                seen |= self._shown[plane]
        return [*first, *(p for p in order if p not in first)]

    def _order(self, seed: int) -> list[Plane]:
        """Return the order in which a seed labels planes: a bigger budget holds the smaller ones."""
        return self._showing_all_classes(self.planes, np.random.default_rng([seed, 1]))

    def _possible(self) -> list[str]:
        """Return the budgets that there are enough planes for."""
        s, available = self.settings, len(self.planes)
        possible = [b for b in s.budgets if planes_of(b, available)[0] <= available]
        if not possible:
            raise ValueError(f"there are {available} labelled planes to train on; give a budget of that or less")
        least = min(planes_of(b, available)[0] for b in possible)
        for seed in range(s.seeds):
            if len({k for plane in self._order(seed)[:least] for k in self._shown[plane]}) < 2:
                raise ValueError(f"the first {least} planes of seed {seed} show one class only; give a bigger budget")
        return possible

    def _arms(self) -> list[tuple[str, str]]:
        """Return every network with every start that fits it."""
        s = self.settings
        if not s.networks or not s.initialisations:
            raise ValueError("there is nothing to compare; give a network and a start")
        for network in s.networks:
            PretrainSettings(network=network)  # refuses a name that nobody knows
        arms = [(network, start) for network in s.networks for start in s.initialisations if _fits(network, start)]
        for start in set(s.initialisations) - {start for _, start in arms}:
            raise ValueError(f"the start {start} fits none of the networks {', '.join(s.networks)}")
        for network in set(s.networks) - {network for network, _ in arms}:
            raise ValueError(f"the network {network} fits none of the starts {', '.join(s.initialisations)}")
        return arms

    def _runs(self) -> list[Run]:
        """Return all runs: those of a seed together, so that an unfinished study is balanced."""
        s, arms = self.settings, self._arms()
        if s.rates and not self.held_out:
            raise ValueError(f"{len(self.planes)} labelled planes are too few to choose a rate on some; give no rates")
        if not all(0 < rate <= 1 for rate in s.rates):
            raise ValueError(f"the rates are {', '.join(map(str, s.rates))}; each must be above 0 and at most 1")
        firsts = dict(reversed(arms))  # network → the first start that fits it
        runs = [Run(n, firsts[n], self.tuned_on, 0, rate) for n in s.networks for rate in s.rates]
        for seed in range(s.seeds):
            runs += [Run(network, start, budget, seed) for budget in self.possible for network, start in arms]
        if len({run.name for run in runs}) < len(runs):
            raise ValueError("two runs of the study have one name; give everything once, and files names of their own")
        return runs

    def labels(self, run: Run) -> tuple[dict[int, dict[int, np.ndarray]], int]:
        """Return {image: {plane: mask or strokes}} and the strokes per class, 0 for dense masks.

        All arms of a seed see the same.
        """
        count, strokes = planes_of(run.budget, len(self.planes))
        chosen: dict[int, dict[int, np.ndarray]] = {}
        for image, plane in self._order(run.seed)[:count]:
            mask = self.masks[image, plane]
            hand = np.random.default_rng([run.seed, 2, image, plane])
            chosen.setdefault(image, {})[plane] = paint(mask, strokes, hand) if strokes else mask
        return chosen, strokes


def _fits(network: str, initialisation: str) -> bool:
    """Whether a network can start so: files must be of this network, imagenet is for encoders of the zoo."""
    first = chain(initialisation)[0]
    if first in ("random", "barlow"):
        return True
    if first == "imagenet":
        return network.startswith(ZOO)
    if not Path(first).is_file():
        raise ValueError(
            f"the start {first!r} is none of random, barlow and imagenet, and there is no such file; "
            "after a + only barlow can follow"
        )
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
