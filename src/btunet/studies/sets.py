"""Which images a study trains on and which it tests on: a split file, a test folder, or a draw."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import Dataset, Sample
from ..errors import BtunetError
from ..images import Stack
from ..reading import stem

Labelled = tuple[Stack, np.ndarray]
"""A stack and its mask on its spatial axes."""

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
        stack with numbers of planes. Without it images are drawn for the test, or the last planes of a single stack
        are, because neighbours are alike.
    test
        A set to test on.

    Raises
    ------
    ValueError
        If the split names images that are not there, or one on both sides, or one side is empty.
    BtunetError
        If the split file cannot be read.
    """
    if test is not None:
        found, test = _one_meaning(found, test)
        return _read(found.samples), _read(test.samples), "test images given"
    if split is None:
        return _cut(found.samples[0]) if len(found.samples) == 1 else _drawn(found.samples)
    sides = _sides(split)
    if len(found.samples) == 1 and all(isinstance(item, int) for side in sides for item in side):
        image, mask = _labelled(found.samples[0])
        _check_apart(split, *sides)
        train, others = ([_planes(image, mask, list(dict.fromkeys(side)))] for side in sides)
        return train, others, f"planes as in {split.name}"
    by_name = {sample.name: sample for sample in found.samples}
    chosen = []
    for side in sides:
        samples = {str(name): by_name.get(str(name)) or by_name.get(stem(Path(str(name)))) for name in side}
        missing = [name for name, sample in samples.items() if sample is None]
        if missing or not side:
            raise ValueError(
                f"{split} names {len(side)} images of which {len(missing)} are not there (first: "
                f"{missing[0] if missing else '-'}); name each like its file"
            )
        chosen.append({sample.name: sample for sample in samples.values() if sample})
    _check_apart(split, *chosen)
    train, others = (_read(list(side.values())) for side in chosen)
    return train, others, f"as in {split.name}"


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


def _check_apart(split: Path, train: Iterable[object], test: Iterable[object]) -> None:
    both = [item for item in train if item in set(test)]
    if both:
        raise ValueError(f"{split} names {both[0]} to train on and to test on; name each on one side")


def _one_meaning(found: Dataset, test: Dataset) -> tuple[Dataset, Dataset]:
    """Return both sets with one meaning of the values in their masks: a set may lack some of them."""
    ours, others = found.classes, test.classes
    if ours is None or others is None or ours.keys() == others.keys():
        return found, test
    for most, fewer in ((ours, others), (others, ours)):
        if most.keys() >= fewer.keys():
            return _meaning(found, most), _meaning(test, most)
    if {*ours.values(), *others.values()} <= {0, 1}:
        return found, test  # such as 0 and 1 here, 0 and 255 there
    values = [", ".join(map(str, classes)) for classes in (ours, others)]
    raise ValueError(f"the masks to train on hold {values[0]}, those to test on {values[1]}; write both in one way")


def _meaning(found: Dataset, classes: Mapping[int, int]) -> Dataset:
    return replace(found, classes=classes, samples=tuple(replace(s, classes=classes) for s in found.samples))


def _cut(sample: Sample) -> tuple[list[Labelled], list[Labelled], str]:
    """Return the first and the last planes of a stack."""
    image, mask = _labelled(sample)
    if len(image.stack_shape) != 1 or image.planes < 2:
        raise ValueError("there is a single labelled image; give a split file or test images")
    first = image.planes - max(1, round(TEST_SHARE * image.planes))
    sides = range(first), range(first, image.planes)
    train, test = ([_planes(image, mask, side)] for side in sides)
    return train, test, f"the last {TEST_SHARE:.0%} of the planes are for the test"


def _drawn(samples: Sequence[Sample]) -> tuple[list[Labelled], list[Labelled], str]:
    """Return a draw by groups (patients), the same for the same names."""
    groups = sorted({s.group for s in samples})
    if len(groups) < 2:
        raise ValueError(f"all labelled images are of {groups[0]}; give a split file or test images")
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
        named = ", ".join(map(str, planes[:5])) or "none"
        raise ValueError(f"the split names the planes {named} …, but {image.name} has {image.describe()}")
    data = np.stack([image.read(plane) for plane in planes])  # (planes, C, Y, X)
    return Stack(data, "ZCYX", image.name), mask[list(planes)]
