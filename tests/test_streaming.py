import re
import shutil
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile
import zarr

from btunet import (
    BtunetError,
    Model,
    PredictSettings,
    Progress,
    Stack,
    as_stack,
    networks,
    predict,
    predict_probabilities,
    predict_to,
    pyramid,
    read,
    run,
    streaming,
    targets,
    tiles,
)

TILES = PredictSettings(tile=48)


@pytest.fixture
def model(lively: Any, model_of: Callable[..., Model], monkeypatch: pytest.MonkeyPatch) -> Model:
    """Return a model of a tiny network, so that many tiles fit into a small plane."""
    monkeypatch.setitem(networks.BUILDERS, "unet", partial(networks.BUILDERS["unet"], widths=(4, 8, 8)))
    return model_of(lively(channels=2), channels=2)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyramid, "CHUNK", 64)
    monkeypatch.setattr(streaming, "CHUNK", 64)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Divide every plane into as many panels as there can be."""
    real = tiles.Tiling.panels
    monkeypatch.setattr(tiles.Tiling, "panels", lambda self, shape, _, *more: real(self, shape, 1, *more))


def image(path: Path, shape: tuple[int, ...] = (2, 3, 150, 203), chunks: int = 37) -> Path:
    """Write (C, Z, Y, X) as zarr whose chunks divide nothing."""
    data = np.random.default_rng(0).integers(0, 4000, shape).astype(np.uint16)
    names = ["c", *"tzyx"[-(len(shape) - 1) :]]
    array = zarr.create_array(
        path, shape=shape, dtype=data.dtype, chunks=(1,) * (len(shape) - 2) + (chunks, chunks), dimension_names=names
    )
    array[...] = data
    return path


def back(files: list[Path]) -> np.ndarray:
    return np.concatenate([np.stack([s.read(i) for i in range(s.planes)]) for s in map(read, files)])


@pytest.mark.parametrize("suffix", [".zarr", ".tif", ".png"])
@pytest.mark.parametrize(
    "shape", [(2, 150, 203), (2, 3, 131, 64), (2, 1, 1), (2, 1, 300), (2, 2, 2, 65, 129), (2, 4, 17, 33)]
)
def test_a_file_holds_what_prediction_in_memory_gives_bit_for_bit(
    tmp_path: Path, model: Model, narrow: None, shape: tuple[int, ...], suffix: str
) -> None:
    stack = read(image(tmp_path / "a.zarr", shape))
    files = run(predict_to(model, stack, tmp_path / "out" / f"m{suffix}", TILES, probabilities=True))
    (mask,), (found,) = (run(verb(model, [stack], TILES)) for verb in (predict, predict_probabilities))
    kind = ".zarr" if suffix == ".zarr" else ".tif"
    *masks, _ = sorted(files, key=lambda file: "probabilities" in file.name)
    assert np.array_equal(back(masks).reshape(mask.shape), mask)
    assert np.array_equal(back([tmp_path / "out" / f"m_probabilities{kind}"]).reshape(found.shape), found)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(p.name for p in files)


def test_calibration_and_axes_are_those_of_the_image(tmp_path: Path, model: Model) -> None:
    data = np.random.default_rng(0).random((3, 2, 70, 90)).astype(np.float32)
    stack = Stack(data, "ZCYX", "a", (2.0, 0.5, 0.25), "µm")
    for suffix in (".tif", ".zarr"):
        (file,) = run(predict_to(model, stack, tmp_path / f"m{suffix}"))
        found = read(file)
        assert (found.axes, found.scale, found.unit) == ("ZYX", pytest.approx((2.0, 0.5, 0.25)), "µm")


def test_progress_counts_tiles(tmp_path: Path, model: Model, narrow: None) -> None:
    seen: list[Progress] = []
    run(predict_to(model, read(image(tmp_path / "a.zarr")), tmp_path / "m.zarr", TILES), seen.append)
    assert [p.step for p in seen] == list(range(1, seen[-1].total + 1))
    assert seen[-1].total >= 3 * 4 * 5


def stop_at(step: int) -> Callable[[Progress], bool]:
    return lambda progress: progress.step >= step


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """List the windows that go through the network."""
    seen: list[int] = []
    real = tiles.forward

    def forward(network: Any) -> Any:
        function = real(network)
        return lambda window: (seen.append(window.size), function(window))[1]

    monkeypatch.setattr(tiles, "forward", forward)
    return seen


@pytest.mark.parametrize(
    ("suffix", "steps"), [(".zarr", 1), (".zarr", 9), (".zarr", 29), (".zarr", 59), (".tif", 29), (".png", 55)]
)
def test_what_was_stopped_goes_on_to_the_same_bits_and_repeats_little(
    tmp_path: Path, model: Model, calls: list[int], suffix: str, steps: int
) -> None:
    stack = read(image(tmp_path / "a.zarr"))
    whole = back(run(predict_to(model, stack, tmp_path / f"w{suffix}", TILES, probabilities=True))[-1:])
    every = len(calls)
    calls.clear()
    assert every == 60
    first = run(predict_to(model, stack, tmp_path / f"m{suffix}", TILES, probabilities=True), stop_at(steps))
    assert first == [] and not (tmp_path / f"m{suffix}").exists() and len(calls) == steps
    files = run(predict_to(model, stack, tmp_path / f"m{suffix}", TILES, probabilities=True))
    assert np.array_equal(back(files[-1:]), whole)
    assert every <= len(calls) <= every + 10  # at most the rows of tiles that were begun, and one above them
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_what_was_stopped_at_the_last_tile_is_finished(tmp_path: Path, model: Model) -> None:
    stack = read(image(tmp_path / "a.zarr"))
    assert run(predict_to(model, stack, tmp_path / "m.zarr", TILES), lambda p: p.step == p.total)


def test_the_memory_may_change_between(tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = read(image(tmp_path / "a.zarr"))
    whole = back(run(predict_to(model, stack, tmp_path / "w.zarr", TILES)))
    real = tiles.Tiling.panels
    for memory, steps in ((1, 30), (2**30, 50), (1, 1000)):
        monkeypatch.setattr(tiles.Tiling, "panels", lambda s, shape, _, *more, m=memory: real(s, shape, m, *more))
        files = run(predict_to(model, stack, tmp_path / "m.zarr", TILES), stop_at(steps))
    assert np.array_equal(back(files), whole)


def changed_model(model: Model, stack: Stack) -> tuple[Model, Stack, PredictSettings]:
    weights = {k: w + 1e-6 if k == "head.bias" else w for k, w in model.weights.items()}
    return Model(model.network, 2, model.classes, weights), stack, TILES


def changed_image(model: Model, stack: Stack) -> tuple[Model, Stack, PredictSettings]:
    zarr.open_array(stack.path, mode="r+")[0, 0, 0, 0] = 7
    return model, read(str(stack.path)), TILES


def changed_tile(model: Model, stack: Stack) -> tuple[Model, Stack, PredictSettings]:
    return model, stack, PredictSettings(tile=64)


@pytest.mark.parametrize("change", [changed_model, changed_image, changed_tile])
def test_with_another_model_image_or_tile_everything_begins_anew(
    tmp_path: Path, model: Model, change: Any, calls: list[int]
) -> None:
    stack = read(image(tmp_path / "a.zarr"))
    run(predict_to(model, stack, tmp_path / "m.zarr", TILES), stop_at(50))
    model, stack, settings = change(model, stack)
    calls.clear()
    files = run(predict_to(model, stack, tmp_path / "m.zarr", settings))
    before = len(calls)
    calls.clear()
    assert np.array_equal(back(files), back(run(predict_to(model, stack, tmp_path / "w.zarr", settings))))
    assert before == len(calls)


def test_an_array_without_a_file_that_changed_is_noticed_too(tmp_path: Path, model: Model, calls: list[int]) -> None:
    data = np.random.default_rng(0).random((2, 3, 150, 203))
    for factor in (1.0, 2.0):
        calls.clear()
        run(predict_to(model, as_stack(data * factor, "CZYX"), tmp_path / "m.zarr", TILES), stop_at(50))
        assert len(calls) == 50


KILLED = """
import os, signal, sys
from functools import partial
import btunet
from btunet import networks, pyramid, streaming
pyramid.CHUNK = streaming.CHUNK = 64
networks.BUILDERS["unet"] = partial(networks.BUILDERS["unet"], widths=(4, 8, 8))
def die(progress):
    if progress.step == 40:
        os.kill(os.getpid(), signal.SIGKILL)
