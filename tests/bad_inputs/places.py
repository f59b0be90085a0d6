"""Paths: of what is read, and of what is written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .case import Case, Make

READ = ("predict",)
FOUND = ("pretrain", "predict")
SAVED = ("save encoder", "save model")
LONG = "long" * 60  # 240 characters; a name has 255


def at(path: str) -> Make:
    return lambda folder: Path(path)


def copied(name: str | bytes, source: str = "good.tif") -> Make:
    def make(folder: Path) -> Path:
        path = Path(os.fsdecode(name))
        shutil.copy(folder / source, folder / path)
        return path

    return make


def pipe(name: str) -> Make:
    def make(folder: Path) -> Path:
        os.mkfifo(folder / name)
        return Path(name)

    return make


def link(name: str, target: str) -> Make:
    def make(folder: Path) -> Path:
        (folder / name).symlink_to(target)
        return Path(name)

    return make


def directory(name: str, *inside: str) -> Make:
    def make(folder: Path) -> Path:
        (folder / name).mkdir()
        for file in inside:
            shutil.copy(folder / "good.tif", folder / name / file)
        return Path(name)

    return make


def looped(folder: Path) -> Path:
    path = directory("loop")(folder)
    link("loop/loop", ".")(folder)
    return path


def piped(folder: Path) -> Path:
    path = directory("images")(folder)
    pipe("images/a.tif")(folder)
    return path


def resumed(folder: Path) -> Path:
    pipe("bad.checkpoint")(folder)
    return Path("bad.safetensors")


PIPE = "is not a file|neither a file nor a folder"

CASES = [
    Case("nothing there", READ, at("none.tif"), "none.tif (does not exist|cannot be read)"),
    Case("a name that cannot be", READ, at("none\0.tif"), "none"),
    Case("a name of 1000 characters", READ, at("a" * 1000 + ".tif"), "too long|does not exist"),
    Case("a name with line ends and colours", READ, copied("a\nb\x1b[31m.doc"), "not a known kind of image"),
    Case("a folder without images", FOUND, directory("empty"), "empty holds no image; expected files ending in"),
    Case("a folder called like an image", READ, directory("a.tif"), "a.tif"),
    Case("two images of one name", ("predict",), directory("twins", "a.tif", "a.tiff"), "several images are called a"),
    Case("a pipe", READ, pipe("a.tif"), PIPE),
    Case("a pipe called PNG", READ, pipe("a.png"), PIPE),
    Case("a pipe called NIfTI", READ, pipe("a.nii.gz"), PIPE),
    Case("a pipe called zarr", READ, pipe("a.zarr"), PIPE),
    Case("a pipe in a folder", FOUND, piped, PIPE),
    Case("a pipe called model", ("info", "model", "start"), pipe("bad.safetensors"), PIPE),
    Case("a pipe for a checkpoint", ("resume",), resumed, PIPE),
    Case("strokes from a pipe", ("strokes", "masks"), pipe("s.tif"), PIPE),
    Case("a prediction from a pipe", ("evaluate",), pipe("s.tif"), PIPE),
    Case("a device without end", READ, link("a.png", "/dev/zero"), PIPE),
    Case("a TIFF without end", READ, link("a.tif", "/dev/zero"), PIPE),
    Case("a model without end", ("info", "model", "start"), link("a.safetensors", "/dev/zero"), PIPE),
    Case("a link to itself", READ, link("a.tif", "a.tif"), "a.tif (does not exist|cannot be read)"),
    Case(
        "a folder that holds itself",
        FOUND,
        looped,
        "loop holds no image",
    ),
    Case("masks in a file", ("save masks",), at("good.tif"), "good.tif cannot be written to"),
    Case("masks below a file", ("save masks",), at("good.tif/made"), "good.tif cannot be written to"),
    Case("masks where nothing can be", ("save masks",), at("/proc/made"), "/proc cannot be written to"),
    Case("masks where a link leads to itself", ("save masks",), link("loop", "loop"), "loop cannot be written to"),
    Case("a model that would replace a folder", SAVED, directory("bad.safetensors"), "is a folder"),
    Case("a model below a file", SAVED, at("good.tif/e.safetensors"), "good.tif cannot be written to"),
    Case("a model where nothing can be", SAVED, at("/proc/e.safetensors"), "/proc cannot be written to"),
    Case("a model of too long a name", SAVED, at("a" * 250 + ".safetensors"), "too long"),
    Case("a model of another ending", SAVED, at("e.pt"), "ends in .safetensors"),
    Case("a model that would replace a device", SAVED, link("null.safetensors", "/dev/null"), PIPE),
    Case("scores in a folder", ("save scores",), directory("scores"), "scores is a folder"),
    Case("scores below a file", ("save scores",), at("good.tif/scores"), "cannot be written"),
    Case("a name that is not UTF-8", ("info", "pretrain", "predict", "finetune"), copied(b"caf\xe9\xff.tif")),
    Case("a long name", ("info", "pretrain", "predict"), copied(f"{LONG}.tif")),
    Case("a name with spaces, quotes and percents", ("predict",), copied("a b'c\"%s{}.tif")),
    Case("a folder that is made", SAVED, at("new/folder/e.safetensors")),
    Case("masks in a folder that is made", ("save masks",), at("new/folder")),
    Case("a link to an image", ("predict",), link("a.tif", "good.tif")),
]
