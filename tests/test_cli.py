import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile

from btunet import FinetuneSettings, Model, ObjectSettings, PredictSettings, PretrainSettings, ViewSettings, read
from btunet.cli import main

Shell = Callable[..., tuple[int, str, str]]
QUICK = ["--steps", "1", "--batch", "4", "--patch-size", "32"]


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shell:
    """Run the command line in the test's folder; return exit status, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def call(line: str, *more: Any) -> tuple[int, str, str]:
        status = main([*line.split(), *map(str, more)])
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def data(tmp_path: Path, discs: Any) -> Path:
    """Make images/ with a picture and a stack, strokes/ and masks/ for both, and a picture without a label."""
    for folder in ("images", "strokes", "masks"):
        (tmp_path / folder).mkdir()
    rng = np.random.default_rng(0)
    for name, planes in (("one", 1), ("two", 2)):
        image, mask = discs(planes=planes, size=64)
        strokes = np.where(rng.random(mask.shape) < 0.2, mask + 1, 0).astype(np.uint8)
        for folder, content in (("images", image), ("strokes", strokes), ("masks", mask)):
            if planes == 1:
                imageio.imwrite(tmp_path / folder / f"{name}.png", content[0])
            else:
                tifffile.imwrite(tmp_path / folder / f"{name}.tif", content, photometric="minisblack")
    imageio.imwrite(tmp_path / "images" / "three.png", discs(size=48, seed=3)[0][0])
    return tmp_path


@pytest.fixture
def model(tmp_path: Path, lively: Any, model_of: Any) -> Path:
    return Path(model_of(lively(classes=2), classes=2).save(tmp_path / "model.safetensors"))


def mistake(result: tuple[int, str, str], pattern: str) -> None:
    """Check that one sentence was said, and no traceback."""
    status, out, err = result
    said = [line for line in err.splitlines() if not re.match(r"(reading images|predicting) ", line)]
    assert status == 2 and out == "", (status, out, err)
    assert len(said) == 1 and said[0].startswith("btunet: "), err
    assert re.search(pattern, said[0]), err


# ---- from images to scores


def test_everything_from_images_to_scores_works_with_strokes(data: Path, shell: Shell) -> None:
    status, out, _ = shell("pretrain images --out e.safetensors", *QUICK)
    assert status == 0 and out.startswith("e.safetensors  pre-trained encoder: unet, 1 channel, ")
    status, out, err = shell(
        "finetune --images images --labels strokes --out m.safetensors --start-from e.safetensors", *QUICK
    )
    assert status == 0 and out.startswith("m.safetensors  model for background, class 1: unet, ")
    assert "1 of 3 images have no label and are only looked at" in err
    assert [r["verb"] for r in Model.load(data / "m.safetensors").history] == ["pretrain", "finetune"]
    status, out, _ = shell("predict m.safetensors images --out found --tile 32")
    assert status == 0
    assert out.split() == ["found/one.tif", "found/three.tif", "found/two.tif"]
    assert read(data / "found" / "two.tif").spatial_shape == (2, 64, 64)
    (data / "found" / "three.tif").unlink()
    status, out, _ = shell("evaluate found masks --json scores.json")
    assert status == 0 and "over 3 planes" in out and "pooled" in out
    report = json.loads((data / "scores.json").read_text())
    assert report["planes"] == 3 and set(report["classes"]) == {"1"}


def test_objects_of_masks_are_numbered_and_measured(data: Path, shell: Shell) -> None:
    status, out, _ = shell(
        "objects masks --images images --out counted --classes disc --split --smallest 20 --plane-by-plane"
    )
    assert status == 0
    assert out.split() == ["counted/one_objects.tif", "counted/two_objects.tif", "counted/objects.csv"]
    heading, *rows = (data / "counted" / "objects.csv").read_text().splitlines()
    assert heading.startswith("image,label,class,class_name,area_pixels,")
    assert rows[0].startswith("one.png,1,1,disc,")
    counts = [int(read(data / "counted" / f"{name}_objects.tif").data.max()) for name in ("one", "two")]
    assert len(rows) == sum(counts)


def test_dense_masks_are_learned_from(data: Path, shell: Shell) -> None:
    line = "finetune --images images/one.png images/two.tif --labels masks/two.tif masks/one.png --dense"
    status, _, err = shell(f"{line} --out m.safetensors", *QUICK)
    assert status == 0 and "no label" not in err
    record = Model.load(data / "m.safetensors").history[0]
    assert record["dense"] and sorted(record["images"]) == ["one.png", "two.tif"]


@pytest.mark.parametrize("kind", ["tiff", "png", "zarr"])
def test_masks_and_probabilities_of_every_format_agree(data: Path, shell: Shell, model: Path, kind: str) -> None:
    status, out, _ = shell(f"predict {model} images/two.tif images/one.png --out found --probabilities --format {kind}")
    assert status == 0
    for line in out.split():
        assert (data / line).exists()
    end = ".zarr" if kind == "zarr" else ".tif"
    for name, shape in (("one", (64, 64)), ("two", (2, 64, 64))):
        stack = read(data / "found" / f"{name}_probabilities{end}")
        if kind == "png" and name == "two":
            mask = np.stack([imageio.imread(data / "found" / f"two_{i:03d}.png") for i in range(2)])
        else:
            mask = read(data / "found" / f"{name}{'.png' if kind == 'png' else end}").data[...]
        assert mask.shape == shape and mask.dtype == np.uint8
        assert np.array_equal(np.asarray(stack.data).argmax(stack.axes.index("C")), mask)


def test_masks_are_the_same_with_and_without_probabilities(data: Path, shell: Shell, model: Path) -> None:
    shell(f"predict {model} images/one.png --out a")
    shell(f"predict {model} images/one.png --out b --probabilities")
    assert np.array_equal(read(data / "a" / "one.tif").data, read(data / "b" / "one.tif").data)


def test_a_time_in_minutes_is_kept(data: Path, shell: Shell) -> None:
    line = "pretrain images/one.png --out e.safetensors --minutes 0.01 --batch 4 --patch-size 16"
    assert shell(line)[0] == 0
    (record,) = Model.load(data / "e.safetensors").history
    assert record["seconds"] >= 0.6 and record["steps"] > 1 and record["settings"]["minutes"] == 0.01


def test_one_mask_is_scored_against_one_whatever_their_names(data: Path, shell: Shell) -> None:
    status, out, _ = shell("evaluate masks/one.png strokes/one.png")
    assert status == 0 and "over 1 planes" in out


def test_masks_that_take_the_place_of_others_are_named(data: Path, model: Path, shell: Shell) -> None:
    predict = f"predict {model} images/one.png images/two.tif --out found --format png"
    assert "replaced" not in shell(predict)[2]
    assert "replaced what was there before: one.png, two_000.png, two_001.png\n" in shell(predict)[2]


def test_true_masks_without_a_prediction_are_left_out_with_a_note(data: Path, shell: Shell) -> None:
    (data / "found").mkdir()
    (data / "found" / "one.png").write_bytes((data / "masks" / "one.png").read_bytes())
    (data / "found" / "two.tif").write_bytes((data / "masks" / "two.tif").read_bytes())
    (data / "masks" / "more.png").write_bytes((data / "masks" / "one.png").read_bytes())
    status, out, err = shell("evaluate found masks")
    assert status == 0 and "1 of 3 true masks have no prediction and are left out" in err
    assert "mean IoU with background 1.0000 over 3 planes" in out


def test_a_truth_that_is_unknown_everywhere_has_a_dash_for_a_score(data: Path, shell: Shell) -> None:
    imageio.imwrite(data / "unknown.png", np.full((64, 64), 255, np.uint8))
    status, out, _ = shell("evaluate masks/one.png unknown.png")
    assert status == 0 and "mean IoU with background - over 1 planes" in out


def test_info_says_what_a_file_is(data: Path, shell: Shell, model: Path) -> None:
    assert shell(f"info {model}")[1].startswith("model for background, class 1: unet, 1 channel, ")
    assert json.loads(shell(f"info {model} --json")[1])["classes"] == ["background", "class 1"]
    assert shell("info images/two.tif")[1] == "2 planes z, 1 channel, 64 × 64 pixels, uint8\n"


# ---- help


@pytest.mark.parametrize(
    ("verb", "settings"),
    [
        ("pretrain", PretrainSettings),
        ("pretrain", ViewSettings),
        ("finetune", FinetuneSettings),
        ("predict", PredictSettings),
        ("objects", ObjectSettings),
    ],
)
def test_every_setting_is_a_flag_with_its_help(shell: Shell, verb: str, settings: type) -> None:
    status, out, _ = shell(f"{verb} --help")
    assert status == 0
    text = " ".join(re.sub(r"[│╭╮╰╯─]", " ", out).split())
    for f in fields(settings):
        assert f"--{f.name.replace('_', '-')}" in text
        assert " ".join(f.metadata["help"].split()[:3]) in text
        assert str(f.default) in text


def test_help_names_every_command(shell: Shell) -> None:
    status, out, _ = shell("--help")
    assert status == 0
    assert all(verb in out for verb in ("pretrain", "finetune", "predict", "objects", "evaluate", "info"))


@pytest.mark.parametrize("settings", [PretrainSettings, FinetuneSettings])
def test_flags_reach_the_record(data: Path, shell: Shell, settings: type) -> None:
    verb = "pretrain images/one.png" if settings is PretrainSettings else "finetune --images images --labels strokes"
    shell(f"{verb} --out m.safetensors --seed 7 --learning-rate 0.0005", *QUICK)
    record = Model.load(data / "m.safetensors").history[0]["settings"]
    assert record == settings(steps=1, batch=4, patch_size=32, seed=7, learning_rate=0.0005).as_dict()


def test_what_must_not_be_ignored_reaches_the_record(data: Path, shell: Shell) -> None:
    shell("pretrain images/one.png --out e.safetensors --no-ignore-size", *QUICK)
    assert Model.load(data / "e.safetensors").history[0]["views"] == ViewSettings(ignore_size=False).as_dict()


# ---- mistakes


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("pretrain nowhere --out e.safetensors", "nowhere does not exist; check the spelling"),
        ("pretrain images --out e.pt --steps 1", r"--out is e.pt; expected a name that ends in .safetensors"),
        ("pretrain images --out e.safetensors --steps -1", "steps is -1; it must be at least 0"),
        ("pretrain images --out e.safetensors --patch-size 4", "patch size is 4; it must be at least 16"),
        ("pretrain images --out e.safetensors --steps many", "steps"),
        ("pretrain images --out e.safetensors --network vit", "network|vit"),
        ("pretrain --out e.safetensors", "no image was given"),
        ("pretrain images", "out"),
        ("pretrain images --out e.safetensors --start-from images/one.png", "one.png is not a model file"),
        (
            "finetune --images images/one.png --labels masks/one.png --out m.safetensors",
            "only 'background' is annotated",
        ),
        ("finetune --images images/one.png --labels images/two.tif --out m.safetensors", "strokes of one.png are"),
        ("finetune --images images --labels empty --out m.safetensors", "empty does not exist"),
        ("predict images/one.png images --out found", "one.png is not a model file"),
        ("predict none.safetensors images --out found", "none.safetensors cannot be read"),
        ("predict model.safetensors images --out found --tile 8", "tile is 8; it must be at least 32"),
        ("predict model.safetensors images --out found --format bmp", "format|bmp"),
        ("predict model.safetensors images/one.png --out images --format png", "one.png is the image itself"),
        ("predict model.safetensors images/one.png strokes/one.png --out found", "several images are called one"),
        ("evaluate images masks", "1 of 3 predictions have no truth of the same name"),
        ("evaluate strokes/one.png masks/two.tif", "the prediction of one is"),
        ("info images/none.png", "cannot be read|does not exist"),
        ("info notes.txt", "notes.txt is not a known kind of image"),
        ("paint", "paint"),
        ("info", "file|FILE"),
    ],
)
def test_a_mistake_is_answered_with_one_sentence(
    data: Path, shell: Shell, model: Path, line: str, sentence: str
) -> None:
    assert data == model.parent
    mistake(shell(line), sentence)


def test_a_broken_image_is_answered_with_one_sentence(data: Path, shell: Shell, model: Path) -> None:
    raw = (data / "images" / "two.tif").read_bytes()
    (data / "images" / "two.tif").write_bytes(raw[: len(raw) // 2])
    mistake(shell("pretrain images/two.tif --out e.safetensors"), "two.tif cannot be read: .*cut off")
    mistake(shell(f"predict {model.name} images/two.tif --out found"), "two.tif cannot be read: .*cut off")


def test_colour_labels_are_answered_with_one_sentence(data: Path, shell: Shell) -> None:
    imageio.imwrite(data / "rgb.png", np.zeros((64, 64, 3), np.uint8))
    line = "finetune --images images/one.png --labels rgb.png --out m.safetensors"
    mistake(shell(line), "rgb.png has 3 channels; labels are gray images whose values are classes")


def test_predicting_with_an_encoder_is_answered_with_one_sentence(data: Path, shell: Shell) -> None:
    shell("pretrain images/one.png --out e.safetensors", *QUICK)
    mistake(
        shell("predict e.safetensors images --out found"), "pre-trained encoder without classes; fine-tune it first"
    )
    assert not (data / "found").exists()


# ---- Ctrl-C


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "btunet", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_ctrl_c_saves_what_was_learned_and_exits_with_130(data: Path) -> None:
    files = ["--images", "images/one.png", "--labels", "strokes/one.png", "--out", "m.safetensors"]
    with start(data, "finetune", *files, "--minutes", "9", "--batch", "4", "--patch-size", "16") as process:
        assert process.stderr is not None
        while not process.stderr.readline().startswith("fine-tuning "):  # comes once in five seconds
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "stopping; what is done is kept" in err and "Traceback" not in err
    assert out.startswith("m.safetensors  ")
    assert Model.load(data / "m.safetensors").history[0]["steps"] >= 1


def test_ctrl_c_while_predicting_leaves_no_half_of_a_stack_and_the_same_command_goes_on(
    data: Path, shell: Shell, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from btunet import tiles

    assert data == model.parent
    line, calls, interrupt = f"predict {model.name} images/one.png images/two.tif --out found", [], 2
    real = tiles.forward

    def forward(network: Any) -> Any:
        def function(window: np.ndarray) -> np.ndarray:
            calls.append(window.shape)
            if len(calls) == interrupt:  # in the second of three planes
                os.kill(os.getpid(), signal.SIGINT)
            return np.asarray(real(network)(window))

        return function

    monkeypatch.setattr(tiles, "forward", forward)
    handler_before = signal.getsignal(signal.SIGINT)  # a shell's background jobs ignore it
    status, out, err = shell(line)
    assert (status, out, len(calls)) == (130, "found/one.tif\n", 2)
    assert "stopping; what is done is kept" in err and "the same command goes on from here" in err
    assert [p.name for p in (data / "found").iterdir() if not p.name.startswith(".")] == ["one.tif"]
    assert threading.current_thread() is threading.main_thread()
    assert signal.getsignal(signal.SIGINT) is handler_before
    status, out, _ = shell(line)
    assert (status, out, len(calls)) == (0, "found/one.tif\nfound/two.tif\n", 3)
    assert sorted(p.name for p in (data / "found").iterdir()) == ["one.tif", "two.tif"]
    shell(line.replace("found", "again"))
    for name in ("one.tif", "two.tif"):
        assert (data / "again" / name).read_bytes() == (data / "found" / name).read_bytes()


@pytest.mark.parametrize("name", ["one.png", "two.tif"])
def test_several_processes_give_the_same_masks(data: Path, shell: Shell, model: Path, name: str) -> None:
    for folder, more in (("a", "--tile 64"), ("b", "--jobs 2 --tile 64")):
        status, out, err = shell(f"predict {model.name} images/{name} images/three.png --out {folder} {more}")
        assert status == 0, err
        assert out.split() == [f"{folder}/{name[:3]}.tif", f"{folder}/three.tif"]
    assert sorted(p.name for p in (data / "b").iterdir()) == sorted([f"{name[:3]}.tif", "three.tif"])
    for mask in (data / "a").iterdir():
        assert (data / "b" / mask.name).read_bytes() == mask.read_bytes()


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "file").write_text("not a folder")
    tifffile.imwrite(tmp_path / "a.tif", np.eye(32, dtype=np.uint8))
    out = tmp_path / "file" / "encoder.safetensors"
    assert main(["pretrain", str(tmp_path / "a.tif"), "--out", str(out), "--steps", "1000000"]) == 2
    assert "choose another folder" in capsys.readouterr().err


def test_asking_for_help_loads_no_torch() -> None:
    code = "import sys, btunet.cli; btunet.cli.main(['--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_the_version_is_that_of_the_distribution(capsys: Any) -> None:
    main(["--version"])
    assert capsys.readouterr().out.strip() == version("napari-btunet")


# ---- whether pre-training helped


def test_a_trial_is_told_and_written_with_all_strokes_and_a_picture(data: Path, shell: Shell) -> None:
    for folder in ("images", "strokes"):
        for file in (data / folder).iterdir():
            file.unlink()
    image, strokes = np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint8)
    image[:, 32:], strokes[4::17, 4:20], strokes[4::17, 44:60] = 200, 1, 2
    imageio.imwrite(data / "images" / "one.png", image)
    imageio.imwrite(data / "strokes" / "one.png", strokes)
    assert shell("pretrain images --out e.safetensors", *QUICK)[0] == 0
    line = "trial --images images --labels strokes --start-from e.safetensors --recipe paper"
    status, out, err = shell(f"{line} --folds 2 --out found --json", *QUICK)
    assert status == 0 and json.loads(out) == json.loads((data / "found" / "verdict.json").read_text())
    assert json.loads(out)["sentence"].endswith("on 8 held-out strokes")
    assert "verdict.svg" in err and (data / "found" / "verdict.svg").exists()
    mistake(shell(f"{line} --folds 5", *QUICK), "has 4 strokes .* paint at least 5 of each class")