task = btunet.predict_to(btunet.Model.load("m.safetensors"), btunet.read("a.zarr"), "m" + sys.argv[1],
                         btunet.PredictSettings(tile=48), probabilities=True)
btunet.run(task, die)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_a_killed_prediction_goes_on_to_the_same_bits(
    tmp_path: Path, model: Model, calls: list[int], suffix: str
) -> None:
    stack = read(image(tmp_path / "a.zarr"))
    model.save(tmp_path / "m.safetensors")
    command = [sys.executable, "-c", KILLED, suffix]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / f"m{suffix}").exists()
    with (tmp_path / f".m{suffix}.part" / "journal").open("a") as file:
        file.write("\n[2, 0, 64, 0, 20")  # as if it had been killed while it wrote this
    files = run(predict_to(model, stack, tmp_path / f"m{suffix}", TILES, probabilities=True))
    assert len(calls) < 30
    whole = run(predict_to(model, stack, tmp_path / f"w{suffix}", TILES, probabilities=True))
    for one, two in zip(files, whole, strict=True):
        assert np.array_equal(back([one]), back([two]))


def test_killed_between_two_moves_it_begins_anew(tmp_path: Path, model: Model) -> None:
    stack, moved = read(image(tmp_path / "a.zarr")), []

    def into_place(part: Path, path: Path) -> None:
        if moved:
            raise KeyboardInterrupt
        part.replace(path)
        moved.append(path.name)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(streaming, "into_place", into_place)
        run(predict_to(model, stack, tmp_path / "m.zarr", TILES, probabilities=True))
    assert moved == ["m_probabilities.zarr"] and not (tmp_path / "m.zarr").exists()
    assert len(run(predict_to(model, stack, tmp_path / "m.zarr", TILES, probabilities=True))) == 2


