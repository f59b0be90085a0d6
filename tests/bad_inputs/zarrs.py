"""Folders of zarr."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from .case import Case, Make, picture
from .tiffs import CLAIM, LEARNED, READ, raw

BROKEN = "bad.zarr cannot be read"
FAR = [CLAIM, CLAIM]


def array(data: np.ndarray = picture(), version: int = 3, **options: Any) -> Make:  # noqa: B008 (never changed)
    def make(folder: Path) -> Path:
        made = zarr.create_array(folder / "bad.zarr", data=data, zarr_format=version, **options)
        assert made.shape == data.shape
        return Path("bad.zarr")

    return make


def altered(change: Callable[[dict[str, Any]], Any], make: Make = array(), name: str = "zarr.json") -> Make:  # noqa: B008
    """Make an array and change what is said of it."""

    def changed(folder: Path) -> Path:
        path = make(folder)
        about = json.loads((folder / path / name).read_text())
        change(about)
        (folder / path / name).write_text(json.dumps(about))
        return path

    return changed


def saying(about: dict[str, Any], make: Make = array()) -> Make:  # noqa: B008
    return altered(lambda found: found.update(about), make)


def saying2(**about: Any) -> Make:
    return altered(lambda found: found.update(about), array(version=2), ".zarray")


def text(content: str | bytes, name: str = "zarr.json") -> Make:
    def make(folder: Path) -> Path:
        (folder / "bad.zarr").mkdir()
        (folder / "bad.zarr" / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return Path("bad.zarr")

    return make


def image(path: str, version: str = "0.5") -> Make:
    """Make an OME-Zarr image whose level is said to be somewhere else; beside it lies another image."""

    def make(folder: Path) -> Path:
        zarr.create_array(folder / "other.zarr", data=picture())
        axes = [{"name": name, "type": "space"} for name in "yx"]
        about = {"axes": axes, "datasets": [{"path": path.replace("HERE", str(folder))}]}
        group = zarr.create_group(folder / "bad.zarr")
        group.attrs["ome"] = {"version": version, "multiscales": [about]}
        return Path("bad.zarr")

    return make


def spoiled(content: bytes, make: Make = array(), chunk: str = "c/0/0") -> Make:  # noqa: B008
    def changed(folder: Path) -> Path:
        path = make(folder)
        (folder / path / chunk).write_bytes(content)
        return path

    return changed


class Trap:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("trapped",)


def grid(*sizes: float) -> dict[str, Any]:
    return {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(sizes)}}}


def emptied(make: Make) -> Make:
    def changed(folder: Path) -> Path:
        path = make(folder)
        shutil.rmtree(folder / path / "c")
        return path

    return changed


def looped(folder: Path) -> Path:
    path = array()(folder)
    shutil.rmtree(folder / path / "c")
    (folder / path / "c").symlink_to("c")
    return path


PICKLE = {"id": "pickle", "protocol": 5}
GZIP = {"id": "gzip", "level": 9}
BLOWN = zlib.compressobj(9, wbits=31)
BLOWN = BLOWN.compress(bytes(10**8)) + BLOWN.flush()  # type: ignore[assignment, attr-defined]
DEEP = '{"a":' * 100_000

CASES = [
    Case("a file called zarr", READ, raw(b"text", "bad.zarr"), BROKEN),
    Case("an empty folder called zarr", READ, lambda folder: text("", "notes.txt")(folder), BROKEN),
    Case("no metadata", READ, text(""), BROKEN),
    Case("metadata cut off", READ, text('{"zarr_format": 3, "node_type": "arr'), BROKEN),
    Case("metadata that are no text", READ, text(b"\xff\xfe\x00" * 99), BROKEN),
    Case("metadata a hundred thousand deep", READ, text(DEEP), BROKEN),
    Case("metadata that are a list", READ, text("[1, 2]"), BROKEN),
    Case("old metadata that are a number", READ, text("5", ".zarray"), BROKEN),
    Case("another kind of node", READ, saying({"node_type": "tree"}), BROKEN),
    Case("a newer zarr", READ, saying({"zarr_format": 9}), BROKEN),
    Case(
        "a zarr bomb without pixels",
        ("info", "pretrain", "predict", "evaluate"),
        emptied(saying({"shape": FAR})),
        "claims to hold .* but stores none",
    ),
    Case("a zarr bomb of few pixels", ("predict",), saying({"shape": [10**8, 10**8]}), "would take .* are free"),
    Case("a zarr bomb of few pixels, to be scored", ("evaluate",), saying({"shape": FAR}), "claims to hold"),
    Case("little of a very large zarr", ("pretrain",), saying({"shape": FAR})),
    Case("a zarr bomb of one chunk", READ, saying({"shape": FAR, **grid(*FAR)}), "claims"),
    Case("an old zarr bomb of one chunk", READ, saying2(shape=FAR, chunks=FAR), "claims"),
    Case("a chunk that grows when it is read", LEARNED, spoiled(BLOWN, saying2(compressor=GZIP), "0.0"), "bad.zarr"),
    Case("a negative shape", READ, saying({"shape": [-40, 48]}), BROKEN),
    Case("a shape in words", READ, saying({"shape": ["a", "b"]}), BROKEN),
    Case("a shape of fractions", READ, saying({"shape": [40.5, 48]}), BROKEN),
    Case("a shape beyond 64 bits", READ, saying({"shape": [2**70, 2**70]}), "bad"),
    Case("no shape", READ, altered(lambda about: about.pop("shape")), BROKEN),
    Case("one axis", READ, array(np.arange(99, dtype=np.uint8)), "bad.zarr has shape"),
    Case("an axis of length 0", READ, array(np.zeros((0, 48), np.uint8)), "bad.zarr is empty"),
    Case("chunks of 0", READ, saying(grid(0, 0)), "bad.zarr"),
    Case("chunks in words", READ, saying({"chunk_grid": {"name": "hexagonal"}}), BROKEN),
    Case("an unknown type", READ, saying({"data_type": "float128k"}), BROKEN),
    Case("text instead of numbers", READ, saying2(dtype="<U1", fill_value=""), "expected real numbers|cannot be read"),
    Case("an unknown codec", READ, saying({"codecs": [{"name": "magic"}]}), BROKEN),
    Case("a pickle for a codec", READ, spoiled(pickle.dumps(Trap()), saying2(compressor=PICKLE), "0.0"), BROKEN),
    Case("a pickle for a filter", READ, spoiled(pickle.dumps(Trap()), saying2(filters=[PICKLE]), "0.0"), BROKEN),
    Case(
        "objects in a pickle",
        READ,
        spoiled(pickle.dumps(Trap()), saying2(dtype="|O", filters=[PICKLE], compressor=None, fill_value=None), "0.0"),
        "bad.zarr",
    ),
    Case("a chunk of noise", LEARNED, spoiled(bytes(range(256))), "cannot be read in plane 0"),
    Case("a chunk cut off", LEARNED, spoiled(b"", array(compressors=None)), "bad.zarr"),
    Case("a chunk that is too short", LEARNED, spoiled(bytes(9), array(compressors=None)), "bad.zarr"),
    Case("an image in another folder", READ, image("../other.zarr"), "bad.zarr"),
    Case("an image in another folder, in full", READ, image("HERE/other.zarr"), "bad.zarr"),
    Case("an image that is everywhere", READ, image("/"), "bad.zarr"),
    Case("an image that has no name", READ, image(""), "bad.zarr"),
    Case("a name with a null", READ, image("a\0b"), "bad.zarr"),
    Case("a zarr that leads to itself", LEARNED, looped, "bad.zarr"),
    Case("complex numbers in zarr", READ, array(picture(np.complex64)), "expected real numbers"),
    Case("an old zarr", ("predict",), array(version=2), truth=picture()[None]),
    Case("an old zarr, big end first", ("predict",), array(picture(">u2"), 2), truth=picture()[None]),
    Case("a zarr of black and white", ("predict",), array(picture() > 100), truth=(picture() > 100)[None]),
    Case("a zarr of 64 bits", ("predict",), array(picture(np.int64)), truth=picture()[None]),
]
