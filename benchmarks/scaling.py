"""Time and peak memory of training steps and of prediction against the side of images and the length of stacks.

    python benchmarks/scaling.py [--network unet] [--sides 256 ... 8192] [--lengths 1 ... 1000] [--threads N]

Images are computed where they are read, so that they take no memory and no disk. Each row is a process of its own.
Steps are expected to be flat, prediction linear in the pixels. The last line of a table gives the powers of the pixels
with which time and memory grew, by least squares in logarithms: 0 is flat, 1 linear.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from btunet.device import cores, mind_the_machine

SIDES, LENGTHS = (256, 512, 1024, 2048, 4096, 8192), (1, 10, 100, 1000)
SIDE = 256  # of stacks of several lengths, pixels
STEPS = 5
COLUMNS = (
    "prediction, s",
    "fine-tuning step, s",
    "pre-training step, s",
    "its start, s",
)  # the one with most memory last


class Lazy:
    """Waves under noise, uint8, (planes, side, side): a window is computed when it is asked for."""

    dtype = np.dtype("u1")

    def __init__(self, planes: int, side: int) -> None:
        self.shape = (planes, side, side)

    def __getitem__(self, index: tuple[int, slice, slice]) -> np.ndarray:
        plane, *window = index
        y, x = (np.arange(n, dtype="u4")[part] for n, part in zip(self.shape[1:], window, strict=True))
        noise = ((y[:, None] * np.uint32(73856093)) ^ (x * np.uint32(19349663) + np.uint32(plane))) >> 13 & 31
        return (np.sin(y / 23)[:, None] * np.sin((x + 40 * plane) / 31) * 90 + 110 + noise).astype("u1")


def peak() -> float:
    """Return the most memory this process has held, megabytes."""
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def measure(planes: int, side: int, network: str, threads: int) -> list[float]:
    """Return seconds as in `COLUMNS`, each followed by the most memory the process has held by then, megabytes."""
    mind_the_machine()
    import torch

    import btunet

    torch.set_num_threads(threads)
    image, found = Lazy(planes, side), list[float]()

    def note(seconds: float) -> None:
        found.extend((seconds, peak()))

    def steps(task: Any) -> list[float]:
        return [elapsed(lambda: next(task)) for _ in range(STEPS + 2)]  # two more: reading images, the first step

    weights = btunet.Model(network, 1, (), {}).build(2).state_dict()
    model = btunet.Model(network, 1, ("background", "waves"), {}).trained("finetune", weights, steps=0)
    with tempfile.TemporaryDirectory() as folder:
        note(elapsed(lambda: btunet.run(btunet.predict_to(model, image, Path(folder) / "mask.zarr"))))
    strokes = np.zeros((side, side), "u1")
    strokes[side // 4, 20:200], strokes[side // 2, 20:200] = 1, 2
    settings = btunet.FinetuneSettings(network=network, steps=10**6)
    note(statistics.median(steps(btunet.finetune([image], [{planes // 2: strokes}], settings))[2:]))
    times = steps(btunet.pretrain([image], btunet.PretrainSettings(network=network, steps=10**6)))
    note(statistics.median(times[2:]))
    note(times[0] + times[1])
    return found


def elapsed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def table(title: str, shapes: list[tuple[int, int]], network: str, threads: int) -> None:
    print(f"\n{network}, {title}:\n")
    print("| planes | side | " + " | ".join(f"{name} | peak, MB" for name in COLUMNS) + " |")
    print("|---" * (2 + 2 * len(COLUMNS)) + "|", flush=True)
    rows = []
    for planes, side in shapes:
        command = [sys.executable, __file__, "--one", str(planes), str(side), "--network", network]
        done = subprocess.run([*command, "--threads", str(threads)], stdout=subprocess.PIPE, check=True)
        rows.append(json.loads(done.stdout))
        cells = [f"{value:.0f}" if n % 2 else f"{value:.3g}" for n, value in enumerate(rows[-1])]
        print(f"| {planes} | {side} |", " | ".join(cells), "|", flush=True)
    if len(shapes) > 1:
        pixels = np.log([planes * side**2 for planes, side in shapes])
        powers = np.polyfit(pixels, np.log(rows), 1)[0]
        print("| power | |", " | ".join(f"{power:.2f}" for power in powers), "|")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", default="unet")
    parser.add_argument("--sides", type=int, nargs="*", default=SIDES)
    parser.add_argument("--lengths", type=int, nargs="*", default=LENGTHS)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--one", type=int, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(*args.one, args.network, args.threads)))
        return
    if args.sides:
        table("one plane", [(1, side) for side in args.sides], args.network, args.threads)
    if args.lengths:
        table(f"planes of {SIDE} squared", [(n, SIDE) for n in args.lengths], args.network, args.threads)


if __name__ == "__main__":
    main()
