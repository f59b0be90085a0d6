"""Strokes, masks and predictions that do not fit, or do."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .case import Case, Make, picture
from .pictures import palette, saved
from .tiffs import raw, tiff

STROKES, MASKS, SCORE = ("strokes",), ("masks",), ("evaluate",)
SHAPE = picture().shape


def drawn(*values: float, dtype: object = np.uint8) -> np.ndarray:
    """Return strokes or a mask with a row of each value, 0 elsewhere."""
    found = np.zeros(SHAPE, dtype)  # type: ignore[call-overload]
    for row, value in enumerate(values):
        found[2 * row + 1] = value
    return found  # type: ignore[no-any-return]


def objects(count: int) -> np.ndarray:
    return np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE) % count


def folder_of(*labels: str) -> Make:
    """Make a folder of strokes with these names."""

    def make(folder: Path) -> Path:
        (folder / "labels").mkdir()
        for name in labels:
            tiff(drawn(1, 2))(folder)
            (folder / "bad.tif").rename(folder / "labels" / name)
        return Path("labels")

    return make


CASES = [
    Case(
        "strokes of another size",
        STROKES,
        tiff(np.ones((7, 9), np.uint8)),
        "strokes of good.tif are .*but the image is",
    ),
    Case(
        "strokes on more planes",
        STROKES,
        tiff(np.stack([drawn(1, 2)] * 2)),
        "strokes of good.tif are .*but the image is",
    ),
    Case("strokes turned", STROKES, tiff(drawn(1, 2).T.copy()), "strokes of good.tif are"),
    Case("strokes in colour", STROKES, saved(np.stack([drawn(1, 2)] * 3, -1)), "3 channels; labels are gray"),
    Case("strokes in a palette", STROKES, saved(palette()), "3 channels; labels are gray"),
    Case("no strokes", STROKES, tiff(drawn()), "the strokes are empty; annotate"),
    Case("strokes of one class", STROKES, tiff(drawn(2)), "only 'class 1' is annotated"),
    Case("strokes of background alone", STROKES, tiff(drawn(1)), "only 'background' is annotated"),
    Case("negative strokes", STROKES, tiff(drawn(1, -2, dtype=np.int16)), "from -2 to 1; expected 0 to 255"),
    Case("strokes above 255", STROKES, tiff(drawn(1, 300, dtype=np.uint16)), "to 300; expected 0 to 255"),
    Case("strokes beyond 64 bits", STROKES, tiff(drawn(1, 2**64 - 1, dtype=np.uint64)), "expected 0 to 255"),
    Case("strokes of 40 classes", STROKES, tiff(objects(41).astype(np.uint8))),
    Case("strokes of fractions", STROKES, tiff(drawn(1, 2.5, dtype=np.float32)), "float32 values; expected whole"),
    Case("strokes that are not numbers", STROKES, tiff(drawn(1, np.nan, dtype=np.float32)), "expected whole"),
    Case("strokes that are no image", STROKES, raw(b"text" * 99, "bad.tif"), "bad.tif cannot be read"),
    Case("strokes that are a model", STROKES, lambda folder: Path("model.safetensors"), "not a known kind of image"),
    Case("strokes for other images", STROKES, folder_of("one.tif", "two.tif"), "2 of 2 label files have no image"),
    Case("masks of 0 and 255", MASKS, tiff(drawn(255)), "255 means 'ignore' here; write the object as 1"),
    Case("masks of numbered objects", MASKS, tiff(objects(200).astype(np.uint8)), "seem to number objects"),
    Case("masks of many numbered objects", MASKS, tiff(objects(900).astype(np.uint16)), "expected 0 to 255"),
    Case("masks with a gap", MASKS, tiff(drawn(1, 3)), "values 0, 1, 3; expected 0 for background and 1, 2"),
    Case("masks without an object", MASKS, tiff(drawn()), "only 'background' is annotated"),
    Case("masks that are ignored", MASKS, tiff(drawn() + 255), "the masks are empty"),
    Case("masks of another size", MASKS, tiff(np.ones((7, 9), np.uint8)), "mask of good.tif are|but the image is"),
    Case("a prediction of another size", SCORE, tiff(np.ones((7, 9), np.uint8)), "expected one shape"),
    Case("a prediction of 255", SCORE, tiff(drawn(255)), "holds 255; a prediction must name a class"),
    Case("a prediction above 255", SCORE, tiff(drawn(300, dtype=np.uint16)), "whole numbers from 0 to 255"),
    Case("a negative prediction", SCORE, tiff(drawn(-1, dtype=np.int8)), "whole numbers from 0 to 255"),
    Case("a prediction of fractions", SCORE, tiff(drawn(0.5, dtype=np.float32)), "whole numbers from 0 to 255"),
    Case("a prediction that is not numbers", SCORE, tiff(drawn(np.nan, dtype=np.float32)), "NaN or infinite"),
    Case("a prediction in colour", SCORE, saved(np.stack([drawn(1)] * 3, -1)), "expected one shape"),
    Case("strokes of 64 bits", STROKES, tiff(drawn(1, 2, dtype=np.int64))),
    Case("strokes, big end first", STROKES, tiff(drawn(1, 2, dtype=">u2"), byteorder=">")),
    Case("masks of true and false", MASKS, tiff(drawn(1, dtype=bool))),
    Case("masks of 64 bits", MASKS, tiff(drawn(1, dtype=np.int64))),
    Case("masks of a few strange pixels", MASKS, tiff(drawn(1, 255))),
    Case("a prediction of true and false", SCORE, tiff(drawn(1, dtype=bool))),
    Case("a prediction of 64 bits", SCORE, tiff(drawn(1, dtype=np.uint64))),
]
