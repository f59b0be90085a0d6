"""A project as a power cut, a restored backup or a wrong clock may leave it: what is whole comes back, work goes on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import btunet
from btunet.project import Project, folder_beside

from .conftest import Window
from .test_keeper import kept, wait_for

Fault = Callable[[Project], None]


def nothing_in(name: str) -> Fault:
    return lambda project: (project.folder / name).write_bytes(b"")


def last_write_cut(project: Project) -> None:
    with project.journal(0).path.open("ab") as file:
        file.write(project.journal(0).path.read_bytes()[:60])  # the beginning of a record


def zeros_at_the_end(project: Project) -> None:
    with project.journal(0).path.open("ab") as file:
        file.write(bytes(4096))  # as some file systems leave what they had no time to write


def left_behind(project: Project) -> None:
    (project.folder / "lock").write_bytes(b"12345")
    (project.folder / ".project.12345.part.json").write_text("{")
    (project.folder / "models" / ".0002.12345.part.safetensors").write_bytes(b"x" * 99)
    (project.folder / "strokes" / ".0001.12345.part.journal").write_bytes(b"x" * 99)


def clock_in(year: int) -> Fault:
    def turn(project: Project) -> None:
        for path in project.folder.rglob("*"):
            os.utime(path, ((year - 1970) * 31_556_952.0,) * 2)

    return turn


COMES_BACK: dict[str, Fault] = {
    "the last write was cut off": last_write_cut,
    "zeros follow the last write": zeros_at_the_end,
    "locks and temporary files are left": left_behind,
    "the log is empty": nothing_in("log.txt"),
    "the model is empty": nothing_in("models/0001.safetensors"),
    "the encoder is empty": nothing_in("encoder.safetensors"),
    "the clock was in 1975": clock_in(1975),
    "the clock was in 2090": clock_in(2090),
    "the log is gone": lambda project: (project.folder / "log.txt").unlink(),
    "the models are gone": lambda project: shutil.rmtree(project.folder / "models"),
}


@pytest.fixture
def painted(open_file: Callable[..., Window], image: Path) -> np.ndarray:
    """Return strokes that were painted in a window that is closed now; there is a model too."""
    first = open_file(image)
    first.annotate(plane=1)
    first.session.take(btunet.Model("unet", 1, ("Background", "Object"), {"head.weight": np.zeros(2, np.float32)}))
    first.session.shutdown()
    return first.strokes.data.copy()


@pytest.mark.parametrize("fault", COMES_BACK)
def test_strokes_come_back_and_work_goes_on(
    open_file: Callable[..., Window],
    image: Path,
    painted: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    monkeypatch.setattr("napari_btunet._session.Session.predict", lambda self: None)
    COMES_BACK[fault](Project.open(folder_beside(image)))
    again = open_file(image)
    assert np.array_equal(again.strokes.data, painted)
    again.strokes.paint((2, 50, 50), 2)
    wait_for(again, folder_beside(image))
    again.session.shutdown()
    assert all("safetensors" in error for error in again.errors)  # a model that is empty is told
    assert np.array_equal(kept(folder_beside(image))[2], again.strokes.data[2])


def test_an_empty_list_is_left_as_it_is_and_work_goes_on_beside_it(
    open_file: Callable[..., Window], image: Path, painted: np.ndarray
) -> None:
    project = Project.open(folder_beside(image))
    nothing_in("project.json")(project)
    again = open_file(image)
    again.annotate()
    again.session.shutdown()
    assert project.journal(0).replay().planes.keys() == {1}  # the strokes of before are whole
    assert kept(image.with_name("cells-2.btunet")).keys() == {0}


def test_a_project_that_became_read_only_can_be_looked_at(
    open_file: Callable[..., Window], image: Path, painted: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("btunet.project.FileLock.acquire", refused)
    again = open_file(image)
    assert np.array_equal(again.strokes.data, painted)
    assert not again.strokes.editable
    assert "cannot be written to" in again.errors[0]
