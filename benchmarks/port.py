"""The training steps of BT-Unet's published code as one would write them in PyTorch: what our speed is compared with.

float32, NCHW, a DataLoader, torch's own optimisers, one pass of the encoder per view. Crops and batches are those of
our default recipes, without the changes of light, which the published code leaves switched off.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

import btunet
from btunet.recipes import PRETRAINING

Views = tuple[Tensor, Tensor]
RECIPE = PRETRAINING["default"]
EPOCH = 2**20  # samples; more than are ever drawn
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class TwinCrops(Dataset[Views]):
    """Two views of a random region of a random plane: cropped, resized, flipped, turned."""

    def __init__(self, stack: np.ndarray, size: int) -> None:
        self.stack, self.size = stack, size

    def __len__(self) -> int:
        return EPOCH

    def __getitem__(self, _: int) -> Views:
        region = crop(scaled(self.stack[torch.randint(len(self.stack), ())]), round(self.size * RECIPE.region))
        return self._view(region), self._view(region)

    def _view(self, region: Tensor) -> Tensor:
        side = round(region.shape[-1] * float(torch.empty(()).uniform_(*RECIPE.crop)))
        seen = F.interpolate(crop(region, side)[None], (self.size, self.size), mode="bilinear")[0]
        return turned(seen)


class MaskCrops(Dataset[Views]):
    """A random crop of a random plane, and of its mask, flipped and turned together."""

    def __init__(self, stack: np.ndarray, masks: np.ndarray, size: int) -> None:
        self.stack, self.masks, self.size = stack, masks, size

    def __len__(self) -> int:
        return EPOCH

    def __getitem__(self, _: int) -> Views:
        plane = int(torch.randint(len(self.stack), ()))
        mask = torch.from_numpy(self.masks[plane]).float()[None]
        both = turned(crop(torch.cat([scaled(self.stack[plane]), mask]), self.size))  # (2, size, size)
        return both[:1], both[1].long()


def scaled(plane: np.ndarray) -> Tensor:
    return torch.from_numpy(plane).float()[None] / 127.5 - 1  # (1, Y, X)


def crop(x: Tensor, size: int) -> Tensor:
    top, left = (int(torch.randint(length - size + 1, ())) for length in x.shape[-2:])
    return x[:, top : top + size, left : left + size]


def turned(x: Tensor) -> Tensor:
    x = x.flip(-1) if torch.rand(()) < 0.5 else x
    return torch.rot90(x, int(torch.randint(4, ())), (-2, -1)).contiguous()


def correlation_loss(z_a: Tensor, z_b: Tensor) -> Tensor:
    """Return Eq. 1 of Barlow Twins, lambda 0.005."""
    z_a, z_b = ((z - z.mean(0)) / z.std(0) for z in (z_a, z_b))
    c = z_a.T @ z_b / len(z_a)  # (D, D)
    on_diagonal = (c.diagonal() - 1).square().sum()
    return on_diagonal + 5e-3 * (c.square().sum() - c.diagonal().square().sum())


def projector(width: int) -> nn.Sequential:
    first, second = ((nn.Linear(n, 128), nn.BatchNorm1d(128), nn.ReLU()) for n in (width, 128))
    return nn.Sequential(*first, *second, nn.Linear(128, 128))


def pretraining(network: str, stack: np.ndarray, batch: int, size: int) -> Iterator[int]:
    """Make one step of pre-training after the other; yield how many patches each used."""
    model = btunet.Model(network, 1, (), {}).build(2)
    encoder, head = model.encoder.train().to(DEVICE), projector(model.widths[-1]).to(DEVICE)
    descent = torch.optim.SGD([*encoder.parameters(), *head.parameters()], lr=1e-3, momentum=0.9)
    for view_a, view_b in DataLoader(TwinCrops(stack, size), batch):
        z_a, z_b = (head(encoder(view.to(DEVICE))[-1].mean((-2, -1))) for view in (view_a, view_b))
        loss = correlation_loss(z_a, z_b)
        descent.zero_grad()
        loss.backward()
        descent.step()
        loss.item()
        yield len(view_a)


def finetuning(network: str, stack: np.ndarray, masks: np.ndarray, batch: int, size: int) -> Iterator[int]:
    """Make one step of fine-tuning after the other; yield how many patches each used."""
    model = btunet.Model(network, 1, (), {}).build(2).train().to(DEVICE)
    descent = torch.optim.Adam(model.parameters(), lr=1e-3)
    for pair in DataLoader(MaskCrops(stack, masks, size), batch):
        images, target = (x.to(DEVICE) for x in pair)
        logits = model(images)  # (N, 2, Y, X)
        probability = logits.softmax(1)[:, 1]
        dice = (2 * (probability * target).sum() + 1) / (probability.sum() + target.sum() + 1)
        loss = (F.cross_entropy(logits, target) + 1 - dice) / 2
        descent.zero_grad()
        loss.backward()
        descent.step()
        loss.item()
        yield len(images)


def predicting(network: str, stack: np.ndarray, tile: int) -> Iterator[int]:
    """Predict one plane after the other; yield how many pixels each has."""
    model = btunet.Model(network, 1, (), {}).build(2).eval().to(DEVICE)
    margin = -(-model.reach // model.stride) * model.stride
    while True:
        for plane in stack:
            predict_plane(model, plane, tile, margin)
            yield plane.size


@torch.no_grad()
def predict_plane(model: nn.Module, plane: np.ndarray, tile: int, margin: int) -> np.ndarray:
    """Return the mask of a plane from tiles with a margin, which is thrown away."""
    mask = np.empty(plane.shape, np.uint8)
    for top in range(0, plane.shape[0], tile):
        for left in range(0, plane.shape[1], tile):
            y, x = max(0, top - margin), max(0, left - margin)
            window = plane[y : top + tile + margin, x : left + tile + margin]
            found = model(scaled(window)[None].to(DEVICE))[0].softmax(0).argmax(0).cpu().numpy()
            part = mask[top : top + tile, left : left + tile]
            part[:] = found[top - y :, left - x :][: part.shape[0], : part.shape[1]]
    return mask
