"""Models that do not predict lie on the disk, not in the window's memory."""

from collections.abc import Callable
from pathlib import Path

import pytest

import btunet
from btunet.project import Project, folder_beside

from .conftest import Window


@pytest.fixture
def opened(open_file: Callable[..., Window], image: Path, monkeypatch: pytest.MonkeyPatch) -> Window:
    """A window with two models; the second predicts."""
    found = open_file(image)
    found.annotate()
    with monkeypatch.context() as patch:
        patch.setattr(found.session, "_predict_with_model", lambda _=None: None)
        for number in (1, 2):
            found.session.take(model(number))
    return found


def model(number: int) -> btunet.Model:
    """Return a model that learned nothing."""
    classes = ("Background", "Object")
    weights = btunet.Model("unet", 1, (), {}).build(2).state_dict()
    return btunet.Model("unet", 1, classes, {}).trained("finetune", weights, date=f"2026-01-0{number}T12:00:00+00:00")


def sizes(opened: Window) -> list[int]:
    return [found.model.bytes_in_memory for found in opened.session.history.rounds]


def wait_for_rest(opened: Window, number: int) -> None:
    opened.session.keeper.soon()
    opened.wait(lambda: sizes(opened)[number] == 0)


def test_the_present_model_is_in_memory_and_the_other_rests(opened: Window) -> None:
    wait_for_rest(opened, 0)
    assert sizes(opened)[1] > 0
    opened.session.choose_round(0)
    assert sizes(opened)[0] > 0
    opened.wait(lambda: not opened.session.doing and opened.session.subject.is_predicted)
    wait_for_rest(opened, 1)
    assert sizes(opened)[0] > 0


def test_a_model_that_rests_is_compared_and_trained_further(opened: Window) -> None:
    wait_for_rest(opened, 0)
    opened.session.difference.toggle()
    opened.wait(lambda: any("difference" in layer.name for layer in opened.viewer.layers if layer.visible))
    opened.session.choose_round(0)
    opened.wait(lambda: not opened.session.doing)
    opened.click("finetune_button")
    opened.wait(lambda: len(opened.session.history.rounds) == 3 and not opened.session.doing)
    assert opened.session.history.cards()[2].details.endswith("from 1")


def test_a_model_whose_file_is_gone_is_not_chosen(opened: Window, image: Path) -> None:
    wait_for_rest(opened, 0)
    Project.open(folder_beside(image)).model(1).unlink()
    opened.session.choose_round(0)
    assert opened.panel.status_label.text().startswith("Model 1 cannot be used: ")
    assert opened.session.history.at == 1 and not opened.session.doing
    assert sizes(opened)[1] > 0


def test_models_of_a_project_that_is_opened_rest(opened: Window, open_file: Callable[..., Window], image: Path) -> None:
    opened.session.shutdown()
    again = open_file(image)
    assert [size > 0 for size in sizes(again)] == [False, True]


def test_without_a_place_on_the_disk_all_models_stay_in_memory(opened: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: btunet.Model, path: Path) -> Path:
        raise btunet.BtunetError("there is no room on the disk")

    wait_for_rest(opened, 0)
    monkeypatch.setattr(btunet.Model, "save", full)
    opened.session.take(model(3))
    opened.session.history.use(0)
    opened.session.keeper.soon()
    opened.wait(lambda: bool(opened.session.keeper.trouble))
    opened.session.keeper.save()
    assert sizes(opened)[2] > 0
