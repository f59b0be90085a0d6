"""What holds for any strokes, any project and any image: what is written comes back. And what was once hard to read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import fuzz
from btunet import journal, read
from btunet.journal import Block, Journal
from btunet.project import FILE, Project
from btunet.records import ImageRecord

from .test_mutations import JSON, answered

PLANES, SHAPE = 3, (12, 16)
few = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@st.composite
def blocks(draw: Any) -> Block:
    """Any part of any plane, of any type of whole number."""
    kind = draw(st.sampled_from(["u1", "u2", "i4", "i8", "?"]))
    height, width = draw(st.integers(1, SHAPE[0])), draw(st.integers(1, SHAPE[1]))
    y, x = draw(st.integers(0, SHAPE[0] - height)), draw(st.integers(0, SHAPE[1] - width))
    values = st.booleans() if kind == "?" else st.integers(0, min(2**40, np.iinfo(kind).max))
    return Block(draw(st.integers(0, PLANES - 1)), y, x, draw(arrays(kind, (height, width), elements=values)))


@few
@given(told=st.lists(st.lists(blocks(), max_size=3), max_size=6), reopened=st.booleans(), short=st.booleans())
def test_any_strokes_come_back_from_a_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[list[Block]], reopened: bool, short: bool
) -> None:
    path = tmp_path / "a.journal"
    path.unlink(missing_ok=True)
    kept, expected = Journal(path, PLANES, SHAPE), np.zeros((PLANES, *SHAPE), np.int64)
    monkeypatch.setattr(journal, "BLOATED", 0 if short else 2**22)
    for each in told:
        if reopened:  # by another window, which writes it anew where that is worth it
            kept = Journal(path, PLANES, SHAPE)
            kept.compact(kept.replay())
        kept.append(each)
        for block in each:
            rows, columns = block.values.shape
            expected[block.plane, block.y : block.y + rows, block.x : block.x + columns] = block.values
    found = Journal(path, PLANES, SHAPE).replay()
    assert found.damaged == 0
    for plane in range(PLANES):
        assert np.array_equal(found.planes.get(plane, np.zeros(SHAPE)), expected[plane])


names = st.text(min_size=1, max_size=12)
records = st.builds(
    lambda path, name, axes, side: ImageRecord(path, name, axes, (side,) * len(axes), "uint8"),
    names.filter(lambda text: "\0" not in text),
    names,
    st.sampled_from(["YX", "ZYX", "TZYX", "YXS", "CYX"]),
    st.integers(1, 2**31),
)


@few
@given(
    classes=st.lists(names, min_size=2, max_size=5),
    images=st.lists(records, max_size=4),
    present=st.integers(0, 9999),
    strokes=st.integers(0, 2**40),
    seconds=st.floats(0, 1e9),
)
@example(classes=["\ud800", "Zelle 細胞"], images=[], present=0, strokes=0, seconds=0.0)
def test_any_project_comes_back_as_it_was(
    tmp_path: Path, classes: list[str], images: list[ImageRecord], present: int, strokes: int, seconds: float
) -> None:
    project = Project(tmp_path / "a.btunet", tuple(classes), tuple(images), present, strokes, seconds)
    project.save()
    assert Project.open(project.folder) == project


LIST = {**fuzz.LIST, "painted": {"strokes": 3, "seconds": 2.5}}


@few
@given(field=st.sampled_from(sorted(LIST)), value=JSON)
@example(field="btunet project", value=float("inf"))
@example(field="images", value=[{"path": "a", "name": "a", "axes": "YX", "shape": [1e999, 2], "dtype": ""}])
def test_a_project_with_any_value_in_its_list_is_a_project_or_one_sentence(
    tmp_path: Path, field: str, value: Any
) -> None:
    (tmp_path / FILE).write_text(json.dumps({**LIST, field: value}))
    answered(lambda: Project.open(tmp_path).classes)


KINDS = st.sampled_from(["u1", "u2", "i2", "f4"])


@few
@given(
    values=KINDS.flatmap(lambda kind: arrays(kind, array_shapes(min_dims=2, max_dims=3, max_side=9), fill=st.just(0)))
)
@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_any_image_comes_back_from_a_file(tmp_path: Path, suffix: str, values: np.ndarray) -> None:
    values = np.nan_to_num(values, posinf=1, neginf=-1)
    path = tmp_path / f"a{suffix}"
    if suffix == ".tif":
        tifffile.imwrite(path, values, photometric="minisblack", metadata={"axes": "ZYX"[-values.ndim :]})
    else:
        zarr.create_array(path, data=values, overwrite=True)
    found = read(path)
    planes = values.reshape(-1, *values.shape[-2:])
    assert (found.planes, found.plane_shape) == (len(planes), planes.shape[1:])
    for number, plane in enumerate(planes):
        assert np.array_equal(found.read(number)[0], plane)


FUZZED = [(target, content) for target in fuzz.TARGETS for content in fuzz.kept(target)]


@pytest.mark.parametrize("target", sorted({target for target, _ in FUZZED}))
def test_files_that_once_reached_something_new_are_answered(tmp_path: Path, target: str) -> None:
    found = [content for name, content in FUZZED if name == target]
    for content in found:
        fuzz.answered(fuzz.TARGETS[target][0], content, tmp_path)
    assert found


def test_checksums_are_put_right_for_the_fuzzer() -> None:
    whole = fuzz.good_journal()
    torn = bytearray(whole)
    torn[4:8] = b"\0\0\0\0"
    assert fuzz.sealed(bytes(torn)) == whole == fuzz.sealed(whole)
