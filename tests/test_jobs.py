import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from btunet import BtunetError, PredictSettings, Progress, jobs, predict_files, run, workers
from btunet.errors import Died


@pytest.fixture
def files(tmp_path: Path, lively: Any, model_of: Any) -> tuple[Path, list[Path]]:
    """Make a model and three images."""
    images = []
    for i in range(3):
        images.append(tmp_path / f"{i}.tif")
        data = np.random.default_rng(i).integers(0, 255, (2, 50, 60)).astype(np.uint8)
        tifffile.imwrite(images[-1], data, photometric="minisblack")
    return model_of(lively(classes=2), classes=2).save(tmp_path / "m.safetensors"), images


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def stop_at(step: int) -> Callable[[Progress], bool]:
    seen: list[Progress] = []

    def reply(progress: Progress) -> bool:
        seen.append(progress)
        return len(seen) >= step

    return reply


def test_every_file_gets_its_masks_and_progress_says_which(tmp_path: Path, files: Any) -> None:
    seen: list[Progress] = []
    model, images = files
    found = run(predict_files(model, images, tmp_path / "out", probabilities=True), seen.append)
    assert [path.name for path in found] == [f"{i}{end}.tif" for i in range(3) for end in ("", "_probabilities")]
    assert sorted(contents(tmp_path / "out")) == sorted(path.name for path in found)
    assert [(p.stage, p.step, p.total) for p in seen] == [
        (f"predicting {i}/3", step, 2) for i in (1, 2, 3) for step in (1, 2)
    ]


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_finished_files_are_not_predicted_again_after_an_interruption(tmp_path: Path, files: Any, steps: int) -> None:
    model, images = files
    first = run(predict_files(model, images, tmp_path / "out"), stop_at(steps))
    assert len(first) == steps // 2
    times = {path: path.stat().st_mtime_ns for path in first}
    seen: list[Progress] = []
    found = run(predict_files(model, images, tmp_path / "out"), seen.append)
    assert len(found) == 3 and len(seen) == 6 - steps
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    run(predict_files(model, images, tmp_path / "again"))
    assert contents(tmp_path / "again") == contents(tmp_path / "out")


def test_after_all_is_finished_everything_is_predicted_again(tmp_path: Path, files: Any) -> None:
    model, images = files
    for _ in range(2):
        seen: list[Progress] = []
        run(predict_files(model, images, tmp_path / "out"), seen.append)
        assert len(seen) == 6


@pytest.mark.parametrize("settings", [PredictSettings(tile=64), None])
def test_an_image_or_a_setting_that_changed_is_predicted_again(tmp_path: Path, files: Any, settings: Any) -> None:
    model, images = files
    run(predict_files(model, images, tmp_path / "out"), stop_at(4))
    if settings is None:
        tifffile.imwrite(images[0], np.zeros((2, 50, 60), np.uint8), photometric="minisblack")
    seen: list[Progress] = []
    run(predict_files(model, images, tmp_path / "out", settings), seen.append)
    assert len(seen) == (6 if settings else 4)


def test_several_processes_do_what_one_does(tmp_path: Path, files: Any) -> None:
    model, images = files
    one = run(predict_files(model, images, tmp_path / "one", probabilities=True))
    two = run(predict_files(model, images, tmp_path / "two", probabilities=True, jobs=2))
    assert [path.name for path in one] == [path.name for path in two]
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert not multiprocessing.active_children()


def test_one_image_is_divided_among_several_processes(tmp_path: Path, files: Any) -> None:
    model, images = files
    seen: list[Progress] = []
    run(predict_files(model, images[:1], tmp_path / "two", jobs=2), seen.append)
    assert {p.total for p in seen} == {2}
    run(predict_files(model, images[:1], tmp_path / "one"))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_processes_that_are_stopped_are_gone_and_the_rest_is_done_later(tmp_path: Path, files: Any) -> None:
    model, images = files
    begun = time.monotonic()
    found = run(predict_files(model, images, tmp_path / "out", jobs=2), stop_at(1))
    assert len(found) < 3 and not multiprocessing.active_children()
    assert time.monotonic() - begun < 60
    run(predict_files(model, images, tmp_path / "out"))
    run(predict_files(model, images, tmp_path / "one"))
    assert contents(tmp_path / "one") == contents(tmp_path / "out")


def test_a_mistake_in_another_process_is_one_here(tmp_path: Path, files: Any) -> None:
    model, images = files
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((20, 20, 3), np.uint8), photometric="rgb")
    with pytest.raises(ValueError, match="has 3 channels but the model was trained on 1"):
        run(predict_files(model, [*images, tmp_path / "rgb.tif"], tmp_path / "out", jobs=2))
    assert not multiprocessing.active_children()


def suicide(_: Any) -> list[Path]:
    os.kill(os.getpid(), signal.SIGKILL)
    return []


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_a_process_that_dies_is_one_sentence(tmp_path: Path, files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = files
    monkeypatch.setattr(jobs, "_do", suicide)
    with pytest.raises(Died, match="a process ended without an answer, perhaps for lack of memory"):
        run(predict_files(model, images, tmp_path / "out", jobs=2))


def test_names_that_meet_are_refused(tmp_path: Path, files: Any) -> None:
    model, images = files
    for twin in (tmp_path / "0.png", tmp_path / "0.zarr" / "1"):
        with pytest.raises(ValueError, match="several images are called 0; predict them into different folders"):
            run(predict_files(model, [*images, twin], tmp_path / "out"))


# ---- a cluster


@pytest.fixture
def cluster() -> Any:
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**options, protocol="tcp://", host="127.0.0.1") as cluster:
        yield cluster.scheduler_address


def test_the_workers_of_a_cluster_do_what_one_process_does(tmp_path: Path, files: Any, cluster: str) -> None:
    model, images = files
    run(predict_files(model, images, tmp_path / "two", scheduler=cluster))
    run(predict_files(model, images, tmp_path / "one"))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_scheduler_that_does_not_answer_is_one_sentence(
    tmp_path: Path, files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(workers, "PATIENCE", 0.2)
    model, images = files
    with pytest.raises(BtunetError, match=r"the scheduler tcp://127\.0\.0\.1:9 cannot be reached") as raised:
        run(predict_files(model, images, tmp_path / "out", scheduler="tcp://127.0.0.1:9"))
    assert "\n" not in str(raised.value)


def test_without_distributed_the_sentence_says_how_to_get_it(
    tmp_path: Path, files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    model, images = files
    with pytest.raises(BtunetError, match=r"pip install \"napari-btunet\[cluster\]\""):
        run(predict_files(model, images, tmp_path / "out", scheduler="tcp://127.0.0.1:9"))
