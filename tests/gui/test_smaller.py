"""What ended for lack of memory can be begun again with a smaller batch, by one click."""

from collections.abc import Callable
from typing import Any

import psutil
import pytest

import btunet

from .conftest import Window, children, discs


@pytest.fixture
def painted(window: Callable[..., Window]) -> Window:
    opened = window(discs())
    opened.annotate()
    return opened


def starts(opened: Window, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Note with what settings fine-tuning begins from now on, without beginning it."""
    begun: list[Any] = []
    monkeypatch.setattr(opened.session, "finetune", begun.append)
    return begun


def end(opened: Window, title: str, error: Exception) -> None:
    """Let a job begin and fail."""

    def task() -> btunet.Task[Any]:
        yield btunet.Progress("training", 1, 2)
        raise error

    opened.session._begin(title, [opened.session.image], task())
    opened.wait(lambda: not opened.session.doing)


def test_a_training_process_that_is_killed_is_begun_again_with_half_the_batch(
    painted: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = children()
    painted.panel.finetune_form.container.batch.value = 6
    painted.click("finetune_button")
    painted.wait(lambda: children() - before)
    for child in children() - before:
        psutil.Process(child).kill()
    painted.wait(lambda: not painted.session.doing)
    assert "most likely for lack of memory" in painted.errors[0]
    assert not painted.panel.smaller_button.isHidden()
    assert painted.panel.smaller_button.text() == "Begin again with 3 instead of 6 patches per step"
    begun = starts(painted, monkeypatch)
    painted.panel.smaller_button.click()
    assert [settings.batch for settings in begun] == [3]
    assert painted.panel.finetune_form.container.batch.value == 3  # it is shown, and stays


def test_it_is_offered_as_long_as_nothing_else_begins(painted: Window) -> None:
    end(painted, "finetune", btunet.OutOfMemory("there is not enough memory"))
    assert not painted.panel.smaller_button.isHidden()
    end(painted, "finetune", btunet.BtunetError("the disk is full"))
    assert painted.panel.smaller_button.isHidden()


@pytest.mark.parametrize(
    ("title", "error"),
    [("finetune", btunet.Died("it ended unexpectedly")), ("predict", btunet.OutOfMemory("there is not enough"))],
)
def test_it_is_not_offered_where_it_would_not_help(painted: Window, title: str, error: Exception) -> None:
    end(painted, title, error)
    assert painted.panel.smaller_button.isHidden()


def test_it_is_not_offered_below_the_smallest_batch(painted: Window) -> None:
    painted.panel.pretrain_form.container.batch.value = 4
    end(painted, "pretrain", btunet.OutOfMemory("there is not enough memory"))
    assert painted.panel.smaller_button.isHidden()
