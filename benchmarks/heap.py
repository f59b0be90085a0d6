"""What a job in the background leaves in the memory of the window's process, megabytes.

    xvfb-run -a .venv/bin/python benchmarks/heap.py [--jobs 60] [--keep]

Each job sends 30 planes of 256 x 256 and a result of 10 MB, which nobody keeps. Prints after every tenth what the
process has, what malloc has given out (`used`), and what Python's garbage collector knows more of with every job. With
--keep what threads have freed is not given back to the system.
"""

from __future__ import annotations

import argparse
import gc
from collections import Counter
from typing import Any

import numpy as np
import psutil

import btunet


def work() -> btunet.Task[dict[str, np.ndarray]]:
    """Send planes, and return what is as large as a model."""
    rng = np.random.default_rng(0)
    for step in range(30):
        part = btunet.PredictedPlane(0, step % 8, rng.integers(0, 2, (256, 256), np.uint8))
        yield btunet.Progress("working", step + 1, 30, planes=(part,))
    return {f"weight {n}": rng.random(2**18 * 10 // 60, np.float32) for n in range(60)}


def one_job() -> None:
    from qtpy.QtTest import QTest

    from napari_btunet import _job

    ended: list[Any] = []
    job = _job.Job(btunet.in_child("heap:work"), "work")
    job.ended.connect(lambda how, _: ended.append(how))
    job.start()
    while not ended:
        QTest.qWait(20)
    if ended != ["done"]:
        raise RuntimeError(f"the job {ended[0]}")


def objects() -> Counter[str]:
    gc.collect()
    return Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects())


def main() -> None:
    import napari

    from napari_btunet import _job
    from soak import heap

    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=60)
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    if arguments.keep:
        _job.give_back = lambda: None
    viewer = napari.Viewer()  # napari notes every worker there
    for _ in range(3):
        one_job()
    first = objects()
    for number in range(arguments.jobs + 1):
        if number % 10 == 0:
            gc.collect()
            resident = psutil.Process().memory_info().rss / 2**20
            print(f"{number} jobs: {resident:.1f} MB, used {heap()[0]:.2f}", flush=True)
        if number < arguments.jobs:
            one_job()
    grown = {name: (count - first[name]) / arguments.jobs for name, count in objects().items()}
    kept = ", ".join(f"{n:.0f} {name}" for name, n in sorted(grown.items(), key=lambda item: -item[1]) if n > 0.5)
    print(f"more with every job: {kept}")
    viewer.close()


if __name__ == "__main__":
    main()
