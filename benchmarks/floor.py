"""How near a step of training or prediction comes to what the processor can do, and where the rest of its time goes.

    python benchmarks/floor.py pretrain|finetune|strokes|predict NETWORK [THREADS] [ROUNDS]

The floor is the time that the operations of a step's convolutions take at the rate of one large product of matrices, of
the type the steps use, on the same threads. Both are timed in turn, then some steps once more under torch's profiler.
Also how many times as fast a step would be if all but its convolutions and products of matrices took no time. With one
thread, its processor time counts. The operations of the trunk (`networks.trunk`) count once, those of the network three
times: only that is followed back. Of "strokes", fine-tuning from strokes, only the profile is printed, for its steps
differ in how much they look at.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from btunet.device import cores, mind_the_machine, pick_device, precision
from contenders import ours

SIZE = 4096  # side of the matrices
KINDS = {  # part of an operator's name → the row it belongs to; the first that fits
    "convolution_backward": "convolutions, backward",
    "convolution": "convolutions, forward",
    "norm_backward": "normalisation, backward",
    "layer_norm": "normalisation, forward",
    "batch_norm": "normalisation, forward",
    "threshold": "ReLU",
    "hardtanh": "ReLU",
    "clamp_min": "ReLU",
    "pool": "pooling, upsampling, joining",
    "upsample": "pooling, upsampling, joining",
    "aten::cat": "pooling, upsampling, joining",
    "aten::addmm": "products of matrices",
    "aten::mm": "products of matrices",
    "aten::clamp": "the trunk's features, made comparable",
    "aten::sub": "the trunk's features, made comparable",
    "random_": "dropout",
    "ge_": "dropout",
    "copy_": "copies and conversions",
    "fill_": "copies and conversions",
    "grid_sampler": "views",
    "normal_": "views",
    "bmm": "views",
    "aten::add": "sums and products of maps, among them the optimiser's",
    "aten::mul": "sums and products of maps, among them the optimiser's",
    "aten::lerp": "sums and products of maps, among them the optimiser's",
}


def seconds(work: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    import torch

    start = clock()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - start


def main(task: str, network: str, threads: int, rounds: int) -> None:
    mind_the_machine()
    import torch

    torch.set_num_threads(threads)
    steps = ours(task, network, 1024)
    for _ in range(3):
        next(steps)
    print(f"\n{task}, {network}, {threads} threads, {rounds} rounds:")
    if task != "strokes":
        reached(steps, threads, rounds, passes=1 if task == "predict" else 3)
    rows, whole = explained(steps, min(rounds, 5))
    print("\n| part of a step | ms | share |\n|---|---|---|")
    products = sum(spent for kind, spent in rows.items() if kind.startswith(("convolutions", "products")))
    for kind, spent in sorted(rows.items(), key=lambda row: -row[1]):
        print(f"| {kind} | {spent * 1e3:.1f} | {spent / whole:.1%} |")
    print(f"\nIf all but convolutions and products of matrices took no time: {whole / products:.1f} times as fast")


def reached(steps: Any, threads: int, rounds: int, passes: int) -> None:
    """Print how much of the rate of a product of matrices the convolutions of a step reach.

    ``passes``: forward alone, or forward and two as long backward, which torch miscounts for separable convolutions.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False, depth=2)
    with counter:
        next(steps)
    forward = {name: kinds[torch.ops.aten.convolution] for name, kinds in counter.get_flop_counts().items()}
    trained = sum(count for name, count in forward.items() if name.count(".") == 1)
    operations = passes * trained + forward["Global"] - trained  # the trunk is not called as a module
    matrix = torch.randn(SIZE, SIZE, device=pick_device())

    def product() -> torch.Tensor:
        with precision(matrix.device):
            return matrix @ matrix

    product()
    clock = time.process_time if threads == 1 else time.perf_counter
    times = [(seconds(lambda: next(steps), clock), seconds(product, clock)) for _ in range(rounds)]
    step, whole = (statistics.median(values) for values in zip(*times, strict=True))
    peak = 2 * SIZE**3 / whole
    shares = [operations / (s * 2 * SIZE**3 / p) for s, p in times]
    print(f"- a step of {operations / 1e9:.1f} GFLOP took {step * 1e3:.0f} ms: {operations / step / 1e9:.0f} GFLOP/s")
    print(f"- a product of {SIZE}² matrices: {peak / 1e9:.0f} GFLOP/s; the floor is {operations / peak * 1e3:.0f} ms")
    print(f"- a step reaches {operations / step / peak:.0%} of that rate ({min(shares):.0%} to {max(shares):.0%})")


def explained(steps: Any, count: int) -> tuple[dict[str, float], float]:
    """Return where the seconds of a step go, and how many it takes; the rest is spent outside of torch's operators.

    On a GPU the seconds are the GPU's, and the rest is what it waits for: as much as CUDA graphs could save at most.
    """
    import torch
    from torch.autograd import DeviceType
    from torch.profiler import profile

    is_gpu = torch.cuda.is_available()
    with profile() as seen:
        whole = seconds(lambda: [next(steps) for _ in range(count)])
    rows: dict[str, float] = {}
    for event in seen.key_averages():
        if event.device_type != DeviceType.CPU:  # kernels, which count as what started them
            continue
        kind = next((kind for part, kind in KINDS.items() if part in event.key), "other operators")
        spent = event.self_device_time_total if is_gpu else event.self_cpu_time_total
        rows[kind] = rows.get(kind, 0) + spent / 1e6
    rows["the GPU waits" if is_gpu else "outside torch"] = whole - sum(rows.values())
    return {kind: spent / count for kind, spent in rows.items()}, whole / count


if __name__ == "__main__":
    given = sys.argv[3:]
    main(sys.argv[1], sys.argv[2], int(given[0]) if given else cores(), int(given[1]) if len(given) > 1 else 7)
