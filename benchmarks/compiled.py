"""A training step as it is, compiled, and in bfloat16: does `torch.compile` pay, does bfloat16 on this processor?

    python benchmarks/compiled.py [NETWORK] [THREADS] [ROUNDS]

Network, loss and AdamW alone, eight patches of 128², in turn; of one thread the processor time counts. Prints seconds
of the first step, which compiles, and milliseconds of the later ones. Compiling needs a C++ compiler.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator

from btunet.device import cores, mind_the_machine


def steps(network: str, is_compiled: bool, is_half: bool) -> Iterator[None]:
    """Make one step after the other."""
    import torch

    from btunet.device import channels_last, settle
    from btunet.losses import masked_loss
    from btunet.networks import build
    from btunet.networks.blocks import Dropout
    from btunet.optimise import Trainer
    from btunet.recipes import FINETUNING

    model = settle(build(network, 1, 2)).train()
    for module in model.modules():
        if is_compiled and isinstance(module, Dropout):  # ours works on bits, which torch does not compile
            module.__class__ = torch.nn.Dropout
    run: Callable[[torch.Tensor], torch.Tensor] = torch.compile(model, dynamic=False) if is_compiled else model
    trainer = Trainer(model, FINETUNING["default"].descent)
    generator = torch.Generator().manual_seed(0)
    images = channels_last(torch.randn(8, 1, 128, 128, generator=generator))
    target = torch.randint(2, (8, 128, 128), generator=generator)
    while True:
        with torch.autocast("cpu", torch.bfloat16, enabled=is_half):
            logits = run(images)
        trainer.step(sum(masked_loss(logits, target)), 0.5)  # type: ignore[arg-type]
        yield


def main(network: str, threads: int, rounds: int) -> None:
    mind_the_machine()
    import torch

    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    sides = {}
    for precision in ("float32", "bfloat16"):
        for is_compiled in (False, True):
            side, began = steps(network, is_compiled, precision == "bfloat16"), time.perf_counter()
            name = f"{precision}, compiled" if is_compiled else precision
            try:
                next(side)
            except RuntimeError as error:  # torch's when it cannot compile
                print(f"{name} is left out: {error}")
            else:
                sides[name] = side, time.perf_counter() - began, list[float]()
    for _ in range(rounds):
        for side, _, times in sides.values():
            start = clock()
            for _ in range(3):
                next(side)
            times.append((clock() - start) / 3 * 1e3)
    print(f"{network}, {threads} threads:\n| step | first, s | later, ms |\n|---|---|---|")
    for name, (_, first, times) in sides.items():
        print(f"| {name} | {first:.1f} | {statistics.median(times):.0f} ({min(times):.0f} to {max(times):.0f}) |")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(
        given[0] if given else "unet",
        int(given[1]) if len(given) > 1 else cores(),
        int(given[2]) if len(given) > 2 else 7,
    )
