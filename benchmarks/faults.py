"""What is lost when things break: processes are killed, files cut, disks filled, and what is left is counted.

    xvfb-run -a .venv/bin/python benchmarks/faults.py paint 200   # the program is killed while strokes are painted
    xvfb-run -a .venv/bin/python benchmarks/faults.py window 20   # … in a real window, with the mouse
    xvfb-run -a .venv/bin/python benchmarks/faults.py save 200    # … while models are saved
    xvfb-run -a .venv/bin/python benchmarks/faults.py train 20    # the training process is killed
    .venv/bin/python benchmarks/faults.py cut 2000                # a journal is cut off, or a piece of it is damaged
    xvfb-run -a .venv/bin/python benchmarks/faults.py full FOLDER # FOLDER lies on a disk of 1 MB

Each prints a row: fault, rounds, strokes at risk, strokes lost, torn files, outcome. A stroke is at risk if it was
finished two seconds before the fault, or earlier. The exit status is 1 if one was lost or a file is torn. A further
number, as in `paint 20 180`, begins with that round: 200 rounds may be run a few at a time.
"""

from __future__ import annotations

import base64
import itertools
import multiprocessing
import os
import random
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from multiprocessing import reduction
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

import btunet
from btunet.journal import Block, Journal
from btunet.project import Project

SERVER = multiprocessing.get_context("forkserver")  # forks programs that have imported everything
SERVER.set_forkserver_preload(["napari", "napari.components", "qtpy.QtWidgets", "napari_btunet._panel"])
SIDE, PLANES = 512, 3
SAFE = 2.0  # seconds after which a stroke must be on the disk
Row = tuple[str, int, int, int, int, str]


# ---------------------------------------------------------------------------------------------- the program that is hit


def session_on(image: Path) -> tuple[Any, Any]:
    """Return Qt's application, and a session on an image, without a window to draw."""
    from napari.components import ViewerModel
    from qtpy.QtWidgets import QApplication

    from napari_btunet._session import Session

    class Quiet(Session):
        def _ask_for_device(self) -> None:
            pass

    application = QApplication.instance() or QApplication([])
    os.environ["BTUNET_PROJECTS"] = str(image.parent)
    viewer = ViewerModel()
    viewer.add_image(tifffile.imread(image), name="cells")
    session = Quiet(viewer)
    session.live.mode = "off"
    session.viewer_kept = viewer  # a session does not keep its viewer alive
    return application, session


def every(milliseconds: int, act: Callable[[], Any]) -> Any:
    """Call something again and again."""
    from qtpy.QtCore import QTimer

    timer = QTimer()
    timer.timeout.connect(act)
    timer.start(milliseconds)
    return timer


