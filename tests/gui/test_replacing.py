"""Nothing is replaced that the user was not asked about."""

from collections.abc import Callable
from pathlib import Path

import pytest
from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from napari_btunet._replacing import may_replace

from .conftest import Window, discs


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note what is asked; the answer is no."""
    questions: list[str] = []

    def answer(_: object, title: str, question: str) -> object:
        questions.append(question)
        return QMessageBox.StandardButton.No

    monkeypatch.setattr(QMessageBox, "question", answer)
    return questions


def test_what_is_not_there_needs_no_answer(qtbot: object, tmp_path: Path, asked: list[str]) -> None:
    assert may_replace(QWidget(), [tmp_path / "masks.tif"], tmp_path / "masks.tif")
    assert asked == []


def test_the_file_dialog_has_asked_about_what_was_typed(qtbot: object, tmp_path: Path, asked: list[str]) -> None:
    (tmp_path / "masks.tif").touch()
    assert may_replace(QWidget(), [tmp_path / "masks.tif"], tmp_path / "masks.tif")
    assert asked == []


def test_a_name_that_got_its_suffix_later_is_asked_about(qtbot: object, tmp_path: Path, asked: list[str]) -> None:
    (tmp_path / "masks.tif").touch()
    assert not may_replace(QWidget(), [tmp_path / "masks.tif"], tmp_path / "masks")
    assert asked == ["masks.tif is there already. Replace it?"]


def test_planes_of_a_stack_are_asked_about_once(qtbot: object, tmp_path: Path, asked: list[str]) -> None:
    planes = [tmp_path / f"masks_{n:03d}.png" for n in range(4)]
    for plane in planes[1:]:
        plane.touch()
    assert not may_replace(QWidget(), planes, tmp_path / "masks.png")
    assert asked == ["masks_001.png and 2 more files are there already. Replace them?"]


@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_exporting_over_planes_of_before_asks(
    window: Callable[..., Window], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    opened = window(discs())
    exported: list[Path] = []
    monkeypatch.setattr(opened.session, "export", exported.append)
    (tmp_path / "masks_001.png").touch()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "masks"), "PNG (*.png)"))
    monkeypatch.setattr(QMessageBox, "question", lambda *_: getattr(QMessageBox.StandardButton, answer))
    opened.panel._on_export()
    assert exported == [tmp_path / "masks.png"] * (answer == "Yes")
