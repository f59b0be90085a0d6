"""Every stroke is answered: the plane in sight first, then how good the answer is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from btunet.answering import PART, answer
from btunet.honest import ENOUGH
from btunet.parts import Parts
from btunet.task import Progress, Reply, Steer, Task

CLASSES = ("background", "object")


def halves(height: int = 150, width: int = 200, planes: int = 1) -> np.ndarray:
    """Return planes that are dark on the left and bright on the right."""
    rng = np.random.default_rng(0)
    return rng.normal(0, 0.1, (planes, height, width)) + (np.arange(width) >= width // 2)


def strokes_on(image: np.ndarray, count: int) -> np.ndarray:
    """Return strokes of both classes on one plane."""
    height, width = image.shape[-2:]
    values = np.zeros((height, width), np.uint8)
    for row in np.linspace(5, height - 6, count).astype(int):
        values[row, 5:40], values[row, width - 40 : width - 5] = 1, 2
    return values


def until(task: Task[None], what: Callable[[Progress], bool], reply: Reply = None, most: int = 200) -> list[Progress]:
    """Run the task until something is said and return all that was."""
    said = [task.send(reply) if reply else next(task)]
    while not what(said[-1]):
        assert len(said) < most
        said.append(next(task))
    return said


def assembled(said: list[Progress], shape: tuple[int, ...], plane: int = 0) -> np.ndarray:
    """Return the plane that the parts make up; 9 where nothing was shown."""
    mask = np.full(shape[-2:], 9, np.uint8)
    for part in (p for progress in said for p in progress.planes):
        assert (part.image, part.plane) == (0, plane)
        (y, x), (height, width) = part.corner, part.mask.shape
        mask[y : y + height, x : x + width] = part.mask
    return mask


def agreement(mask: np.ndarray) -> float:
    width = mask.shape[1]
    return float((mask == (np.arange(width) >= width // 2)).mean())


def test_the_plane_in_sight_is_shown_whole_and_then_judged() -> None:
    image = halves()
    task = answer([image[0]], [strokes_on(image, ENOUGH + 1)], CLASSES, (0, 0))
    said = until(task, lambda p: p.estimates is not None)
    assert agreement(assembled(said, image.shape)) > 0.97
    found = (said[-1].estimates or {})[1]
    assert found.low < 0.98 < found.high
    assert found.strokes == ENOUGH + 1
    assert [p.planes != () for p in said].index(True) == 0  # nothing comes before the first part
    task.close()


def test_a_large_plane_comes_in_parts_that_show_no_seam_those_near_the_strokes_first() -> None:
    image = halves(PART + 100, 2 * PART + 40)
    values = np.zeros(image.shape[1:], np.uint8)
    values[PART + 50, 10:60], values[PART + 50, -60:-10], values[PART + 80, -60:-10] = 1, 2, 2
    task = answer([image[0]], [values], CLASSES, (0, 0))
    said = until(task, lambda p: p.estimates is not None)
    parts = [part for progress in said for part in progress.planes]
    assert parts[0].corner == (PART, 2 * PART)
    assert len(parts) == 6
    mask = assembled(said, image.shape)
    assert agreement(mask) > 0.97
    assert (mask != 9).all()
    task.close()


def test_nothing_is_said_before_two_classes_are_painted_and_something_as_soon_as_they_are() -> None:
    image = halves()
    values = strokes_on(image, 2)
    only = np.where(values == 1, values, 0).astype(np.uint8)
    task = answer([image[0]], [only], CLASSES, (0, 0))
    assert next(task).planes == ()
    assert next(task).planes == ()
    assert task.send(Steer(strokes={0: {0: values}})).planes
    task.close()


def test_a_further_stroke_is_answered_before_the_old_answer_is_judged() -> None:
    image = halves()
    values = strokes_on(image, ENOUGH)
    task = answer([image[0]], [values], CLASSES, (0, 0))
    first = next(task)
    swapped = np.select([values == 1, values == 2], [2, 1], 0).astype(np.uint8)
    second = task.send(Steer(strokes={0: {0: swapped}}))
    assert first.planes and second.planes
    assert second.step == first.step + 1
    assert agreement(first.planes[0].mask) > 0.9
    assert agreement(second.planes[0].mask) < 0.1
    task.close()


def test_another_plane_is_shown_when_the_user_goes_there() -> None:
    image = halves(planes=3)
    task = answer([image], [{0: strokes_on(image, 2)}], CLASSES, (0, 0))
    until(task, lambda p: p.estimates is not None)
    said = until(task, lambda p: bool(p.planes), Steer(look_at=(0, 2)))
    assert agreement(assembled(said, image.shape, plane=2)) > 0.97
    assert said[-1].step == 1  # no stroke, so nothing was learned anew
    task.close()


def test_too_few_strokes_are_shown_but_not_judged() -> None:
    image = halves()
    task = answer([image[0]], [strokes_on(image, ENOUGH - 1)], CLASSES, (0, 0))
    assert until(task, lambda p: p.estimates is not None)[-1].estimates == {}
    task.close()


def test_when_a_class_is_erased_it_waits() -> None:
    image = halves()
    values = strokes_on(image, 2)
    task = answer([image[0]], [values], CLASSES, (0, 0))
    until(task, lambda p: p.estimates is not None)
    assert task.send(Steer(strokes={0: {0: np.where(values == 2, 2, 0)}})).planes == ()
    assert task.send(Steer(look_at=(0, 0))).planes == ()
    assert task.send(Steer(strokes={0: {0: values}})).planes
    task.close()


def test_it_ends_when_it_is_told_to() -> None:
    image = halves()
    task = answer([image[0]], [strokes_on(image, 2)], CLASSES, (0, 0))
    next(task)
    with pytest.raises(StopIteration):
        task.send(True)


def test_strokes_of_a_class_without_a_name_are_passed_over() -> None:
    image = halves()
    values = strokes_on(image, 2)
    values[70:80, 90:110] = 7
    task = answer([image[0]], [values], CLASSES, (0, 0))
    assert set(np.unique(assembled([next(task)], image.shape))) == {0, 1}
    task.close()


def test_an_image_smaller_than_a_window_is_answered_and_judged() -> None:
    image = halves(60, 90)
    task = answer([image[0]], [strokes_on(image, ENOUGH)], CLASSES, (0, 0))
    said = until(task, lambda p: p.estimates is not None)
    assert agreement(assembled(said, image.shape)) > 0.95
    task.close()


def test_the_same_strokes_give_the_same_answer_however_they_came() -> None:
    """What is remembered of tiles changes nothing."""
    image = halves()
    few, all_ = strokes_on(image, 2), strokes_on(image, 4)
    at_once = until(answer([image[0]], [all_], CLASSES, (0, 0)), lambda p: bool(p.planes))[-1]
    task = answer([image[0]], [few], CLASSES, (0, 0))
    next(task)
    later = task.send(Steer(strokes={0: {0: all_}}))
    np.testing.assert_array_equal(at_once.planes[0].mask, later.planes[0].mask)


def test_what_is_in_sight_is_looked_at_before_the_second_class_and_not_again(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    real = Parts._features
    monkeypatch.setattr(Parts, "_features", lambda *given: looked.append(given[2][1]) or real(*given))  # type: ignore[func-returns-value]
    image = halves(planes=2)
    values = strokes_on(image, 2)
    task = answer([image], [{0: np.where(values == 1, 1, 0)}], CLASSES, (0, 0))
    until(task, lambda p: p.spots is not None, most=500)
    task.send(Steer((0, 1)))
    next(task)
    assert looked == [0, 1]
    said = until(task, lambda p: bool(p.planes), Steer((0, 0), {0: {0: values}}))
    assert agreement(assembled(said, image.shape)) > 0.97
    assert looked == [0, 1]
    task.close()
