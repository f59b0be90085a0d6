import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from safetensors import safe_open
from safetensors.numpy import save_file

from btunet import BtunetError, Model, PretrainSettings, Progress, pretrain, pretraining, run
from btunet.checkpoint import FORMAT, HEADER, Checkpoint
from btunet.cli import main
from btunet.twin_learner import TwinLearner

SETTINGS = PretrainSettings(steps=5, batch=4, patch_size=32)
TINY = Checkpoint({"steps": 3, "images": ["a"]}, {"step": 2}, {"w": np.arange(3.0)})
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")


@pytest.fixture
def image(rng: np.random.Generator) -> np.ndarray:
    return rng.random((2, 48, 48))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "e.checkpoint"


def at(*steps: int) -> Callable[[Progress], bool]:
    return lambda progress: progress.step in steps


def same(a: Model, b: Model) -> bool:
    assert set(a.weights) == set(b.weights)
    return all(np.array_equal(a.weights[name], b.weights[name]) for name in a.weights)


# ---- the same result


@pytest.mark.parametrize(("network", "recipe"), [("unet", "default"), ("rca-iunet", "default"), ("unet", "paper")])
def test_a_training_interrupted_twice_ends_like_one_that_never_was(
    image: np.ndarray, file: Path, network: str, recipe: str
) -> None:
    settings = replace(SETTINGS, network=network, recipe=recipe)
    whole = run(pretrain([image], settings))
    for stop in (1, 3):
        part = run(pretrain([image], settings, checkpoint=file, resume=True), at(stop))
        assert part.history[0]["steps"] == stop and not same(part, whole)
    seen: list[Progress] = []
    resumed = run(pretrain([image], settings, checkpoint=file, resume=True), seen.append)
    assert [p.step for p in seen] == [0, 4, 5]
    assert same(resumed, whole)
    assert resumed.history[0]["steps"] == 5 and resumed.history[0]["final"] == whole.history[0]["final"]


def test_a_training_further_from_a_model_is_resumed_too(image: np.ndarray, file: Path) -> None:
    start = run(pretrain([image], replace(SETTINGS, steps=1, seed=7)))
    whole = run(pretrain([image], SETTINGS, start_from=start))
    run(pretrain([image], SETTINGS, start_from=start, checkpoint=file), at(2))
    resumed = run(pretrain([image], SETTINGS, start_from=start, checkpoint=file, resume=True))
    assert same(resumed, whole) and [record["steps"] for record in resumed.history] == [1, 5]


def test_a_training_that_was_stopped_at_its_last_step_is_at_its_end(image: np.ndarray, file: Path) -> None:
    whole = run(pretrain([image], SETTINGS, checkpoint=file), at(5))
    again = run(pretrain([image], SETTINGS, checkpoint=file, resume=True))
    assert same(again, whole) and again.history[0]["final"] == whole.history[0]["final"]


def test_minutes_that_were_used_count(image: np.ndarray, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    settings = PretrainSettings(minutes=1, batch=4, patch_size=16)

    def six_seconds_a_step(stop: int) -> Callable[[Progress], bool]:
        def reply(progress: Progress) -> bool:
            now[0] += 6
            return progress.step == stop

        return reply

    run(pretrain([image], settings, checkpoint=file), six_seconds_a_step(4))
    now[0] += 1e6  # time between the two is nobody's
    seen: list[int] = []
    count = six_seconds_a_step(-1)
    model = run(pretrain([image], settings, checkpoint=file, resume=True), lambda p: (seen.append(p.step), count(p))[1])
    assert seen == [0, 5, 6, 7, 8, 9, 10]
    assert model.history[0]["seconds"] == pytest.approx(60)


def test_a_checkpoint_that_is_not_there_is_nothing_to_resume(image: np.ndarray, file: Path) -> None:
    assert same(run(pretrain([image], SETTINGS, checkpoint=file, resume=True)), run(pretrain([image], SETTINGS)))
    assert not file.exists()


def test_resuming_without_saying_from_what_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="there is nothing to resume without a checkpoint"):
        run(pretrain([image], SETTINGS, resume=True))


