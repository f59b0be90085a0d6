"""Losses that only know annotated pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .labels import IGNORE


def masked_loss(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return class-balanced cross-entropy and soft Dice loss over the annotated pixels.

    Other pixels are removed before anything is computed, so that their gradient is exactly zero in every term. Each
    class present weighs the same in the cross-entropy, however few its pixels. Dice (Milletari et al. 2016) is averaged
    over the classes present in the target; BT-Unet averages binary cross-entropy and Dice, which this is for K = 2.

    Parameters
    ----------
    logits
        (N, K, Y, X).
    target
        (N, Y, X) integers: 0..K-1, or 255 where nothing is known.

    Returns
    -------
    cross-entropy, 1 - Dice
        Scalars; exactly 0 when no pixel is annotated.
    """
    known = target != IGNORE
    logits = logits.float().movedim(1, -1)[known]  # (M, K)
    if not len(logits):
        return logits.sum(), logits.sum()
    labels = target[known].long()  # (M,)
    counts = torch.bincount(labels, minlength=logits.shape[1])  # (K,)
    present = counts > 0
    weight = present / counts.clamp(min=1) / present.sum()  # (K,) one share for each class present
    cross_entropy = (F.cross_entropy(logits, labels, reduction="none") * weight[labels]).sum()
    probability = logits.softmax(1)  # (M, K)
    truth = F.one_hot(labels, logits.shape[1])  # (M, K)
    overlap = (probability * truth).sum(0)
    dice = (2 * overlap + 1) / (probability.sum(0) + truth.sum(0) + 1)  # (K,)
    return cross_entropy, (1 - dice[present]).mean()
