"""What was painted and trained is on the disk at once, and comes back."""

import dataclasses
import errno
import json
import math
import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

import btunet
from btunet.cli import main
from btunet.project import Project, folder_beside
from napari_btunet import _keeper
from napari_btunet._ledger import Ledger

from .conftest import STEPS, Window, discs

SECONDS = 20  # far more than it takes, for slow machines


def kept(folder: Path) -> dict[int, np.ndarray]:
    """Return what is on the disk now, read as another program would."""
    return dict(Project.open(folder).journal(0).replay().planes) if (folder / "project.json").exists() else {}


def wait_for(opened: Window, folder: Path) -> None:
    """Wait until the disk has what the window shows."""

    def is_there() -> bool:
        planes = kept(folder)
        shown = {p: plane for p, plane in enumerate(opened.strokes.data) if plane.any() or p in planes}
        return planes.keys() == shown.keys() and all(np.array_equal(planes[p], shown[p]) for p in shown)

    opened.wait(is_there, SECONDS)


def test_a_stroke_reaches_the_disk_and_comes_back(open_file: Callable[..., Window], image: Path) -> None:
    first = open_file(image)
    assert not folder_beside(image).exists()  # nothing is left beside images that are only looked at
    first.annotate(plane=1)
    wait_for(first, folder_beside(image))
    assert first.panel.kept_label.text() == "Kept in: cells.btunet"
    painted = first.strokes.data.copy()
    first.session.shutdown()
    again = open_file(image)
    assert np.array_equal(again.strokes.data, painted)
    assert "Found cells.btunet: strokes on 1 plane." in again.panel.status_label.text()


def test_undo_redo_and_erasing_reach_the_disk(open_file: Callable[..., Window], image: Path) -> None:
    opened = open_file(image)
    opened.annotate()
    wait_for(opened, folder_beside(image))
    for act in (
        opened.strokes.undo,
        opened.strokes.undo,
        opened.strokes.redo,
        lambda: opened.strokes.paint((0, 8, 8), 0),
        lambda: opened.strokes.fill((1, 5, 5), 2),
        opened.strokes.undo,
    ):
        act()
        wait_for(opened, folder_beside(image))
    assert kept(folder_beside(image))[0].any()


def test_undo_of_a_plane_out_of_sight_reaches_the_disk(open_file: Callable[..., Window], image: Path) -> None:
    opened = open_file(image)
    opened.annotate(plane=0)
    opened.annotate(plane=2)
    wait_for(opened, folder_beside(image))
    opened.viewer.dims.set_current_step(0, 1)
    opened.strokes.undo()
    wait_for(opened, folder_beside(image))


def test_closing_at_once_loses_nothing(open_file: Callable[..., Window], image: Path) -> None:
    opened = open_file(image)
    opened.annotate()
    painted = opened.strokes.data.copy()
    opened.session.shutdown()
    assert np.array_equal(kept(folder_beside(image))[0], painted[0])


def test_models_classes_and_encoder_come_back(open_file: Callable[..., Window], image: Path) -> None:
    first = open_file(image)
    first.session.add_class()
    first.session.rename_class(2, "Nucleus")
    first.annotate()
    first.click("pretrain_button")
    first.wait(lambda: first.session.encoder is not None)
    for number in (1, 2):
        first.wait(lambda: not first.session.doing)
        first.click("finetune_button")
        first.wait(lambda n=number: len(first.session.history.rounds) == n and not first.session.doing)
    first.session.use(0)
    rounds = first.session.history.rounds
    first.session.shutdown()

    again = open_file(image)
    assert again.session.classes == ["Background", "Nucleus", "Object 2"]
    assert [r.describe() for r in again.session.history.rounds] == [r.describe() for r in rounds]
    assert again.session.history.at == 0
    assert rounds[0].painted > 0
    assert rounds[0].model.history[-1]["strokes"] == {"cells": 1}
    one, other = again.session.model, rounds[0].model
    assert one is not None and all(np.array_equal(one.weights[k], other.weights[k]) for k in other.weights)
    assert again.session.encoder is not None
    again.wait(lambda: again.session.subject.is_predicted)  # what it predicts comes back too
    log = (folder_beside(image) / "log.txt").read_text()
    assert "Pre-trained" in log and "Fine-tuned" in log


