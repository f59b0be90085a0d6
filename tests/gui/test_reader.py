"""A project folder is opened as a whole, and kept where the user likes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.plugins._npe2 import get_readers
from qtpy.QtWidgets import QFileDialog

import btunet
from btunet.journal import Block
from btunet.project import Project, folder_beside
from napari_btunet import _places
from napari_btunet._files import beside
from napari_btunet._reader import get_reader, read_project

from .conftest import Window


@pytest.fixture
def project(image: Path) -> Project:
    """Return a project of one painted image."""
    made = Project(folder_beside(image), ("Background", "Nucleus")).with_image(btunet.read(image))
    made.save()
    made.journal(0).append([Block(1, 4, 4, np.full((3, 3), 2, np.uint8))])
    return made


def test_only_projects_are_read(tmp_path: Path, project: Project) -> None:
    assert get_reader(str(project.folder)) is read_project
    assert get_reader([str(project.folder)]) is read_project
    (tmp_path / "empty.btunet").mkdir()
    for name in ("cells.tif", "empty.btunet", "none.btunet"):
        assert get_reader(str(tmp_path / name)) is None


def test_a_project_that_is_dropped_opens_with_its_strokes(window: Callable[..., Window], project: Project) -> None:
    opened = window()
    assert "napari-btunet" in get_readers(str(project.folder))  # what napari asks about when it is dropped
    opened.viewer.open(str(project.folder), plugin="napari-btunet")
    assert [layer.name for layer in opened.viewer.layers] == ["cells.tif", "strokes"]
    assert (opened.strokes.data[1, 4:7, 4:7] == 2).all()
    assert opened.session.classes == ["Background", "Nucleus"]
    assert opened.session.keeper.project.folder == project.folder
    opened.strokes.paint((2, 50, 50), 1)
    opened.session.shutdown()
    assert sorted(Project.open(project.folder).journal(0).replay().planes) == [1, 2]
    assert beside(opened.session.image, "_masks.tif") == project.folder.parent / "cells_masks.tif"


def test_the_panel_may_be_opened_after_the_project(make_napari_viewer: Any, project: Project, quiet: None) -> None:
    from napari_btunet._session import session_of

    viewer = make_napari_viewer()
    viewer.open(str(project.folder), plugin="napari-btunet")
    viewer.window.add_plugin_dock_widget("napari-btunet", "BT-UNet")
    session = session_of(viewer)
    session.begin()
    assert (session.subject.strokes.data[1, 4:7, 4:7] == 2).all()
    session.shutdown()


def test_colours_channels_and_pixel_sizes_come_along(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((40, 50, 3), np.uint8), photometric="rgb")
    shaped = {"photometric": "minisblack", "resolution": (5000, 5000), "resolutionunit": "CENTIMETER"}
    for axes, shape in (("CYX", (2, 40, 50)), ("ZYX", (4, 40, 50))):
        tifffile.imwrite(tmp_path / f"{axes}.tif", np.ones(shape, np.uint8), metadata={"axes": axes}, **shaped)
    project = Project(tmp_path / "some.btunet")
    names = ("rgb.tif", "CYX.tif", "ZYX.tif")
    for name in names:
        project = project.with_image(btunet.read(tmp_path / name))
    project.save()
    from napari.layers import Image

    from napari_btunet._layers import stack_of

    for (data, options, _), name in zip(read_project(str(project.folder)), names, strict=True):
        told, known = stack_of(Image(data, **options)), btunet.read(tmp_path / name)
        assert (told.axes, told.scale, told.unit, told.path) == (known.axes, known.scale, known.unit, known.path)


def test_images_of_somebody_elses_project_that_lie_elsewhere_are_not_opened(
    tmp_path: Path, image: Path, project: Project
) -> None:
    (tmp_path / "sent").mkdir()
    moved = project.folder.rename(tmp_path / "sent" / "cells.btunet")
    found = json.loads((moved / "project.json").read_text())
    found["images"][0]["path"] = str(image)
    (moved / "project.json").write_text(json.dumps(found))
    with pytest.raises(btunet.BtunetError, match="does not lie beside it"):
        read_project(str(moved))
    _places.choose([str(image)], moved)  # unless one keeps it there oneself
    assert len(read_project(str(moved))) == 1


def test_open_project_asks_for_a_folder_and_opens_one_project_per_window(
    window: Callable[..., Window], project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = window()
    buttons = opened.panel.project_buttons
    for folder, sentence in ((tmp_path, str(tmp_path)), (project.folder, ""), (tmp_path / "x.btunet", "another one")):
        opened.errors.clear()
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_, f=folder: str(f))
        buttons.open_button.click()
        assert [sentence in error for error in opened.errors] == [True] * bool(sentence)
    assert (opened.strokes.data[1, 4:7, 4:7] == 2).all()


def test_a_project_kept_elsewhere_is_found_by_its_image_and_by_its_folder(
    open_file: Callable[..., Window], window: Callable[..., Window], image: Path, project: Project, tmp_path: Path
) -> None:
    first = open_file(image)
    elsewhere = tmp_path / "elsewhere"
    first.strokes.paint((0, 20, 20), 1)
    first.panel.project_buttons.keep_in(elsewhere)
    folder = elsewhere / "cells.btunet"
    assert first.session.keeper.project.folder == folder
    assert sorted(project.journal(0).replay().planes) == [0, 1]  # the old one stays, whole
    first.strokes.paint((2, 20, 20), 1)
    painted = first.strokes.data.copy()
    first.session.shutdown()
    journal = Project.open(folder).journal(0).replay()
    assert journal.damaged == 0
    assert sorted(journal.planes) == [0, 1, 2]
    assert journal.number == 3
    second = open_file(image)
    assert second.session.keeper.project.folder == folder
    assert np.array_equal(second.strokes.data, painted)
    second.session.shutdown()
    third = window()
    third.viewer.open(str(folder), plugin="napari-btunet")
    assert np.array_equal(third.strokes.data, painted)


def test_a_project_that_is_kept_where_nothing_is_now_is_missed(
    open_file: Callable[..., Window], image: Path, tmp_path: Path
) -> None:
    _places.choose([str(image)], tmp_path / "disk" / "cells.btunet")
    opened = open_file(image)
    assert "is not there now" in opened.panel.status_label.text()
    opened.annotate()
    opened.session.shutdown()
    assert folder_beside(image).exists()


def test_where_to_keep_it_can_be_said_before_the_first_stroke(
    open_file: Callable[..., Window], image: Path, tmp_path: Path
) -> None:
    opened = open_file(image)
    opened.panel.project_buttons.keep_in(tmp_path / "elsewhere")
    opened.annotate()
    painted = opened.strokes.data.copy()
    opened.session.shutdown()
    assert not folder_beside(image).exists()
    assert np.array_equal(open_file(image).strokes.data, painted)


def test_where_nothing_can_be_copied_to_everything_stays_where_it_was(
    open_file: Callable[..., Window], image: Path, project: Project, tmp_path: Path
) -> None:
    opened = open_file(image)
    (tmp_path / "file").write_text("no folder")
    opened.panel.project_buttons.keep_in(tmp_path / "file")
    assert opened.errors
    assert opened.session.keeper.project.folder == project.folder
    opened.strokes.paint((0, 20, 20), 1)
    opened.session.shutdown()
    assert sorted(project.journal(0).replay().planes) == [0, 1]


def test_a_list_of_places_that_is_broken_is_as_good_as_none(home: Path) -> None:
    home.mkdir()
    for broken in ("", "[]", "{", "3"):
        (home / _places.FILE).write_text(broken)
        assert _places.files_in(home) == []
