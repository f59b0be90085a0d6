"""A fifth of the strokes is not learned before the model was judged by it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from btunet import FinetuneSettings, Model, Steer, finetune, run
from btunet.folds import FOLDS
from btunet.heldout import HeldOut
from btunet.labels import IGNORE, target_of_strokes
from btunet.learner import Learner
from btunet.patches import Annotations

SIDE = 128
QUICK = FinetuneSettings(steps=10, patch_size=48, batch=2)


def image() -> np.ndarray:
    """Return an image, dark on the left and bright on the right."""
    return np.random.default_rng(0).normal(0, 0.1, (SIDE, SIDE)) + (np.arange(SIDE) >= SIDE // 2)


def strokes(count: int) -> np.ndarray:
    values = np.zeros((SIDE, SIDE), np.uint8)
    for row in np.linspace(4, SIDE - 5, count).astype(int):
        values[row, 5:40], values[row, SIDE - 40 : SIDE - 5] = 1, 2
    return values


def test_with_fewer_than_five_strokes_of_a_class_everything_is_learned() -> None:
    target = target_of_strokes(strokes(FOLDS - 1))
    held_out = HeldOut({(0, 0): target})
    assert not held_out.is_on
    np.testing.assert_array_equal(held_out.learned(0, 0, target), target)


def test_a_fifth_of_the_strokes_of_each_class_is_kept_back() -> None:
    target = target_of_strokes(strokes(2 * FOLDS))
    held_out = HeldOut({(0, 0): target})
    learned = held_out.learned(0, 0, target)
    rows = [np.flatnonzero((target == k).any(1) & ~(learned == k).any(1)) for k in (0, 1)]
    assert [len(r) for r in rows] == [2, 2]


def test_a_plane_that_holds_nothing_else_is_unknown() -> None:
    first, second = target_of_strokes(strokes(FOLDS)), np.full((SIDE, SIDE), IGNORE, np.uint8)
    held_out = HeldOut({(0, 0): first})
    second[5, 5:40] = 1  # all folds have as many strokes, so it goes to the first, which is held out
    assert (held_out.learned(0, 1, second) == IGNORE).all()


def test_what_is_held_out_is_never_drawn_before_the_judgement_and_learned_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[np.ndarray] = []
    real = Learner.step

    def step(self: Learner, fraction: float) -> Mapping[str, float]:
        seen.append(self.annotations.targets[0, 0].copy())
        return real(self, fraction)

    monkeypatch.setattr(Learner, "step", step)
    values = strokes(FOLDS)
    model = run(finetune([image()], [values], QUICK, judged=True))
    records = model.history[-1]["held out"]
    assert sorted(r["class"] for r in records) == [0, 1]
    full = target_of_strokes(values)
    for record in records:
        row = record["pixel"] // SIDE
        assert full[row, record["pixel"] % SIDE] == record["class"]
        assert all((target[row][full[row] == record["class"]] == IGNORE).all() for target in seen[:8])
    assert len(seen) == 10
    assert not np.array_equal(seen[7], full)
    np.testing.assert_array_equal(seen[8], full)
    np.testing.assert_array_equal(seen[9], full)


def test_a_training_that_is_stopped_early_is_judged_too() -> None:
    model = run(finetune([image()], [strokes(FOLDS)], QUICK, judged=True), lambda p: p.step == 2)
    assert len(model.history[-1]["held out"]) == 2


def test_the_judgement_tells_right_from_wrong() -> None:
    """Around one held-out stroke of the object the image looks like background."""
    values, settings = strokes(FOLDS), FinetuneSettings(steps=20, patch_size=48, batch=4)
    good = run(finetune([image()], [values], settings, judged=True))
    assert all(r["right"] > 0.8 for r in good.history[-1]["held out"])
    row = next(r["pixel"] // SIDE for r in good.history[-1]["held out"] if r["class"] == 1)
    changed = image()
    changed[max(0, row - 10) : row + 10, SIDE // 2 :] -= 1
    bad = run(finetune([changed], [values], settings, judged=True))
    rights = {r["class"]: r["right"] for r in bad.history[-1]["held out"]}
    assert rights[0] > 0.8
    assert rights[1] < 0.3


def test_strokes_painted_meanwhile_are_dealt_too() -> None:
    values = strokes(FOLDS)
    task = finetune([image()], [values], QUICK, judged=True)
    while next(task).step < 2:
        pass
    more = np.maximum(values, np.roll(strokes(FOLDS), 12, 0))
    task.send(Steer(strokes={0: {0: more}}))
    with pytest.raises(StopIteration) as end:
        while True:
            next(task)
    model: Model = end.value.value
    assert len(model.history[-1]["held out"]) >= 4


def test_a_judged_training_with_masks_keeps_nothing_back() -> None:
    mask = (strokes(FOLDS) == 2).astype(np.uint8)
    model = run(finetune([image()], [mask], QUICK, dense=True, judged=True))
    assert "held out" not in model.history[-1]


def test_erasing_a_plane_leaves_nothing_of_it() -> None:
    target = target_of_strokes(strokes(FOLDS))
    held_out, annotations = HeldOut({(0, 0): target}), Annotations()
    annotations.put(0, 0, held_out.learned(0, 0, np.full_like(target, IGNORE)))
    assert annotations.targets == {}
