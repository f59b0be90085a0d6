"""How well touching nuclei are split: objects of true masks, compared with the true objects.

    python benchmarks/objects.py FOLDER/kdsb18_fluo --every 3

An object is right if its IoU with a true one is above 0.5. Splitting at necks is what `btunet.objects` does; it is
compared with splitting at peaks of the distance to the border, as they are and smoothed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter
from skimage.feature import peak_local_max
from skimage.measure import label
from skimage.segmentation import watershed

from btunet import ObjectSettings, find, read
from btunet.objects import instances


def at_peaks(mask: np.ndarray, apart: int, smooth: float) -> np.ndarray:
    distance = distance_transform_edt(mask)
    smoothed = gaussian_filter(distance, smooth) if smooth else distance
    peaks = peak_local_max(smoothed, min_distance=apart, labels=label(mask), exclude_border=False)
    markers = np.zeros(mask.shape, int)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return np.asarray(watershed(-distance, markers, mask=mask))


def counts(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return how many objects are right, found and true."""
    shape = int(found.max()) + 1, int(true.max()) + 1
    pairs = found.astype(np.int64) * shape[1] + true
    both = np.bincount(pairs.ravel(), minlength=shape[0] * shape[1]).reshape(shape)
    union = both.sum(1)[:, None] + both.sum(0) - both
    return np.array([(both[1:, 1:] > 0.5 * union[1:, 1:]).sum(), len(np.unique(found)) - 1, shape[1] - 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds masks_instances")
    parser.add_argument("--every", type=int, default=1, help="take every n-th image")
    options = parser.parse_args()
    ways: dict[str, Callable[[np.ndarray], np.ndarray]] = {"not split": lambda mask: instances(mask, ObjectSettings())}
    for smooth in (0, 1):
        for apart in (5, 7, 10):
            name = f"peaks {apart} pixels apart{', smoothed' * smooth}"
            ways[name] = lambda mask, apart=apart, smooth=smooth: at_peaks(mask, apart, smooth)
    for neck in (0.5, 0.75, 1, 1.5):
        settings = ObjectSettings(split=True, neck=neck)
        ways[f"necks {neck}"] = lambda mask, settings=settings: instances(mask, settings)
    files = find([options.folder / "masks_instances"])[:: options.every]
    truths = [np.unique(read(file).read(0)[0], return_inverse=True)[1] for file in files]
    for name, way in ways.items():
        right, found, true = sum(counts(way((truth > 0).astype(np.uint8)), truth) for truth in truths)
        print(f"{name:33} F1 {2 * right / (found + true):.3f}  {right} right of {found} found, {true} true")


if __name__ == "__main__":
    main()
