"""Several processes, ranks, that train one network together, each on its share of every batch (torch.distributed).

All ranks draw the same random numbers, those of the whole batch, and make what they draw for their share only. What the
loss compares is gathered, so that every rank computes the loss of the whole batch, and every rank follows its own share
of it back; the sum of their gradients is the gradient one process would have found. A loss averaged over the ranks
would not do: the correlation of a batch is not the average of the correlations of its parts. For the same reason batch
normalisation takes its statistics from all ranks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .device import place
from .errors import BtunetError


@dataclass(frozen=True)
class Ranks:
    """A process among those that train together; alone, all methods do nothing.

    Parameters
    ----------
    rank
        Number of this process, 0 is the first: it alone writes files and tells how far the training is.
    size
        Number of processes.
    """

    rank: int = 0
    size: int = 1

    def share(self, batch: int) -> slice:
        """Return which of a batch's samples are this process's.

        Raises
        ------
        ValueError
            If the batch cannot be shared evenly.
        """
        if batch % self.size:
            raise ValueError(f"batch is {batch}; {self.size} processes need a multiple of {self.size} to share it")
        each = batch // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def gather(self, x: Tensor) -> Tensor:
        """Return (N, ...) of every rank's (N / size, ...), in their order.

        Differentiable for a loss that every rank computes from the result: each follows its own share back.
        """
        return x if self.size == 1 else _Gather.apply(x, self)  # type: ignore[no-untyped-call]

    def sum(self, x: Tensor) -> Tensor:
        """Return the sum of every rank's tensor; differentiable."""
        return x if self.size == 1 else _Sum.apply(x)  # type: ignore[no-untyped-call]

    def add_up(self, gradients: Sequence[Tensor]) -> None:
        """Replace every gradient by its sum over the ranks, in one message."""
        if self.size == 1:
            return
        total = _total(torch.cat([g.flatten() for g in gradients]))
        for gradient, part in zip(gradients, torch.split(total, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view(gradient.shape))

    def first(self, number: float) -> float:
        """Return the first rank's number, so that all decide alike."""
        if self.size == 1:
            return number
        import torch.distributed as dist

        told = torch.tensor(number, dtype=torch.float64)
        with _reached():
            dist.broadcast(told, 0)
        return float(told)

    def check_same(self, number: int) -> None:
        """Raise BtunetError unless all ranks have one number, which stands for what they were given."""
        if (self.gather(torch.tensor([number])) != number).any():
            raise BtunetError(
                "the processes were not given the same settings, images and checkpoint; "
                "keep the files where all processes can read them"
            )

    def synchronise(self, module: nn.Module) -> None:
        """Let every batch normalisation of a module in training use the statistics of all ranks' samples.

        Raises
        ------
        ValueError
            If one is of a kind that does more than to normalise.
        """
        if self.size == 1:
            return
        for norm in module.modules():
            if isinstance(norm, _BatchNorm):
                if type(norm) not in (nn.BatchNorm1d, nn.BatchNorm2d):
                    raise ValueError(
                        f"this network's {type(norm).__name__} cannot be shared among processes; choose another network"
                    )
                norm.forward = partial(_normalise, norm, self)  # type: ignore[method-assign]


ALONE = Ranks()


@contextmanager
def joined() -> Iterator[Ranks]:
    """Find the other processes of this training, if it was started as several, and part from them at its end.

    Raises
    ------
    ValueError
        If there are more processes on this machine than GPUs.
    BtunetError
        If they do not find each other.
    """
    rank, size = place()
    if size == 1:
        yield ALONE
        return
    import torch.distributed as dist

    has_gpu = torch.cuda.is_available()
    if has_gpu:
        here, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if here >= gpus:
            raise ValueError(f"process {here + 1} on this machine has no GPU, there are {gpus}; start one per GPU")
        torch.cuda.set_device(here)
    if dist.is_initialized():  # by the caller, whose business its end is
        yield Ranks(rank, size)
        return
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if has_gpu else "gloo")
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise BtunetError(f"the processes of this training do not reach each other ({reason})") from error
    yield Ranks(rank, size)
    dist.destroy_process_group()  # not after an error: it would wait for those that are gone


@contextmanager
def _reached() -> Iterator[None]:
    """Say in one sentence that a process is gone."""
    try:
        yield
    except RuntimeError as error:  # what every backend raises
        raise BtunetError(
            "another process of this training ended or cannot be reached; "
            "start all of them again, and resume from the last checkpoint"
        ) from error


def _total(x: Tensor) -> Tensor:
    """Return the sum of every rank's tensor."""
    import torch.distributed as dist

    total = x.clone(memory_format=torch.contiguous_format)
    with _reached():
        dist.all_reduce(total)
    return total


class _Sum(torch.autograd.Function):
    """Every rank's result depends on every rank's tensor, so what they are told of it is added up too."""

    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        return _total(x)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return _total(gradient)


class _Gather(torch.autograd.Function):
    """All ranks compute the same from the result, so each needs what it was told itself only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks) -> Tensor:
        import torch.distributed as dist

        ctx.mine = ranks.share(len(x) * ranks.size)
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(ranks.size)]
        with _reached():
            dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient[ctx.mine], None


def _normalise(norm: _BatchNorm, ranks: Ranks, x: Tensor) -> Tensor:
    """Return what batch normalisation of (N, C, ...) makes of all ranks' samples, in the part of this rank."""
    around = [d for d in range(x.ndim) if d != 1]
    shape = [1, -1, *[1] * (x.ndim - 2)]  # (1, C, 1, ...)
    own = x.float()
    means, variances = own.mean(around), own.var(around, unbiased=False)  # (C,) each
    mean = ranks.sum(means) / ranks.size
    # the variance of parts of one size (Chan et al. 1979); a mean of squares would lose the digits that matter
    variance = ranks.sum(variances + (means - mean).square()) / ranks.size
    if norm.track_running_stats:
        with torch.no_grad():
            _remember(norm, mean, variance, x.numel() // len(mean) * ranks.size)
    scale = (variance + norm.eps).rsqrt() * norm.weight  # (C,)
    return (own * scale.view(shape) + (norm.bias - mean * scale).view(shape)).to(x.dtype)


def _remember(norm: _BatchNorm, mean: Tensor, variance: Tensor, count: int) -> None:
    """Let the running statistics follow those of a batch of ``count`` values per channel."""
    assert norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean, share)
    norm.running_var.lerp_(variance * count / (count - 1), share)
