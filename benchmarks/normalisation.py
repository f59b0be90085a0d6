"""Why BT-Unet's own U-Net is the default: test Dice after 100 steps against a U-Net without residual connections.

    python benchmarks/normalisation.py DATA OUT [SEEDS]

From a random start, on masks (5 images) and on strokes (15x5: 5 per class on each of 15 images): the default, the same
with group normalisation, and a light U-Net that normalises over the channels of a pixel, groups, or the batch.
Every run is a file in OUT; finished ones are not repeated. Up to 16 test images (3 test planes of EM) are scored.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from btunet import Stack, StudySettings, find_pairs, run
from btunet.device import mind_the_machine

CASES = (
    *(("acdc", "5"), ("kdsb18_fluo", "5"), ("isbi2012_em", "1x5"), ("kdsb18_fluo", "1x3"), ("acdc", "15x5")),
    *(("isic2018", "15x5"), ("busi", "15x5"), ("wbc_d1", "4x5"), ("isbi2012_em", "4x5")),
)
RATE = 5e-3


def networks() -> dict[str, Any]:
    """Return the networks by the names of the table; torch is imported only now, after the machine was minded."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    from btunet.networks.blocks import WIDTHS, MaxPoolEncoder
    from btunet.networks.contract import Network, reach
    from btunet.networks.unet import UNet

    class ChannelNorm(nn.LayerNorm):
        def forward(self, x: Any) -> Any:
            return super().forward(x.movedim(1, -1)).movedim(-1, 1)

    def double(inputs: int, outputs: int, norm: Any) -> nn.Sequential:
        layers: list[nn.Module] = []
        for a in (inputs, outputs):
            layers += [nn.Conv2d(a, outputs, 3, padding=1, bias=False), norm(outputs), nn.ReLU(inplace=True)]
        return nn.Sequential(*layers)

    class Decoder(nn.Module):
        def __init__(self, norm: Any) -> None:
            super().__init__()
            pairs = list(pairwise(WIDTHS[::-1]))
            self.reduce = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairs)
            self.merge = nn.ModuleList(double(2 * b, b, norm) for _, b in pairs)

        def forward(self, features: Any) -> Any:
            x = features[-1]
            for reduce, merge, skip in zip(self.reduce, self.merge, features[-2::-1], strict=True):
                x = merge(torch.cat([skip, F.interpolate(reduce(x), size=skip.shape[-2:])], 1))
            return x

    def light(channels: int, classes: int, norm: Any) -> Network:
        encoder = MaxPoolEncoder(channels, WIDTHS, partial(double, norm=norm))
        head = nn.Conv2d(WIDTHS[0], classes, 1)
        return Network(encoder, Decoder(norm), head, widths=WIDTHS, reach=reach(len(WIDTHS), down=2, up=2))

    def grouped(channels: int, classes: int) -> Network:
        network = UNet(channels, classes)
        for module in list(network.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.BatchNorm2d):
                    setattr(module, name, nn.GroupNorm(8, child.num_features))
        return network

    norms = {"channel": ChannelNorm, "group": partial(nn.GroupNorm, 8), "batch": nn.BatchNorm2d}
    return {"default": UNet, "default-group": grouped} | {
        f"light-{n}": partial(light, norm=m) for n, m in norms.items()
    }


def main(data: Path, out: Path, seeds: int) -> None:
    mind_the_machine()
    from btunet.networks import BUILDERS
    from btunet.studies import find_split, split_set
    from btunet.studies.bench import _Bench
    from btunet.studies.plan import Run

    mine = networks()
    BUILDERS.update(mine)
    scores: dict[tuple[str, str, str], list[float]] = {}
    for seed in range(seeds):
        for name, budget in CASES:
            stack = name == "isbi2012_em"
            images, masks = (data / name / f for f in (("stack.tif", "labels.tif") if stack else ("images", "masks")))
            train, test, _ = split_set(find_pairs(images, masks), find_split(images))
            if stack:
                test = [(Stack(test[0][0].data[:3], "ZCYX", name), test[0][1][:3])]
            settings = StudySettings(steps=100, budgets=(budget,), seeds=seeds)
            bench = _Bench(train, test[:16], out / name, settings, ())
            bench.plan.held_out = []
            bench._rate = lambda _: RATE
            for network in mine:
                this = Run(network, "random", budget, seed)
                if not bench.file(this).exists():
                    run(bench.make(this, ""))
                dice = json.loads(bench.file(this).read_text())["dice"]
                scores.setdefault((name, budget, network), []).append(dice)
                print(f"{name}, {budget}, seed {seed}, {network}: {dice:.3f}", flush=True)
    print("\nmean over the seeds")
    for name, budget in CASES:
        print(f"{name}, {budget}: " + ", ".join(f"{n} {fmean(scores[name, budget, n]):.3f}" for n in mine))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 2)
