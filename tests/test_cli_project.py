"""The command line on a project: the same images, strokes and models as in the window."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from btunet import Model, read
from btunet.cli import main
from btunet.journal import Block
from btunet.project import Project

FAST = ["--steps", "2", "--patch-size", "32", "--batch", "4"]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project with two images, the first of them painted."""
    rng = np.random.default_rng(0)
    made = Project(tmp_path / "cells.btunet", ("Background", "Nucleus"))
    for name in ("cells", "more"):
        image = rng.integers(0, 60, (2, 48, 48), np.uint8)
        image[:, 20:30] += 150
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, image, photometric="minisblack", metadata={"axes": "ZYX"})
        made = made.with_image(read(path))
    made.save()
    values = np.zeros((30, 20), np.uint8)
    values[2:4], values[22:24] = 1, 2
    made.journal(0).append([Block(1, 3, 5, values)])
    return made


def test_the_whole_loop(project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = ["--project", str(project.folder)]
    assert main(["pretrain", *at, *FAST]) == 0
    assert Model.load(project.encoder).is_encoder
    assert main(["finetune", *at, *FAST]) == 0
    assert main(["finetune", *at, *FAST]) == 0
    assert project.models == [1, 2]
    model = Model.load(project.model(2))
    assert model.classes == ("Background", "Nucleus")
    assert [record["verb"] for record in model.history] == ["pretrain", "finetune"]
    assert model.history[-1]["images"] == ["cells.tif"]
    Project(project.folder, project.classes, project.images, present=1).save()
    assert main(["predict", *at, "--out", str(tmp_path / "masks")]) == 0
    assert sorted(path.name for path in (tmp_path / "masks").glob("*.tif")) == ["cells.tif", "more.tif"]
    assert main(["predict", *at, str(tmp_path / "more.tif"), "--out", str(tmp_path / "one")]) == 0
    assert [path.name for path in (tmp_path / "one").glob("*.tif")] == ["more.tif"]
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["finetune", "--labels", "a.tif", "--project", "P"], "a project has its own strokes"),
        (["finetune", "--dense", "--project", "P"], "a project has its own strokes"),
        (["predict", "--project", "P", "--out", "M"], "0000.safetensors"),
        (["pretrain", "--project", "nowhere"], "is not a project"),
        (["pretrain", "P/../cells.tif"], "give --out, or --project"),
        (["finetune", "--images", "P/../cells.tif", "--labels", "P/../cells.tif"], "give --out, or --project"),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: list[str],
    sentence: str,
    project: Project,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [a.replace("P", project.folder.name, 1) if a[0] == "P" else a for a in arguments]
    assert main(given) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert sentence in said[-1]


def test_an_image_the_project_does_not_know_is_refused(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite(tmp_path / "other.tif", np.eye(48, dtype=np.uint8))
    assert main(["pretrain", str(tmp_path / "other.tif"), "--project", str(project.folder)]) == 2
    assert "knows none of these images" in capsys.readouterr().err