def test_without_resuming_a_training_starts_anew(image: np.ndarray, file: Path) -> None:
    run(pretrain([image], replace(SETTINGS, seed=1), checkpoint=file), at(2))
    assert same(run(pretrain([image], SETTINGS, checkpoint=file)), run(pretrain([image], SETTINGS)))


@pytest.mark.parametrize(("every", "expected"), [(0.0, [1, 2, 3, 4, 5]), (25.0, [3]), (1e9, [])])
def test_checkpoints_are_not_written_more_often_than_they_should(
    image: np.ndarray, file: Path, monkeypatch: pytest.MonkeyPatch, every: float, expected: list[int]
) -> None:
    now, saved = [0.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(pretraining, "CHECKPOINT_EVERY", every)
    monkeypatch.setattr(Checkpoint, "save", lambda self, path: saved.append(self.state["step"]))

    def ten_seconds(progress: Progress) -> None:
        now[0] += 10 * (progress.step > 0)

    run(pretrain([image], SETTINGS, checkpoint=file), ten_seconds)
    assert saved == expected


def test_a_training_that_is_abandoned_writes_nothing(image: np.ndarray, file: Path) -> None:
    task = pretrain([image], SETTINGS, checkpoint=file)
    for _ in range(3):
        next(task)
    task.close()
    assert not file.exists()


# ---- another training, and what is no checkpoint


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"steps": 6}, r"e\.checkpoint is of a training with other steps \(5, not 6\); give the same, or start anew"),
        ({"batch": 8}, r"other batch \(4, not 8\)"),
        ({"patch_size": 16}, r"other patch size \(32, not 16\)"),
        ({"network": "plain-unet"}, r"other network \(unet, not plain-unet\)"),
    ],
)
def test_other_settings_are_refused_in_a_sentence(
    image: np.ndarray, file: Path, changed: dict[str, Any], message: str
) -> None:
    run(pretrain([image], SETTINGS, checkpoint=file), at(1))
    before = file.read_bytes()
    with pytest.raises(ValueError, match=message) as error:
        run(pretrain([image], replace(SETTINGS, **changed), checkpoint=file, resume=True))
    assert "\n" not in str(error.value) and file.read_bytes() == before


def test_other_images_are_refused(image: np.ndarray, file: Path) -> None:
    run(pretrain([image], SETTINGS, checkpoint=file), at(1))
    for others in ([image * 2], [image[:1]], [image, image]):
        with pytest.raises(ValueError, match=r"is of a training with other images; give the same"):
            run(pretrain(others, SETTINGS, checkpoint=file, resume=True))


def test_another_model_to_start_from_is_refused(image: np.ndarray, file: Path) -> None:
    run(pretrain([image], SETTINGS, checkpoint=file), at(1))
    start = run(pretrain([image], replace(SETTINGS, steps=1)))
    with pytest.raises(ValueError, match=r"is of a training with other weights to start from; give the same"):
        run(pretrain([image], SETTINGS, checkpoint=file, resume=True, start_from=start))


