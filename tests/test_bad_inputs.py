"""Every case of `bad_inputs` through the command line: one sentence and nothing left behind, or it works."""

import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from btunet import Model, PredictSettings, as_stack, predict, read, run
from btunet.cli import main

from .bad_inputs import KINDS, WORKS, Case
from .bad_inputs.case import picture
from .bad_inputs.labels import drawn

resource = pytest.importorskip("resource")
MOST_MEMORY = 400  # MB
MOST_TIME = 20  # seconds, on a machine that does other work too
CALLS = [(kind, case, use) for kind, cases in KINDS.items() for case in cases for use in case.use]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Make what the command lines need once: an image with labels, two models, the checkpoint of a training."""
    import torch

    from btunet import PretrainSettings, pretrain
    from btunet.networks import BUILDERS

    folder = tmp_path_factory.mktemp("prepared")
    for name, data in (("good", picture()), ("strokes", drawn(1, 2)), ("mask", drawn(1))):
        tifffile.imwrite(folder / f"{name}.tif", data, photometric="minisblack")
    for name, channels in (("model", 1), ("colour", 3)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            weights = BUILDERS["unet"](channels, 2).state_dict()
        made = Model("unet", channels, ("background", "class 1"), {}).trained("finetune", weights, steps=1)
        made.save(folder / f"{name}.safetensors")
    settings = PretrainSettings(steps=1, batch=4, patch_size=16)
    task = pretrain([read(folder / "good.tif")], settings, checkpoint=folder / "interrupted.checkpoint")
    next(task)
    next(task)
    with pytest.raises(StopIteration):
        task.send(True)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def place(prepared: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, content in prepared.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tree(folder: Path) -> dict[str, int]:
    """Return what is in a folder: its files and folders with their times of change."""
    return {str(path): path.lstat().st_mtime_ns for path in folder.rglob("*")}


def memory() -> float:
    """Return the most memory this process has used so far, MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak / (2**20 if sys.platform == "darwin" else 2**10))


@pytest.mark.parametrize(("kind", "case", "use"), CALLS, ids=lambda value: getattr(value, "name", value))
def test_what_is_odd_works_and_what_is_bad_is_answered_with_one_sentence(
    kind: str, case: Case, use: str, place: Path, capsys: Any
) -> None:
    given = case.make(place)
    before, most, start = tree(place), memory(), time.monotonic()
    status = main(case.line(use, given))
    seconds, more = time.monotonic() - start, memory() - most
    out, err = capsys.readouterr()
    assert seconds < MOST_TIME and more < MOST_MEMORY, (seconds, more)
    said = [line for line in err.splitlines() if not re.match(r"(reading images|predicting) \d|going on from ", line)]
    if case.expected == WORKS:
        assert status == 0 and "btunet: " not in err, err
        check(case, use, given)
    else:
        assert (status, out) == (2, ""), (status, out, err)
        assert len(said) == 1 and said[0].startswith("btunet: ") and len(said[0]) < 1500, err
        assert re.search(case.expected, said[0]), err
        assert tree(place) == before


def check(case: Case, use: str, given: Path) -> None:
    """Check that an image that works has the pixels it should have, and that its mask is that of these pixels."""
    if case.truth is None or use not in ("info", "predict", "predict colour"):
        return
    found = read(given).read(0)
    assert found.shape == case.truth.shape and np.array_equal(found, case.truth)
    if use != "info":
        model = Model.load("model.safetensors" if use == "predict" else "colour.safetensors")
        stack = as_stack(case.truth, "CYX")
        (expected,) = run(predict(model, [stack], PredictSettings(tile=32)))
        (made,) = Path("made").glob("[!.]*")
        assert np.array_equal(read(made).data[...].reshape(-1, *stack.plane_shape)[0], expected)


def test_there_are_many_cases_and_each_has_a_name_of_its_own() -> None:
    names = [case.name for cases in KINDS.values() for case in cases]
    assert len(names) >= 200 and len(set(names)) == len(names)
