"""Which images a study trains on and which it tests on: a split file, a test folder, or a draw."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import Dataset, Sample
from ..errors import BtunetError
from ..images import Stack
from .plan import Labelled

TEST_SHARE = 0.3


def split_set(
    found: Dataset, split: Path | None = None, test: Dataset | None = None
) -> tuple[list[Labelled], list[Labelled], str]:
    """Return what to train on, what to test on, and how it was decided.

    Parameters
    ----------
    found
        The images; all are for training if there is a ``test`` set.
    split
        JSON file ``{"train": [...], "test": [...]}`` with names of images, with or without suffix, or for a single
        stack with numbers of planes.
    test
        A set to test on.

    Raises
    ------
    ValueError
        If the split names images that are not there, or one side is empty.
    BtunetError
        If the split file cannot be read.
    """
    if test is not None:
        return _read(found.samples), _read(test.samples), "test images given"
    if split is None:
        return _drawn(found.samples)
    sides = _sides(split)
    if len(found.samples) == 1 and all(isinstance(item, int) for side in sides for item in side):
        image, mask = _labelled(found.samples[0])
        train, others = ([_planes(image, mask, side)] for side in sides)
        return train, others, f"planes as in {split.name}"
    by_name = {sample.name: sample for sample in found.samples}
    chosen = []
    for side in sides:
        missing = [name for name in side if _sample(by_name, name) is None]
        if missing or not side:
            raise ValueError(
                f"{split} names {len(side)} images of which {len(missing)} are not there (first: "
                f"{missing[0] if missing else '-'}); name each like its file"
            )
        chosen.append(_read([s for name in side if (s := _sample(by_name, name))]))
    return chosen[0], chosen[1], f"as in {split.name}"


def find_split(images: Path) -> Path | None:
    """Return the ``split.json`` in the folder of the images or beside it, if there is one."""
    places = (images, images.parent) if images.is_dir() else (images.parent,)
    return next((place / "split.json" for place in places if (place / "split.json").is_file()), None)


def _sides(split: Path) -> tuple[list[Any], list[Any]]:
    try:
        content = json.loads(split.read_text())
        return list(content["train"]), list(content["test"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BtunetError(
            f"{split} cannot be read as a split ({error}); expected JSON with the lists train and test"
        ) from error


def _sample(by_name: dict[str, Sample], name: Any) -> Sample | None:
    return by_name.get(str(name)) or by_name.get(Path(str(name)).stem)


def _drawn(samples: Sequence[Sample]) -> tuple[list[Labelled], list[Labelled], str]:
    """Return a draw by groups (patients), the same for the same names."""
    groups = sorted({s.group for s in samples})
    if len(groups) < 2:
        raise ValueError("there is a single labelled image; give a split file or test images")
    drawn = np.random.default_rng(0).permutation(groups)[: max(1, round(TEST_SHARE * len(groups)))]
    train = [s for s in samples if s.group not in drawn]
    test = [s for s in samples if s.group in drawn]
    return _read(train), _read(test), f"{TEST_SHARE:.0%} of the images drawn for the test"


def _read(samples: Sequence[Sample]) -> list[Labelled]:
    return [_labelled(sample) for sample in samples]


def _labelled(sample: Sample) -> Labelled:
    return sample.read_image(), np.asarray(sample.read_mask().data[...])


def _planes(image: Stack, mask: np.ndarray, planes: Sequence[int]) -> Labelled:
    """Return some planes of a stack as a stack of their own."""
    if len(image.stack_shape) != 1 or not planes or not 0 <= min(planes) <= max(planes) < image.planes:
        raise ValueError(f"the split names planes {list(planes)[:5]}… but {image.name} has {image.describe()}")
    data = np.stack([image.read(plane) for plane in planes])  # (planes, C, Y, X)
    return Stack(data, "ZCYX", image.name), mask[list(planes)]