def test_the_command_line_makes_the_same_model(open_file: Callable[..., Window], image: Path) -> None:
    opened = open_file(image)
    opened.annotate()
    opened.click("finetune_button")
    opened.wait(lambda: opened.session.model is not None and not opened.session.doing)
    made = opened.session.model
    opened.session.shutdown()
    assert made is not None
    record = made.history[-1]["settings"]
    flags = ["--steps", str(STEPS), "--batch", str(record["batch"]), "--patch-size", str(record["patch_size"])]
    assert main(["finetune", "--project", str(folder_beside(image)), *flags, "--seed", str(record["seed"])]) == 0
    again = btunet.Model.load(Project.open(folder_beside(image)).model(2))
    assert all(np.array_equal(again.weights[name], weights) for name, weights in made.weights.items())


def test_a_second_window_can_only_look(open_file: Callable[..., Window], image: Path) -> None:
    first = open_file(image)
    first.annotate()
    wait_for(first, folder_beside(image))
    second = open_file(image)
    assert np.array_equal(second.strokes.data, first.strokes.data)
    assert "Another window has it" in second.panel.status_label.text()
    assert not second.strokes.editable
    assert second.panel.kept_label.text() == "Only to look at: cells.btunet"
    before = kept(folder_beside(image))[0]
    second.strokes.data[0, 50:60] = 2
    second.session.keeper.save()
    second.session.shutdown()
    assert np.array_equal(kept(folder_beside(image))[0], before)


def test_an_image_that_changed_since_is_told(open_file: Callable[..., Window], image: Path) -> None:
    first = open_file(image)
    first.annotate()
    first.session.shutdown()
    tifffile.imwrite(image, discs(seed=3), photometric="minisblack", metadata={"axes": "ZYX"})
    again = open_file(image)
    assert "has other values than when it was painted" in again.panel.status_label.text()
    assert again.strokes.data.any()


def test_an_image_of_another_shape_begins_anew_and_spoils_nothing(
    open_file: Callable[..., Window], image: Path
) -> None:
    first = open_file(image)
    first.annotate()
    first.session.shutdown()
    before = kept(folder_beside(image))
    tifffile.imwrite(image, discs(side=64), photometric="minisblack", metadata={"axes": "ZYX"})
    again = open_file(image)
    assert not again.strokes.data.any()
    again.annotate()
    again.session.shutdown()
    assert np.array_equal(kept(folder_beside(image))[0], before[0])


def test_a_moved_folder_brings_everything_along(open_file: Callable[..., Window], image: Path, tmp_path: Path) -> None:
    first = open_file(image)
    first.annotate()
    painted = first.strokes.data.copy()
    first.session.shutdown()
    there = tmp_path / "there"
    there.mkdir()
    shutil.move(image, there)
    shutil.move(folder_beside(image), there)
    assert np.array_equal(open_file(there / image.name).strokes.data, painted)


def test_an_image_without_a_file_is_kept_at_home(window: Callable[..., Window], home: Path) -> None:
    first = window(discs())
    first.annotate()
    painted = first.strokes.data.copy()
    first.session.shutdown()
    assert len(list(home.iterdir())) == 1
    assert np.array_equal(window(discs()).strokes.data, painted)
    assert not window(discs(seed=1)).strokes.data.any()  # the same name and shape, another image