def edited(file: Path, edit: Callable[[dict[str, Any], dict[str, np.ndarray]], None]) -> None:
    """Change header and tensors of a checkpoint."""
    with safe_open(file, framework="numpy") as opened:
        header = json.loads(opened.metadata()[HEADER])
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)
    edit(header, tensors)
    save_file(tensors, file, {HEADER: json.dumps(header)})


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda h, t: h.update(format=FORMAT + 1), r"was written by a newer btunet \(format 2\); update this"),
        (lambda h, t: h.pop("state"), "is not a checkpoint, or it is broken"),
        (lambda h, t: h["state"].pop("numpy"), "is not a checkpoint, or it is broken"),
        (lambda h, t: h["state"]["numpy"].update(bit_generator="MT19937"), "is not a checkpoint, or it is broken"),
        (lambda h, t: h["state"].update(values=3), "is not a checkpoint, or it is broken"),
        (lambda h, t: h["state"].update(step="many"), "is not a checkpoint, or it is broken"),
        (lambda h, t: t.pop("generator"), "is not a checkpoint, or it is broken"),
        (lambda h, t: t.update(generator=np.zeros(7, np.uint8)), "is not a checkpoint, or it is broken"),
        (lambda h, t: t.pop("mean.0"), "is not a checkpoint, or it is broken"),
        (lambda h, t: t.update({"mean.0": t["mean.0"][:0]}), "is not a checkpoint, or it is broken"),
    ],
)
def test_a_checkpoint_that_was_altered_is_refused_in_a_sentence(
    image: np.ndarray, file: Path, edit: Any, message: str
) -> None:
    run(pretrain([image], SETTINGS, checkpoint=file), at(1))
    edited(file, edit)
    with pytest.raises(BtunetError, match=rf"e\.checkpoint {message}") as error:
        run(pretrain([image], SETTINGS, checkpoint=file, resume=True))
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_checkpoint_is_refused(file: Path) -> None:
    for content in (b"", b"PK\x03\x04 not this", b"\x80\x04N."):
        file.write_bytes(content)
        with pytest.raises(BtunetError, match=r"e\.checkpoint is not a checkpoint, or it is broken"):
            Checkpoint.load(file)
    Model("unet", 1, (), {"encoder.a": np.zeros(3, np.float32)}).save(file)
    with pytest.raises(BtunetError, match=r"e\.checkpoint is not a checkpoint; choose a file made while pre-training"):
        Checkpoint.load(file)
    file.unlink()
    with pytest.raises(BtunetError, match=r"e\.checkpoint cannot be read: No such file"):
        Checkpoint.load(file)


def test_a_checkpoint_that_was_cut_off_is_refused(file: Path) -> None:
    TINY.save(file)
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(BtunetError, match=r"e\.checkpoint is not a checkpoint, or it is broken"):
        Checkpoint.load(file)


def test_what_is_loaded_is_what_was_saved(file: Path) -> None:
    state = {"numpy": np.random.default_rng(3).bit_generator.state, "seconds": 0.1 + 0.2, "step": 10**40}
    tensors = {"a": np.array(3), "b": np.arange(6, dtype=np.float32).reshape(2, 3).T, "c": np.arange(4, dtype=np.uint8)}
    Checkpoint(TINY.about, state, tensors).save(file)
    found = Checkpoint.load(file)
    assert found.about == TINY.about and found.state == state
    for name, tensor in tensors.items():
        assert found.tensors[name].dtype == tensor.dtype and np.array_equal(found.tensors[name], tensor)
        assert found.tensors[name].shape == tensor.shape


def test_a_checkpoint_is_the_training_itself_and_not_the_projector_alone(image: np.ndarray, file: Path) -> None:
    run(pretrain([image], SETTINGS, checkpoint=file), at(2))
    found = Checkpoint.load(file)
    kinds = {name.split(".")[0] for name in found.tensors}
    assert kinds == {"encoder", "projector", "mean", "square", "steps", "generator"}
    assert found.state["step"] == 2 and found.about["seed"] == 0


# ---- a process that ends in the middle


