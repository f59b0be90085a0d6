"""Write masks: from the panel as a task, and through napari's own save dialog."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

import btunet

from ._layers import BACKGROUND, ROLE


def export_masks(
    path: Path, prediction: np.ndarray, stack: btunet.Stack
) -> Generator[btunet.Progress, btunet.Reply, list[Path]]:
    """Write a prediction layer's numbers as masks beside their image, as a task; returns the files."""
    yield btunet.Progress("writing", 0, 0)
    return btunet.write(path, mask_of(prediction), stack)


def mask_of(labels: np.ndarray) -> np.ndarray:
    """Return masks that count from 0 = background for labels that count from 1."""
    return np.where(labels == 0, 0, labels - BACKGROUND).astype(labels.dtype)


def write_mask(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write one Labels layer to ``path`` (.btmask.tif): 0 = background, 1..K; read again and compared.

    Strokes and predictions of this plugin count from 1 for the background, so theirs are shifted by one; other Labels
    layers are written as they are.
    """
    mask = np.asarray(data)
    if attributes.get("metadata", {}).get(ROLE, {}).get("role") in ("strokes", "prediction"):
        mask = mask_of(mask)
    axes = btunet.as_stack(mask).axes
    scale = tuple(float(abs(s)) for s in attributes.get("scale", ()))
    stack = btunet.Stack(mask, axes, str(attributes.get("name", "mask")), scale if any(s != 1 for s in scale) else ())
    return [str(written) for written in btunet.write(Path(path), mask, stack)]
