"""The instant classifier: what strokes say about single pixels, learned within a second.

A random forest (Breiman 2001), as in ilastik and Labkit, extremely randomised trees (Geurts et al. 2006) and a logistic
regression on the same filter responses, their probabilities averaged. The regression sees no response beyond those of
the strokes, where it would be sure of anything, and is believed half as much: it is the surest where it is wrong.
Together they answer before the network can, and tell it what to expect where nobody painted (`guide`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from .filters import REACH, filter_responses
from .labels import IGNORE
from .patches import Annotations, Source, window_of

TREES = 30  # of each kind
LEAF = 20  # pixels in a leaf at least: strokes are few, and pixels of one stroke are alike
SMALLEST_SHARE = 8  # of few pixels a leaf needs this part only
CAUTION = 0.5  # what the regression's logits are multiplied by
SEEN = 4000  # pixels a tree is grown from, and the regression learns, at most
TILE = 256  # pixels, side of what is looked at together
USUAL = (1, 99)  # percentiles of the responses of strokes; the regression sees nothing beyond them
REMEMBERED = 1000  # pixels of a class in a tile, at most
ENOUGH = 32  # tiles that show a class; more are left out


class InstantClassifier:
    """Two forests and a regression that learned the same pixels, every class counting the same.

    Parameters
    ----------
    responses
        (P, F) float32, of painted pixels.
    labels
        (P,) classes 0..K-1; some may be missing.
    classes
        K.
    seed
        Of the forests.
    """

    def __init__(self, responses: np.ndarray, labels: np.ndarray, classes: int, seed: int) -> None:
        self.classes = classes
        self.known = np.unique(labels)
        forests = [
            kind(
                TREES,
                class_weight="balanced_subsample",
                bootstrap=True,
                max_samples=min(len(labels), SEEN),
                min_samples_leaf=max(1, min(LEAF, len(labels) // SMALLEST_SHARE)),
                random_state=seed,
                n_jobs=torch.get_num_threads(),
            )
            for kind in (RandomForestClassifier, ExtraTreesClassifier)
        ]
        low, high = np.percentile(responses, USUAL, axis=0)
        regression = make_pipeline(
            FunctionTransformer(np.clip, kw_args={"a_min": low, "a_max": high}),
            StandardScaler(),
            LogisticRegression(C=0.1, class_weight="balanced", max_iter=200),
        )
        some = np.random.default_rng(seed).permutation(len(labels))[:SEEN]
        some = np.union1d(some, np.unique(labels, return_index=True)[1])  # no class is left out
        members = [forest.fit(responses, labels) for forest in forests]
        if len(self.known) > 1:  # all others may have been erased; there is nothing to tell apart then
            members.append(regression.fit(responses[some], labels[some]))
            regression[-1].coef_ *= CAUTION
            regression[-1].intercept_ *= CAUTION
        self._members = members

    def __call__(self, responses: np.ndarray) -> np.ndarray:
        """Return probabilities (P, K) float32 for responses (P, F)."""
        found = np.zeros((len(responses), self.classes), np.float32)
        found[:, self.known] = np.mean([member.predict_proba(responses) for member in self._members], axis=0)
        return found

    def window(self, source: Source, plane: int, y: int, x: int, size: int) -> np.ndarray:
        """Return probabilities (K, size, size) of a window whose first pixel is (y, x), mirrored beyond the border."""
        responses = responses_of(source, plane, y, x, size)  # (F, size, size)
        return self(responses.reshape(len(responses), -1).T).T.reshape(self.classes, size, size)


@dataclass(frozen=True)
class Seen:
    """Annotated pixels: what they look like, what they are, and where: their number is P."""

    responses: np.ndarray  # (P, F) float32
    labels: np.ndarray  # (P,) 0..K-1
    planes: tuple[tuple[int, int], ...]  # (image, plane)
    of: np.ndarray  # (P,) which of the planes
    pixels: np.ndarray  # (P,) flat positions in the plane


def learn(
    sources: list[Source], annotations: Annotations, classes: int, seed: int, memory: Memory | None = None
) -> InstantClassifier:
    """Return a classifier that learned what is annotated, or enough of it."""
    seen = look(sources, annotations, seed, memory)
    return InstantClassifier(seen.responses, seen.labels, classes, seed)


class Memory:
    """What tiles looked like when they were last looked at, so that a further stroke costs one tile."""

    def __init__(self) -> None:
        self._tiles: dict[tuple[int, int, int, int], tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def tile(
        self, source: Source, place: tuple[int, int, int, int], known: np.ndarray, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return positions (P,) in a tile of which something is known (TILE², flat), and their responses (P, F)."""
        before = self._tiles.get(place)
        if before is None or not np.array_equal(before[0], known):
            rng = np.random.default_rng([seed, *place])
            kept = [rng.permutation(np.flatnonzero(known == k))[:REMEMBERED] for k in np.unique(known) if k != IGNORE]
            chosen = np.concatenate(kept)
            responses = responses_of(source, *place[1:], TILE)
            before = self._tiles[place] = known, chosen, responses.reshape(len(responses), -1)[:, chosen].T
        return before[1:]


def look(sources: list[Source], annotations: Annotations, seed: int, memory: Memory | None = None) -> Seen:
    """Return what is annotated, or enough of it; faster if it is remembered what was there before."""
    memory, rng, planes = memory or Memory(), np.random.default_rng(seed), tuple(annotations.targets)
    parts = []
    for image, plane, y, x, known in _places(annotations, rng):
        chosen, responses = memory.tile(sources[image], (image, plane, y, x), known, seed)
        rows, columns = np.divmod(chosen, TILE)
        flat = (y + rows) * annotations.targets[image, plane].shape[1] + x + columns
        parts.append((responses, known[chosen], np.full(len(chosen), planes.index((image, plane))), flat))
    responses, labels, of, pixels = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Seen(responses, labels, planes, of, pixels)


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


def responses_of(source: Source, plane: int, y: int, x: int, size: int) -> np.ndarray:
    """Return filter responses (F, size, size) of a window, which may reach beyond the image."""
    window = source.patch(plane, y - REACH, x - REACH, size + 2 * REACH)  # (C, size + 2·REACH, size + 2·REACH)
    inside = slice(REACH, -REACH)
    return filter_responses(torch.from_numpy(window)[None])[0, :, inside, inside].numpy()
