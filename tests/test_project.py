import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from btunet import BtunetError, Model, Stack
from btunet.cli.inputs import strokes_of
from btunet.journal import Block
from btunet.project import FILE, Project, folder_beside, projects_of
from btunet.records import digest


def stack(path: Path | None = None, seed: int = 0, shape: tuple[int, ...] = (2, 24, 32)) -> Stack:
    return Stack(np.random.default_rng(seed).integers(0, 9, shape, np.uint8), "ZYX"[-len(shape) :], "cells", path=path)


def made(folder: Path) -> Project:
    project = Project(folder / "cells.btunet", ("Background", "Nucleus")).with_image(stack(folder / "cells.tif"))
    project.save()
    return project


def test_what_is_saved_is_opened(tmp_path: Path) -> None:
    project = dataclasses.replace(made(tmp_path), present=3)
    project.save()
    assert Project.open(project.folder) == project


def test_an_image_is_found_by_its_file(tmp_path: Path) -> None:
    project = made(tmp_path)
    assert project.images[0].path == "../cells.tif"
    assert project.find(stack(tmp_path / "cells.tif", seed=1)) == 0
    assert project.find(stack(tmp_path / "other.tif", seed=1)) is None


def test_folder_and_image_may_be_moved_together(tmp_path: Path) -> None:
    made(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    project = Project.open(tmp_path / "there" / "cells.btunet")
    assert project.find(stack(tmp_path / "there" / "cells.tif", seed=1)) == 0
    assert project.file_of(0) == tmp_path / "there" / "cells.tif"


def test_an_image_that_was_moved_alone_is_found_by_its_values(tmp_path: Path) -> None:
    assert made(tmp_path).find(stack(tmp_path / "elsewhere" / "renamed.tif")) == 0


def test_an_image_of_another_shape_is_new(tmp_path: Path) -> None:
    project = made(tmp_path)
    larger = stack(tmp_path / "cells.tif", shape=(3, 24, 32))
    assert project.find(larger) is None
    project = project.with_image(larger)
    assert project.find(larger) == 1
    assert project.find(stack(tmp_path / "cells.tif")) == 0


def test_a_digest_sees_other_values_shapes_and_types() -> None:
    one = stack()
    other = one.data.copy()
    other[1, 3, 4] += 1
    variants = [one.data, other, one.data.reshape(2, 32, 24), one.data.astype(np.int8)]
    found = [digest(Stack(data, "ZYX")) for data in variants]
    assert len(set(found)) == len(variants)
    assert digest(Stack(one.data.copy(), "ZYX")) == found[0]


def test_strokes_have_the_shape_of_the_planes_without_channels(tmp_path: Path) -> None:
    rgb = Stack(np.zeros((5, 24, 32, 3), np.uint8), "ZYXS", "rgb")
    project = made(tmp_path).with_image(rgb)
    journal = project.journal(1)
    assert (journal.planes, journal.shape, journal.path.name) == (5, (24, 32), "0002.journal")
    assert project.journal(0).path != journal.path


def test_models_are_numbered_and_none_is_replaced(tmp_path: Path) -> None:
    project = made(tmp_path)
    model = Model("unet", 1, ("background", "nucleus"), {"head.weight": np.zeros(2, np.float32)})
    assert [model.save(project.next_model).stem for _ in range(3)] == ["0001", "0002", "0003"]
    project.model(2).unlink()
    (project.folder / "models" / "notes.safetensors").touch()
    assert project.models == [1, 3]
    assert project.next_model.stem == "0004"


def test_an_encoder_that_is_replaced_stays(tmp_path: Path) -> None:
    project = made(tmp_path)
    encoders = [Model("unet", 1, (), {"encoder.a": np.full(2, n, np.float32)}) for n in range(3)]
    for encoder in encoders:
        project.save_encoder(encoder)
    kept = [project.folder / "encoders" / "0001.safetensors", project.folder / "encoders" / "0002.safetensors"]
    found = [Model.load(path).weights["encoder.a"][0] for path in (*kept, project.encoder)]
    assert found == [0, 1, 2]


def test_only_one_window_holds_a_project_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    project = made(tmp_path)
    mine = project.hold()
    assert mine is not None
    assert project.hold() is None
    mine.release()
    code = f"import os; from btunet.project import Project; Project.open({str(project.folder)!r}).hold(); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    again = project.hold()
    assert again is not None
    again.release()


def test_projects_beside_an_image_come_with_its_namesake_first(tmp_path: Path) -> None:
    for name in ("a", "cells", "z"):
        Project(tmp_path / f"{name}.btunet").save()
    (tmp_path / "empty.btunet").mkdir()
    assert [folder.stem for folder in projects_of(tmp_path / "cells.ome.tif")] == ["cells", "a", "z"]
    assert folder_beside(tmp_path / "cells.ome.tif").name == "cells.btunet"


@pytest.mark.parametrize("path", ["/etc/passwd", "../../secret.tif", "link/secret.tif"])
def test_a_file_outside_the_folder_is_not_near(path: str, tmp_path: Path) -> None:
    project = made(tmp_path / "work")
    (project.folder / "link").symlink_to(tmp_path)
    there = dataclasses.replace(project, images=(dataclasses.replace(project.images[0], path=path),))
    assert not there.is_near(0)
    assert project.is_near(0)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"btunet project": 2}, "newer btunet"),
        ({"images": [{"path": "a.tif"}]}, "is broken"),
        ({"images": 3}, "is broken"),
        ({"classes": None}, "is broken"),
        ({"present": "x"}, "is broken"),
        ({"present": float("inf")}, "is broken"),
        ({"images": [{"path": "a", "name": "a", "axes": "XY", "shape": [2, 2], "dtype": "u1"}]}, "is broken"),
        ({"images": [{"path": "a", "name": "a", "axes": "YX", "shape": [2, 0], "dtype": "u1"}]}, "is broken"),
        ({"images": [{"path": "a\0b", "name": "a", "axes": "YX", "shape": [2, 2], "dtype": "u1"}]}, "is broken"),
    ],
)
def test_a_broken_list_is_one_sentence(change: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    project = made(tmp_path)
    found = json.loads((project.folder / FILE).read_text()) | change
    (project.folder / FILE).write_text(json.dumps(found))
    with pytest.raises(BtunetError, match=sentence):
        Project.open(project.folder)


def test_no_project_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BtunetError, match="is not a project"):
        Project.open(tmp_path)


