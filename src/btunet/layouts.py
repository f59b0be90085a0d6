"""How image sets lie on disk: which files are one image, and which are its mask. Only names are looked at."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from .reading import SUFFIXES, stem, suffix

MASK = re.compile(r"(.+)[_-](seg|segm|segmentation|gt|mask(_\d+)?)", re.IGNORECASE)
PART = re.compile(r".+[_-]mask(_\d+)?", re.IGNORECASE)  # a mask that may be in several files
MODALITY = re.compile(r"(.+)[_-](flair|t2f|t1|t1n|t1ce|t1c|t2|t2w)", re.IGNORECASE)
CHANNEL = {"flair": 0, "t2f": 0, "t1": 1, "t1n": 1, "t1ce": 2, "t1c": 2, "t2": 3, "t2w": 3}

Key = TypeVar("Key", bound=Hashable)
Place = tuple[Path, str]  # folder and name
Files = tuple[Path, ...]
Found = list[tuple[str, Files, Files]]
"""Name, files of the image (one per channel), files of the mask (none, one, or several to lay over each other)."""


def files_in(place: Path) -> list[Path]:
    """Return the images in a folder and its folders, in order of their names; a file stands for itself.

    Raises
    ------
    ValueError
        If there is none.
    """
    if not place.exists():
        raise ValueError(f"{place} does not exist; check the spelling")
    if place.is_file() or place.suffix == ".zarr":
        return [place]
    inside = [p.relative_to(place) for p in place.rglob("*") if suffix(p) in SUFFIXES]
    shown = [p for p in inside if not any(part.startswith(".") for part in p.parts)]
    found = sorted(p for p in shown if (place / p).is_file() or p.suffix == ".zarr")
    if not found:
        raise ValueError(f"the folder {place} holds no image; expected files ending in {', '.join(SUFFIXES)}")
    return [place / p for p in found if not any(parent.suffix == ".zarr" for parent in p.parents)]


def in_two_places(images: Sequence[Path], masks: Sequence[Path]) -> Found:
    """Pair masks with images elsewhere by name; one image and one mask always belong together."""
    if len(images) == len(masks) == 1:
        return [(stem(images[0]), tuple(images), tuple(masks))]
    names = {stem(image) for image in images}
    drawn = [(stem(m) if stem(m) in names else _whose(m), m) for m in masks]
    return _join([(stem(image), (image,)) for image in images], drawn)


def beside(files: Sequence[Path]) -> Found:
    """Pair masks with images in the same folder by the ending of their names; join modalities to one image."""
    masks = [((f.parent, _whose(f)), f) for f in files if MASK.fullmatch(stem(f))]
    images: list[tuple[Place, Files]] = [((f.parent, stem(f)), (f,)) for f in files if not MASK.fullmatch(stem(f))]
    return [(name, image, mask) for (_, name), image, mask in _join(_modalities(images), masks)]


def is_nested(file: Path, place: Path) -> bool:
    """Whether a file lies in a folder ``images`` or ``masks`` of an image's own folder."""
    parts = file.relative_to(place).parts
    return len(parts) > 2 and parts[-2] in ("images", "masks")


def nested(files: Sequence[Path]) -> Found:
    """Pair what lies in ``a/images`` with all that lies in ``a/masks``."""
    homes: dict[Path, tuple[list[Path], list[Path]]] = defaultdict(lambda: ([], []))
    for file in files:
        homes[file.parent.parent][file.parent.name == "masks"].append(file)
    for home, (images, _) in homes.items():
        if len(images) != 1:
            raise ValueError(
                f"{home}/images holds {len(images)} images; expected one, with a file per object in masks, or "
                "the folders of all images and of all masks by their names"
            )
    return [(home.name, tuple(images), tuple(masks)) for home, (images, masks) in homes.items()]


def _whose(mask: Path) -> str:
    match = MASK.fullmatch(stem(mask))
    return match[1] if match else stem(mask)


def _modalities(images: Sequence[tuple[Place, Files]]) -> list[tuple[Place, Files]]:
    """Join the modalities of a patient; t1 and t2 alone may be points in time, so FLAIR has to be among them."""
    patients: dict[Place, dict[int, Path]] = defaultdict(dict)
    single = []
    for (folder, name), files in images:
        match = MODALITY.fullmatch(name)
        if match:
            twin = patients[folder, match[1]].setdefault(CHANNEL[match[2].lower()], files[0])
            if twin != files[0]:
                raise ValueError(f"{twin.name} and {files[0].name} are one modality of one patient; keep one")
        else:
            single.append(((folder, name), files))
    joined = {place: found for place, found in patients.items() if 0 in found}
    apart = [file for place, found in patients.items() if place not in joined for file in found.values()]
    counts = {place: len(found) for place, found in joined.items()}
    if len({tuple(sorted(found)) for found in joined.values()}) > 1:
        fewest, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
        raise ValueError(
            f"{fewest[1]} has {counts[fewest]} modalities and {most[1]} has {counts[most]}; expected the same of all"
        )
    channels = [(place, tuple(file for _, file in sorted(found.items()))) for place, found in joined.items()]
    return sorted([*single, *channels, *(((file.parent, stem(file)), (file,)) for file in apart)])


def _join(images: Sequence[tuple[Key, Files]], masks: Sequence[tuple[Key, Path]]) -> list[tuple[Key, Files, Files]]:
    """Return every image with its masks; refuse masks that no image or more than one file claims."""
    drawn: Mapping[Key, list[Path]] = defaultdict(list)
    known = {key for key, _ in images}
    lonely = [mask.name for key, mask in masks if key not in known]
    if lonely:
        raise ValueError(
            f"{len(lonely)} of {len(masks)} masks have no image of the same name (first: {lonely[0]}); name each mask "
            "like its image, or add _mask, _gt, _seg or _segmentation"
        )
    for key, mask in masks:
        drawn[key].append(mask)
    for files in drawn.values():
        parts = {stem(file) for file in files if PART.fullmatch(stem(file))}
        if 1 < len(files) != len(parts):
            raise ValueError(f"{files[0].name} and {files[1].name} are masks of one image; keep one")
    return [(key, image, tuple(drawn.get(key, ()))) for key, image in images]