@posix
def test_the_old_checkpoint_survives_a_crash_in_the_middle_of_writing(file: Path) -> None:
    TINY.save(file)
    code = (
        "import os, sys, signal, numpy as np; from pathlib import Path; from btunet.checkpoint import Checkpoint;"
        "os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL);"
        "Checkpoint({}, {}, {'w': np.zeros(10**6)}).save(Path(sys.argv[1]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert Checkpoint.load(file).about == TINY.about


def test_a_full_disk_leaves_the_old_checkpoint(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    TINY.save(file)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BtunetError, match=r"e\.checkpoint cannot be written: No space left on device"):
        replace(TINY, about={}).save(file)
    assert Checkpoint.load(file).about == TINY.about and [p.name for p in file.parent.iterdir()] == ["e.checkpoint"]


# ---- the command line

LINE = ["pretrain", "image.tif", "--out", "e.safetensors", "--steps", "5", "--batch", "4", "--patch-size", "32"]


@pytest.fixture
def folder(tmp_path: Path, discs: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be in a folder with an image and the encoder an uninterrupted training makes of it."""
    tifffile.imwrite(tmp_path / "image.tif", discs(size=64)[0][0])
    monkeypatch.chdir(tmp_path)
    assert main([*LINE[:3], "whole.safetensors", *LINE[4:]]) == 0
    return tmp_path


def signalled(monkeypatch: pytest.MonkeyPatch, step: int, *signals: signal.Signals) -> None:
    """Let signals arrive during a step."""
    real = TwinLearner.step

    def interrupted(self: Any) -> None:
        real(self)
        if self.clock.step == step:
            for number in signals:
                os.kill(os.getpid(), number)

    monkeypatch.setattr(TwinLearner, "step", interrupted)


@posix
@pytest.mark.parametrize("signals", [(signal.SIGINT,), (signal.SIGTERM,), (signal.SIGTERM, signal.SIGTERM)])
def test_a_signal_saves_encoder_and_checkpoint_and_resuming_ends_like_a_whole_training(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, signals: tuple[signal.Signals, ...]
) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patch:
        signalled(patch, 2, *signals)
        assert main(LINE) == 130
    assert "the same command with --resume goes on from here" in capsys.readouterr().err
    assert Model.load("e.safetensors").history[0]["steps"] == 2 and Path("e.checkpoint").exists()
    assert main([*LINE, "--resume"]) == 0
    assert "going on from e.checkpoint" in capsys.readouterr().err
    assert same(Model.load("e.safetensors"), Model.load("whole.safetensors"))
    assert sorted(p.name for p in folder.iterdir()) == ["e.safetensors", "image.tif", "whole.safetensors"]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


@posix
def test_a_second_ctrl_c_drops_what_was_learned_since_the_last_checkpoint(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signalled(monkeypatch, 2, signal.SIGINT, signal.SIGINT)
    assert main(LINE) == 130
    assert not Path("e.safetensors").exists() and not Path("e.checkpoint").exists()


KILLED = """
import os, signal
from btunet import cli, pretraining
from btunet.twin_learner import TwinLearner
pretraining.CHECKPOINT_EVERY = 0
real = TwinLearner.step
def step(self):
    if self.clock.step == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    real(self)
TwinLearner.step = step
cli.entry()
"""


@posix
def test_a_job_that_is_killed_and_requeued_ends_like_a_whole_training(folder: Path, capsys: Any) -> None:
    script = [*LINE, "--resume"]  # a job's script is the same each time
    done = subprocess.run([sys.executable, "-c", KILLED, *script], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL and "going on" not in done.stderr
    assert not Path("e.safetensors").exists() and Checkpoint.load(Path("e.checkpoint")).state["step"] == 3
    assert main(script) == 0
    assert same(Model.load("e.safetensors"), Model.load("whole.safetensors")) and not Path("e.checkpoint").exists()


def test_starting_anew_over_a_checkpoint_is_said(folder: Path, capsys: Any) -> None:
    TINY.save(Path("e.checkpoint"))
    assert main(LINE) == 0
    assert "starting anew; --resume would go on from e.checkpoint" in capsys.readouterr().err
    assert same(Model.load("e.safetensors"), Model.load("whole.safetensors")) and not Path("e.checkpoint").exists()


def test_a_checkpoint_of_another_training_is_refused_with_exit_status_2(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    with monkeypatch.context() as patch:
        signalled(patch, 2, signal.SIGINT)
        main(LINE)
    capsys.readouterr()
    assert main([word.replace("5", "6") for word in [*LINE, "--resume"]]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("btunet: ")]
    assert len(said) == 1 and "e.checkpoint is of a training with other steps (5, not 6); give the same" in said[0]
    assert Path("e.checkpoint").exists()


def test_a_full_disk_costs_no_training_and_is_said(
    image: np.ndarray, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pretraining, "CHECKPOINT_EVERY", 0.0)
    monkeypatch.setattr(os, "fsync", full)
    seen: list[Progress] = []
    encoder = run(pretrain([image], SETTINGS, checkpoint=file), seen.append)
    assert encoder.is_encoder
    assert "No space left on device" in seen[-1].stage
    assert not file.exists()


def test_a_glance_reads_what_a_checkpoint_is_of_and_no_tensor(file: Path) -> None:
    TINY.save(file)
    assert Checkpoint.glance(file) == Checkpoint(TINY.about, TINY.state, {})
