"""Two processes on this machine, and the same work done by one."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from torch import nn

from btunet import Model, PretrainSettings, pretrain, run
from btunet.checkpoint import Checkpoint
from btunet.cli import main
from btunet.ranks import ALONE, Ranks

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this PyTorch has no torch.distributed")
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
NAMES = ("1 of 1", "1 of 2", "2 of 2")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def together(arguments: list[str], size: int = 2) -> list[subprocess.Popen[str]]:
    """Start a command as torchrun does, but without its supervision: see that it ends with `ends`."""
    common = {**os.environ, "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = [sys.executable, "-W", "error", *arguments]
    ranks = [{**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(size)]
    return [
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for env in ranks
    ]


def ends(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Return exit status, standard output and standard error of every process."""
    try:
        said = [process.communicate(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *words) for process, words in zip(processes, said, strict=True)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Have two processes and one do what `rank_tasks` does."""
    folder = tmp_path_factory.mktemp("ranks")
    script = str(Path(__file__).with_name("rank_tasks.py"))
    ended = ends([*together([script, str(folder)]), *together([script, str(folder)], size=1)])
    assert [status for status, *_ in ended] == [0, 0, 0], ended
    return folder


@pytest.fixture
def found(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    return {name: dict(np.load(folder / f"{name}.npz")) for name in NAMES}


@pytest.fixture
def said(folder: Path) -> dict[str, dict[str, Any]]:
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in NAMES}


def parts(found: dict[str, np.ndarray], beginning: str) -> dict[str, np.ndarray]:
    return {key: value for key, value in found.items() if key.startswith(beginning) and "yielded" not in key}


# ---- the same as one process


@pytest.mark.parametrize("network", ["unet", "plain-unet"])
def test_gradient_statistics_and_values_are_those_of_one_process_with_the_whole_batch(
    found: dict[str, dict[str, np.ndarray]], network: str
) -> None:
    alone, first, second = (parts(found[name], f"gradients of {network}: ") for name in NAMES)
    assert set(alone) == set(first) and sum(": gradient " in key for key in alone) > 20
    for key, value in alone.items():  # in float64; the biases a normalisation removes again have a gradient of 0
        assert np.allclose(first[key], value, rtol=0, atol=1e-10 * max(1, np.abs(value).max())), key
        assert np.array_equal(first[key], second[key]), key
    assert max(np.abs(value).max() for key, value in alone.items() if ": gradient " in key) > 0.1


@pytest.mark.parametrize("network", ["unet", "plain-unet"])
def test_a_short_training_makes_the_encoder_of_one_process_in_all(
    found: dict[str, dict[str, np.ndarray]], network: str
) -> None:
    alone, first, second = (parts(found[name], f"training of {network}: ") for name in NAMES)
    assert set(alone) == set(first)
    for key, value in alone.items():
        assert np.allclose(first[key], value, rtol=0, atol=1e-5), key  # AdamW divides by gradients that are almost 0
        assert np.array_equal(first[key], second[key]), key


def test_only_the_first_process_tells_how_far_it_is(found: dict[str, dict[str, np.ndarray]]) -> None:
    told = [found[name]["training of unet: yielded"].tolist() for name in NAMES]
    assert told == [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4], []]


def test_batch_normalisation_over_all_processes_is_torchs_over_one(found: dict[str, dict[str, np.ndarray]]) -> None:
    alone, first, second = (parts(found[name], "normalised: ") for name in NAMES)
    assert sorted(key.split()[-1] for key in alone if " 2d " in key) == sorted(
        ["y", "x", "weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    )
    for key, value in alone.items():  # in float32, around 1000
        assert np.allclose(first[key], value, rtol=1e-4, atol=1e-4 * np.abs(value).max()), key
        assert np.array_equal(first[key], second[key]), key


def test_a_reply_to_the_first_process_stops_all(said: dict[str, dict[str, Any]]) -> None:
    assert [said[name]["stopped"] for name in NAMES] == [3, 3, 3]


def test_a_time_budget_ends_all_at_the_same_step(said: dict[str, dict[str, Any]]) -> None:
    assert said["1 of 2"]["minutes"] == said["2 of 2"]["minutes"] >= 1


def test_a_batch_that_cannot_be_shared_is_refused_by_all(said: dict[str, dict[str, Any]]) -> None:
    sentence = "ValueError: batch is 9; 2 processes need a multiple of 2 to share it"
    assert [said[name]["uneven"] for name in NAMES] == ["", sentence, sentence]


def test_processes_that_see_other_images_refuse_to_train_together(said: dict[str, dict[str, Any]]) -> None:
    refusals = [said[name]["unequal"] for name in NAMES]
    assert refusals[0] == "" and refusals[1] == refusals[2]
    assert refusals[1].startswith("BtunetError: the processes were not given the same settings, images and checkpoint")


# ---- one process


def test_shares_are_whole_and_in_order() -> None:
    batch = list(range(12))
    assert [sample for rank in range(4) for sample in batch[Ranks(rank, 4).share(12)]] == batch
    assert batch[ALONE.share(12)] == batch


def test_alone_nothing_is_sent_and_nothing_is_changed() -> None:
    x = torch.ones(2, 3)
    norm = nn.BatchNorm1d(3)
    forward = norm.forward
    ALONE.synchronise(norm)
    ALONE.add_up([x])
    ALONE.check_same(1)
    assert ALONE.gather(x) is x and ALONE.sum(x) is x and ALONE.first(0.5) == 0.5
    assert norm.forward == forward and torch.equal(x, torch.ones(2, 3))


def test_a_single_process_makes_no_group() -> None:
    run(pretrain([np.random.default_rng(0).random((40, 40))], PretrainSettings(steps=1, batch=4, patch_size=16)))
    assert not torch.distributed.is_initialized()


def test_a_normalisation_that_does_more_is_refused() -> None:
    class NormAct(nn.BatchNorm2d):
        pass

    with pytest.raises(ValueError, match="this network's NormAct cannot be shared among processes; choose another"):
        Ranks(0, 2).synchronise(nn.Sequential(NormAct(3)))


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "1"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match="process 2 on this machine has no GPU, there are 1; start one per GPU"):
        run(pretrain([np.random.default_rng(0).random((40, 40))], PretrainSettings(steps=1, batch=4, patch_size=16)))


@pytest.mark.parametrize(
    "line",
    [
        "finetune --images image.tif --labels image.tif --out m.safetensors",
        "predict m.safetensors image.tif --out masks",
        "study --images image.tif --out results",
    ],
)
def test_what_cannot_be_shared_is_refused_in_several_processes(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert main(line.split()) == 2
    command = line.split(maxsplit=1)[0]
    sentence = f"btunet, process 2 of 2: {command} runs in one process, not in 2; start it without torchrun\n"
    assert capsys.readouterr().err == sentence


# ---- the command line under torchrun

LINE = ["pretrain", "image.tif", "--out", "e.safetensors", "--steps", "4", "--batch", "8", "--patch-size", "32"]
LINE += ["--network", "rca-iunet"]  # it has no dropout, which every process draws for itself
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]


@pytest.fixture
def here(tmp_path: Path, discs: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be in a folder with an image."""
    tifffile.imwrite(tmp_path / "image.tif", discs(size=64)[0][0])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*TORCHRUN, "--master_port", str(free_port()), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_torchrun_makes_one_encoder_and_speaks_with_one_voice(here: Path) -> None:
    done = torchrun("-m", "btunet", *LINE)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1 and done.stdout.startswith(
        "e.safetensors  pre-trained encoder: rca-iunet"
    )
    assert done.stderr.count("reading images") == 1 and done.stderr.count("pre-training 4/4") == 1
    assert sorted(p.name for p in here.iterdir()) == ["e.safetensors", "image.tif"]
    model = Model.load("e.safetensors")
    assert model.history[0]["steps"] == 4 and model.history[0]["processes"] == 2
    assert main([*LINE[:3], "one.safetensors", *LINE[4:]]) == 0
    alone = Model.load("one.safetensors").history[0]["final"]
    assert model.history[0]["final"] == pytest.approx(alone, rel=0.02)  # in float32, after AdamW


KILLED = """
import os, signal
from btunet import cli, device, pretraining
from btunet.twin_learner import TwinLearner
pretraining.CHECKPOINT_EVERY = 0
real = TwinLearner.step
def step(self):
    if self.clock.step == 3 and device.place()[0] == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    real(self)
TwinLearner.step = step
cli.entry()
"""


@posix
def test_a_killed_process_ends_all_with_a_sentence_and_the_checkpoint_goes_on(here: Path) -> None:
    (here / "killed.py").write_text(KILLED)
    done = torchrun("killed.py", *LINE)
    assert done.returncode != 0 and done.stdout == ""
    said = [line for line in done.stderr.splitlines() if line.startswith("btunet")]
    assert said == [
        "btunet, process 1 of 2: another process of this training ended or cannot be reached; "
        "start all of them again, and resume from the last checkpoint"
    ]
    assert not Path("e.safetensors").exists() and Checkpoint.load(Path("e.checkpoint")).state["step"] == 3
    assert main([*LINE, "--resume"]) == 0  # also by another number of processes
    assert Model.load("e.safetensors").history[0]["steps"] == 4
    assert sorted(p.name for p in here.iterdir()) == ["e.safetensors", "image.tif", "killed.py"]
    assert main([*LINE[:3], "one.safetensors", *LINE[4:]]) == 0
    resumed, alone = (Model.load(name).history[0]["final"] for name in ("e.safetensors", "one.safetensors"))
    assert resumed == pytest.approx(alone, rel=0.02)


STOPPED = KILLED.replace("step == 3 and device.place()[0] == 1", "step == 2 and device.place()[0] == 0").replace(
    "SIGKILL", "SIGTERM"
)


@posix
def test_a_signal_to_the_first_process_saves_and_ends_all_and_two_go_on(here: Path) -> None:
    (here / "stopped.py").write_text(STOPPED)
    (first, out, err), other = ends(together(["stopped.py", *LINE]))
    assert first == 130 and out.startswith("e.safetensors"), err
    assert other == (0, "", "")
    assert Model.load("e.safetensors").history[0]["steps"] == 3
    (first, _, err), other = ends(together(["-m", "btunet", *LINE, "--resume"]))
    assert first == 0 and "going on from e.checkpoint" in err, err
    assert other == (0, "", "")
    assert Model.load("e.safetensors").history[0]["steps"] == 4 and not Path("e.checkpoint").exists()