def test_where_nothing_can_be_written_beside_the_image_work_is_kept_at_home(
    open_file: Callable[..., Window], image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Project.save

    def forbidden(project: Project) -> None:
        if project.folder.parent == image.parent:
            raise btunet.BtunetError(f"{project.folder} cannot be written: Permission denied")
        save(project)

    monkeypatch.setattr(Project, "save", forbidden)
    opened = open_file(image)
    opened.annotate()
    opened.wait(lambda: "kept in" in opened.panel.status_label.text(), SECONDS)
    painted = opened.strokes.data.copy()
    opened.session.shutdown()
    assert not folder_beside(image).exists()
    assert np.array_equal(open_file(image).strokes.data, painted)
    assert opened.errors == []


def test_a_full_disk_is_told_once_and_strokes_follow_when_there_is_room(
    open_file: Callable[..., Window], image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_file(image)
    opened.annotate()
    wait_for(opened, folder_beside(image))
    fsync = os.fsync

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    opened.annotate(plane=2)
    opened.wait(lambda: opened.errors, SECONDS)
    opened.annotate(plane=1)
    opened.qtbot.wait(1000)
    assert len(opened.errors) == 1
    assert "No space left" in opened.errors[0]
    assert "Not saved" in opened.panel.kept_label.text()  # as long as it is so
    monkeypatch.setattr(os, "fsync", fsync)
    wait_for(opened, folder_beside(image))
    opened.wait(lambda: "saved again" in opened.panel.status_label.text(), SECONDS)
    assert opened.panel.kept_label.text() == "Kept in: cells.btunet"


def test_a_journal_that_vanished_is_written_anew(open_file: Callable[..., Window], image: Path) -> None:
    opened = open_file(image)
    opened.annotate(plane=0)
    wait_for(opened, folder_beside(image))
    shutil.rmtree(folder_beside(image) / "strokes")
    opened.annotate(plane=1)
    wait_for(opened, folder_beside(image))


def test_strokes_opened_from_a_file_win_over_those_of_the_project(
    open_file: Callable[..., Window], window: Callable[..., Window], image: Path
) -> None:
    first = open_file(image)
    first.annotate()
    first.session.shutdown()
    mine = np.zeros((3, 96, 96), np.uint8)
    mine[2, 4:9] = 2
    opened = window()
    opened.viewer.add_labels(mine, name="strokes")
    opened.viewer.open(image, plugin="napari")
    assert np.array_equal(opened.strokes.data, mine)
    wait_for(opened, folder_beside(image))


def test_a_removed_strokes_layer_comes_back(open_file: Callable[..., Window], image: Path) -> None:
    opened = open_file(image)
    opened.annotate()
    painted = opened.strokes.data.copy()
    opened.viewer.layers.remove(opened.strokes)
    opened.session.choose_class(1)
    assert np.array_equal(opened.strokes.data, painted)
    opened.annotate(plane=2)
    wait_for(opened, folder_beside(image))


def test_two_images_share_a_project(open_file: Callable[..., Window], image: Path, tmp_path: Path) -> None:
    other = tmp_path / "more.tif"
    tifffile.imwrite(other, discs(seed=1, planes=2), photometric="minisblack", metadata={"axes": "ZYX"})
    first = open_file(image)
    first.annotate()
    first.viewer.open(other, plugin="napari")
    first.session.choose(first.session.images[-1])
    first.annotate(plane=1)
    painted = first.strokes.data.copy()
    first.session.shutdown()
    again = open_file(other)  # alone
    assert np.array_equal(again.strokes.data, painted)
    assert [record["path"] for record in json.loads((folder_beside(image) / "project.json").read_text())["images"]] == [
        "../cells.tif",
        "../more.tif",
    ]


def test_strokes_of_an_image_with_a_project_of_its_own_are_taken_over(
    open_file: Callable[..., Window], image: Path, tmp_path: Path
) -> None:
    other = tmp_path / "more.tif"
    tifffile.imwrite(other, discs(seed=1, planes=2), photometric="minisblack", metadata={"axes": "ZYX"})
    alone = open_file(other)
    alone.annotate(plane=1)
    painted = alone.strokes.data.copy()
    alone.session.shutdown()
    opened = open_file(image)
    opened.annotate()
    wait_for(opened, folder_beside(image))
    opened.viewer.open(other, plugin="napari")
    opened.session.choose(opened.session.images[-1])
    assert np.array_equal(opened.strokes.data, painted)
    assert "taken over from more.btunet" in opened.panel.status_label.text()
    opened.session.shutdown()
    project = Project.open(folder_beside(image))
    assert np.array_equal(project.journal(1).replay().planes[1], painted[1])
    assert np.array_equal(Project.open(folder_beside(other)).journal(0).replay().planes[1], painted[1])


def test_a_model_opened_before_the_project_stays_in_use_and_joins_it(
    open_file: Callable[..., Window], window: Callable[..., Window], image: Path, tmp_path: Path
) -> None:
    model = btunet.Model("unet", 1, ("Background", "Object"), {"head.weight": np.zeros(2, np.float32)})
    first = open_file(image)
    first.annotate()
    first.session.take(model)
    first.session.shutdown()
    mine = btunet.Model("unet", 1, ("Background", "Object"), {"head.weight": np.ones(2, np.float32)})
    mine.save(tmp_path / "mine.safetensors")
    opened = window()
    opened.session.open_model(tmp_path / "mine.safetensors")
    opened.viewer.open(image, plugin="napari")
    assert len(opened.session.history.rounds) == 2
    assert opened.session.model is not None and opened.session.model.weights["head.weight"][0] == 1
    opened.session.shutdown()
    project = Project.open(folder_beside(image))
    assert (project.models, project.present) == ([1, 2], 2)
    assert btunet.Model.load(project.model(2)).weights["head.weight"][0] == 1


def test_layers_may_be_renamed_reordered_doubled_and_written_to_by_others(
    open_file: Callable[..., Window], image: Path
) -> None:
    opened = open_file(image)
    opened.annotate()
    layers, strokes = opened.viewer.layers, opened.strokes
    layers.selection.active = strokes
    layers.append(type(strokes)(strokes.data.copy(), name="strokes copy", metadata=dict(strokes.metadata)))
    strokes.name = "my own name"
    layers.move(layers.index(strokes), 0)
    strokes.data[2, 50:53] = 2
    strokes.refresh()
    wait_for(opened, folder_beside(image))
    opened.click("finetune_button")
    opened.wait(lambda: opened.session.model is not None and not opened.session.doing)
    assert opened.session.model.history[-1]["painted"] == (strokes.data > 0).sum()
    assert opened.strokes is strokes
    assert opened.errors == []


def test_a_broken_project_is_left_as_it_is(open_file: Callable[..., Window], image: Path) -> None:
    folder_beside(image).mkdir()
    (folder_beside(image) / "project.json").write_text("{")
    opened = open_file(image)
    opened.annotate()
    opened.session.shutdown()
    assert (folder_beside(image) / "project.json").read_text() == "{"
    assert kept(image.with_name("cells-2.btunet"))


def test_a_broken_model_is_told_and_the_others_open(open_file: Callable[..., Window], image: Path) -> None:
    model = btunet.Model("unet", 1, ("Background", "Object"), {"head.weight": np.zeros(2, np.float32)})
    first = open_file(image)
    first.annotate()
    for _ in range(2):
        first.session.take(model)
    first.session.shutdown()
    project = Project.open(folder_beside(image))
    assert project.models == [1, 2]
    dataclasses.replace(project, present=1).save()
    project.model(2).write_bytes(project.model(2).read_bytes()[:-1])
    again = open_file(image)
    assert len(again.session.history.rounds) == 1
    assert "0002.safetensors" in again.errors[0]
    again.session.take(model)
    again.session.shutdown()
    assert Project.open(folder_beside(image)).models == [1, 2, 3]  # the broken one is left as it is


def test_an_encoder_trained_elsewhere_is_taken_in(
    window: Callable[..., Window], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_keeper, "WATCH", 200)
    opened = window(discs())
    opened.panel.elsewhere_button.click()
    opened.wait(lambda: "start pretrain.sh in" in opened.panel.status_label.text())
    project = opened.session.keeper.project
    opened.wait(lambda: Project.open(project.folder).images[0].path == "images/0001.tif", SECONDS)
    assert np.array_equal(Project.open(project.folder).read(0).data, discs())
    flags = shlex.split((project.folder / "pretrain.sh").read_text().splitlines()[-1])
    assert flags[:3] == ["exec", "btunet", "pretrain"]
    monkeypatch.chdir(project.folder)
    assert main(flags[2:]) == 0  # as the other machine does
    opened.wait(lambda: opened.session.encoder is not None, SECONDS)
    assert opened.session.encoder.history[-1]["steps"] == STEPS
    opened.annotate()
    assert main(["finetune", "--project", str(project.folder), "--steps", "2", "--patch-size", "32"]) == 2  # not yet
    opened.wait(lambda: Project.open(project.folder).journal(0).replay().planes, SECONDS)
    assert main(["finetune", "--project", str(project.folder), "--steps", "2", "--patch-size", "32"]) == 0
    opened.wait(lambda: opened.session.model is not None, SECONDS)
    opened.session.shutdown()
    assert Project.open(project.folder).models == [1]
    assert opened.errors == []


def test_a_look_for_news_draws_nothing_if_there_are_none(open_file: Callable[..., Window], image: Path) -> None:
    opened = open_file(image)
    opened.annotate()
    wait_for(opened, folder_beside(image))
    drawn: list[bool] = []
    opened.session.changed.connect(lambda: drawn.append(True))
    keeper = opened.session.keeper
    keeper._take_in(keeper._stamp, keeper.project.models)
    assert not drawn


def test_ones_own_encoder_is_not_taken_for_one_from_elsewhere(
    open_file: Callable[..., Window], image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_keeper, "WATCH", 100)
    opened = open_file(image)
    said: list[str] = []
    opened.session.said.connect(lambda sentence, _: said.append(sentence))
    opened.click("pretrain_button")
    opened.wait(lambda: opened.session.encoder is not None and not opened.session.doing)
    mine = opened.session.encoder
    opened.wait((folder_beside(image) / "encoder.safetensors").exists, SECONDS)
    opened.qtbot.wait(1500)
    assert opened.session.encoder is mine
    assert not [sentence for sentence in said if "elsewhere" in sentence]


def test_a_project_that_is_only_looked_at_is_not_prepared(open_file: Callable[..., Window], image: Path) -> None:
    first = open_file(image)
    first.annotate()
    wait_for(first, folder_beside(image))
    second = open_file(image)
    second.panel.elsewhere_button.click()
    assert "cannot be written to" in second.errors[0]


def test_numbers_that_do_not_fit_into_a_byte_come_back(open_file: Callable[..., Window], image: Path) -> None:
    first = open_file(image)
    first.strokes.data = first.strokes.data.astype(np.uint16)
    first.strokes.paint((1, 20, 20), 300)
    first.strokes.paint((0, 20, 20), 2)
    painted = first.strokes.data.copy()
    first.session.shutdown()
    second = open_file(image)
    assert np.array_equal(second.strokes.data, painted)
    second.session.keeper.save(math.inf)
    second.strokes.paint((0, 20, 20), 300)  # on a plane that had small numbers only
    second.session.keeper.save()
    second.strokes.paint((0, 20, 20), 300 - 256)
    painted = second.strokes.data.copy()
    second.session.shutdown()
    assert np.array_equal(open_file(image).strokes.data, painted)


def test_undoing_on_a_large_stack_and_closing_at_once_loses_nothing(
    open_file: Callable[..., Window], image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_file(image)
    for plane in range(3):
        opened.annotate(plane=plane)
    wait_for(opened, folder_beside(image))
    look = Ledger.blocks  # as if every look that may not take long took too long
    monkeypatch.setattr(Ledger, "blocks", lambda ledger, patience: look(ledger, patience if patience > 1 else -1.0))
    opened.strokes.undo()
    painted = opened.strokes.data.copy()
    opened.session.shutdown()
    assert np.array_equal(kept(folder_beside(image))[2], painted[2])
