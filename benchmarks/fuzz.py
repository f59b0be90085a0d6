"""Gives a reader of files random ones, until something other than a sentence comes of it.

    python benchmarks/fuzz.py [TARGET] [--seconds N] [--seed N] [--keep]

TARGET is model (the header of a model file), file (a whole model file), checkpoint, zarr (its metadata), journal
(strokes: as they are, and once more with checksums that are right) or project (its list). Where
atheris is installed it leads what is tried by what it reaches; elsewhere good files are changed at random. It begins
with what reached something new before (tests/fuzzed, a file in each line, base64), and with --keep that is where it
puts the smallest ones at the end. What is not answered is kept in a file fuzz-…, and the exit status is not 0.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import re
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from btunet.errors import BtunetError

try:
    import atheris
except ImportError:
    atheris = None
if atheris:  # only what is imported here is looked into
    with atheris.instrument_imports(include=["btunet", "json"]):
        from btunet.checkpoint import Checkpoint
        from btunet.journal import HEAD, MARKER, Block, Journal
        from btunet.model import HEADER, Model
        from btunet.project import Project
        from btunet.reading import read
else:
    from btunet.checkpoint import Checkpoint
    from btunet.journal import HEAD, MARKER, Block, Journal
    from btunet.model import HEADER, Model
    from btunet.project import Project
    from btunet.reading import read

TENSORS = {"encoder.a": np.zeros((2, 3), np.float32)}
GOOD = json.dumps(Model("unet", 1, ("background", "class 1"), TENSORS, history=({"steps": 1},)).as_dict())
RESUMED = json.dumps({"format": 1, "about": {"seed": 0}, "state": {"step": 1}})
ARRAY = {
    "zarr_format": 2,
    "shape": [4, 6],
    "chunks": [4, 6],
    "dtype": "|u1",
    "compressor": None,
    "filters": None,
    "fill_value": 0,
    "order": "C",
}
KEPT = Path(__file__).parents[1] / "tests" / "fuzzed"
MOST = 20_000  # bytes that are kept of a target
WORDS = ["1e999", "-1", "NaN", "null", "[]", "{}", '""', "1" * 400, "[" * 2000, "\\ud800", "0", "true", '"a"', "9" * 18]


def model(content: bytes, folder: Path) -> None:
    path = folder / "a.safetensors"
    path.write_bytes(save(TENSORS, {HEADER: content.decode(errors="replace")}))
    Model.load(path).describe()


def file(content: bytes, folder: Path) -> None:
    path = folder / "a.safetensors"
    path.write_bytes(content)
    Model.load(path).describe()


def checkpoint(content: bytes, folder: Path) -> None:
    path = folder / "a.checkpoint"
    path.write_bytes(save(TENSORS, {"btunet checkpoint": content.decode(errors="replace")}))
    Checkpoint.load(path)


def zarr(content: bytes, folder: Path) -> None:
    (folder / "a.zarr").mkdir(exist_ok=True)
    (folder / "a.zarr" / ".zarray").write_bytes(content)
    read(folder / "a.zarr").read(0, slice(4), slice(4))


def journal(content: bytes, folder: Path) -> None:
    path = folder / "a.journal"
    for each in (content, sealed(content)):
        path.write_bytes(each)
        found = Journal(path, 3, (24, 32)).replay()
        assert all(plane in range(3) and values.shape == (24, 32) for plane, values in found.planes.items())
        Journal(path, 3, (24, 32)).append([Block(0, 0, 0, np.full((24, 32), 7, np.uint8))])
        assert (Journal(path, 3, (24, 32)).replay().planes[0] == 7).all()  # what comes after it is there


def sealed(content: bytes) -> bytes:
    """Return a journal with the checksums that its records should have."""
    found, at = bytearray(content), content.find(MARKER)
    while 0 <= at <= len(found) - HEAD.size:
        end = at + HEAD.size + HEAD.unpack_from(found, at)[2]
        struct.pack_into("<I", found, at + 4, zlib.crc32(found[at + 8 : end]))
        at = found.find(MARKER, max(at + 1, min(end, len(found))))
    return bytes(found)


def project(content: bytes, folder: Path) -> None:
    (folder / "project.json").write_bytes(content)
    found = Project.open(folder)
    for number in range(len(found.images)):
        found.journal(number)
        found.is_near(number)


def good_journal() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        made = Journal(Path(folder) / "a", 3, (24, 32))
        made.append([Block(plane, 2, 3, np.full((4, 5), plane + 1, np.uint8)) for plane in range(3)])
        return made.path.read_bytes()


LIST = {
    "btunet project": 1,
    "classes": ["Background", "Nucleus"],
    "images": [{"path": "../a.tif", "name": "a", "axes": "ZYX", "shape": [3, 24, 32], "dtype": "uint8", "digest": ""}],
    "present": 1,
}
TARGETS: dict[str, tuple[Callable[[bytes, Path], None], bytes]] = {
    "model": (model, GOOD.encode()),
    "file": (file, save(TENSORS, {HEADER: GOOD})),
    "checkpoint": (checkpoint, RESUMED.encode()),
    "zarr": (zarr, json.dumps(ARRAY).encode()),
    "journal": (journal, good_journal()),
    "project": (project, json.dumps(LIST).encode()),
}


def answered(work: Callable[[bytes, Path], None], content: bytes, folder: Path) -> None:
    """Raise anything but the one sentence that may come of it."""
    try:
        work(content, folder)
    except (ValueError, BtunetError) as error:
        assert str(error).strip() and "\n" not in str(error), repr(error)


def changed(content: bytes, chance: random.Random) -> bytes:
    """Return a content with a few places cut out, doubled, replaced by bytes, or by words that JSON is full of."""
    found = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(found) + 1)
        end = min(len(found), at + chance.choice([0, 1, 1, 2, 5, 20]))
        word = chance.choice(WORDS).encode()
        found[at:end] = chance.choice([b"", chance.randbytes(end - at), word, bytes(found[at:end] * 2)])
    return bytes(found)


def at_random(
    work: Callable[[bytes, Path], None], good: bytes, folder: Path, seconds: float, seed: int
) -> bytes | None:
    """Try random changes for a time; say how many, and return the first that is not answered."""
    chance, end, tried = random.Random(seed), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        content = changed(good, chance)
        tried += 1
        try:
            answered(work, content, folder)
        except Exception as error:  # noqa: BLE001  # that is what is looked for
            print(f"{type(error).__name__}: {error}")
            return content
    print(f"{tried} files in {seconds:.0f} s, each an answer")
    return None


def led(work: Callable[[bytes, Path], None], good: bytes, folder: Path, seconds: float, seed: int) -> None:
    """Let atheris try, with the words of a good file and those that JSON is full of; it ends the process."""
    words = {*re.findall(rb'"[^"]+"|[\w.]+', good), *(word.encode() for word in WORDS if len(word) < 40)}
    quoted = ["".join(f"\\x{byte:02x}" for byte in word) for word in sorted(words)]
    (folder / "words").write_text("".join(f'"{word}"\n' for word in quoted))
    options = [
        f"-dict={folder / 'words'}",
        f"-max_total_time={seconds:.0f}",
        f"-seed={seed + 1}",
        "-timeout=20",
        f"-artifact_prefix={Path.cwd()}/fuzz-",
    ]
    atheris.Setup(["fuzz", str(folder / "corpus"), *options], lambda content: answered(work, content, folder))
    atheris.Fuzz()


def kept(target: str) -> list[bytes]:
    """Return what reached something new when a target was tried before."""
    file = KEPT / f"{target}.txt"
    return [base64.b64decode(line) for line in file.read_text().split()] if file.exists() else []


def keep(target: str, corpus: Path) -> None:
    """Write down the smallest files of a corpus."""
    lines, length = list[str](), 0
    for content in sorted(
        {path.read_bytes() for path in corpus.iterdir()}, key=lambda content: (len(content), content)
    ):
        line = base64.b64encode(content).decode()
        length += len(line) + 1
        if content and length <= MOST:
            lines.append(line)
    KEPT.mkdir(exist_ok=True)
    (KEPT / f"{target}.txt").write_text("\n".join(lines) + "\n")


def main(arguments: Any) -> int:
    work, good = TARGETS[arguments.target]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if atheris:
            corpus = folder / "corpus"
            corpus.mkdir()
            for number, content in enumerate([good, *kept(arguments.target)]):
                (corpus / str(number)).write_bytes(content)
            child = os.fork()
            if not child:
                led(work, good, folder, arguments.seconds, arguments.seed)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            print(f"{len(list(corpus.iterdir()))} files reached something new")
            if arguments.keep:
                keep(arguments.target, corpus)
            return status
        found = at_random(work, good, folder, arguments.seconds, arguments.seed)
    if found is not None:
        Path(f"fuzz-{arguments.target}.bin").write_bytes(found)
    return int(found is not None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", default="model", choices=TARGETS)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true")
    sys.exit(main(parser.parse_args()))
