"""Prints how much memory work on stacks of several lengths takes at most, megabytes; run by `test_memory`."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from btunet import FinetuneSettings, PretrainSettings, finetune, predict_to, pretrain, run


class Lazy:
    """A stack whose pixels are made when they are asked for."""

    dtype = np.dtype("u2")

    def __init__(self, planes: int) -> None:
        self.shape = (planes, 300, 300)

    def __getitem__(self, index: tuple[Any, ...]) -> np.ndarray:
        return np.random.default_rng(index[0]).integers(0, 4096, self.shape[1:], self.dtype)[index[1:]]


def most() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def work(planes: int, folder: Path) -> None:
    image, strokes = Lazy(planes), np.zeros((300, 300), int)
    strokes[9], strokes[200] = 1, 2
    run(pretrain([image], PretrainSettings(steps=2, batch=8, patch_size=32)))
    model = run(finetune([image], [{planes - 1: strokes}], FinetuneSettings(steps=2, batch=2, patch_size=64)))
    predicting = predict_to(model, image, folder / f"{planes}.zarr")
    for _ in range(3):
        next(predicting)
    predicting.close()


if __name__ == "__main__":
    torch.set_num_threads(1)
    for planes in (20, 20, 20_000):  # 20 twice, since the first time makes what later ones use
        work(planes, Path(sys.argv[1]))
        sys.stdout.write(f"{most()}\n")
