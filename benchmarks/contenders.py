"""One side of a comparison in a process of its own: makes as many steps as it is told to and says how long they took.

    python benchmarks/contenders.py pretrain ours --network unet --threads 2

Then every line it reads is a number of steps; it answers with seconds and what was done in them. `speed` drives it.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator

from btunet.device import cores, mind_the_machine

BATCH, PATCH = {"pretrain": 64, "finetune": 8}, {"pretrain": 64, "finetune": 128}  # the defaults
TILE = 512
SIDES = ("ours", "port", "lightly")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=("pretrain", "finetune", "predict"))
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("--network", default="unet")
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--side-pixels", type=int, default=1024)
    args = parser.parse_args()
    if args.side == "ours":
        mind_the_machine()  # as the command line does; before torch is imported
    import torch

    torch.set_num_threads(args.threads)
    steps = globals()[args.side](args.task, args.network, args.side_pixels)
    for line in sys.stdin:
        start = time.perf_counter()
        done = sum(itertools.islice(steps, int(line)))
        print(time.perf_counter() - start, done, peak(), flush=True)


def peak() -> float:
    """Return the most memory this process has held, megabytes."""
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def picture(side: int):  # type: ignore[no-untyped-def]
    """Return a stack of 4 planes, uint8, and what is foreground in it."""
    import numpy as np

    rng, at = np.random.default_rng(0), np.arange(side)
    waves = np.sin(at[:, None] / 23) * np.sin(at / 31)
    planes = np.stack([np.roll(waves, 40 * n, axis=1) for n in range(4)])  # (4, Y, X)
    return (planes * 60 + 128 + rng.normal(0, 20, planes.shape)).clip(0, 255).astype(np.uint8), planes > 0.2


def ours(task: str, network: str, side: int) -> Iterator[int]:
    """Make steps of the very tasks the command line and the panel run."""
    import btunet

    stack, truth = picture(side)
    if task == "predict":
        weights = btunet.Model(network, 1, (), {}).build(2).state_dict()
        model = btunet.Model(network, 1, ("background", "waves"), {}).trained("finetune", weights, steps=0)
        while True:
            for _ in btunet.predict(model, [stack], btunet.PredictSettings(tile=TILE)):
                yield side * side
    if task == "pretrain":
        work = btunet.pretrain([stack], btunet.PretrainSettings(network=network, steps=10**6))
    else:
        settings = btunet.FinetuneSettings(network=network, steps=10**6)
        work = btunet.finetune([stack], [truth.astype("u1")], settings, dense=True)
    next(work)  # what is looked at before the first step
    for _ in work:
        yield BATCH[task]


def port(task: str, network: str, side: int) -> Iterator[int]:
    """Make steps of `port`."""
    import port

    stack, truth = picture(side)
    if task == "pretrain":
        return port.pretraining(network, stack, BATCH[task], PATCH[task])
    if task == "finetune":
        return port.finetuning(network, stack, truth, BATCH[task], PATCH[task])
    return port.predicting(network, stack, TILE)


def lightly(task: str, network: str, side: int) -> Iterator[int]:
    """Make steps with lightly's views and loss around the same encoder."""
    import torch
    from lightly.loss import BarlowTwinsLoss
    from lightly.transforms.byol_transform import BYOLTransform, BYOLView1Transform, BYOLView2Transform
    from PIL import Image

    import btunet
    from port import RECIPE, crop, projector

    assert task == "pretrain"  # it has no other
    how = {"input_size": PATCH[task], "min_scale": RECIPE.crop[0] ** 2, "normalize": None}
    views = BYOLTransform(BYOLView1Transform(**how), BYOLView2Transform(**how))
    stack, _ = picture(side)

    class Twins(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return 2**20

        def __getitem__(self, _: int):  # type: ignore[no-untyped-def]
            plane = torch.from_numpy(stack[torch.randint(len(stack), ())])[None]
            return views(Image.fromarray(crop(plane, round(PATCH[task] * RECIPE.region))[0].numpy()))

    model = btunet.Model(network, 1, (), {}).build(2)
    encoder, head, loss_of = model.encoder.train(), projector(model.widths[-1]), BarlowTwinsLoss()
    descent = torch.optim.SGD([*encoder.parameters(), *head.parameters()], lr=1e-3, momentum=0.9)
    for pair in torch.utils.data.DataLoader(Twins(), BATCH[task]):
        loss = loss_of(*(head(encoder(view)[-1].mean((-2, -1))) for view in pair))
        descent.zero_grad()
        loss.backward()
        descent.step()
        loss.item()
        yield len(pair[0])


if __name__ == "__main__":
    main()
