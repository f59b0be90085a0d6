"""The papers' experiments on any image set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ..reading import find, read
from ..task import run
from .console import INTERRUPTED, Console, say
from .flags import (
    Flat,
    Many,
    StudyFlags,
)
from .inputs import check_folder


def study(
    *,
    images: Path,
    masks: Path | None = None,
    out: Path,
    split: Path | None = None,
    test_images: Path | None = None,
    test_masks: Path | None = None,
    unlabelled: Annotated[list[Path] | None, Many] = None,
    instances: bool = False,
    settings: Annotated[StudyFlags | None, Flat] = None,
) -> int:
    """Compare initialisations, networks and amounts of labels on images with masks; goes on where it stopped.

    Parameters
    ----------
    images
        Folder or file; with the masks in it if they are not given.
    masks
        Folder or file of the masks.
    out
        Folder for the results: summary.md, runs.csv, curves.
    split
        JSON file with the lists train and test; by default split.json beside the images, else 30 % are for the test.
    test_images, test_masks
        Images to test on, instead of a split.
    unlabelled
        Further images that pre-training sees.
    instances
        Masks number objects.
    """
    from ..datasets import find_pairs
    from ..studies import find_split, split_set
    from ..studies import study as task

    if split and test_images:
        raise ValueError("--split and --test-images both say what to test on; leave one of them out")
    if test_masks and not test_images:
        raise ValueError("--test-masks needs --test-images; give both, or neither")
    found = find_pairs(images, masks, instances=instances)
    say(found.describe())
    test = find_pairs(test_images, test_masks, instances=instances) if test_images else None
    train, tested, how = split_set(found, split or find_split(images), test)
    say(f"{len(train)} to train on, {len(tested)} to test ({how})")
    check_folder(out)
    more = [read(path) for path in find(unlabelled)] if unlabelled else []
    with Console() as console:
        summary = run(task(train, tested, out, settings, unlabelled=more), console.show)
    print(summary)
    return INTERRUPTED if console.interrupted else 0
