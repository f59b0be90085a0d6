"""What every process of tests/test_ranks.py does: the same work alone and with others, written to a file to compare.

Run as ``python rank_tasks.py FOLDER`` with the variables torchrun sets.
"""

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from btunet import BtunetError, PretrainSettings, Progress, as_stack, optimise, pretrain, run
from btunet.model import beginning
from btunet.networks.blocks import Dropout
from btunet.patches import Source
from btunet.ranks import Ranks, joined
from btunet.twin_learner import TwinLearner
from btunet.windows import Windows

IMAGES = [np.random.default_rng(0).random((3, 48, 48)), np.random.default_rng(1).random((40, 40))]
QUICK = PretrainSettings(steps=4, batch=8, patch_size=32)
Found = dict[str, np.ndarray]


@contextmanager
def doubled() -> Iterator[None]:
    """Compute in float64, also what is computed in float32 on purpose, so that rounding hides nothing."""
    single, cut = Tensor.float, Windows.__call__
    torch.set_default_dtype(torch.float64)
    Tensor.float = Tensor.double  # type: ignore[method-assign]
    Windows.__call__ = lambda *args: cut(*args).double()  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
        Tensor.float, Windows.__call__ = single, cut  # type: ignore[method-assign]


def gradients(ranks: Ranks, network: str) -> Found:
    """Return the gradient of every parameter in the first step, and the statistics and values of the batch."""
    stacks = [as_stack(image) for image in IMAGES]
    model = beginning(network, stacks, None)
    settings = PretrainSettings(network=network, steps=1, batch=8, patch_size=32)
    learner = TwinLearner(model, [Source(s, model.normalisation) for s in stacks], settings, ranks)
    learner.step()
    found = {f"gradient {name}": p.grad for name, p in learner.modules.named_parameters() if p.grad is not None}
    found |= {f"statistics {name}": b for name, b in learner.modules.named_buffers()}
    return {n: t.numpy() for n, t in found.items()} | {n: np.array(value) for n, value in learner.values.items()}


def training(network: str, recipe: str) -> Found:
    """Return the encoder after a few steps, and the steps that were yielded."""
    steps: list[int] = []
    settings = PretrainSettings(network=network, recipe=recipe, steps=4, batch=8, patch_size=32)
    model = run(pretrain(IMAGES, settings), lambda p: steps.append(p.step))
    return {**model.weights, "yielded": np.array(steps)}


def normalised(ranks: Ranks) -> Found:
    """Return what batch normalisation makes of this process's share, its gradients and its statistics."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    for name, norm, shape in (
        ("1d", nn.BatchNorm1d(3), (8, 3)),
        ("2d", nn.BatchNorm2d(3, momentum=None), (8, 3, 4, 5)),
    ):
        x = (torch.randn(shape, generator=generator) * 3 + 1000).requires_grad_()  # squares of these lose their digits
        weights = torch.randn(shape, generator=generator)
        nn.init.constant_(norm.weight, 2.0)
        ranks.synchronise(norm)
        mine = ranks.share(8)
        y = norm(norm(x[mine]))
        (y * weights[mine]).sum().backward()
        assert x.grad is not None and norm.weight.grad is not None and norm.bias.grad is not None
        ranks.add_up([norm.weight.grad, norm.bias.grad, x.grad])
        arrays = {"y": ranks.gather(y.detach()), "x": x.grad, "weight": norm.weight.grad, "bias": norm.bias.grad}
        for key, value in {**arrays, **dict(norm.named_buffers())}.items():
            found[f"{name} {key}"] = value.numpy()
    return found


def steps_of(settings: PretrainSettings, reply: Callable[[Progress], Any] | None = None) -> int:
    return int(run(pretrain(IMAGES, settings), reply).history[0]["steps"])


def refusal(images: list[np.ndarray], settings: PretrainSettings) -> str:
    try:
        run(pretrain(images, settings))
    except (ValueError, BtunetError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def main(folder: Path) -> None:
    Dropout.forward = lambda self, x: x  # type: ignore[method-assign]  # every process draws its own
    optimise.LONGEST_GRADIENT = math.inf
    with joined() as ranks:
        parts = {"normalised": normalised(ranks)}
        with doubled():
            for network, recipe in (("unet", "default"), ("plain-unet", "paper")):
                parts[f"gradients of {network}"] = gradients(ranks, network)
                parts[f"training of {network}"] = training(network, recipe)
        long = PretrainSettings(steps=1000, batch=8, patch_size=16)
        said = {
            "stopped": steps_of(long, lambda p: p.step == 3),
            "minutes": steps_of(PretrainSettings(minutes=0.005, batch=8, patch_size=16)),
            "uneven": refusal(IMAGES, PretrainSettings(steps=1, batch=9, patch_size=32)),
            "unequal": refusal(IMAGES[: 1 + (ranks.rank == 0)], QUICK),
        }
    name = f"{ranks.rank + 1} of {ranks.size}"
    arrays = {f"{part}: {key}": value for part, found in parts.items() for key, value in found.items()}
    np.savez(folder / f"{name}.npz", **arrays)  # type: ignore[arg-type]
    (folder / f"{name}.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
