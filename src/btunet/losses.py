"""Losses that only know annotated pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .labels import IGNORE


def masked_loss(logits: Tensor, target: Tensor, balanced: bool = True) -> tuple[Tensor, Tensor]:
    """Return cross-entropy and soft Dice loss (Milletari et al. 2016) over the annotated pixels.

    Other pixels are removed before anything is computed, so that their gradient is exactly zero in every term. For
    K = 2 the cross-entropy is the binary one of BT-Unet, which takes the average of both terms.

    Parameters
    ----------
    logits
        (N, K, Y, X).
    target
        (N, Y, X) integers: 0..K-1, or 255 where nothing is known.
    balanced
        Each class present weighs the same in both terms, however few its pixels. Otherwise each pixel weighs the same
        in the cross-entropy, and Dice is that of all classes but the background, present or not, as in BT-Unet.

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
    if balanced:
        counted = counts > 0
        weight = counted / counts.clamp(min=1) / counted.sum()  # (K,) one share for each class present
    else:
        counted = torch.arange(len(counts), device=counts.device) > 0
        weight = torch.full_like(counts, 1 / len(labels), dtype=torch.float32)  # (K,)
    cross_entropy = (F.cross_entropy(logits, labels, reduction="none") * weight[labels]).sum()
    probability = logits.softmax(1)  # (M, K)
    truth = F.one_hot(labels, logits.shape[1])  # (M, K)
    overlap = (probability * truth).sum(0)
    dice = (2 * overlap + 1) / (probability.sum(0) + truth.sum(0) + 1)  # (K,)
    return cross_entropy, (1 - dice[counted]).mean()


def expected_loss(logits: Tensor, expected: Tensor) -> Tensor:
    """Return the cross-entropy to expected probabilities, the mean over all pixels (Hinton et al. 2015).

    Parameters
    ----------
    logits, expected
        (N, K, Y, X).
    """
    return -(expected * logits.float().log_softmax(1)).sum(1).mean()
