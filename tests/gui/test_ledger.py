"""What changed in a strokes layer is told once and exactly, whatever changed it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from napari.layers import Labels

from btunet.journal import Block
from napari_btunet._ledger import Ledger


@pytest.fixture
def layer() -> Labels:
    made = Labels(np.zeros((4, 40, 50), np.uint8))
    made.brush_size = 5
    return made


def put(image: np.ndarray, blocks: list[Block]) -> np.ndarray:
    """Return what somebody has who had an image and was told blocks."""
    image = image.copy()
    for block in blocks:
        rows, columns = block.values.shape
        image[block.plane, block.y : block.y + rows, block.x : block.x + columns] = block.values
    return image


def replaced(layer: Labels) -> None:
    layer.data = np.where(layer.data == 1, 2, layer.data).astype(np.uint8)


ACTS: list[Callable[[Labels], object]] = [
    lambda layer: layer.paint((0, 9, 9), 1),
    lambda layer: layer.paint((0, 9, 12), 2),
    lambda layer: layer.undo(),
    lambda layer: layer.redo(),
    lambda layer: layer.paint((3, 0, 0), 1),
    lambda layer: layer.fill((1, 20, 20), 2),
    lambda layer: layer.undo(),
    lambda layer: layer.undo(),
    lambda layer: layer.data_setitem((np.array([2, 0]), np.array([39, 1]), np.array([49, 2])), np.array([1, 2])),
    lambda layer: layer.paint((0, 9, 9), 0),
    replaced,
    lambda layer: setattr(layer, "n_edit_dimensions", 3),
    lambda layer: layer.paint((2, 20, 30), 2),
    lambda layer: layer.undo(),
]


def test_blocks_bring_a_copy_up_to_date_after_every_act(layer: Labels) -> None:
    ledger, copy = Ledger(layer, scan=False), np.zeros_like(layer.data)
    for number, act in enumerate(ACTS):
        act(layer)
        while not ledger.is_settled:
            copy = put(copy, ledger.blocks())
        assert np.array_equal(copy, layer.data), number
        assert ledger.blocks() == []


def test_planes_that_changed_are_told_after_every_act(layer: Labels) -> None:
    ledger, copy = Ledger(layer, scan=False), np.zeros_like(layer.data)
    for number, act in enumerate(ACTS):
        act(layer)
        before = copy.copy()
        for plane, strokes in ledger.take().items():
            copy[plane] = strokes
            assert not np.array_equal(strokes, before[plane]), number
        assert np.array_equal(copy, layer.data), number
    assert ledger.all().keys() == {p for p in range(4) if layer.data[p].any()}


def test_what_others_write_into_the_array_is_told_too(layer: Labels) -> None:
    kept, sent = Ledger(layer, scan=False), Ledger(layer, scan=False)
    layer.data[2, 3:5] = 1
    layer.refresh()
    assert [(block.plane, block.values.shape) for block in kept.blocks()] == [(2, (2, 50))]
    assert kept.blocks() == []
    assert set(sent.all()) == {2}


def test_a_stroke_is_told_as_the_box_it_changed(layer: Labels) -> None:
    ledger = Ledger(layer, scan=False)
    layer.paint((1, 20, 20), 1)
    ledger.blocks()
    layer.paint((1, 20, 24), 1)
    (block,) = ledger.blocks()
    assert (block.plane, block.values.shape[0] <= 5, block.values.shape[1] <= 5) == (1, True, True)
    assert block.x > 20  # what was there before is not told again


def test_what_was_taken_is_not_what_the_layer_holds(layer: Labels) -> None:
    ledger = Ledger(layer, scan=False)
    layer.paint((1, 20, 20), 1)
    before = ledger.take()[1].copy()
    (kept,) = ledger.all().values()
    layer.paint((1, 5, 5), 2)
    assert np.array_equal(kept, before)


def test_two_ledgers_that_begin_with_the_same_do_not_disturb_each_other(layer: Labels) -> None:
    planes = {1: np.zeros((40, 50), np.uint8)}
    one, other = Ledger(layer, scan=False), Ledger(layer, scan=False)
    one.begin_with(planes)
    other.begin_with(planes)
    layer.paint((1, 20, 20), 1)
    assert one.blocks() and other.take()
    assert not planes[1].any()


def test_a_layer_that_was_painted_before_is_told_whole(layer: Labels) -> None:
    layer.paint((2, 20, 20), 1)
    assert [block.plane for block in Ledger(layer, scan=True).blocks()] == [2]
    assert Ledger(layer, scan=False).blocks() == []


def test_data_of_another_shape_or_type_is_told_anew(layer: Labels) -> None:
    ledger = Ledger(layer, scan=False)
    layer.paint((1, 20, 20), 1)
    ledger.blocks()
    layer.data = np.ones((2, 30, 30), np.int32)
    assert [block.values.shape for block in ledger.blocks()] == [(30, 30), (30, 30)]


def test_looking_for_undone_strokes_ends_in_time(layer: Labels, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(layer, scan=False)
    for plane in range(4):
        layer.paint((plane, 20, 20), 1)
    ledger.take()
    layer.undo()
    assert not ledger.is_settled
    assert ledger.take(patience=-1) == {}
    assert not ledger.is_settled  # nothing was looked at, and nothing is forgotten
    assert set(ledger.take()) == {3}


def test_small_numbers_of_before_leave_room_for_large_ones() -> None:
    layer = Labels(np.zeros((1, 8, 8), np.uint16))
    ledger = Ledger(layer, scan=False)
    ledger.begin_with({0: np.zeros((8, 8), np.uint8)})
    ledger.blocks()
    for value in (300, 300 - 256):
        layer.data_setitem(tuple(np.array([n]) for n in (0, 5, 5)), value, refresh=False)
        (block,) = ledger.blocks()
        assert block.values.item() == value


def tall() -> tuple[Labels, Ledger]:
    """Return a layer whose plane is compared in bands, with a stroke that crosses them, taken down, then undone."""
    layer = Labels(np.zeros((4096, 512), np.uint8))
    ledger = Ledger(layer, scan=False)
    layer.data_setitem((np.arange(4096), np.full(4096, 7)), 1)
    ledger.blocks()
    layer.undo()
    return layer, ledger


@pytest.fixture
def slow_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every look at the clock take a second."""
    clock = iter(range(10_000))
    monkeypatch.setattr("napari_btunet._ledger.time.perf_counter", lambda: next(clock))


def test_a_stroke_that_was_undone_is_told_at_once_however_many_turns_it_is_looked_for(slow_clock: None) -> None:
    _, ledger = tall()
    turns, found = 0, list[Block]()
    while not found and turns < 99:
        found, turns = ledger.blocks(patience=1.5), turns + 1  # one band
    assert turns > 1
    assert [(block.y, block.x, block.values.shape, block.values.any()) for block in found] == [(0, 7, (4096, 1), False)]
    assert ledger.is_settled


def test_a_window_that_redraws_all_the_time_does_not_keep_an_undone_stroke_from_being_told(slow_clock: None) -> None:
    layer, ledger = tall()
    copy = np.ones((1, 4096, 512), np.uint8) * (np.arange(512) == 7)
    for _ in range(60):
        layer.refresh()
        copy = put(copy, ledger.blocks(patience=1.5))  # one band
    assert not copy.any()
