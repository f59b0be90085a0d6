"""The instant classifier: what strokes say about single pixels, learned in a fraction of a second.

A logistic regression on the features of a network that learned photographs (`networks.trunk`). A feature that sees far
tells scenes apart as well as objects: with strokes on one image the regression would fit whatever is special there. So
a feature counts the less, the coarser its map and the fewer planes were painted. Strokes do not say how common a class
is; that is guessed from pixels anywhere. It answers before the network can, and tells it what to expect where nobody
painted (`guide`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from .device import pick_device, precision, send, settle
from .labels import IGNORE
from .networks.pixels import REACH, Pixels, sampled
from .networks.trunk import STRIDES, WIDTHS, trained_trunk
from .patches import Annotations, Source, random_place, window_of

CAUTION = 0.005  # C of the regression: the inverse of what large weights cost
LEAST_DOUBT = 0.25  # in features that see far, however many planes were painted: these may be alike
NEVER = -1e4  # logit of a class that nobody painted
SEEN = 4000  # pixels it learns, at most
TILE = 256  # pixels, side of what is looked at together
REMEMBERED = 1000  # pixels of a class in a tile, at most
ENOUGH = 32  # tiles that show a class; more are left out
GLANCES = 24  # windows that show what is usual
GLANCE = 128  # pixels, side of each
APART = 8  # pixels between those of a window that tell how common classes are
RAREST = 0.01  # share of a class, at least
MOST_TRUST = 0.5  # in the shares of classes that the classifier finds
HALFWAY = 4  # painted planes after which it is half of that


@dataclass(frozen=True)
class Seen:
    """Annotated pixels: what they look like, what they are, and where: their number is P."""

    features: np.ndarray  # (P, F) float32
    labels: np.ndarray  # (P,) 0..K-1
    planes: tuple[tuple[int, int], ...]  # (image, plane)
    of: np.ndarray  # (P,) which of the planes
    pixels: np.ndarray  # (P,) flat positions in the plane

    def only(self, chosen: np.ndarray) -> Seen:
        """Return some of the pixels, (P,) bool or their numbers."""
        features, labels, of, pixels = (v[chosen] for v in (self.features, self.labels, self.of, self.pixels))
        return Seen(features, labels, self.planes, of, pixels)


class InstantClassifier:
    """A logistic regression.

    Parameters
    ----------
    seen
        Painted pixels; some classes may be missing.
    classes
        K.
    seed
        Of the choice among very many pixels.
    balanced
        Whether every class counts the same, not every pixel.

    Attributes
    ----------
    weight, bias
        (K, F) and (K,) float32.
    prior
        (K,) float32: what of the bias does not come from strokes.
    """

    def __init__(self, seen: Seen, classes: int, seed: int, balanced: bool = True) -> None:
        self.prior = np.zeros(classes, np.float32)
        known = np.unique(seen.labels)
        self.weight = np.zeros((classes, seen.features.shape[1]), np.float32)
        self.bias = np.where(np.isin(np.arange(classes), known), 0, NEVER).astype(np.float32)
        if len(known) == 1:  # all others were erased; there is nothing to tell apart
            return
        some = np.random.default_rng(seed).permutation(len(seen.labels))[:SEEN]
        some = np.union1d(some, np.unique(seen.labels, return_index=True)[1])  # no class is left out
        trust = trust_in_features(len(np.unique(seen.of)))  # (F,)
        regression = LogisticRegression(C=CAUTION, class_weight="balanced" if balanced else None, max_iter=200)
        regression.fit(seen.features[some] * trust, seen.labels[some])
        is_pair = len(known) == 2  # of which only the second has weights
        self.weight[known[is_pair:]] = regression.coef_ * trust
        self.bias[known[is_pair:]] = regression.intercept_

    def expect(self, prior: np.ndarray) -> None:
        """Add to the logits, (K,), how common classes are."""
        self.prior = prior
        self.bias = self.bias + prior

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return probabilities (P, K) float32 for features (P, F)."""
        logits = torch.from_numpy(features @ self.weight.T + self.bias)
        probabilities: np.ndarray = logits.softmax(1).numpy()
        return probabilities


def trust_in_features(planes: int) -> np.ndarray:
    """Return what features are multiplied by after strokes on so many planes, (F,) float32."""
    doubt = max(1 / planes, LEAST_DOUBT)
    return np.repeat([(STRIDES[0] / stride) ** doubt for stride in STRIDES], WIDTHS).astype(np.float32)


def trust_in_shares(planes: int) -> float:
    """Return how much of the shares of classes is believed after strokes on so many planes."""
    return MOST_TRUST * planes / (planes + HALFWAY)


def prior_of(shares: np.ndarray, planes: int) -> np.ndarray:
    """Return what is added to logits for classes that were found in these shares of all pixels: (K,) float32.

    Where classes count the same in learning, the logarithms of their shares make probabilities of the logits (Saerens
    et al. 2002). But the classifier that finds the shares marks too much, and by Dice the best mask holds pixels that
    are rather not of the class. So a part of them is added, which grows with the number of planes that were painted.
    """
    prior: np.ndarray = trust_in_shares(planes) * np.log(np.maximum(shares, RAREST))
    return prior.astype(np.float32)


def glances(sources: Sequence[Source], seed: int) -> np.ndarray:
    """Return windows that show what is usual, painted or not: (N, C, GLANCE, GLANCE)."""
    rng = np.random.default_rng(seed)
    places = [random_place(sources, GLANCE, rng) for _ in range(GLANCES)]
    return np.stack([sources[image].patch(plane, y, x, GLANCE) for image, plane, y, x in places])


