"""Write small images of bright discs, with strokes and true masks: ``python discs.py FOLDER``."""

import sys
from pathlib import Path

import numpy as np
import tifffile

SIZE, RADIUS, COUNT = 96, 12, 3


def main(folder: Path) -> None:
    """Write images/, strokes/ and masks/, paired by name."""
    for kind in ("images", "strokes", "masks"):
        (folder / kind).mkdir(parents=True)
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:SIZE, :SIZE]
    for number in range(COUNT):
        centre_y, centre_x = generator.integers(RADIUS, SIZE - RADIUS, 2)
        distance = np.hypot(y - centre_y, x - centre_x)
        disc = distance < RADIUS
        image = generator.normal(100, 10, disc.shape) + 100 * disc
        strokes = np.select([distance < RADIUS / 2, np.abs(distance - 2 * RADIUS) < 2], [2, 1], 0)
        tifffile.imwrite(folder / "images" / f"disc{number}.tif", image.astype(np.uint16))
        tifffile.imwrite(folder / "strokes" / f"disc{number}.tif", strokes.astype(np.uint8))
        tifffile.imwrite(folder / "masks" / f"disc{number}.tif", disc.astype(np.uint8))


main(Path(sys.argv[1]))
