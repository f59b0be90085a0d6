"""How much memory a training step takes and how much there is, so that the batch fits before anything fails."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from .claims import free_memory
from .device import channels_last, precision
from .errors import OutOfMemory
from .optimise import explained
from .ranks import ALONE, Ranks

Result = TypeVar("Result")
MARGIN = 1.5  # the most memory a step takes, over what it keeps for its way back: 0.9 to 1.4 in all our networks


def free(device: torch.device) -> float:
    """Return how much memory can still be had, bytes; infinite where the system does not say."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return float(torch.cuda.mem_get_info(device)[0] + unused)
    if device.type == "mps":
        return float(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return free_memory()


def kept(module: nn.Module, images: Tensor, loss: Callable[[Any], Any] = lambda made: made) -> int:
    """Return what a module in training, and a loss of what it makes, keep for the way back, bytes, given (N, C, Y, X).

    Tried with a copy, so that its statistics and torch's random state stay what they are.
    """
    module = copy.deepcopy(module)
    own = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}
    stores: dict[int, torch.UntypedStorage] = {}

    def note(tensor: Tensor) -> Tensor:
        store = tensor.untyped_storage()
        if store.data_ptr() not in own:
            stores[store.data_ptr()] = store  # held, so that no other gets its address
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), hooks:
        with precision(images.device):
            made = module(channels_last(images))
        result = loss(made)  # held until it is counted
    total = sum(store.nbytes() for store in stores.values())
    del made, result
    return total


class Batch:
    """Patches per step: as many as were asked for or, where memory is short, half of them, or a quarter, and so on.

    Parameters
    ----------
    wanted
        As many as were asked for.
    smallest
        Below this it is not halved.
    ranks
        Those that share every batch.
    """

    def __init__(self, wanted: int, smallest: int, ranks: Ranks = ALONE) -> None:
        self.size = self.wanted = wanted
        self._smallest, self._ranks = smallest, ranks

    def fit(self, each: float, device: torch.device) -> None:
        """Halve it until it fits into what is free, if a patch takes this much, bytes."""
        room = free(device) / MARGIN * self._ranks.size
        while self.size * each > room and self._is_divisible():
            self.size //= 2
        self.size = int(self._ranks.gather(torch.tensor([self.size], device=device)).min())

    def attempt(self, step: Callable[[], Result]) -> Result:
        """Return what a step returns; if it does not fit into memory, that of one with half the patches.

        Raises
        ------
        OutOfMemory
            If there are too few to halve, or others that would go on with as many as before.
        """
        while True:
            try:
                with explained("batch or patch size"):
                    return step()
            except OutOfMemory:
                if self._ranks.size > 1 or not self._is_divisible():
                    raise
            self.size //= 2  # not above, where the error still holds on to what the step had made
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            elif torch.backends.mps.is_available():
                torch.mps.empty_cache()

    @property
    def note(self) -> str:
        """What the user should know of it, to be appended to the name of a stage."""
        return f" with {self.size} instead of {self.wanted} patches per step for lack of memory" * self.is_short

    @property
    def record(self) -> dict[str, Any]:
        """What a model's history should say of it."""
        return {"batch": self.size} if self.is_short else {}

    @property
    def is_short(self) -> bool:
        return self.size < self.wanted

    def _is_divisible(self) -> bool:
        return self.size // 2 >= self._smallest and self.size // 2 % self._ranks.size == 0
