"""Which planes of a stack are predicted well and which badly: an order of the planes, from what costs nothing more.

Nobody knows the truth of a plane, but three signs of a bad prediction come with it: pixels that are unsure,
neighbouring planes that look different, and an earlier model that saw it otherwise. They are turned into ranks among
the planes and averaged, so that no unit matters. The first has a unit: the Dice that the model expects of itself.
"""

from __future__ import annotations

import numpy as np

FEWEST = 3  # planes that can be put in an order
UNSURE, NEIGHBOURS, EARLIER = range(3)
WORDS = ("the model is unsure", "neighbouring planes differ", "the model before saw it otherwise")


def expected_dice(mask: np.ndarray, doubt: np.ndarray) -> float:
    """Return Dice of the objects that a model expects of its own prediction, 1 if there is nothing and it is sure.

    A pixel is right with a probability of one minus half its doubt; where it is wrong, an object is background or
    background an object.

    Parameters
    ----------
    mask
        (Y, X), 0 = background.
    doubt
        (Y, X) uint8, 255 where two classes are equally likely.
    """
    wrong = doubt * np.float32(0.5 / 255)
    inside, amiss = mask > 0, float(wrong.sum())
    right = float(inside.sum() - wrong[inside].sum())
    return 2 * right / (2 * right + amiss) if right + amiss > 0 else 1.0


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Return how much two masks (Y, X) agree beyond chance, at most 1 (Cohen's kappa).

    Large objects overlap by chance, so Dice would rank planes by how much was predicted there.
    """
    classes = int(max(one.max(initial=0), other.max(initial=0))) + 1
    a, b = (np.bincount(mask.ravel(), minlength=classes) / max(1, mask.size) for mask in (one, other))
    same, chance = float((one == other).mean()), float(a @ b)
    return (same - chance) / (1 - chance) if chance < 1 else 1.0


class Reliability:
    """Signs of every plane, taken in as the planes are predicted, and the order that follows from them.

    Parameters
    ----------
    planes
        How many the stack has.
    length
        Planes of one z-stack, 1 where planes have no neighbours; further ones are other stacks.
    """

    def __init__(self, planes: int, length: int = 1) -> None:
        self.signs = np.full((planes, len(WORDS)), np.nan)  # at most 1, the higher the better
        self._length = length
        self._alike = np.full(planes, np.nan)  # how much a plane and the next agree

    def take(
        self, plane: int, mask: np.ndarray, doubt: np.ndarray | None = None, earlier: np.ndarray | None = None
    ) -> None:
        """Take in a predicted plane.

        Parameters
        ----------
        plane
            Its number.
        mask, doubt
            (Y, X), see `expected_dice`.
        earlier
            What another model made of this plane.
        """
        if doubt is not None:
            self.signs[plane, UNSURE] = expected_dice(mask, doubt)
        if earlier is not None:
            self.signs[plane, EARLIER] = agreement(mask, earlier)

    def take_pair(self, plane: int, mask: np.ndarray, next_mask: np.ndarray) -> None:
        """Take in a plane and the next one, predicted by one model; nothing happens if that begins another stack."""
        if (plane + 1) % self._length == 0:
            return
        self._alike[plane] = agreement(mask, next_mask)
        for near in (plane, plane + 1):
            first = near - 1 if near % self._length else near
            last = near if (near + 1) % self._length else near - 1
            known = self._alike[first : last + 1]
            self.signs[near, NEIGHBOURS] = np.nanmean(known)

    def value(self) -> np.ndarray:
        """Return the place of every plane in the order, (planes,), 0 = worst, 1 = best, NaN where nothing is known."""
        ranks = self._ranks()
        known = ~np.isnan(ranks).all(1)
        found = np.full(len(ranks), np.nan)
        if known.sum() >= FEWEST:
            found[known] = rank(np.nanmean(ranks[known], 1))
        return found

    def expected(self, plane: int) -> float | None:
        """Return the Dice that the model expects of a plane's objects (`expected_dice`); None if nothing is known."""
        dice = self.signs[plane, UNSURE]
        return None if np.isnan(dice) else float(dice)

    def reason(self, plane: int) -> str:
        """Return the worst sign of a plane in words; "" if there is none."""
        signs = self._ranks()[plane]
        return "" if np.isnan(signs).all() else WORDS[int(np.nanargmin(signs))]

    def _ranks(self) -> np.ndarray:
        return np.stack([rank(signs) for signs in self.signs.T], 1)  # (planes, signs)


def rank(values: np.ndarray) -> np.ndarray:
    """Return the place of each value among those that are known, 0 to 1, equal ones in the middle of theirs."""
    found = np.full(len(values), np.nan)
    known = np.flatnonzero(~np.isnan(values))
    given = np.sort(values[known])
    below, upto = (np.searchsorted(given, values[known], side) for side in ("left", "right"))
    found[known] = (below + upto - 1) / 2 / max(1, len(known) - 1)
    return found