def place(number: int) -> tuple[int, int, int]:
    """Return (plane, y, x) where a stroke of its own lies."""
    row, column = divmod(number // PLANES, SIDE // 8)
    return number % PLANES, row * 8 % SIDE + 2, column * 8 + 2


def painter(image: Path) -> None:
    """Paint a stroke every 60 ms, undo every seventh, and tell when each is finished."""
    application, session = session_on(image)
    layer, done = session.subject.strokes, [0]
    layer.brush_size = 3

    def paint() -> None:
        number = done[0]
        if number % 7 == 6:
            layer.undo()
        else:
            layer.paint(place(number), 1 + number % 2)
        done[0] += 1
        sys.stdout.write(f"{number} {time.monotonic()}\n")
        sys.stdout.flush()

    timer = every(60, paint)
    application.exec_()
    timer.stop()


def window_painter(image: Path) -> None:
    """Paint with the mouse in a window, and tell when each stroke is finished and what is painted then."""
    import napari

    from mouse import Hand

    viewer = napari.Viewer()
    viewer.open(image, plugin="napari")
    _, panel = viewer.window.add_plugin_dock_widget("napari-btunet", "BT-UNet")
    panel.session.begin()
    layer = panel.session.subject.strokes
    hand = Hand(viewer, layer)

    def tell(_: Any) -> None:
        painted = base64.b64encode(zlib.compress(layer.data.tobytes(), 1)).decode()
        sys.stdout.write(f"{hand.painted} {time.monotonic()} {painted}\n")
        sys.stdout.flush()

    def go_on() -> None:
        viewer.dims.set_current_step(0, hand.painted % PLANES)

    layer.events.paint.connect(tell)
    hand.start()
    timer = every(1000, go_on)
    napari.run()
    timer.stop()


def saver(image: Path) -> None:
    """Save one model after the other."""
    application, session = session_on(image)
    rng = np.random.default_rng(0)

    def save() -> None:
        weights = {"head.weight": rng.random(2**20, np.float32)}
        session.take(btunet.Model("unet", 1, ("Background", "Object"), weights))
        session.keeper.save()
        sys.stdout.write(f"{len(session.history.rounds)} {time.monotonic()}\n")
        sys.stdout.flush()

    timer = every(30, save)
    application.exec_()
    timer.stop()


# ---------------------------------------------------------------------------------------------- the faults


def strike(what: str, image: Path, wait: float) -> tuple[list[float], float]:
    """Run a program on an image, kill it some seconds after its first act; return when acts were done, and the end."""
    told, end = listen(what, image, wait)
    return [float(words[1]) for words in told], end


def listen(what: str, image: Path, wait: float) -> tuple[list[list[str]], float]:
    """Do so, and return the words of whole lines that the program wrote, and the end."""
    reader, writer = os.pipe()
    process = SERVER.Process(target=be, args=(what, image, reduction.DupFd(writer)))
    process.start()
    os.close(writer)
    with os.fdopen(reader) as told_by:
        told = [next((line for line in told_by if line[0].isdigit()), "")]
        if not told[0]:
            raise RuntimeError(f"the program ended with {process.exitcode} before it did anything")
        time.sleep(wait)
        process.kill()
        end = time.monotonic()
        told += told_by.readlines()
    process.join()
    return [line.split() for line in told if line.endswith("\n") and line[0].isdigit()], end  # napari warns there too


def be(what: str, image: Path, pipe: Any) -> None:
    """Be the program that is hit, and write to a pipe."""
    os.dup2(pipe.detach(), 1)
    {"paint": painter, "window": window_painter, "save": saver}[what](image)


def moments() -> Iterator[np.ndarray]:
    """Yield the strokes (PLANES, SIDE, SIDE) before each act of the painter."""
    from napari.layers import Labels

    layer = Labels(np.zeros((PLANES, SIDE, SIDE), np.uint8))
    layer.brush_size = 3
    for number in itertools.count():
        yield np.asarray(layer.data)
        layer.undo() if number % 7 == 6 else layer.paint(place(number), 1 + number % 2)


def project_in(folder: Path) -> Project | None:
    """Return the project that was made, if one was."""
    found = next(folder.glob("*.btunet/project.json"), None)
    return Project.open(found.parent) if found else None


def with_image(act: Callable[[Path], Any]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "cells.tif"
        values = np.random.default_rng(0).integers(0, 99, (PLANES, SIDE, SIDE), np.uint8)
        tifffile.imwrite(image, values, photometric="minisblack", metadata={"axes": "ZYX"})
        return act(image)


def paint(rounds: int, first: int = 0) -> Row:
    """Kill the program at random moments while it paints."""
    at_risk = lost = torn = 0
    for number in range(first, first + rounds):

        def hit(image: Path, wait: float = random.Random(number).uniform(0, 6)) -> tuple[int, int, int]:
            times, end = strike("paint", image, wait)
            safe = sum(t < end - SAFE for t in times)
            found = np.zeros((PLANES, SIDE, SIDE), np.uint8)
            damaged = 0
            if project := project_in(image.parent):
                replayed = project.journal(0).replay()
                damaged = int(replayed.damaged > 0)
                for plane, values in replayed.planes.items():
                    found[plane] = values
            # nothing tells which moment was written last: one after the strokes at risk must be what is there
            possible = itertools.islice(moments(), safe, len(times) + 2)
            is_kept = any(np.array_equal(found, moment) for moment in possible)
            return safe, 0 if is_kept else safe, damaged

        risk, gone, bad = with_image(hit)
        at_risk, lost, torn = at_risk + risk, lost + gone, torn + bad
    return "killed while painting", rounds, at_risk, lost, 0, f"{torn} records cut off and left out"


def window(rounds: int, first: int = 0) -> Row:
    """Kill a real window at random moments while somebody paints in it with the mouse."""
    at_risk = lost = torn = 0
    for number in range(first, first + rounds):

        def hit(image: Path, wait: float = random.Random(number).uniform(2, 10)) -> tuple[int, int, int]:
            told, end = listen("window", image, wait)
            project = project_in(image.parent)
            replayed = project.journal(0).replay() if project else None
            found = np.zeros((PLANES, SIDE, SIDE), np.uint8)
            for plane, values in (replayed.planes if replayed else {}).items():
                found[plane] = values
            safe = [painted for _, moment, painted in told if float(moment) < end - SAFE]
            states = [np.zeros_like(found), *map(unpacked, safe)]
            gone = sum(is_lost(*pair, states[-1], found) for pair in itertools.pairwise(states))
            return len(safe), gone, int(bool(replayed and replayed.damaged))

        risk, gone, bad = with_image(hit)
        at_risk, lost, torn = at_risk + risk, lost + gone, torn + bad
    return "a window killed while painting with the mouse", rounds, at_risk, lost, 0, f"{torn} records cut off"


def unpacked(painted: str) -> np.ndarray:
    """Return what was painted when a stroke was finished."""
    return np.frombuffer(zlib.decompress(base64.b64decode(painted)), np.uint8).reshape(PLANES, SIDE, SIDE)


def is_lost(before: np.ndarray, after: np.ndarray, last: np.ndarray, found: np.ndarray) -> bool:
    """Return whether pixels of a stroke are not there, or most of them are another class; later ones may cover some."""
    here = (before != after) & (after == last)
    return bool((found[here] == 0).any() or 2 * (found[here] != after[here]).sum() > here.sum())


def save(rounds: int, first: int = 0) -> Row:
    """Kill the program at random moments while it saves models."""
    torn = models = 0
    for number in range(first, first + rounds):

        def hit(image: Path, wait: float = random.Random(number).uniform(0, 2)) -> tuple[int, int]:
            strike("save", image, wait)
            project = project_in(image.parent)
            if project is None:
                return 0, 0
            for which in project.models:
                try:
                    btunet.Model.load(project.model(which))
                except btunet.BtunetError:
                    return len(project.models), 1
            return len(project.models), 0

        whole, bad = with_image(hit)
        models, torn = models + whole, torn + bad
    return "killed while saving models", rounds, 0, 0, torn, f"{models} models there, all of them open"


def train(rounds: int, first: int = 0) -> Row:
    """Kill the training process at random moments; the strokes and the models of before must be there."""
    import psutil

    lost = torn = 0
    sentences: set[str] = set()

    def hit(image: Path) -> None:
        nonlocal lost, torn
        application, session = session_on(image)
        said: list[str] = []
        session.said.connect(lambda sentence, is_error: said.append(sentence) if is_error else None)
        layer = session.subject.strokes
        layer.brush_size = 3
        for i in range(40):
            layer.paint(place(i * 5), 1 + i % 2)
        session.take(btunet.Model("unet", 1, ("Background", "Object"), {"head.weight": np.zeros(9, np.float32)}))
        for number in range(first, first + rounds):
            session.finetune(btunet.FinetuneSettings(minutes=1, batch=2, patch_size=32))
            until = time.monotonic() + random.Random(number).uniform(0, 8)
            while time.monotonic() < until:
                application.processEvents()
            for child in psutil.Process().children():
                child.kill()
            while session.doing:
                application.processEvents()
            sentences.update(said)
            said.clear()
        painted = np.array(layer.data)
        session.shutdown()
        project = project_in(image.parent)
        assert project is not None
        found = project.journal(0).replay().planes
        lost += sum(not np.array_equal(values, found.get(p, 0 * values)) for p, values in enumerate(painted))
        torn += len(project.models) != 1 or btunet.Model.load(project.model(1)) is None

    with_image(hit)
    return "training process killed", rounds, 40 * rounds, lost, torn, "; ".join(sorted(sentences))


def cut(rounds: int) -> Row:
    """Cut a journal off anywhere, or damage a piece of it: what lies before, or on either side, must be there."""
    rng = np.random.default_rng(0)
    at_risk = lost = 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            journal = Journal(Path(folder) / f"{number}.journal", 400, (64, 64))
            ends = [0]
            for plane in range(40):
                journal.append([Block(plane, 3, 4, rng.integers(1, 3, (9, 9)).astype(np.uint8))])
                ends.append(journal.path.stat().st_size)
            data = bytearray(journal.path.read_bytes())
            first = int(rng.integers(len(data)))
            last = min(len(data), first + int(rng.integers(1, 200)))
            if number % 2:
                data, last = data[:first], len(data)
            else:
                data[first:last] = rng.bytes(last - first)
            journal.path.write_bytes(data)
            found = Journal(journal.path, 400, (64, 64)).replay().planes
            whole = [p for p in range(40) if ends[p + 1] <= first or ends[p] >= last]
            at_risk, lost = at_risk + len(whole), lost + sum(p not in found for p in whole)
            journal.path.unlink()
    return "journal cut off or damaged", rounds, at_risk, lost, 0, "every whole record is read"


def full(folder: str) -> Row:
    """Paint on an image on a small disk until it is full, make room, and look whether everything is there."""
    image = Path(folder) / "cells.tif"
    rng = np.random.default_rng(0)
    tifffile.imwrite(image, np.zeros((PLANES, SIDE // 4, SIDE // 4), np.uint8), photometric="minisblack")
    application, session = session_on(image)
    said: list[str] = []
    session.said.connect(lambda sentence, _: said.append(sentence))
    layer = session.subject.strokes

    def live(condition: Callable[[], bool], seconds: float = 20) -> bool:
        until = time.monotonic() + seconds
        while not condition() and time.monotonic() < until:
            application.processEvents()
        return condition()

    layer.data_setitem(tuple(np.array([n]) for n in (0, 5, 5)), 1)
    assert live(lambda: project_in(image.parent) is not None)
    ballast = Path(folder) / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    for _ in range(10):
        where = tuple(rng.integers(0, n, 3000) for n in layer.data.shape)
        layer.data_setitem(where, int(rng.integers(1, 3)))
    is_told = live(lambda: any("No space left" in sentence for sentence in said))
    ballast.unlink()
    is_back = live(lambda: not session.keeper.trouble and any("saved again" in sentence for sentence in said))
    painted = np.array(layer.data)
    session.shutdown()
    project = project_in(image.parent)
    assert project is not None
    found = project.journal(0).replay()
    lost = sum(not np.array_equal(values, found.planes.get(p, 0 * values)) for p, values in enumerate(painted))
    outcome = f"{'told' if is_told else 'NOT TOLD'}, {'saved when there was room' if is_back else 'NOT SAVED'}"
    return "disk full", 1, 11, lost, 0, outcome


def main() -> int:
    """Do what the command line says; return 1 if something was lost."""
    what, argument, *first = sys.argv[1:]
    if what == "full":
        row = full(argument)
    else:
        faults: dict[str, Callable[..., Row]] = {
            "paint": paint,
            "window": window,
            "save": save,
            "train": train,
            "cut": cut,
        }
        row = faults[what](int(argument), *map(int, first))
    sys.stdout.write("| " + " | ".join(map(str, row)) + " |\n")
    return int(row[3] > 0 or row[4] > 0)


if __name__ == "__main__":
    sys.exit(main())
