import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from btunet import FinetuneSettings, OutOfMemory, PretrainSettings, finetune, memory, pretrain, run
from btunet.device import pick_device
from btunet.memory import Batch, free, kept
from btunet.networks import build
from btunet.ranks import Ranks

SMALL_STEP = {"steps": 2, "patch_size": 16}
ON_LINUX = sys.platform == "linux"

# prints what is estimated for a step and what it takes: the most memory during it, less what was held before
STEP = """
import sys, torch
from btunet.device import channels_last, precision, settle
from btunet.memory import MARGIN, kept
from btunet.networks import build

def held(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

network = settle(build(sys.argv[1], 1, 2)).train()
def step(count):
    images = torch.rand(count, 1, 64, 64)
    with precision(images.device):
        network(channels_last(images)).square().mean().backward()
step(2)
before = held("VmRSS")
estimate = kept(network, torch.rand(2, 1, 64, 64)) / 2 * 64 * MARGIN
step(64)
print(estimate, held("VmHWM") - before)
"""


@pytest.mark.skipif(not ON_LINUX, reason="/proc is Linux's")
@pytest.mark.parametrize("network", ["unet", "rca-iunet"])
def test_a_step_takes_less_than_estimated_but_not_half_of_it(network: str) -> None:
    done = subprocess.run([sys.executable, "-c", STEP, network], capture_output=True, text=True, check=True)
    estimate, taken = map(float, done.stdout.split())
    assert 0.5 * estimate < taken < estimate


@pytest.mark.skipif(not ON_LINUX, reason="elsewhere it may be unknown")
def test_what_is_free_is_known() -> None:
    assert 0 < free(torch.device("cpu")) < math.inf


def test_an_estimate_leaves_statistics_and_random_state_alone() -> None:
    network = build("unet", 1, 2).train()
    images, before = torch.rand(2, 1, 32, 32), {k: v.clone() for k, v in network.state_dict().items()}
    random = torch.get_rng_state()
    assert kept(network, images) > 0
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


def test_an_estimate_grows_with_the_images() -> None:
    network = build("unet", 1, 2).train()
    few, many = (kept(network, torch.rand(n, 1, 32, 32)) for n in (2, 8))
    assert 3 < many / few < 4.1  # weights in another precision are kept once


@pytest.mark.parametrize(("room", "size"), [(1e9, 64), (40 * memory.MARGIN, 32), (1, 4)])
def test_a_batch_is_halved_until_it_fits(monkeypatch: pytest.MonkeyPatch, room: float, size: int) -> None:
    monkeypatch.setattr(memory, "free", lambda device: room)
    batch = Batch(64, 4)
    batch.fit(1.0, pick_device())
    assert batch.size == size
    assert batch.record == ({} if size == 64 else {"batch": size})
    assert batch.note == ("" if size == 64 else f" with {size} instead of 64 patches per step for lack of memory")


def test_a_step_that_does_not_fit_is_made_with_half_the_patches() -> None:
    batch, sizes = Batch(8, 2), list[int]()

    def step() -> str:
        sizes.append(batch.size)
        if batch.size > 2:
            raise torch.OutOfMemoryError("out of memory")
        return "done"

    assert batch.attempt(step) == "done" and batch.attempt(step) == "done"
    assert sizes == [8, 4, 2, 2]


@pytest.mark.parametrize("batch", [Batch(7, 4), Batch(8, 2, Ranks(0, 2))])
def test_what_cannot_be_halved_is_an_error_that_says_what_to_lower(batch: Batch) -> None:
    def step() -> None:
        raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(OutOfMemory, match="lower batch or patch size"):
        batch.attempt(step)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every network run out of memory when it trains on more than 8 images at once."""
    forward = torch.nn.Conv2d.forward

    def limited(self: Any, x: torch.Tensor) -> torch.Tensor:
        is_whole = type(self) is torch.nn.Conv2d  # others may be given pieces of images
        if is_whole and len(x) > 8 and torch.is_grad_enabled():
            raise torch.OutOfMemoryError("out of memory")
        return forward(self, x)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", limited)


@pytest.mark.usefixtures("short")
def test_pre_training_goes_on_with_fewer_patches_and_says_so() -> None:
    image, stages = np.random.default_rng(0).random((2, 40, 40)), list[str]()
    settings = PretrainSettings(batch=16, **SMALL_STEP)
    model = run(pretrain([image], settings), lambda progress: stages.append(progress.stage))
    assert stages[1:] == ["pre-training with 4 instead of 16 patches per step for lack of memory"] * 2
    assert model.history[-1]["batch"] == 4 and model.history[-1]["settings"]["batch"] == 16


@pytest.mark.usefixtures("short")
def test_fine_tuning_goes_on_with_fewer_patches_and_says_so() -> None:
    image, strokes, stages = np.random.default_rng(0).random((40, 40)), np.zeros((40, 40), int), list[str]()
    strokes[5], strokes[30] = 1, 2
    settings = FinetuneSettings(batch=16, **SMALL_STEP)
    model = run(finetune([image], [strokes], settings), lambda progress: stages.append(progress.stage))
    assert stages[1:] == ["fine-tuning with 8 instead of 16 patches per step for lack of memory"] * 2
    assert model.history[-1]["batch"] == 8


def test_features_compared_are_fewer_than_the_patches_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free", lambda device: 0.0)
    image, seen = np.random.default_rng(0).random((2, 40, 40)), list[int]()
    forward = torch.nn.Linear.forward

    def note(self: Any, x: torch.Tensor) -> torch.Tensor:
        seen.append(self.out_features)
        return forward(self, x)

    monkeypatch.setattr(torch.nn.Linear, "forward", note)
    run(pretrain([image], PretrainSettings(batch=16, **SMALL_STEP)))
    assert seen[-1] == 2


@pytest.mark.skipif(not ON_LINUX, reason="/proc is Linux's")
def test_a_stack_of_a_thousand_times_as_many_planes_takes_no_more_memory(tmp_path: Path) -> None:
    script = Path(__file__).with_name("length.py")
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, check=True)
    _, short, long = map(float, done.stdout.split())
    assert long - short < 60  # megabytes; the pixels of the long one would take 3400
