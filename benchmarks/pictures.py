"""What the colours of what was learned cost a pre-training.

    python benchmarks/pictures.py [--minutes 1] [--sides 256 512 1024]

Counts processor time, which hardly depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from btunet import LearnedPlane, PretrainSettings, Progress, pretrain, run
from btunet.pictures import Pictures
from napari_btunet._sample import draw_nuclei


def main() -> None:
    """Print one line of a table for every size of a plane."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="of every pre-training")
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 512, 1024], help="of a plane, pixels")
    options = parser.parse_args()
    plane = draw_nuclei()[0][15]
    print("| side of the plane | pictures | processor time of one | share of all | file of one |")
    print("|---|---|---|---|---|")
    for side in options.sides:
        copies = -(-side // len(plane))
        print(measured(np.tile(plane, (copies, copies))[:side, :side], options.minutes), flush=True)


def measured(image: np.ndarray, minutes: float) -> str:
    """Pre-train on one plane while somebody looks at it, and say what that took."""
    took: list[float] = []
    seen: list[LearnedPlane] = []
    take = Pictures.take

    def timed(self: Pictures, image: int, plane: int) -> LearnedPlane:
        start = time.process_time()
        found = take(self, image, plane)
        took.append(time.process_time() - start)
        return found

    def note(progress: Progress) -> None:
        if progress.learned is not None:
            seen.append(progress.learned)

    Pictures.take = timed  # type: ignore[method-assign]
    start = time.process_time()
    try:
        run(pretrain([image], PretrainSettings(minutes=minutes), look_at=(0, 0)), note)
    finally:
        Pictures.take = take  # type: ignore[method-assign]
    share = sum(took) / (time.process_time() - start)
    size = max(each.colours.nbytes for each in seen) / 1e6
    return f"| {len(image)} | {len(took)} | {np.median(took):.2f} s | {share:.1%} | {size:.1f} MB |"


if __name__ == "__main__":
    main()
