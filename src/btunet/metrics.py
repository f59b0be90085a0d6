"""Scores of masks against the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .labels import IGNORE


@dataclass(frozen=True)
class Counts:
    """Pixels of one class: right, too many, missed. Counts of several planes add up."""

    true_positive: int = 0
    false_positive: int = 0
    false_negative: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
        )

    @property
    def scores(self) -> dict[str, float | None]:
        """Precision, recall, Dice and IoU.

        All None where the class is neither predicted nor true (nothing to score); otherwise 0 / 0 counts as 0, so that
        a class that is missed altogether has precision 0.
        """
        tp, fp, fn = self.true_positive, self.false_positive, self.false_negative
        if not tp + fp + fn:
            return dict.fromkeys(("precision", "recall", "dice", "iou"))
        return {
            "precision": tp / max(1, tp + fp),
            "recall": tp / max(1, tp + fn),
            "dice": 2 * tp / (2 * tp + fp + fn),
            "iou": tp / (tp + fp + fn),
        }


def count(prediction: np.ndarray, truth: np.ndarray, classes: int) -> list[Counts]:
    """Compare two masks of one shape.

    Parameters
    ----------
    prediction, truth
        Integers 0..classes-1 on the same axes; pixels whose truth is 255 are left out.
    classes
        Number of classes, background included.

    Returns
    -------
    list of Counts
        One per class, background first.
    """
    known = truth != IGNORE
    pairs = truth[known].astype(np.int64) * classes + prediction[known]
    confusion = np.bincount(pairs.ravel(), minlength=classes**2).reshape(classes, classes)  # (truth, prediction)
    right = np.diagonal(confusion)
    return [
        Counts(int(right[k]), int(confusion[:, k].sum() - right[k]), int(confusion[k].sum() - right[k]))
        for k in range(classes)
    ]
