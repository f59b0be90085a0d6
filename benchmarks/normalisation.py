"""Which normalisation the U-Net should have: test Dice after few steps, on masks and on strokes.

    python benchmarks/normalisation.py DATA RESULTS.csv [STEPS]

Channel norm (the default) against batch norm: same steps, same seeds, 10 dense masks of kdsb18_fluo and drawn strokes
on two planes of isbi2012_em. One row per run; finished rows are not repeated.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from skimage.morphology import dilation, disk, skeletonize

import btunet
from btunet.device import mind_the_machine
from btunet.networks import unet

NORMS = {"channel": unet.ChannelNorm, "batch": torch.nn.BatchNorm2d}
SEEDS = (0, 1, 2)


def fluo(data: Path, _: int) -> tuple[list, list, list, list, bool]:
    folder = data / "kdsb18_fluo"
    split = json.loads((folder / "split.json").read_text())
    train, test = split["train"][:10], split["test"][::4]
    images, masks = (lambda n: btunet.read(folder / "images" / n)), (lambda n: btunet.read(folder / "masks" / n))
    return (
        [images(n) for n in train],
        [masks(n).data for n in train],
        *([f(n) for n in test] for f in (images, masks)),
        True,
    )


def em(data: Path, seed: int) -> tuple[list, list, list, list, bool]:
    stack = np.asarray(btunet.read(data / "isbi2012_em" / "stack.tif").data)
    truth = np.asarray(btunet.read(data / "isbi2012_em" / "labels.tif").data)
    rng, strokes = np.random.default_rng(seed), np.zeros_like(truth)
    for plane in (0, 9):
        for value in (0, 1):
            lines = skeletonize(truth[plane] == value)
            for _ in range(6):
                points = np.argwhere(lines)
                seen = np.ones_like(lines)
                seen[tuple(points[rng.integers(len(points))])] = False
                near = ndimage.distance_transform_edt(seen) < 20
                strokes[plane][dilation(lines & near, disk(1)) & (truth[plane] == value)] = value + 1
    test = range(18, 30, 3)
    return (
        [stack],
        [strokes],
        [btunet.as_stack(stack[z]) for z in test],
        [btunet.as_stack(truth[z]) for z in test],
        False,
    )


def main(data: Path, results: Path, steps: int) -> None:
    mind_the_machine()
    done = {tuple(row[:4]) for row in csv.reader(results.open())} if results.exists() else set()
    for seed in SEEDS:
        for name, load in (("kdsb18_fluo, 10 masks", fluo), ("isbi2012_em, 2 x 6 strokes per class", em)):
            for norm, kind in NORMS.items():
                key = (name, norm, str(steps), str(seed))
                if key in done:
                    continue
                unet.ChannelNorm = kind
                images, labels, test, truth, dense = load(data, seed)
                settings = btunet.FinetuneSettings(steps=steps, seed=seed)
                model = btunet.run(btunet.finetune(images, labels, settings, dense=dense))
                masks = btunet.run(btunet.predict(model, test))
                report = btunet.evaluate(
                    {str(i): btunet.as_stack(m) for i, m in enumerate(masks)}, {str(i): t for i, t in enumerate(truth)}
                )
                row = (*key, f"{report['classes']['1']['mean']['dice']:.4f}")
                with results.open("a") as file:
                    csv.writer(file).writerow(row)
                print(*row, sep=", ", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 80)
