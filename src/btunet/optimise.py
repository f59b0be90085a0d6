"""What every training loop needs: a schedule, a clock, averaged weights, and errors that say what to do."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Generator, Tensor, nn
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from .errors import BtunetError, OutOfMemory
from .ranks import ALONE, Ranks
from .recipes import Descent

LONGEST_GRADIENT = 5.0  # longer ones are shortened to this norm
NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")  # torch's words; the last on Apple's GPUs


def one_cycle(fraction: float, warm_up: float = 0.1) -> float:
    """Return the learning rate relative to its highest: linear warm-up, then half a cosine to zero.

    Parameters
    ----------
    fraction
        Part of the training that is done, 0..1.
    warm_up
        Part of the training the rate rises in.
    """
    if fraction < warm_up:
        return 0.05 + 0.95 * fraction / warm_up
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (fraction - warm_up) / (1 - warm_up))))


class Clock:
    """Counts a training that lasts a number of steps or, when that is 0, a time in minutes."""

    def __init__(self, steps: int, minutes: float) -> None:
        self.step = 0
        self._steps = steps
        self._seconds = minutes * 60
        self._start = time.perf_counter()

    def resume(self, step: int, seconds: float) -> None:
        """Count on from where an earlier training was."""
        self.step = step
        self._start = time.perf_counter() - seconds

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.perf_counter() - self._start

    @property
    def fraction(self) -> float:
        """Part that is done, 0..1."""
        return min(1.0, self.step / self._steps if self._steps else self.seconds / self._seconds)

    @property
    def done(self) -> bool:
        """Whether the budget is used up; at least one step is always made."""
        return self.step > 0 and self.fraction >= 1

    @property
    def total(self) -> int:
        """Steps in all, estimated from the rate so far while a time budget runs."""
        return self._steps or max(self.step, round(self.step / max(self.fraction, 1e-6)))


class Trainer:
    """AdamW (Loshchilov & Hutter 2019) or SGD with momentum: one gradient step at a time.

    Calls torch's functions instead of its optimiser classes, whose constructors import torch's compiler: two seconds
    that the user would wait for the first overlay.

    Parameters
    ----------
    modules
        What is trained, but for parameters that are fixed.
    descent
        Algorithm and schedule.
    rate
        Highest learning rate; 0 means the descent's own.
    ranks
        Those that train together; the gradient that is followed is the sum of theirs.
    """

    def __init__(self, modules: nn.Module, descent: Descent, rate: float = 0.0, ranks: Ranks = ALONE) -> None:
        self._parameters: list[Tensor] = [p for p in modules.parameters() if p.requires_grad]
        self._descent = descent
        self._rate = rate or descent.rate
        self._ranks = ranks
        self._means, self._squares = ([torch.zeros_like(p) for p in self._parameters] for _ in range(2))
        self._steps = [torch.zeros((), device=p.device) for p in self._parameters]

    def state(self) -> dict[str, Tensor]:
        """Return what the descent remembers, by name: the tensors themselves, no copies."""
        kinds = {"mean": self._means, "square": self._squares, "steps": self._steps}
        return {f"{kind}.{i}": tensor for kind, tensors in kinds.items() for i, tensor in enumerate(tensors)}

    def step(self, loss: Tensor, fraction: float) -> None:
        """Follow the gradient of a scalar loss at the given part of the schedule.

        Raises
        ------
        BtunetError
            If the loss is not finite: the training diverged.
        """
        if not torch.isfinite(loss):
            raise BtunetError("the training diverged (its loss is not a number); lower the learning rate and try again")
        for parameter in self._parameters:
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
        self._ranks.add_up([p.grad for p in self._parameters if p.grad is not None])
        nn.utils.clip_grad_norm_(self._parameters, LONGEST_GRADIENT)
        rate = self._rate * (one_cycle(fraction) if self._descent.schedule == "one-cycle" else 1.0)
        with torch.no_grad():
            self._follow(rate)

    def _follow(self, rate: float) -> None:
        """Move every parameter that has a gradient."""
        used = [i for i, parameter in enumerate(self._parameters) if parameter.grad is not None]
        parameters, means, squares, steps = (
            [values[i] for i in used] for values in (self._parameters, self._means, self._squares, self._steps)
        )
        gradients: list[Tensor] = [p.grad for p in parameters if p.grad is not None]
        how = self._descent
        if how.algorithm == "sgd":
            sgd(
                parameters,
                gradients,
                list(means),  # momentum, which is changed in place
                foreach=True,
                lr=rate,
                momentum=how.momentum,
                weight_decay=how.weight_decay,
                dampening=0,
                nesterov=False,
                maximize=False,
            )
            return
        adamw(
            parameters,
            gradients,
            means,
            squares,
            [],
            steps,
            fused=means[0].device.type != "mps",  # all in one pass: a fifth of the time on a processor
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=rate,
            weight_decay=how.weight_decay,
            eps=1e-8,
            maximize=False,
        )


class Average:
    """Exponential moving average of a network's weights: what is shown and saved.

    The memory grows with the steps made, so that the first previews are not the random start. Fixed parameters and
    statistics of batch normalisation are those of the network as it is: averaged once more, statistics lag so far
    behind in a short training that a class can be lost.
    """

    def __init__(self, network: nn.Module, longest: float = 0.98) -> None:
        self._longest = longest
        self._steps = 0
        self.state = {key: value.detach().clone() for key, value in network.state_dict().items()}
        self._weights = {key for key, parameter in network.named_parameters() if parameter.requires_grad}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the network after a step."""
        self._steps += 1
        decay = min(self._longest, self._steps / (self._steps + 4))
        now = network.state_dict()
        torch._foreach_lerp_([self.state[k] for k in self._weights], [now[k] for k in self._weights], 1 - decay)
        self.follow(network)

    @torch.no_grad()
    def follow(self, network: nn.Module) -> None:
        """Take in what is not averaged: it may change between two steps."""
        for key, value in network.state_dict().items():
            if key not in self._weights:
                self.state[key].copy_(value)


def numbers(values: Mapping[str, Tensor]) -> dict[str, float]:
    """Return scalars as numbers; all are fetched from the device at once."""
    return dict(zip(values, torch.stack(list(values.values())).detach().tolist(), strict=True))


@contextmanager
def seeded(generator: Generator, ranks: Ranks = ALONE) -> Iterator[None]:
    """Let layers that draw from torch's global state, such as dropout, depend on the generator and leave no trace.

    Every rank draws for its own samples, so each draws differently.
    """
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)) + ranks.rank)
        yield


@contextmanager
def explained(lower: str) -> Iterator[None]:
    """Turn running out of memory into `OutOfMemory` that names the setting to lower.

    And a single patch that is too small for networks that normalise over the batch into `ValueError`.
    """
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" in str(error):  # torch's words
            raise ValueError("one patch of this size is too little to normalise; raise batch or patch size") from error
        raise
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise OutOfMemory(f"there is not enough memory for this step; lower {lower} and try again") from error
    except RuntimeError as error:
        if any(words in str(error) for words in NO_MEMORY):
            raise OutOfMemory(f"there is not enough memory for this step; lower {lower} and try again") from error
        raise
