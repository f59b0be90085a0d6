"""An answer to every stroke: what a classifier of pixels makes of the plane in sight, and how good that is.

The classifier (`instant`) is learned anew after every stroke, in less than a second, and shown part by part around what
was painted last. While nothing is asked, strokes are held out in
turn, and Dice is estimated from what classifiers that did not learn them make of them (`crossfit`, `honest`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from .contradictions import contradictions
from .crossfit import judgements
from .device import settle
from .folds import Folds, Stroke
from .guide import Guide
from .honest import estimate
from .images import Stack, as_stack
from .instant import look
from .labels import IGNORE, Targets, target_of_strokes, targets_of_strokes
from .model import Model
from .networks import Network
from .networks.pixels import Pixels
from .normalise import Normalisation
from .parts import MOST, Parts
from .patches import Annotations, Source, random_place
from .spots import Candidates, around, judge, suggest
from .task import PredictedPlane, Progress, Reply, Steer, Strokes, Task
from .tiles import doubt, forward, most_likely, tiling
from .windows import Place

STAGE = "answering"
IDLE = 0.02  # seconds between two looks at whether something was painted
PART = 512  # pixels, side of what is shown at once
WINDOW = 128  # pixels, side of what the classifier teaches with
READY = 4  # parts that are looked at first, before there are two classes
STROKES = 40  # that suggestions are to be unlike, about
SAMPLED = 24  # windows of painted planes, in which the predictions are counted


def answer(
    images: Sequence[Stack | np.ndarray],
    strokes: Sequence[np.ndarray | Strokes],
    classes: Sequence[str],
    look_at: tuple[int, int],
    *,
    model: Model | None = None,
    seed: int = 0,
) -> Task[None]:
    """Show what strokes say about a plane, and again after every stroke, until it is stopped.

    Where there is a model that learned strokes of these classes, it answers: the part of it that knows single pixels is
    taught anew. One that learned masks is not touched, and nothing is shown.

    Parameters
    ----------
    images
        Stacks or arrays of one number of channels, painted or not.
    strokes
        One per image: an integer array on its spatial axes, or {plane: (Y, X)}, which may be empty.
    classes
        Names, background first; strokes of further ones are passed over.
    look_at
        (image, plane) shown to the user.
    model
        The present model.
    seed
        Of all random choices.

    Yields
    ------
    Progress
        ``planes``: parts of the plane in sight, with the doubt about each pixel; ``estimates``, without a model: Dice
        of each class from held-out strokes, empty if there are too few; with them ``doubts``: strokes that contradict
        the others; ``spots``: where to paint next, also before anything is painted; ``step`` counts the answers. The
        reply ``True`` stops; a `Steer` moves the look and replaces the strokes of planes.

    Raises
    ------
    ValueError
        If images and strokes do not belong together.
    """
    stacks = [as_stack(image, name=f"image {i}") for i, image in enumerate(images)]
    answerer = _Answerer(stacks, targets_of_strokes(stacks, strokes), classes, look_at, model, seed)
    reply: Reply = None
    said = Progress(STAGE, 0, 0)
    while reply is not True:
        if isinstance(reply, Steer):
            answerer.take(reply)
        found = next(answerer.work, None)
        if found is not None:
            said = replace(found, step=answerer.answers)
        elif said != (idle := Progress(STAGE, answerer.answers, 0)):
            said = idle
        else:
            time.sleep(IDLE)
        reply = yield said


NOTHING = Progress(STAGE, 0, 0)


def _network_on(network: Network) -> Callable[[Source, Place, int], np.ndarray]:
    """Return a function that gives class probabilities of a part of a plane: (K, size, size), or up to its border."""
    margin, function = tiling(network, PART).margin, forward(network)

    def understood(source: Source, place: Place, size: int) -> np.ndarray:
        _, plane, y, x = place
        window, top, left = source.around(plane, y, x, size, margin)
        return function(window)[:, top : top + size, left : left + size]

    return understood


class _Answerer:
    """What is painted, what follows from it, and what is left to do."""

    def __init__(
        self,
        stacks: Sequence[Stack],
        targets: Targets,
        classes: Sequence[str],
        look_at: tuple[int, int],
        model: Model | None,
        seed: int,
    ) -> None:
        self.answers = 0
        fits = model is not None and len(model.classes) == len(classes) and not model.is_instant
        self._model = model if fits else None
        self._network = settle(self._model.build()).eval() if self._model else None
        self._is_taught = bool(self._network and self._network.pixels) and not (model and model.learned_masks)
        normalisation = self._model.normalisation if self._model else Normalisation()
        self._sources = [Source(stack, normalisation) for stack in stacks]
        self._names, self._classes, self._look_at, self._seed = classes, len(classes), look_at, seed
        self._annotations, self._folds = Annotations(), Folds()
        self._guide: Guide | None = None
        self._parts: Parts
        self._candidates = Candidates(self._sources, seed)
        self._near = (0, 0)  # (y, x) of the last stroke
        for (image, plane), target in targets.items():
            self._put(image, plane, target)
        self.work: Iterator[Progress] = self._answer()

    def take(self, steer: Steer) -> None:
        """Take in strokes that were painted or erased, and where the user looks; begin anew with the work."""
        for image, planes in steer.strokes.items():
            for plane, values in planes.items():
                self._put(image, plane, target_of_strokes(values))
        moved = steer.look_at is not None and steer.look_at != self._look_at
        self._look_at = steer.look_at or self._look_at
        if steer.strokes:
            self.work = self._answer()
        elif moved:
            self.work = self._again(self.work)

    def _put(self, image: int, plane: int, target: np.ndarray) -> None:
        target[target >= self._classes] = IGNORE
        before = self._annotations.targets.get((image, plane))
        changed = np.argwhere(target != (IGNORE if before is None else before))
        if len(changed):
            self._near = tuple(changed[len(changed) // 2].tolist())
        self._annotations.put(image, plane, target)
        self._folds.deal(image, plane, target)

    def _answer(self) -> Iterator[Progress]:
        """Learn what is painted, then show it, then judge it: a piece at a time."""
        if self._network and not self._is_taught:
            yield from self._suggest(None)
            return
        painted = self._annotations.classes
        if self._guide is None:
            known = self._network.pixels if self._network else None
            self._guide = Guide(self._sources, self._annotations, self._classes, WINDOW, self._seed, pixels=known)
            self._parts = Parts(self._guide.pixels)
        elif painted:
            self._guide.learn()
        if len(painted) < 2:
            yield from self._get_ready(0, READY)
            yield from self._suggest(None)
            yield from self._get_ready(READY, MOST // PART**2)
            return
        self.answers += 1
        yield from self._show()
        if self._network is None:
            yield from self._judge()
        yield from self._suggest(self._network or self._guide.pixels)

    def _again(self, work: Iterator[Progress]) -> Iterator[Progress]:
        """Show another plane first, or get ready to, then go on."""
        if self._guide is not None:
            yield from self._show() if len(self._annotations.classes) > 1 else self._get_ready(0, READY)
        yield from work

    def _show(self) -> Iterator[Progress]:
        """Yield the plane in sight in parts, those around the last stroke first."""
        assert self._guide is not None
        image, plane = self._look_at
        height, width = self._sources[image].stack.plane_shape
        understood = _network_on(self._network) if self._network else self._parts.understood
        for place, size in self._in_sight():
            y, x = place[2:]
            found = understood(self._sources[image], place, size)[:, : height - y, : width - x]
            part = PredictedPlane(image, plane, most_likely(found), (y, x), doubt(found))
            yield replace(NOTHING, planes=(part,))

    def _get_ready(self, first: int, stop: int) -> Iterator[Progress]:
        """Look at parts of the plane in sight before there is anything to show, so that the first answer comes soon."""
        for place, size in self._in_sight()[first:stop]:
            if self._network is None:
                self._parts.look(self._sources[place[0]], place, size)
            yield NOTHING

    def _in_sight(self) -> list[tuple[Place, int]]:
        """Return where the parts of the plane in sight begin, and their sides: those around the last stroke first."""
        image, plane = self._look_at
        height, width = self._sources[image].stack.plane_shape
        corners = [(y, x) for y in range(0, height, PART) for x in range(0, width, PART)]
        corners.sort(key=lambda c: max(abs(c[i] + PART / 2 - self._near[i]) for i in range(2)))
        return [((image, plane, y, x), min(PART, max(height - y, width - x))) for y, x in corners]

    def _judge(self) -> Iterator[Progress]:
        """Yield estimates of Dice, after a turn of nothing for every fold."""
        assert self._guide is not None
        targets, folds = self._annotations.targets, self._folds
        seen = look(self._sources, self._annotations, self._seed, self._guide.memory)
        strokes, shares, sure = list[Stroke](), list[np.ndarray](), list[np.ndarray]()
        for numbers, share, probability in judgements(seen, folds, targets, self._guide.prior, self._seed):
            strokes += [folds.strokes[n] for n in numbers]
            shares += list(share)
            sure += list(probability)
            yield NOTHING
        together, certain = (np.array(values).reshape(-1, self._classes) for values in (shares, sure))
        shapes = {key: target.shape for key, target in targets.items()}
        doubts = contradictions(strokes, together, certain, self._names, shapes)
        estimates = estimate([stroke.kind for stroke in strokes], together, self._predicted(), self._seed)
        yield replace(NOTHING, estimates=estimates, doubts=doubts)

    def _suggest(self, network: Network | Pixels | None) -> Iterator[Progress]:
        """Yield where to paint next, after a turn of nothing for every window that is looked at."""
        candidates, places = self._candidates, self._candidates.places
        shapes = {key: target.shape for key, target in self._annotations.targets.items()}
        chosen = self._folds.strokes[:: max(1, len(self._folds.strokes) // STROKES)]
        painted = [around(stroke, shapes[stroke.image, stroke.plane][1]) for stroke in chosen]
        for _ in candidates.look([*places, *painted]):
            yield NOTHING
        judgements = np.zeros((len(places), 2))
        if network is not None:
            for n, found in enumerate(judge(places, self._sources, forward(network))):
                judgements[n] = found
                yield NOTHING
        looks = candidates.features(places)
        known = candidates.features(painted) if painted else looks[:0]
        yield replace(NOTHING, spots=tuple(suggest(places, looks, known, judgements)))

    def _predicted(self) -> np.ndarray:
        """Return the share of the painted planes that is predicted as each class, from some windows: (K,)."""
        assert self._guide is not None
        rng, painted = np.random.default_rng(self._seed), list(self._annotations.targets)
        function, counts = forward(self._guide.pixels), np.zeros(self._classes)
        for n in range(SAMPLED):
            image, plane = painted[n % len(painted)]
            source = self._sources[image]
            _, _, y, x = random_place([source], WINDOW, rng)
            found = most_likely(function(source.around(plane, y, x, WINDOW, 0)[0]))
            counts += np.bincount(found.ravel(), minlength=self._classes)
        shares: np.ndarray = counts / counts.sum()
        return shares