@pytest.mark.parametrize("suffix", [".zarr", ".tif", ".png"])
def test_a_disk_that_forgets_is_noticed_and_the_old_file_stays(tmp_path: Path, model: Model, suffix: str) -> None:
    stack, path = read(image(tmp_path / "a.zarr", (2, 150, 203))), tmp_path / f"m{suffix}"
    old = back(run(predict_to(model, stack, path, TILES)))
    real = targets.Written.read
    task = predict_to(model, stack, path, PredictSettings(tile=64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets.Written, "read", lambda *window: real(*window) ^ 1)
        with pytest.raises(BtunetError, match="did not come back as it was written"):
            run(task)
    assert np.array_equal(back([path]), old)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zarr", path.name]


FULL = """
import resource, sys
from btunet import BtunetError, Model, predict_to, read, run
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
for suffix in (".tif", ".zarr", ".png"):
    try:
        run(predict_to(Model.load("m.safetensors"), read("a.zarr"), "m" + suffix))
    except BtunetError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file size are POSIX")
def test_a_full_disk_is_one_sentence_and_what_is_unfinished_can_be_gone_on_with(
    tmp_path: Path, lively: Any, model_of: Callable[..., Model]
) -> None:
    model, path = model_of(lively(channels=2), channels=2), image(tmp_path / "a.zarr")
    model.save(tmp_path / "m.safetensors")
    command = [sys.executable, "-c", FULL]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    said = done.stdout.splitlines()
    assert len(said) == 3 and done.stderr == ""
    for suffix, sentence in zip((".tif", ".zarr", ".png"), said, strict=True):
        assert re.search(f"m{suffix} cannot be written: .*; free some space or choose another folder$", sentence)
        assert not (tmp_path / f"m{suffix}").exists()
    assert run(predict_to(model, read(path), tmp_path / "m.zarr")) == [tmp_path / "m.zarr"]
    assert run(predict_to(model, read(path), tmp_path / "m.tif")) == [tmp_path / "m.tif"]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path, model: Model) -> None:
    (tmp_path / "file").write_text("")
    stack = read(image(tmp_path / "a.zarr"))
    with pytest.raises(BtunetError, match=r"cannot be written: .*; free some space or choose another folder"):
        run(predict_to(model, stack, tmp_path / "file" / "m.zarr"))


def test_what_cannot_be_predicted_is_refused_before_anything_is_written(tmp_path: Path, model: Model) -> None:
    stack = read(image(tmp_path / "a.zarr"))
    for model_, path, message in (
        (Model("unet", 2, (), {}), "m.zarr", "pre-trained encoder without classes"),
        (model, "a.zarr", "is the image itself"),
        (model, "m.bmp", "should end in one of"),
    ):
        with pytest.raises(ValueError, match=message):
            run(predict_to(model_, stack, tmp_path / path))
    with pytest.raises(ValueError, match="has 1 channels but the model was trained on 2"):
        run(predict_to(model, np.zeros((9, 9)), tmp_path / "m.zarr"))
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_a_chunk_that_is_broken_is_one_sentence(tmp_path: Path, model: Model) -> None:
    path = image(tmp_path / "a.zarr")
    chunk = next(p for p in sorted(path.rglob("c/1/2/3/*")))
    chunk.write_bytes(b"this is no chunk")
    with pytest.raises(BtunetError, match=r"a\.zarr cannot be read in plane 2: .*its file may be broken"):
        run(predict_to(model, read(path), tmp_path / "m.zarr"))


def test_shares_done_by_several_make_the_whole(tmp_path: Path, model: Model, calls: list[int]) -> None:
    stack = read(image(tmp_path / "a.zarr", (2, 150, 203)))
    whole = back(run(predict_to(model, stack, tmp_path / "w.zarr", TILES)))
    calls.clear()
    for share in ((3, 3), (2, 3), (0, 3), (1, 3)):
        assert run(predict_to(model, stack, tmp_path / "m.zarr", TILES, share=share)) == []
        assert (len(calls) == 0) == (share == (3, 3))
    before = len(calls)
    assert np.array_equal(back(run(predict_to(model, stack, tmp_path / "m.zarr", TILES))), whole)
    assert len(calls) == before  # nothing was left to do


# ---- memory


class Computed:
    """An image that takes no memory."""

    def __init__(self, *shape: int) -> None:
        self.shape, self.dtype, self.largest = shape, np.dtype(np.uint8), 0

    def __getitem__(self, index: Any) -> np.ndarray:
        y, x = (np.arange(n)[i].astype(np.uint8) for n, i in zip(self.shape[-2:], index[-2:], strict=True))
        self.largest = max(self.largest, y.size * x.size)
        return y[:, None] ^ x


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put something quick in the network's place, and chunks of the usual size."""
    monkeypatch.setattr(tiles, "forward", lambda _: lambda window: np.concatenate([window, -window]))
    monkeypatch.setattr(pyramid, "CHUNK", 512)
    monkeypatch.setattr(streaming, "CHUNK", 512)
    return


def peak(task: Any) -> float:
    """Return the most memory that was held at once, megabytes."""
    tracemalloc.start()
    try:
        run(task)
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("suffix", [".zarr", ".tif"])
def test_memory_depends_neither_on_the_number_nor_on_the_size_of_the_planes(
    tmp_path: Path, lively: Any, model_of: Callable[..., Model], plain: None, suffix: str
) -> None:
    model, settings = model_of(lively(classes=2), classes=2), PredictSettings(memory=32)

    def used(*shape: int) -> float:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}{suffix}"
        found = peak(predict_to(model, Stack(Computed(*shape), "ZYX"[-len(shape) :]), path, settings))
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        return found

    used(600, 600)  # what is imported once
    few, many = used(16, 640, 640), used(40, 640, 640)  # of so many planes the range is sampled
    assert many < few * 1.1 + 2
    large, huge = used(1600, 3000), used(3000, 9000)
    assert huge < large * 1.1 + 2
    assert huge < 60  # 32 MB of pixels, one tile at a time, and what zarr encodes


