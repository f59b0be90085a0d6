import os
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btunet import BtunetError, journal
from btunet.journal import HEAD, MARKER, Block, Journal, changes

SHAPE = (24, 32)
PLANES = 3


def painted(count: int, seed: int = 0) -> Iterator[tuple[Block, dict[int, np.ndarray]]]:
    """Yield random changes, and what all planes look like after each."""
    rng = np.random.default_rng(seed)
    planes: dict[int, np.ndarray] = {}
    for _ in range(count):
        plane, y, x = int(rng.integers(PLANES)), int(rng.integers(20)), int(rng.integers(28))
        values = rng.integers(0, 4, (int(rng.integers(1, 5)), int(rng.integers(1, 5)))).astype(np.uint8)
        planes = {**planes, plane: planes.get(plane, np.zeros(SHAPE, np.uint8)).copy()}
        planes[plane][y : y + values.shape[0], x : x + values.shape[1]] = values
        yield Block(plane, y, x, values), planes


def of(path: Path) -> Journal:
    return Journal(path, PLANES, SHAPE)


def same(found: object, expected: object) -> bool:
    assert isinstance(found, dict) and isinstance(expected, dict)
    return found.keys() == expected.keys() and all(np.array_equal(found[k], expected[k]) for k in found)


def test_what_was_appended_is_replayed(tmp_path: Path) -> None:
    kept = of(tmp_path / "a.journal")
    told = list(painted(20))
    for block, _ in told:
        kept.append([block])
    found = of(kept.path).replay()
    assert same(found.planes, told[-1][1])
    assert (found.number, found.damaged, kept.number) == (20, 0, 20)


def test_a_journal_that_is_absent_or_empty_holds_nothing(tmp_path: Path) -> None:
    assert of(tmp_path / "absent").replay() == journal.Replayed({}, 0, 0)
    (tmp_path / "empty").touch()
    assert of(tmp_path / "empty").replay() == journal.Replayed({}, 0, 0)


def test_cut_off_anywhere_it_holds_every_whole_record_before(tmp_path: Path) -> None:
    kept, ends, states = of(tmp_path / "a"), [0], [{}]
    for block, planes in painted(6):
        kept.append([block])
        ends.append(kept.path.stat().st_size)
        states.append(planes)
    whole = kept.path.read_bytes()
    for length in range(len(whole)):
        kept.path.write_bytes(whole[:length])
        last = max(i for i, end in enumerate(ends) if end <= length)
        found = of(kept.path).replay()
        assert same(found.planes, states[last]), length
        assert found.damaged == length - ends[last]


def test_what_is_appended_after_a_torn_record_is_found(tmp_path: Path) -> None:
    (first, _), (second, planes) = painted(2)
    kept = of(tmp_path / "a")
    kept.append([first])
    length = kept.path.stat().st_size
    kept.append([Block(0, 0, 0, np.full((9, 9), 3, np.uint8))])
    os.truncate(kept.path, kept.path.stat().st_size - 3)
    again = of(kept.path)
    assert again.replay().damaged == kept.path.stat().st_size - length
    again.append([second])
    assert same(of(kept.path).replay().planes, planes)


def test_a_damaged_record_costs_only_itself(tmp_path: Path) -> None:
    kept = of(tmp_path / "a")
    blocks = [Block(i, 2, 3, np.full((4, 5), i + 1, np.uint8)) for i in range(PLANES)]
    kept.append(blocks)
    whole = bytearray(kept.path.read_bytes())
    second = whole.find(MARKER, 1)
    for at in range(second, whole.find(MARKER, second + 1)):
        bad = whole.copy()
        bad[at] ^= 0x55
        kept.path.write_bytes(bad)
        assert set(of(kept.path).replay().planes) == {0, 2}, at


