"""An image that was changed since it was painted: nothing is lost whatever the user chooses."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from btunet.project import Project, folder_beside

from .conftest import Window, discs


def write(path: Path, seed: int) -> None:
    tifffile.imwrite(path, discs(seed=seed), photometric="minisblack", metadata={"axes": "ZYX"})


@pytest.fixture
def painted(open_file: Callable[..., Window], image: Path) -> np.ndarray:
    """Return the strokes that were painted before the image was changed."""
    first = open_file(image)
    assert first.panel.changed_image.isHidden()
    first.annotate(plane=1)
    first.session.shutdown()
    write(image, 1)
    return first.strokes.data.copy()


def numbers_kept(image: Path) -> list[int]:
    project = Project.open(folder_beside(image))
    return [len(project.journal(n).replay().planes) for n in range(len(project.images))]


def click(opened: Window, name: str) -> None:
    assert not opened.panel.changed_image.isHidden()
    getattr(opened.panel.changed_image, name).click()
    assert opened.panel.changed_image.isHidden()


def test_strokes_that_are_used_are_not_asked_about_again(
    open_file: Callable[..., Window], image: Path, painted: np.ndarray
) -> None:
    second = open_file(image)
    click(second, "use_button")
    assert np.array_equal(second.strokes.data, painted)
    second.session.shutdown()
    third = open_file(image)
    assert third.panel.changed_image.isHidden()
    assert np.array_equal(third.strokes.data, painted)


def test_strokes_that_are_kept_aside_come_back_with_the_image_as_it_was(
    open_file: Callable[..., Window], image: Path, painted: np.ndarray
) -> None:
    second = open_file(image)
    click(second, "aside_button")
    assert not second.strokes.data.any()
    second.annotate(plane=0)
    anew = second.strokes.data.copy()
    second.session.shutdown()
    assert numbers_kept(image) == [1, 1]
    third = open_file(image)
    assert np.array_equal(third.strokes.data, anew)
    assert third.panel.changed_image.isHidden()
    third.session.shutdown()
    write(image, 0)
    fourth = open_file(image)
    assert np.array_equal(fourth.strokes.data, painted)
    fourth.session.shutdown()
    write(image, 1)
    assert np.array_equal(open_file(image).strokes.data, anew)


def test_what_is_kept_aside_can_be_undone(open_file: Callable[..., Window], image: Path, painted: np.ndarray) -> None:
    second = open_file(image)
    second.strokes.paint((2, 50, 50), 2)  # before one has chosen
    shown = second.strokes.data.copy()
    click(second, "aside_button")
    second.strokes.undo()
    assert np.array_equal(second.strokes.data, shown)
    second.session.shutdown()
    assert numbers_kept(image) == [2, 2]  # on both sides
    assert np.array_equal(open_file(image).strokes.data, shown)


def test_a_window_that_can_only_look_does_not_ask(
    open_file: Callable[..., Window], image: Path, painted: np.ndarray
) -> None:
    lock = Project.open(folder_beside(image)).hold()
    second = open_file(image)
    assert second.panel.changed_image.isHidden()
    second.session.keeper.set_aside(second.session.subject)
    assert np.array_equal(second.strokes.data, painted)
    lock.release()