def test_a_tile_is_read_by_window(tmp_path: Path, lively: Any, model_of: Callable[..., Model], plain: None) -> None:
    data = Computed(3000, 20_000)
    task = predict_to(
        model_of(lively(classes=2), classes=2), Stack(data, "YX"), tmp_path / "m.tif", PredictSettings(memory=16)
    )
    for _, progress in zip(range(5), task, strict=False):
        assert progress.total == 6 * (40 + 2 * (-(-progress.total // 6) - 40) // 2)
    task.close()
    assert data.largest < 16e6


def test_a_compressed_tiff_and_a_memory_mapped_one_give_the_same(tmp_path: Path, model: Model) -> None:
    data = np.random.default_rng(0).integers(0, 4000, (3, 2, 150, 203)).astype(np.uint16)
    found = []
    for name, more in (("a", {"compression": "zlib"}), ("b", {})):
        tifffile.imwrite(tmp_path / f"{name}.tif", data, imagej=not more, metadata={"axes": "ZCYX"}, **more)
        found.append(back(run(predict_to(model, read(tmp_path / f"{name}.tif"), tmp_path / f"{name}.zarr", TILES))))
    assert np.array_equal(*found)


def test_a_picture_becomes_a_picture(tmp_path: Path, lively: Any, model_of: Callable[..., Model]) -> None:
    imageio.imwrite(tmp_path / "a.png", np.random.default_rng(0).integers(0, 255, (40, 50)).astype(np.uint8))
    (path,) = run(predict_to(model_of(lively()), read(tmp_path / "a.png"), tmp_path / "m.png"))
    assert imageio.imread(path).shape == (40, 50)
