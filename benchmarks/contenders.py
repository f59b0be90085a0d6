"""One side of a comparison in a process of its own: makes as many steps as it is told to and says how long they took.

    python benchmarks/contenders.py pretrain ours --network unet --threads 2 [--processor-time]

Then every line it reads is a number of steps; it answers with seconds and what was done in them. `speed` drives it.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator

from btunet.device import cores, mind_the_machine

BATCH = {"pretrain": 64, "finetune": 8, "strokes": 8}  # the defaults
PATCH = {"pretrain": 64, "finetune": 128}
TILE = 512
SIDES = ("ours", "port", "lightly")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=("pretrain", "finetune", "strokes", "predict"))
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("--network", default="unet")
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--side-pixels", type=int, default=1024)
    parser.add_argument("--processor-time", action="store_true")
    args = parser.parse_args()
    if args.side == "ours":
        mind_the_machine()  # as the command line does; before torch is imported
    import torch

    torch.set_num_threads(args.threads)
    steps = globals()[args.side](args.task, args.network, args.side_pixels)
    clock = time.process_time if args.processor_time else time.perf_counter
    for line in sys.stdin:
        start = clock()
        done = sum(itertools.islice(steps, int(line)))
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        print(clock() - start, done, peak(), flush=True)


def peak() -> float:
    """Return the most memory this process has held, on the GPU if it has one, megabytes."""
    import resource

    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def picture(side: int):  # type: ignore[no-untyped-def]
    """Return a stack of 4 planes, uint8, and what is foreground in it."""
    import numpy as np

    rng, at = np.random.default_rng(0), np.arange(side)
    waves = np.sin(at[:, None] / 23) * np.sin(at / 31)
    planes = np.stack([np.roll(waves, 40 * n, axis=1) for n in range(4)])  # (4, Y, X)
    return (planes * 60 + 128 + rng.normal(0, 20, planes.shape)).clip(0, 255).astype(np.uint8), planes > 0.2


def strokes(truth):  # type: ignore[no-untyped-def]
    """Return lines 4 pixels wide across every plane: 1 = background, 2 = foreground."""
    import numpy as np

    drawn = np.zeros(truth.shape, np.uint8)
    for y in range(truth.shape[1] // 8, truth.shape[1] - 4, truth.shape[1] // 4):
        drawn[:, y : y + 4] = truth[:, y : y + 4] + 1
    return drawn


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
        settings, is_dense = btunet.FinetuneSettings(network=network, steps=10**6), task == "finetune"
        labels = truth.astype("u1") if is_dense else strokes(truth)
        work = btunet.finetune([stack], [labels], settings, dense=is_dense)
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

    if not torch.cuda.is_available():  # torchvision's compiled operators may not load; importing it asks for these
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from lightly.loss import BarlowTwinsLoss
    from lightly.transforms.byol_transform import BYOLTransform, BYOLView1Transform, BYOLView2Transform
    from PIL import Image

    import btunet
    from port import DEVICE, RECIPE, crop, projector

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
    encoder, head = model.encoder.train().to(DEVICE), projector(model.widths[-1]).to(DEVICE)
    loss_of = BarlowTwinsLoss()
    descent = torch.optim.SGD([*encoder.parameters(), *head.parameters()], lr=1e-3, momentum=0.9)
    for pair in torch.utils.data.DataLoader(Twins(), BATCH[task]):
        loss = loss_of(*(head(encoder(view.to(DEVICE))[-1].mean((-2, -1))) for view in pair))
        descent.zero_grad()
        loss.backward()
        descent.step()
        loss.item()
        yield len(pair[0])


if __name__ == "__main__":
    main()
