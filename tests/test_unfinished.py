import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from btunet import Model, Stack, as_stack
from btunet.unfinished import Finished, Unfinished, checksum, fingerprint_of_image, fingerprint_of_model

LIKE = Stack(np.zeros((3, 100, 250), np.uint8), "ZYX")
ABOUT = {"model": "m", "tile": 5}


@pytest.fixture
def journal(tmp_path: Path) -> Callable[..., Unfinished]:
    return lambda about=ABOUT: Unfinished(tmp_path / "a.zarr", about, LIKE, 40)


def begun(journal: Callable[..., Unfinished]) -> Unfinished:
    found = journal()
    found.folder.mkdir()
    found.begin()
    return found


def test_what_was_noted_is_known_again(journal: Any) -> None:
    first, part = begun(journal), np.arange(9, dtype=np.uint8)
    assert first.folder.name == ".a.zarr.part"
    first.note(1, slice(0, 80), slice(0, 120), [part, part.astype(np.float32)])
    first.note(1, slice(0, 40), slice(120, 250), [part, part])
    again = journal()
    assert not again.is_new
    for found in (first, again):
        assert found.first(0, slice(0, 250)) == 0
        assert found.first(1, slice(0, 120)) == found.first(1, slice(40, 80)) == 80
        assert found.first(1, slice(0, 250)) == found.first(1, slice(120, 250)) == 40
    (plane, y, x, sums), _ = again.entries()
    assert (plane, y, x) == (1, slice(0, 80), slice(0, 120))
    assert sums == [checksum(part), checksum(part.astype(np.float32))]


def test_a_plane_is_done_when_its_last_rows_are(journal: Any) -> None:
    found = begun(journal)
    found.note(2, slice(0, 80), slice(0, 250), [])
    found.note(2, slice(80, 100), slice(0, 250), [])
    assert journal().first(2, slice(0, 250)) >= 100


def test_a_hole_is_filled(journal: Any) -> None:
    found = begun(journal)
    found.note(0, slice(40, 80), slice(0, 250), [])
    assert found.first(0, slice(0, 250)) == 0


@pytest.mark.parametrize("about", [{"model": "n", "tile": 5}, {"model": "m", "tile": 6}, {"model": "m"}])
def test_what_is_about_something_else_is_new(journal: Any, about: dict[str, Any]) -> None:
    begun(journal).note(0, slice(0, 100), slice(0, 250), [])
    found = journal(about)
    assert found.is_new and found.first(0, slice(0, 250)) == 0


@pytest.mark.parametrize("rest", ["", "\n", "\n[0, 40, 80, 0, 2", "\n[0, 40, 80, 0, 250, 12345", "\n\x00\x00"])
def test_a_line_that_was_cut_off_is_not_there(journal: Any, rest: str) -> None:
    found = begun(journal)
    found.note(0, slice(0, 40), slice(0, 250), [])
    with (found.folder / "journal").open("a") as file:
        file.write(rest)
    found = journal()
    assert not found.is_new and found.first(0, slice(0, 250)) == 40
    found.note(0, slice(40, 80), slice(0, 250), [])
    assert journal().first(0, slice(0, 250)) == 80


@pytest.mark.parametrize("text", ["", "{", "nothing", '{"model": "m"'])
def test_a_journal_that_is_none_is_new(journal: Any, text: str) -> None:
    (begun(journal).folder / "journal").write_text(text)
    assert journal().is_new


def test_what_is_discarded_is_gone(journal: Any, tmp_path: Path) -> None:
    begun(journal).discard()
    assert list(tmp_path.iterdir()) == [] and journal().is_new


def test_any_part_of_a_model_changes_its_fingerprint(lively: Any, model_of: Any) -> None:
    model = model_of(lively())
    weights = {k: w.copy() for k, w in model.weights.items()}
    weights["head.bias"][0] = np.nextafter(weights["head.bias"][0], 9, dtype=np.float32)
    others = [
        Model(model.network, 1, model.classes, weights, history=model.history),
        Model(model.network, 1, ("background", "a", "b"), model.weights, history=model.history),
        Model(model.network, 1, model.classes, model.weights),
    ]
    found = [fingerprint_of_model(m) for m in (model, *others)]
    assert len(set(found)) == 4
    assert found[0] == fingerprint_of_model(
        Model(model.network, 1, model.classes, model.weights, history=model.history)
    )


def test_a_file_that_changed_changes_the_fingerprint_of_its_image(tmp_path: Path) -> None:
    folder = tmp_path / "a.zarr"
    (folder / "0").mkdir(parents=True)
    chunk = folder / "0" / "c"
    found = []
    for content, time in ((b"a", 1), (b"a", 1), (b"b", 2), (b"bb", 2)):
        chunk.write_bytes(content)
        os.utime(chunk, (time, time))
        found.append(fingerprint_of_image(Stack(LIKE.data, "ZYX", path=folder)))
    assert found[0] == found[1] and len(set(found)) == 3


def test_without_a_file_its_values_do(rng: np.random.Generator) -> None:
    data = rng.random((3, 50, 60))
    assert fingerprint_of_image(as_stack(data)) == fingerprint_of_image(as_stack(data.copy()))
    assert fingerprint_of_image(as_stack(data)) != fingerprint_of_image(as_stack(data * 2))
    assert fingerprint_of_image(as_stack(data)) != fingerprint_of_image(as_stack(data, "CYX"))


def test_what_is_finished_is_known_until_a_file_changes(tmp_path: Path) -> None:
    files = [tmp_path / "a.tif", tmp_path / "b.tif"]
    for file in files:
        file.write_bytes(b"a")
    finished = Finished(tmp_path)
    assert finished.files("what") == []
    finished.note("what", files)
    assert Finished(tmp_path).files("what") == files
    assert Finished(tmp_path).files("else") == []
    files[1].write_bytes(b"other")
    assert Finished(tmp_path).files("what") == []
    files[1].unlink()
    assert Finished(tmp_path).files("what") == []
    finished.discard()
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]