def untaught(sources: Sequence[Source], classes: int, seed: int) -> Memory:
    """Return a memory with a part for networks that knows what is usual in these images, but no strokes."""
    with torch.random.fork_rng(devices=[]):
        pixels = Pixels(sources[0].stack.channels, classes)
        pixels.trunk = trained_trunk(sources[0].stack.channels)
    maps = settle(pixels).get_used_to(send(glances(sources, seed), pick_device()))
    return Memory(pixels, spread_over(maps))


def learn(
    sources: Sequence[Source],
    annotations: Annotations,
    classes: int,
    seed: int,
    memory: Memory,
    *,
    balanced: bool = True,
) -> InstantClassifier:
    """Return a classifier that learned what is annotated, or enough of it."""
    seen = look(sources, annotations, seed, memory)
    classifier = InstantClassifier(seen, classes, seed, balanced)
    if balanced:
        found = classifier(memory.anywhere(sources, seed)).argmax(1)
        classifier.expect(prior_of(np.bincount(found, minlength=classes) / len(found), len(np.unique(seen.of))))
    return classifier


class Memory:
    """What tiles looked like when they were last looked at, so that a further stroke costs one tile.

    Parameters
    ----------
    pixels
        Gives the features.
    anywhere
        (P, F) float32: those of pixels anywhere in the images, if they were looked at.
    """

    def __init__(self, pixels: Pixels, anywhere: np.ndarray | None = None) -> None:
        self.pixels = pixels
        self._tiles: dict[tuple[int, int, int, int], tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        self._anywhere = anywhere

    def tile(
        self, source: Source, place: tuple[int, int, int, int], known: np.ndarray, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return positions (P,) in a tile of which something is known (TILE², flat), and their features (P, F)."""
        before = self._tiles.get(place)
        if before is None or not np.array_equal(before[0], known):
            rng = np.random.default_rng([seed, *place])
            kept = [rng.permutation(np.flatnonzero(known == k))[:REMEMBERED] for k in np.unique(known) if k != IGNORE]
            chosen = np.concatenate(kept)
            before = self._tiles[place] = known, chosen, self._features(source, place, chosen)
        return before[1:]

    @torch.no_grad()
    def anywhere(self, sources: Sequence[Source], seed: int) -> np.ndarray:
        """Return the features of pixels anywhere in the images, which are looked at once: (P, F) float32."""
        if self._anywhere is None:
            device = self.pixels.bias.device
            with precision(device):
                self._anywhere = spread_over(self.pixels.features(send(glances(sources, seed), device)))
        return self._anywhere

    @torch.no_grad()
    def _features(self, source: Source, place: tuple[int, int, int, int], chosen: np.ndarray) -> np.ndarray:
        """Return the features of pixels (P,) of a tile: (P, F) float32."""
        _, plane, y, x = place
        device = self.pixels.bias.device
        window, top, left = source.around(plane, y, x, TILE, REACH)
        with precision(device):
            maps = self.pixels.features(send(np.ascontiguousarray(window), device)[None])
        rows, columns = np.divmod(chosen, TILE)
        return sampled(maps, send(np.stack([rows + top, columns + left]), device)).cpu().numpy()


def spread_over(maps: Sequence[Tensor]) -> np.ndarray:
    """Return the features of some pixels of every glance, (P, F) float32, of its maps (N, F, y, x)."""
    places = torch.from_numpy(np.mgrid[APART // 2 : GLANCE : APART, APART // 2 : GLANCE : APART].reshape(2, -1))
    places = places.to(maps[0].device)
    found = [sampled([m[None] for m in glance], places) for glance in zip(*maps, strict=True)]
    return torch.cat(found).cpu().numpy()


def look(sources: Sequence[Source], annotations: Annotations, seed: int, memory: Memory) -> Seen:
    """Return what is annotated, or enough of it; faster if it is remembered what was there before."""
    rng, planes = np.random.default_rng(seed), tuple(annotations.targets)
    parts = []
    for image, plane, y, x, known in _places(annotations, rng):
        chosen, features = memory.tile(sources[image], (image, plane, y, x), known, seed)
        rows, columns = np.divmod(chosen, TILE)
        flat = (y + rows) * annotations.targets[image, plane].shape[1] + x + columns
        parts.append((features, known[chosen], np.full(len(chosen), planes.index((image, plane))), flat))
    features, labels, of, pixels = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Seen(features, labels, planes, of, pixels)


def _places(annotations: Annotations, rng: Generator) -> Iterator[tuple[int, int, int, int, np.ndarray]]:
    """Yield tiles that show a class not seen often enough, in random order: image, plane, y, x, classes (P,)."""
    shapes = {key: target.shape for key, target in annotations.targets.items()}
    tiles = [(key, y, x) for key, (h, w) in shapes.items() for y in range(0, h, TILE) for x in range(0, w, TILE)]
    often: Counter[int] = Counter()
    for key, y, x in (tiles[i] for i in rng.permutation(len(tiles))):
        known = window_of(annotations.targets[key], y, x, TILE).ravel()
        present = [int(k) for k in np.unique(known) if k != IGNORE]
        if any(often[k] < ENOUGH for k in present):
            often.update(present)
            yield *key, y, x, known
        if all(often[k] >= ENOUGH for k in annotations.classes):
            return
