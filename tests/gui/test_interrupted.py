"""A pre-training that was interrupted goes on, also after the window was closed or killed."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import btunet
from btunet.checkpoint import Checkpoint
from btunet.project import Project, folder_beside
from napari_btunet._interrupted import GoingOn

from .conftest import Window, children

STEPS = 5


@pytest.fixture
def interrupted(open_file: Callable[..., Window], image: Path) -> Path:
    """Return the checkpoint of a pre-training of STEPS steps that was interrupted after two."""
    project = Project(folder_beside(image)).with_image(btunet.read(image))
    settings = btunet.PretrainSettings(steps=STEPS, batch=8, patch_size=32, seed=7)
    project.save()
    stack = dataclasses.replace(btunet.read(image), name="cells")  # as the window calls it
    task = btunet.pretrain([stack], settings, checkpoint=project.checkpoint)
    btunet.run(task, lambda progress: progress.step == 2)
    return project.checkpoint


def steps_of(opened: Window) -> list[int]:
    """Note the steps that are shown."""
    seen: list[int] = []
    opened.session.progressed.connect(lambda news: seen.extend(p.step for p in news if p.values))
    return seen


def test_the_next_click_goes_on_and_the_checkpoint_goes_when_the_encoder_is_there(
    open_file: Callable[..., Window], image: Path, interrupted: Path
) -> None:
    opened = open_file(image)
    assert "A pre-training was interrupted after" in opened.panel.status_label.text()
    assert opened.panel.pretrain_form.container.seed.value == 7  # the settings it began with are shown
    steps = steps_of(opened)
    opened.click("pretrain_button")
    opened.wait(lambda: opened.session.encoder is not None)
    assert min(steps) == 3
    opened.wait(lambda: not interrupted.exists())
    assert Project.open(interrupted.parent).encoder.exists()
    whole = btunet.run(btunet.pretrain([btunet.read(image)], btunet.PretrainSettings(**_settings(opened))))
    assert all(np.allclose(whole.weights[n], w, atol=1e-4) for n, w in opened.session.encoder.weights.items())


def _settings(opened: Window) -> dict[str, Any]:
    return dict(opened.session.encoder.history[-1]["settings"])


def test_with_other_settings_it_begins_anew_and_says_so(
    open_file: Callable[..., Window], image: Path, interrupted: Path
) -> None:
    opened = open_file(image)
    opened.panel.pretrain_form.container.seed.value = 8
    said: list[str] = []
    opened.session.said.connect(lambda sentence, _: said.append(sentence))
    steps = steps_of(opened)
    opened.click("pretrain_button")
    opened.wait(lambda: opened.session.encoder is not None)
    assert min(steps) == 1
    assert "The pre-training that was interrupted begins anew: its settings are others now." in said


def test_what_does_not_fit_any_more_is_said_and_the_click_after_it_begins_anew(
    open_file: Callable[..., Window], image: Path, interrupted: Path
) -> None:
    opened = open_file(image)
    opened.session.image.name = "others"  # the checkpoint is of images with other names
    opened.click("pretrain_button")
    opened.wait(lambda: opened.errors and not opened.session.doing)
    assert "other images" in opened.errors[0]
    steps = steps_of(opened)
    opened.click("pretrain_button")
    opened.wait(lambda: opened.session.encoder is not None)
    assert min(steps) == 1


def test_a_training_process_that_is_killed_is_gone_on_with(
    open_file: Callable[..., Window], image: Path, interrupted: Path
) -> None:
    opened = open_file(image)
    before = children()
    opened.panel.pretrain_form.container.steps.value = 10_000
    opened.click("pretrain_button")
    opened.wait(lambda: opened.session.job.pace.fraction > 0)
    whole = Checkpoint.load(interrupted)
    Checkpoint({**whole.about, "steps": 10_000}, whole.state, whole.tensors).save(interrupted)  # the minute is over
    for child in children() - before:
        psutil.Process(child).kill()
    opened.wait(lambda: not opened.session.doing)
    assert "killed" in opened.errors[0]
    steps = steps_of(opened)
    opened.click("pretrain_button")
    opened.wait(lambda: steps)
    assert min(steps) == 3
    opened.click("stop_button")
    opened.wait(lambda: opened.session.encoder is not None)


def test_a_pretraining_begins_a_project_before_the_first_stroke(open_file: Callable[..., Window], image: Path) -> None:
    opened = open_file(image)
    opened.click("pretrain_button")
    assert folder_beside(image).exists()


def test_a_window_that_can_only_look_keeps_no_checkpoint(
    open_file: Callable[..., Window], image: Path, interrupted: Path
) -> None:
    lock = Project.open(interrupted.parent).hold()
    opened = open_file(image)
    assert opened.session.keeper.going_on.found is None
    assert opened.session.keeper.pretraining(opened.session.image, btunet.PretrainSettings(), None) == {}
    lock.release()


@pytest.mark.parametrize("damage", [b"", b"x" * 99])
def test_a_broken_checkpoint_is_not_offered(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "pretraining.checkpoint"
    path.write_bytes(damage)
    left = path.with_name(f".{path.stem}.123.part{path.suffix}")
    left.write_bytes(b"x")
    going_on = GoingOn(print)
    going_on.look(path)
    assert going_on.found is None
    assert not left.exists()  # of a writing that was interrupted


def test_settings_that_no_version_writes_are_not_offered(tmp_path: Path) -> None:
    path = tmp_path / "pretraining.checkpoint"
    for about in ({}, {"batch": "many"}, {**btunet.PretrainSettings().as_dict(), "batch": -1}):
        Checkpoint(about, {"seconds": 3}, {"w": np.zeros(1)}).save(path)
        going_on = GoingOn(print)
        going_on.look(path)
        assert going_on.found is None