@settings(max_examples=60, deadline=None)
@given(noise=st.binary(max_size=200), at=st.integers(0, 400), cut=st.integers(0, 60))
def test_no_bytes_make_it_fail_or_invent_strokes(
    noise: bytes, at: int, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kept = of(tmp_path_factory.mktemp("journal") / "a")
    *_, (_, planes) = list(painted(5))
    kept.append([block for block, _ in painted(5)])
    whole = kept.path.read_bytes()
    kept.path.write_bytes(whole[:at] + noise + whole[at + cut :])
    found = of(kept.path).replay()
    assert set(found.planes) <= set(planes)
    assert all(plane.shape == SHAPE and plane.max() < 4 for plane in found.planes.values())


def test_records_that_do_not_fit_the_image_are_left_out(tmp_path: Path) -> None:
    wide = Journal(tmp_path / "a", 9, (100, 100))
    wide.append([Block(8, 0, 0, np.ones((2, 2), np.uint8)), Block(0, 90, 0, np.ones((2, 2), np.uint8))])
    assert of(wide.path).replay().planes == {}


def test_a_record_that_claims_a_huge_block_allocates_nothing(tmp_path: Path) -> None:
    head = HEAD.pack(MARKER, 0, 4, 1, 0, 0, 0, 2**31, 2**31, 0)
    (tmp_path / "a").write_bytes(head + b"abcd")
    assert of(tmp_path / "a").replay().planes == {}


def test_values_that_unpack_to_more_than_they_may_are_left_out(tmp_path: Path) -> None:
    import zlib

    bomb = zlib.compress(bytes(2**20))
    head = HEAD.pack(MARKER, 0, len(bomb), 1, 0, 0, 0, 2, 2, 0)
    checksum = struct.pack("<I", zlib.crc32(bomb, zlib.crc32(head[8:])))
    (tmp_path / "a").write_bytes(MARKER + checksum + head[8:] + bomb)
    assert of(tmp_path / "a").replay().planes == {}


@pytest.mark.parametrize(("value", "dtype"), [(255, "<u1"), (256, "<u2"), (70_000, "<u4"), (-1, "<i8")])
def test_any_label_comes_back(value: int, dtype: str, tmp_path: Path) -> None:
    kept = of(tmp_path / "a")
    kept.append([Block(0, 0, 0, np.array([[value, 0]]))])
    found = of(kept.path).replay().planes[0]
    assert found[0, 0] == value
    assert found.dtype == dtype


def test_the_smallest_block_is_what_changed() -> None:
    before = np.zeros(SHAPE, np.uint8)
    before[3:9, 4:9] = 2
    now = before.copy()
    now[5, 6], now[7, 5] = 0, 1
    block = changes(1, before, now)
    assert block is not None
    assert (block.plane, block.y, block.x, block.values.shape) == (1, 5, 5, (3, 2))
    assert changes(1, now, now) is None
    assert changes(1, None, np.zeros(SHAPE)) is None


def test_a_long_journal_is_written_anew_and_holds_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "BLOATED", 1000)
    kept = of(tmp_path / "a")
    for block, _ in painted(100):
        kept.append([block])
    before, size = kept.replay(), kept.path.stat().st_size
    assert kept.compact(before)
    after = of(kept.path).replay()
    assert same(after.planes, before.planes)
    assert (after.number, kept.is_disturbed) == (100, False)
    assert kept.path.stat().st_size < size / 4
    assert not kept.compact(after)  # nothing to win


def test_somebody_else_at_the_file_is_noticed(tmp_path: Path) -> None:
    kept, block = of(tmp_path / "a"), Block(0, 0, 0, np.ones((2, 2), np.uint8))
    kept.append([block])
    kept.append([block])
    assert not kept.is_disturbed
    kept.path.unlink()
    kept.append([block])
    assert kept.is_disturbed


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BtunetError, match="cannot be written"):
        of(tmp_path / "file" / "a").append([Block(0, 0, 0, np.ones((2, 2), np.uint8))])
    with pytest.raises(BtunetError, match="cannot be read"):
        of(tmp_path).replay()
