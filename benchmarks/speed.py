"""Training and prediction against straightforward ways to do the same, and against what the processor can do.

    python benchmarks/speed.py [--rounds 7] [--network unet plain-unet] [--threads N] [--tasks ...] [--processor-time]

Every side (`contenders`) is a process of its own; they work in turn, one at a time, and each round takes a few seconds
from each. Prints Markdown: the median over the rounds, the range, the ratio of the medians, the range of the rounds'
ratios, and the most memory a process held. Then how far a training step is from the floor (`floor`). On a machine that
does other work too, ``--processor-time`` counts the seconds that one thread got instead of those that went by. Where
there is a GPU, all sides use it and are waited for. Without lightly its side is left out. ``--before FOLDER`` compares
with the code of another checkout too; the task "strokes", fine-tuning from strokes, has no other side.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

from btunet.device import cores

HERE = Path(__file__).parent
STEPS = {"pretrain": 3, "finetune": 5, "predict": 2, "strokes": 3}  # in a round
OTHERS = {"pretrain": ("port", "lightly"), "finetune": ("port",), "predict": ("port",), "strokes": ()}


class Side:
    """A process that makes steps when it is told to."""

    def __init__(self, task: str, side: str, network: str, flags: list[str], code: Path | None = None) -> None:
        command = [sys.executable, str(HERE / "contenders.py"), task, side, "--network", network, *flags]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(code / "src")} if code else None,
        )
        self.name, self.rates, self.peak = side, list[float](), 0.0

    def steps(self, count: int) -> float:
        """Make steps and return how much was done per second.

        Raises
        ------
        RuntimeError
            With the last line the process wrote, if it ended.
        """
        assert self._process.stdin and self._process.stdout and self._process.stderr
        try:
            print(count, file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise RuntimeError(self._process.stderr.read().strip().splitlines()[-1])
        seconds, done, self.peak = map(float, answer.split())
        return done / seconds

    def end(self) -> None:
        self._process.communicate()


def compare(task: str, network: str, rounds: int, flags: list[str], before: Path | None) -> None:
    sides = []
    for name in ("ours", *OTHERS[task], *(("before",) if before else ())):
        is_before = name == "before"
        side = Side(task, "ours" if is_before else name, network, flags, before if is_before else None)
        side.name = name
        try:
            side.steps(2)  # memory is asked for, kernels are chosen
            sides.append(side)
        except RuntimeError as error:
            print(f"{task}, {network}: {name} is left out ({error})", flush=True)
    for _ in range(rounds):
        for side in sides:
            side.rates.append(side.steps(STEPS[task]))
    for side in sides:
        side.end()
    ours, unit = sides[0], ("megapixels/s", 1e6) if task == "predict" else ("patches/s", 1.0)
    for other in sides[1:]:
        ratios = [a / b for a, b in zip(ours.rates, other.rates, strict=True)]
        ratio = f"**{statistics.median(ours.rates) / statistics.median(other.rates):.2f}** ({spread(ratios)})"
        cells = [task, network, other.name, unit[0], *(median(side, unit[1]) for side in (ours, other)), ratio]
        print("|", " | ".join([*cells, f"{ours.peak:.0f} / {other.peak:.0f}"]), "|", flush=True)


def spread(values: list[float]) -> str:
    return f"{min(values):.3g} to {max(values):.3g}"


def median(side: Side, unit: float) -> str:
    rates = [rate / unit for rate in side.rates]
    return f"{statistics.median(rates):.3g} ({spread(rates)})"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--network", nargs="+", default=["unet", "plain-unet"])
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--tasks", nargs="*", choices=tuple(STEPS), default=[t for t in STEPS if OTHERS[t]])
    parser.add_argument("--pixels", type=int, default=1024, help="side of the images, pixels")
    parser.add_argument("--no-floor", action="store_true")
    parser.add_argument("--processor-time", action="store_true")
    parser.add_argument("--before", type=Path, help="another checkout, to compare its code with")
    args = parser.parse_args()
    threads = 1 if args.processor_time else args.threads  # of several, the time would be added up
    flags = ["--threads", str(threads), "--side-pixels", str(args.pixels)]
    flags += ["--processor-time"] * args.processor_time
    print("| task | network | against | unit | ours | other | ratio | peak memory, MB |\n|" + "---|" * 8)
    for network in args.network:
        for task in args.tasks:
            compare(task, network, args.rounds, flags, args.before)
    for network in [] if args.no_floor else args.network:
        for task in ("pretrain", "finetune", "strokes", "predict"):
            command = [sys.executable, str(HERE / "floor.py"), task, network, str(threads), str(args.rounds)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
