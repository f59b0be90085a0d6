"""What the colours of what was learned cost a pre-training: ``python benchmarks/pictures.py [--minutes 1]``."""

from __future__ import annotations

import argparse
import time

import numpy as np

from btunet import LearnedPlane, PretrainSettings, Progress, pretrain, run
from btunet.pictures import Pictures
from napari_btunet._sample import draw_nuclei

SIDES = (256, 512, 1024, 2048)  # of a plane, pixels


def main() -> None:
    """Print one line of a table for every size of a plane."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="of every pre-training")
    minutes = parser.parse_args().minutes
    plane = draw_nuclei()[0][15]
    print("| side of the plane | pictures | seconds each | share of the time | file of a picture |")
    for side in SIDES:
        copies = -(-side // len(plane))
        print(measured(np.tile(plane, (copies, copies))[:side, :side], minutes), flush=True)


def measured(image: np.ndarray, minutes: float) -> str:
    """Pre-train on one plane while somebody looks at it, and say what that took."""
    took: list[float] = []
    seen: list[LearnedPlane] = []
    take = Pictures.take

    def timed(self: Pictures, image: int, plane: int) -> LearnedPlane:
        start = time.perf_counter()
        found = take(self, image, plane)
        took.append(time.perf_counter() - start)
        return found

    def note(progress: Progress) -> None:
        if progress.learned is not None:
            seen.append(progress.learned)

    Pictures.take = timed  # type: ignore[method-assign]
    try:
        model = run(pretrain([image], PretrainSettings(minutes=minutes), look_at=(0, 0)), note)
    finally:
        Pictures.take = take  # type: ignore[method-assign]
    share = sum(took) / model.history[0]["seconds"]
    size = max(each.colours.nbytes for each in seen) / 1e6
    return f"| {len(image)} | {len(took)} | {np.median(took):.2f} | {share:.1%} | {size:.1f} MB |"


if __name__ == "__main__":
    main()
