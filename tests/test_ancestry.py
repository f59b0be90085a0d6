"""A model that is trained further is judged by nothing that it, or what it was made from, had learned."""

from __future__ import annotations

import numpy as np

from btunet import FinetuneSettings, Model, compare, finetune, run
from btunet.ancestry import Ancestry, marks
from btunet.folds import GAP, Folds
from btunet.heldout import FOLD
from btunet.labels import IGNORE

SIDE = 128
QUICK = FinetuneSettings(steps=10, patch_size=48, batch=2)


def target(*rows: int) -> np.ndarray:
    """Return a plane with a stroke of each class in some rows."""
    values = np.full((SIDE, SIDE), IGNORE, np.uint8)
    for row in rows:
        values[row, 5:40], values[row, SIDE - 40 : SIDE - 5] = 0, 1
    return values


def learned(*rows: int, name: str = "a", verb: str = "finetune") -> Model:
    record = {"verb": verb, "learned": marks({(0, 0): target(*rows)}, [name])}
    return Model("unet", 1, ("background", "object"), {}, history=(record,))


def strokes(*rows: int) -> Folds:
    folds = Folds()
    folds.deal(0, 0, target(*rows))
    return folds


def test_a_stroke_and_what_lies_in_its_gap_is_known_and_nothing_else() -> None:
    before = Ancestry(learned(20), ["a"])
    for row, is_known in ((20, True), (20 + GAP, True), (21 + GAP, False), (100, False)):
        assert all(before.knows(s, (SIDE, SIDE)) == is_known for s in strokes(row).strokes), row


def test_other_images_planes_and_models_are_not_known() -> None:
    stroke = strokes(20).strokes[0]
    assert not Ancestry(learned(20), ["b"]).knows(stroke, (SIDE, SIDE))
    assert not Ancestry(None, ["a"]).knows(stroke, (SIDE, SIDE))
    assert not Ancestry(learned(20, verb="pretrain"), ["a"]).knows(stroke, (SIDE, SIDE))
    assert not Ancestry(learned(20), ["a"]).knows(stroke.__class__(0, 1, 0, 0, stroke.pixels), (SIDE, SIDE))


def test_a_model_that_does_not_tell_what_it_learned_may_know_everything() -> None:
    silent = Model("unet", 1, ("a", "b"), {}, history=({"verb": "finetune", "dense": True},))
    assert all(Ancestry(silent, ["a"]).knows(s, (SIDE, SIDE)) for s in strokes(20).strokes)


def test_strokes_of_a_larger_plane_do_not_disturb() -> None:
    assert not Ancestry(learned(120), ["a"]).knows(strokes(5).strokes[0], (60, SIDE))


def image() -> np.ndarray:
    """Return an image, dark on the left and bright on the right."""
    return np.random.default_rng(0).normal(0, 0.1, (SIDE, SIDE)) + (np.arange(SIDE) >= SIDE // 2)


def painted(*rows: int) -> np.ndarray:
    return (target(*rows) + 1).astype(np.uint8)  # 255 becomes 0


def test_a_model_trained_further_is_judged_before_and_after_by_new_strokes_only() -> None:
    old, new = (5, 18, 31, 44, 57), (70, 83, 96, 109, 122)
    first = run(finetune([image()], [painted(*old)], QUICK, judged=True))
    assert len(first.history[-1]["learned"]) == 10
    again = run(finetune([image()], [painted(*old)], QUICK, judged=True, start_from=first))
    assert "held out" not in again.history[-1]
    assert compare(again, first) is None
    further = run(finetune([image()], [painted(*old, *new)], QUICK, judged=True, start_from=first))
    record = further.history[-1]
    rows = {r["pixel"] // SIDE for r in record["held out"]}
    assert rows and rows <= set(new)
    assert len(record["held out before"]) == len(record["held out"])
    held = {s.pixels[0] // SIDE for s in strokes(*old, *new).of(FOLD)}
    assert rows == held & set(new)
    assert [r["verb"] for r in further.history] == ["finetune", "finetune"]
