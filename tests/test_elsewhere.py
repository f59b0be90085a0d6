import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from btunet import Model, PretrainSettings, Stack, ViewSettings, read, run
from btunet.elsewhere import SCRIPT, prepare, script
from btunet.project import Project

SETTINGS = PretrainSettings(steps=2, batch=4, patch_size=32, seed=3)


def picture(shape: tuple[int, ...] = (2, 48, 40), dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


@pytest.mark.parametrize(
    ("axes", "shape", "dtype"),
    [
        ("YX", (48, 40), "uint16"),
        ("ZYX", (3, 48, 40), "float32"),
        ("YXS", (48, 40, 3), "uint8"),
        ("ZYXS", (2, 48, 40, 3), "uint8"),
        ("CYX", (2, 48, 40), "uint8"),
        ("TZYX", (2, 3, 48, 40), "int16"),
        ("ZYX", (2, 48, 40), "bool"),
    ],
)
def test_an_image_in_no_file_gets_one_that_reads_the_same(
    axes: str, shape: tuple[int, ...], dtype: str, tmp_path: Path
) -> None:
    stack = Stack(picture(shape, dtype), axes, "drawn")
    project = run(prepare(Project(tmp_path / "p.btunet").with_image(stack), [(0, stack)], SETTINGS))
    assert project.images[0].path == "images/0001.tif"
    found = project.read(0)
    assert (found.axes, found.channels, found.planes) == (axes, stack.channels, stack.planes)
    assert np.array_equal(found.data[...], stack.data)


def test_an_image_in_a_file_is_not_copied(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture(), photometric="minisblack")
    stack = read(tmp_path / "a.tif")
    project = run(prepare(Project(tmp_path / "a.btunet").with_image(stack), [(0, stack)], SETTINGS))
    assert project.images[0].path == "../a.tif"
    assert sorted(path.name for path in project.folder.iterdir()) == [SCRIPT]


def test_the_script_runs_on_another_machine_and_leaves_the_encoder(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "another machine's disk"
    here.mkdir()
    tifffile.imwrite(here / "it's $HOME; a.tif", picture(), photometric="minisblack")
    stacks = [read(here / "it's $HOME; a.tif"), Stack(picture(), "ZYX", "drawn")]
    project = Project(here / "a.btunet")
    for stack in stacks:
        project = project.with_image(stack)
    run(prepare(project, list(enumerate(stacks)), SETTINGS, views=ViewSettings(ignore_size=False))).save()
    shutil.move(here, there)
    (tmp_path / "bin").mkdir()
    btunet = tmp_path / "bin" / "btunet"
    btunet.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m btunet "$@"\n')
    btunet.chmod(0o755)
    path = f"{btunet.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", str(there / "a.btunet" / SCRIPT)],
        env={**os.environ, "PATH": path},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    encoder = Model.load(there / "a.btunet" / "encoder.safetensors")
    assert encoder.history[-1]["steps"] == 2
    assert encoder.history[-1]["settings"] == SETTINGS.as_dict()
    assert encoder.history[-1]["views"]["ignore_size"] is False


def test_the_script_goes_on_from_the_encoder_there_is(tmp_path: Path) -> None:
    stack = Stack(picture(), "ZYX", "drawn")
    start = Model("unet", 1, (), {"encoder.weight": np.ones(3, np.float32)})
    project = run(prepare(Project(tmp_path / "p.btunet").with_image(stack), [(0, stack)], SETTINGS, start_from=start))
    assert "--start-from start.safetensors" in (project.folder / SCRIPT).read_text()
    assert np.array_equal(
        Model.load(project.folder / "start.safetensors").weights["encoder.weight"], start.weights["encoder.weight"]
    )


def test_the_script_says_what_the_network_shall_not_ignore(tmp_path: Path) -> None:
    text = script(Project(tmp_path), [], SETTINGS, ViewSettings(ignore_size=False))
    assert "--no-ignore-size" in text
    assert "--no-ignore-brightness" not in text


def test_slurm_is_told_how_long_it_takes(tmp_path: Path) -> None:
    text = script(Project(tmp_path), [], PretrainSettings(minutes=90))
    assert "#SBATCH --time=100\n" in text
    assert "--start-from" not in text


def test_stopping_leaves_no_script(tmp_path: Path) -> None:
    stack = Stack(picture(), "ZYX", "drawn")
    task = prepare(Project(tmp_path / "p.btunet").with_image(stack), [(0, stack)], SETTINGS)
    run(task, lambda _: True)
    assert not (tmp_path / "p.btunet").exists()