@settings(max_examples=50, deadline=None)
@given(noise=st.binary(max_size=60), at=st.integers(0, 300), cut=st.integers(0, 80))
def test_no_bytes_in_the_list_make_it_fail_otherwise(
    noise: bytes, at: int, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project = made(tmp_path_factory.mktemp("project"))
    whole = (project.folder / FILE).read_bytes()
    (project.folder / FILE).write_bytes(whole[:at] + noise + whole[at + cut :])
    try:
        Project.open(project.folder)
    except BtunetError as error:
        assert "\n" not in str(error)


def test_the_old_list_stays_when_the_new_one_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = made(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BtunetError, match="No space left"):
        dataclasses.replace(project, present=7).save()
    assert Project.open(project.folder) == project
    assert [path.name for path in project.folder.iterdir()] == [FILE]


def test_the_log_has_a_line_for_everything(tmp_path: Path) -> None:
    project = made(tmp_path)
    project.log("Pre-trained.")
    project.log("Fine-tuned: µm.")
    lines = (project.folder / "log.txt").read_text(encoding="utf-8").splitlines()
    assert [line[21:] for line in lines] == ["Pre-trained.", "Fine-tuned: µm."]


def test_strokes_of_a_project_are_on_the_disk(tmp_path: Path) -> None:
    project = made(tmp_path)
    project.journal(0).append([Block(1, 2, 3, np.full((4, 5), 2, np.uint8))])
    found = Project.open(project.folder).journal(0).replay().planes
    assert found[1][2:6, 3:8].min() == 2
    assert found[1].sum() == 40


def test_an_image_is_read_only_where_it_may_be(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "cells.tif", stack().data, photometric="minisblack", metadata={"axes": "ZYX"})
    project = made(tmp_path)
    assert np.array_equal(project.read(0).data, stack().data)
    (tmp_path / "elsewhere").mkdir()
    far = Project(tmp_path / "elsewhere" / "cells.btunet", images=made(tmp_path).images).with_image(
        stack(tmp_path / "cells.tif")
    )
    with pytest.raises(BtunetError, match="does not lie beside it"):
        far.read(1)
    assert far.read(1, [tmp_path / "cells.tif"]).planes == 2


def test_an_image_without_a_file_or_of_another_shape_is_not_read(tmp_path: Path) -> None:
    project = made(tmp_path).with_image(stack())
    with pytest.raises(BtunetError, match="never in a file"):
        project.read(1)
    tifffile.imwrite(tmp_path / "cells.tif", stack().data[:1], photometric="minisblack")
    with pytest.raises(BtunetError, match="do not fit it"):
        project.read(0)


def test_strokes_kept_aside_are_found_by_the_values_they_were_painted_on(tmp_path: Path) -> None:
    old, new, other = (stack(tmp_path / "cells.tif", seed) for seed in (0, 1, 2))
    project = Project(tmp_path / "cells.btunet").with_image(old)
    assert project.is_changed(0, new)
    assert not project.accepting(0, new).is_changed(0, new)
    project = project.with_image(new).using(1)
    project.save()
    project = Project.open(project.folder)
    assert [image.is_aside for image in project.images] == [True, False]
    assert [project.find(stack) for stack in (old, new, other)] == [0, 1, 1]
    assert [image.is_aside for image in project.using(0).images] == [False, True]


def test_strokes_kept_aside_are_not_read_by_the_command_line(tmp_path: Path) -> None:
    images = [stack(tmp_path / "cells.tif", seed) for seed in (0, 1)]
    tifffile.imwrite(tmp_path / "cells.tif", images[1].data, photometric="minisblack")
    project = Project(tmp_path / "cells.btunet").with_image(images[0]).with_image(images[1]).using(1)
    for number in (0, 1):
        project.journal(number).append([Block(number, 0, 0, np.full((2, 2), 1, np.uint8))])
    found, strokes = strokes_of(project, [])
    assert len(found) == 1
    assert [list(planes) for planes in strokes] == [[1]]


def test_a_copy_elsewhere_knows_the_images_and_leaves_the_old_one_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = made(tmp_path).with_image(dataclasses.replace(stack(seed=1), name="other"))
    project = project.with_file(1, project.folder / "images" / "0002.tif")
    project.save()
    project.journal(0).append([Block(1, 2, 3, np.full((2, 2), 2, np.uint8))])
    before = {path: path.read_bytes() for path in project.folder.rglob("*") if path.is_file()}
    lock = project.hold()
    copied = project.copied_to(tmp_path / "elsewhere" / "cells.btunet")
    assert lock is not None and copied.hold() is not None
    assert Project.open(copied.folder) == copied
    assert [copied.file_of(n) for n in (0, 1)] == [tmp_path / "cells.tif", copied.folder / "images" / "0002.tif"]
    assert (copied.journal(0).replay().planes[1][2:4, 3:5] == 2).all()
    assert all(path.read_bytes() == content for path, content in before.items())

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copytree", full)
    with pytest.raises(BtunetError, match="No space left on device"):
        project.copied_to(tmp_path / "third.btunet")
    assert not list(tmp_path.glob("*third*"))


def test_what_was_painted_is_kept_and_nonsense_is_not_believed(tmp_path: Path) -> None:
    folder = tmp_path / "a.btunet"
    Project(folder, strokes=12, seconds=61.5).save()
    assert (Project.open(folder).strokes, Project.open(folder).seconds) == (12, 61.5)
    whole = json.loads((folder / "project.json").read_text())
    for painted, expected in (({}, (0, 0.0)), ({"strokes": -3, "seconds": float("nan")}, (0, 0.0))):
        (folder / "project.json").write_text(json.dumps({**whole, "painted": painted}))
        assert (Project.open(folder).strokes, Project.open(folder).seconds) == expected
    del whole["painted"]  # as older versions write it
    (folder / "project.json").write_text(json.dumps(whole))
    assert Project.open(folder).strokes == 0
    (folder / "project.json").write_text(json.dumps({**whole, "painted": [1]}))
    with pytest.raises(BtunetError, match="broken"):
        Project.open(folder)
