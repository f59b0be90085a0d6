"""Barlow Twins (Zbontar et al. 2021): make two views of a patch agree and the features differ.

The correlation is computed in float32 with an epsilon: a constant feature gives 0, not NaN. Its (D, D) matrix can only
become the identity when there are more samples than features (N > D).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

EPSILON = 1e-5


def cross_correlation(z_a: Tensor, z_b: Tensor) -> Tensor:
    """Return the correlation between the features of two views over the batch (Eq. 2 of the paper).

    Parameters
    ----------
    z_a, z_b
        Embeddings (N, D) of the two views.

    Returns
    -------
    Tensor
        (D, D) float32 in -1..1.

    Raises
    ------
    ValueError
        If N < 2 or the shapes differ.
    """
    if z_a.shape != z_b.shape or len(z_a) < 2:
        raise ValueError(f"embeddings are {tuple(z_a.shape)} and {tuple(z_b.shape)}; expected twice (N, D) with N > 1")
    return _standardise(z_a).T @ _standardise(z_b) / len(z_a)  # (D, D)


def _standardise(z: Tensor) -> Tensor:
    """Zero mean, unit variance of every feature over the batch."""
    z = z.float()
    return (z - z.mean(0)) / (z.var(0, unbiased=False) + EPSILON).sqrt()


def barlow_twins(z_a: Tensor, z_b: Tensor, redundancy: float) -> tuple[Tensor, Tensor]:
    """Return the two parts of the loss (Eq. 1): invariance and redundancy reduction, the latter times ``redundancy``.

    Parameters
    ----------
    z_a, z_b
        Embeddings (N, D) of the two views.
    redundancy
        The paper's lambda, the weight of one off-diagonal term.
    """
    with torch.autocast(z_a.device.type, enabled=False):
        c = cross_correlation(z_a, z_b)  # (D, D)
    on_diagonal = (torch.diagonal(c) - 1).square().sum()
    off_diagonal = c.square().sum() - torch.diagonal(c).square().sum()
    return on_diagonal, redundancy * off_diagonal


@torch.no_grad()
def effective_rank(features: Tensor) -> float:
    """Return how many directions (N, D) features use: exp of the entropy of their singular values.

    Roy & Vetterli 2007. 1 means collapse, min(N - 1, D) is the most there can be.
    """
    features = features.float().cpu()  # GPUs are slow at it, Apple's cannot do it
    centred = features - features.mean(0)
    singular = torch.linalg.svdvals(centred)
    if singular.sum() <= EPSILON:
        return 1.0
    p = singular / singular.sum()
    return float(torch.exp(-(p * torch.log(p + 1e-12)).sum()))


class Projector(nn.Module):
    """Pool the encoder's maps over space and map them to the D embeddings that are compared.

    Parameters
    ----------
    widths
        Features of the maps that are compared: the last of the encoder's, the bottleneck alone in BT-Unet.
    hidden
        Features of the hidden layers, each normalised over the batch. No layer has a bias: what follows removes it.
    dimensions
        D.
    """

    def __init__(self, widths: Sequence[int], hidden: Sequence[int], dimensions: int) -> None:
        super().__init__()
        self.maps = len(widths)
        layers: list[nn.Module] = []
        for a, b in pairwise([sum(widths), *hidden]):
            layers += [nn.Linear(a, b, bias=False), nn.BatchNorm1d(b), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Linear([sum(widths), *hidden][-1], dimensions, bias=False))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return embeddings (N, D) of the encoder's maps, finest first."""
        pooled = torch.cat([_pool(f) for f in features[-self.maps :]], 1)  # (N, sum of widths)
        embeddings: Tensor = self.layers(pooled)
        return embeddings


def _pool(x: Tensor) -> Tensor:
    """Return the mean over space, (N, C) float32, of (N, C, Y, X).

    Written for channels last: from a mean over (Y, X) the gradient comes back in the other order, which slows down all
    that follows it on its way through the encoder.
    """
    pixels = x.movedim(1, -1).flatten(1, 2)  # (N, Y·X, C)
    # of a mean, the gradient would be divided once for every pixel
    return pixels.sum(1, dtype=torch.promote_types(x.dtype, torch.float32)) / pixels.shape[1]
