"""Score predicted masks against true ones: per image, averaged, and over all pixels together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from .images import Stack
from .labels import IGNORE
from .metrics import Counts, count

SCORES = ("precision", "recall", "dice", "iou")


def evaluate(predictions: Mapping[str, Stack], truths: Mapping[str, Stack]) -> dict[str, Any]:
    """Compare masks that have the same name, plane by plane.

    Parameters
    ----------
    predictions, truths
        Name → mask with values 0 (background), 1..K; 255 in a truth is left out.

    Returns
    -------
    dict
        JSON-ready. ``classes``: for every class but the background ``mean`` (over the planes where it is predicted or
        true), ``pooled`` (over all pixels) and ``empty``: in how many planes it is absent from both, from the truth
        only, from the prediction only. ``mean_iou``: pooled, averaged over the classes, background included (as the
        papers do); ``mean_foreground_iou``: without it. ``images``: the scores of every plane, null where a class is
        absent from both.

    Raises
    ------
    ValueError
        If a prediction has no truth, or shapes or values do not fit.
    """
    missing = [name for name in predictions if name not in truths]
    if missing or not predictions:
        first = f" (first: {missing[0]})" if missing else ""
        raise ValueError(
            f"{len(missing)} of {len(predictions)} predictions have no truth of the same name{first}; "
            "name each prediction like its truth"
        )
    found, true = (_values(masks[name] for name in predictions) for masks in (predictions, truths))
    if true == {0, IGNORE}:
        raise ValueError("the truths hold 0 and 255 only, and 255 means 'ignore' here; write the object as 1")
    classes = max(2, 1 + max(v for v in (0, *found, *true) if v < IGNORE))
    planes: list[tuple[str, int, list[Counts]]] = []
    for name, mask in predictions.items():
        planes += [(name, i, count(p, t, classes)) for i, p, t in _pairs(name, mask, truths[name])]
    return _report(planes, classes)


def _values(masks: Iterable[Stack]) -> set[int]:
    """Return the values that occur."""
    return {int(v) for mask in masks for plane in range(mask.planes) for v in np.unique(mask.read(plane))}


def _pairs(name: str, mask: Stack, truth: Stack) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield plane number, predicted and true plane (Y, X), checked."""
    if mask.spatial_shape != truth.spatial_shape or mask.channels != 1 or truth.channels != 1:
        raise ValueError(
            f"the prediction of {name} is {mask.data.shape} but its truth is {truth.data.shape}; expected one shape"
        )
    for plane in range(mask.planes):
        pair = mask.read(plane)[0], truth.read(plane)[0]
        for values in pair:
            if values.dtype.kind not in "bui" or int(values.max()) > IGNORE or int(values.min()) < 0:
                raise ValueError(f"{name} does not hold classes: expected whole numbers from 0 to {IGNORE}")
        if (pair[0] == IGNORE).any():
            raise ValueError(f"the prediction of {name} holds 255; a prediction must name a class for every pixel")
        yield plane, pair[0].astype(np.uint8), pair[1].astype(np.uint8)


def _report(planes: Sequence[tuple[str, int, list[Counts]]], classes: int) -> dict[str, Any]:
    """Gather the counts of all planes into the result of `evaluate`."""
    pooled = [sum((counts[k] for _, _, counts in planes), Counts()) for k in range(classes)]
    ious = [c.scores["iou"] for c in pooled]
    return {
        "planes": len(planes),
        "mean_iou": _mean(ious),
        "mean_foreground_iou": _mean(ious[1:]),
        "classes": {
            str(k): _class_report([counts[k] for _, _, counts in planes], pooled[k]) for k in range(1, classes)
        },
        "images": [
            {"name": name, "plane": plane, "classes": {str(k): counts[k].scores for k in range(1, classes)}}
            for name, plane, counts in planes
        ],
    }


def _class_report(counts: Sequence[Counts], pooled: Counts) -> dict[str, Any]:
    no_truth = [c.true_positive + c.false_negative == 0 for c in counts]
    no_prediction = [c.true_positive + c.false_positive == 0 for c in counts]
    both = sum(t and p for t, p in zip(no_truth, no_prediction, strict=True))
    return {
        "mean": {score: _mean([c.scores[score] for c in counts]) for score in SCORES},
        "pooled": pooled.scores,
        "empty": {"both": both, "truth only": sum(no_truth) - both, "prediction only": sum(no_prediction) - both},
    }


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values there are."""
    known = [v for v in values if v is not None]
    return fmean(known) if known else None
