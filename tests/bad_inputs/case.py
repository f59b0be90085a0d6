"""What a case is: something to be given to a command, and what must come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

WORKS = ""
TRAINING = "--steps 1 --batch 4 --patch-size 16"
LINES = {
    "info": "info {}",
    "pretrain": f"pretrain {{}} --out made/e.safetensors {TRAINING}",
    "start": f"pretrain good.tif --start-from {{}} --out made/e.safetensors {TRAINING}",
    "resume": f"pretrain good.tif --out {{}} --resume {TRAINING}",
    "finetune": f"finetune --images {{}} --labels strokes.tif --out made/m.safetensors {TRAINING}",
    "strokes": f"finetune --images good.tif --labels {{}} --out made/m.safetensors {TRAINING}",
    "masks": f"finetune --images good.tif --labels {{}} --dense --out made/m.safetensors {TRAINING}",
    "predict": "predict model.safetensors {} --out made --tile 32",
    "predict colour": "predict colour.safetensors {} --out made --tile 32",
    "model": "predict {} good.tif --out made --tile 32",
    "evaluate": "evaluate {} mask.tif",
    "evaluate both": "evaluate {0} {0}",
    "save encoder": f"pretrain good.tif --out {{}} {TRAINING}",
    "save model": f"finetune --images good.tif --labels strokes.tif --out {{}} {TRAINING}",
    "save masks": "predict model.safetensors good.tif --out {} --tile 32",
    "save scores": "evaluate mask.tif mask.tif --json {}",
}
"""Kind of use → command line in a folder with good.tif, its strokes.tif and mask.tif, and two models."""

Make = Callable[[Path], Path]


@dataclass(frozen=True)
class Case:
    """Something odd, bad or hostile.

    Parameters
    ----------
    name
        What it is.
    use
        How it is used, of `LINES`; one or several.
    make
        Writes it into a folder; returns what to name on the command line.
    expected
        What the one sentence must match, or `WORKS`.
    truth
        Pixels (C, Y, X) that an image that works must have.
    """

    name: str
    use: tuple[str, ...]
    make: Make
    expected: str = WORKS
    truth: np.ndarray | None = None

    def line(self, use: str, given: Path) -> list[str]:
        """Return the command line that uses what was made."""
        return [word.replace("{}", str(given)).replace("{0}", str(given)) for word in LINES[use].split()]


def picture(dtype: object = np.uint8, height: int = 40, width: int = 48) -> np.ndarray:
    """Return a plane of bright squares on noise."""
    values = np.random.default_rng(0).integers(20, 60, (height, width))
    values[height // 4 : height // 2, width // 4 : width // 2] += 120
    return values.astype(dtype)  # type: ignore[call-overload, no-any-return]
