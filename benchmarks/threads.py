"""What sleeping threads save on a busy machine: a fine-tuning step with OMP_WAIT_POLICY unset and PASSIVE, alternately.

    python benchmarks/threads.py [ROUNDS]

Two other processes compute meanwhile. Prints the median seconds per step and their range.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

STEPS = """
import time, torch
from btunet.networks import build
from btunet.optimise import Trainer
from btunet.recipes import FINETUNING
torch.set_num_threads(2)
network = build("unet", 1, 2).to(memory_format=torch.channels_last)
trainer, images = Trainer(network, FINETUNING["default"].descent), torch.randn(8, 1, 128, 128)
for step in range(4):
    if step == 1:
        start = time.perf_counter()
    trainer.step(network(images).square().mean(), 0.5)
print((time.perf_counter() - start) / 3)
"""


def seconds(policy: str | None) -> float:
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    if policy:
        environment["OMP_WAIT_POLICY"] = policy
    return float(subprocess.run([sys.executable, "-c", STEPS], env=environment, capture_output=True, check=True).stdout)


def main(rounds: int) -> None:
    for others in (0, 2):
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(others)]
        try:
            times = [(seconds(None), seconds("PASSIVE")) for _ in range(rounds)]
        finally:
            for process in busy:
                process.kill()
                process.wait()
        for name, values in zip(("unset", "PASSIVE"), zip(*times, strict=True), strict=True):
            print(
                f"{others} others, {name:8} median {statistics.median(values):.2f} s per step, "
                f"{min(values):.2f} to {max(values):.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
