"""Bad inputs, made when they are needed: kind → cases."""

from . import labels, models, pictures, places, tiffs, volumes, zarrs
from .case import LINES, WORKS, Case

KINDS: dict[str, list[Case]] = {
    "TIFF": tiffs.CASES,
    "PNG and JPEG": pictures.CASES,
    "NIfTI": volumes.CASES,
    "zarr": zarrs.CASES,
    "strokes and masks": labels.CASES,
    "models and checkpoints": models.CASES,
    "paths": places.CASES,
}

__all__ = ["KINDS", "LINES", "WORKS", "Case"]
