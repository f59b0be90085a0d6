"""What an answer costs the process that gives it: processor time, so that other work on the machine changes little.

    PYTHONPATH=benchmarks python benchmarks/answering.py [--sides 512 1024 2048] [--strokes 9]

A stroke of the background is painted, and the process does what it can before there is another class; then strokes of
both classes come in turn. Prints processor seconds, one thread, from each stroke to the first part of the plane and to
the whole plane: of the first answer, then the median of the further ones. `answers.py` measures the same in a window,
by the clock, on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

import btunet
from answers import line_in, waves

CLASSES = ("background", "object")


def cost(task: btunet.Task[None], values: np.ndarray) -> tuple[float, float]:
    """Return processor seconds until the first part of a plane is shown, and until the whole plane is."""
    began, first, missing = time.process_time(), 0.0, values.size
    progress = task.send(btunet.Steer((0, 0), {0: {0: values.copy()}}))
    while True:
        missing -= sum(part.mask.size for part in progress.planes)
        first = first or (time.process_time() - began if progress.planes else 0.0)
        if missing <= 0:
            return first, time.process_time() - began
        progress = next(task)


def measure(side: int, strokes: int) -> list[tuple[float, float]]:
    image, high = waves(side)
    rng, values = np.random.default_rng(0), np.zeros(image.shape, np.uint8)
    values[tuple(line_in(~high, rng).T)] = 1
    task = btunet.answer([image], [{0: values.copy()}], CLASSES, (0, 0))
    last = None
    while (progress := next(task)) is not last:  # the same twice: nothing is left to do
        last = progress
    found = []
    for number in range(strokes):
        label = 2 - number % 2
        values[tuple(line_in(high if label == 2 else ~high, rng).T)] = label
        found.append(cost(task, values))
    task.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--strokes", type=int, default=9)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("| side | first answer: first part | whole | further strokes, first part: median | whole: median |")
    print("|---|---|---|---|---|", flush=True)
    for side in args.sides:
        (part, whole), *further = measure(side, args.strokes)
        cells = part, whole, *np.median(further, 0)
        print(f"| {side}² | {' | '.join(f'{cell:.2f} s' for cell in cells)} |", flush=True)


if __name__ == "__main__":
    main()
