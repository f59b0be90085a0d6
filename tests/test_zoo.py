"""Networks with encoders of segmentation-models-pytorch, and weights that were learned elsewhere."""

import hashlib
import json
import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from btunet import (
    ZOO_ENCODERS,
    BtunetError,
    FinetuneSettings,
    Model,
    PretrainSettings,
    finetune,
    imagenet_encoder,
    import_encoder,
    predict,
    pretrain,
    run,
    zoo_available,
)
from btunet.cli import main
from btunet.networks import Network, build
from btunet.tiles import predict_plane

TINY = "smp:tu-test_resnet"
SMALLEST = (TINY, "smp:tu-test_efficientnet", "smp:tu-test_convnext3")  # the last makes no map of half the size
needs_zoo = pytest.mark.usefixtures("zoo")
every_kind = pytest.mark.parametrize("name", SMALLEST)
State = dict[str, Tensor]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing here reach the internet."""

    def refuse(*_: Any) -> None:
        raise OSError("a test wanted the internet")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def learned(zoo: None) -> State:
    """An encoder for colour images as timm has it, with weights and statistics as if it had learned."""
    state = {k.removeprefix("net.model."): v for k, v in seeded(TINY, channels=3).encoder.state_dict().items()}
    return {**state, "fc.weight": torch.zeros(7, 96), "fc.bias": torch.zeros(7)}


@pytest.fixture
def file(learned: State, tmp_path: Path) -> Path:
    save_file(learned, tmp_path / "learned.safetensors")
    return tmp_path / "learned.safetensors"


def seeded(name: str, channels: int = 1, classes: int = 2, seed: int = 0) -> Network:
    """Make a network in evaluation mode whose running statistics fit noise, which it was shown."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(name, channels, classes)
        with torch.no_grad():
            for _ in range(8):
                network(torch.randn(4, channels, 64, 64))
    return network.eval()


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def striped(size: int = 48) -> np.ndarray:
    return np.where(np.arange(size)[:, None] % 16 < 8, 200.0, 20.0) + np.random.default_rng(0).normal(
        0, 9, (size, size)
    )


# ---- the network


@needs_zoo
@every_kind
def test_the_encoder_gives_the_maps_it_learned_finest_first(name: str) -> None:
    network = build(name, 1, 2).eval()
    with torch.no_grad():
        maps = network.encoder(torch.zeros(1, 1, 64, 96))
        decoded = network.decoder(maps)
    first = 6 - len(maps)
    assert tuple(m.shape[1] for m in maps) == network.widths and 1 not in network.widths
    assert [tuple(m.shape[-2:]) for m in maps] == [(64 >> i, 96 >> i) for i in range(first, 6)]
    assert decoded.shape == (1, network.head.in_channels, 64, 96)
    assert {key.split(".")[0] for key in network.state_dict()} == {"encoder", "decoder", "head"}
    assert network.stride == 32


@needs_zoo
@every_kind
def test_images_of_any_size_are_taken(name: str) -> None:
    network = build(name, 2, 3).eval()
    with torch.no_grad():
        for size in [(1, 1), (17, 17), (31, 64), (33, 95), (128, 17), (300, 211)]:
            found = network(noise(1, 2, *size))
            assert found.shape == (1, 3, *size) and torch.isfinite(found).all()


@needs_zoo
@every_kind
def test_random_weights_come_from_the_seed(name: str) -> None:
    torch.manual_seed(1)
    one = build(name, 1, 2)
    torch.manual_seed(1)
    same, other = build(name, 1, 2), build(name, 1, 2)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), same.state_dict().values(), strict=True))
    assert not torch.equal(one.head.weight, other.head.weight)
    assert not torch.equal(next(one.encoder.parameters()), next(other.encoder.parameters()))


@needs_zoo
@every_kind
def test_a_new_network_has_seen_nothing_and_is_ready_to_learn(name: str) -> None:
    network = build(name, 1, 2)
    assert all(module.training for module in network.modules())
    state = network.state_dict()
    assert all(not value.any() for key, value in state.items() if key.endswith(("running_mean", "batches_tracked")))


@needs_zoo
@every_kind
def test_the_gradient_reaches_every_parameter(name: str) -> None:
    torch.manual_seed(0)
    network = build(name, 1, 2)
    for parameter in network.parameters():
        if not parameter.any():  # the scale that closes a residual block begins at 0, and hides what is before it
            torch.nn.init.uniform_(parameter)
    network(noise(4, 1, 64, 64)).square().mean().backward()
    assert not [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()]


@needs_zoo
@every_kind
def test_half_precision_gives_finite_logits_near_the_full_ones(name: str) -> None:
    network, image = seeded(name), noise(1, 1, 64, 64)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        half = network(image).float()
    full = network(image)
    assert torch.isfinite(half).all() and (half - full).abs().mean() < 0.1 * full.abs().mean() + 0.05


@needs_zoo
def test_saved_and_loaded_it_predicts_the_same_to_the_bit(tmp_path: Path) -> None:
    state = seeded(TINY, classes=3).state_dict()
    model = Model(TINY, 1, ("background", "a", "b"), {}).trained("finetune", state, steps=1)
    loaded = Model.load(model.save(tmp_path / "m.safetensors"))
    image = noise(1, 1, 70, 50)
    with torch.no_grad():
        assert torch.equal(model.build().eval()(image), loaded.build().eval()(image))
    again = loaded.build().state_dict()
    assert all(torch.equal(again[key], value) for key, value in state.items())


@needs_zoo
def test_tiles_fit_together_although_the_network_sees_further_than_their_margin() -> None:
    network, plane = seeded(TINY), noise(1, 500, 40).numpy()
    whole, tiled = (predict_plane(network, plane, tile) for tile in (512, 64))
    assert network.reach == 128 and abs(whole - tiled).max() < 0.01


@needs_zoo
@pytest.mark.parametrize("encoder", ZOO_ENCODERS)
def test_every_encoder_to_offer_has_the_size_its_sentence_gives(encoder: str) -> None:
    found = re.search(r"(\d+) million parameters", ZOO_ENCODERS[encoder])
    with torch.device("meta"):
        parameters = sum(p.numel() for p in build(f"smp:{encoder}", 1, 2).parameters())
    assert found is not None and round(parameters / 1e6) == int(found[1])


@needs_zoo
@pytest.mark.parametrize(
    ("encoder", "sentence"),
    [
        ("resnet81", "there is no encoder 'resnet81'; did you mean resnet18 or .*"),
        ("tu-resnet5", "there is no encoder 'tu-resnet5'; did you mean tu-resnet50 or .*"),
        ("", "there is no encoder ''; a common one is resnet18"),
        ("tu-hf-hub:timm/resnet18", "there is no encoder 'tu-hf-hub:timm/resnet18'.*"),
        (
            "tu-test_vit",
            r"the encoder tu-test_vit does not work in a U-Net for .* and 1 channel \(.*\); choose another",
        ),
    ],
)
def test_an_encoder_nobody_knows_or_of_another_kind_is_refused(encoder: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        build(f"smp:{encoder}", 1, 2)


# ---- weights learned elsewhere


def as_it_is(state: State) -> Any:
    return state


def of_lightning(state: State) -> Any:
    return {"epoch": 3, "state_dict": {f"model.backbone.{k}": v for k, v in state.items()}}


def of_several_devices(state: State) -> Any:
    return {"model": {f"module.encoder.{k}": v for k, v in state.items()}}


def without_counts(state: State) -> Any:
    return {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}


@pytest.mark.parametrize("wrap", [as_it_is, of_lightning, of_several_devices, without_counts])
def test_files_of_every_habit_are_read(learned: State, tmp_path: Path, wrap: Callable[[State], Any]) -> None:
    torch.save(wrap(learned), tmp_path / "w.pth")
    model = imagenet_encoder(TINY, 3, tmp_path / "w.pth")
    assert model.is_encoder and model.network == TINY and model.channels == 3
    for key, value in model.weights.items():
        assert key.endswith("num_batches_tracked") or np.array_equal(
            value, learned[key.removeprefix("encoder.net.model.")].numpy()
        )
    counts = [v for k, v in model.weights.items() if k.endswith("num_batches_tracked")]
    assert counts and all(c.dtype == np.int64 for c in counts)


@needs_zoo
@pytest.mark.parametrize("name", ["smp:resnet18", "smp:tu-test_convnext3"])
def test_names_as_their_packages_write_them_are_found(name: str, tmp_path: Path) -> None:
    import timm
    import torchvision

    make = {"smp:resnet18": torchvision.models.resnet18, "smp:tu-test_convnext3": timm.models.test_convnext3}[name]
    save_file(make().state_dict(), tmp_path / "w.safetensors")
    record = imagenet_encoder(name, 1, tmp_path / "w.safetensors").history[-1]
    assert record["matched"] > 0 and 0 < record["ignored"] <= 6  # the classifier


def test_the_history_says_where_the_weights_are_from(file: Path, learned: State) -> None:
    record = imagenet_encoder(TINY, 1, file).history[-1]
    assert record["verb"] == "import" and record["file"] == "learned.safetensors"
    assert record["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (record["matched"], record["ignored"]) == (len(learned) - 2, 2)
    assert set(record["packages"]) == {"segmentation-models-pytorch", "timm"}
    json.dumps(record)


def test_before_the_first_step_the_network_has_exactly_the_imported_encoder(file: Path, tmp_path: Path) -> None:
    model = imagenet_encoder(TINY, 1, file)
    loaded = Model.load(model.save(tmp_path / "encoder.safetensors"))
    state = loaded.build(classes=3).state_dict()
    assert {k for k in state if k.startswith("encoder.")} == set(model.weights)
    assert all(np.array_equal(state[key].numpy(), value) for key, value in model.weights.items())


def test_pre_training_and_fine_tuning_start_from_it(file: Path) -> None:
    start, image = imagenet_encoder(TINY, 1, file), striped()
    own = run(pretrain([image], PretrainSettings(network=TINY, steps=1, batch=4, patch_size=32), start_from=start))
    strokes = np.where(image > 110, 2, 1)
    settings = FinetuneSettings(steps=2, batch=2, patch_size=64)
    for encoder in (start, own):
        model = run(finetune([image], [strokes], settings, start_from=encoder))
        assert [r["verb"] for r in model.history] == [*(r["verb"] for r in encoder.history), "finetune"]
        assert run(predict(model, [image]))[0].shape == image.shape
    near, far = start.weights, build(TINY, 1, 2).state_dict()
    for key in (k for k in near if k.endswith("conv1.weight")):
        assert abs(own.weights[key] - near[key]).max() < 0.1 * abs(far[key].numpy() - near[key]).max()


def test_importing_leaves_the_random_state_alone_and_is_a_task_too(file: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    model = run(import_encoder(TINY, 2, file))
    assert torch.equal(before, torch.get_rng_state()) and model.channels == 2


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_a_gray_image_gives_what_it_gives_in_colour(file: Path, channels: int) -> None:
    """Also at the border, where zeros are added around every plane."""
    colour, fitted = (imagenet_encoder(TINY, c, file).build(2).eval() for c in (3, channels))
    gray = noise(1, 1, 64, 64)
    with torch.no_grad():
        expected, found = (n.encoder(gray.expand(-1, c, -1, -1)) for n, c in ((colour, 3), (fitted, channels)))
    assert all(torch.allclose(a, b, atol=1e-4, rtol=1e-4) for a, b in zip(expected, found, strict=True))


@pytest.mark.parametrize(("channels", "planes"), [(2, (0, 1)), (4, (0, 1, 2, 0)), (5, (0, 1, 2, 0, 1))])
def test_other_numbers_of_channels_take_the_colours_in_turn(
    file: Path, learned: State, channels: int, planes: tuple[int, ...]
) -> None:
    [(key, first)] = [(k, v) for k, v in learned.items() if v.ndim == 4 and v.shape[1] == 3]
    found = imagenet_encoder(TINY, channels, file).weights[f"encoder.net.model.{key}"]
    assert np.allclose(found, first.numpy()[:, list(planes)] * 3 / channels)


def test_weights_for_the_same_number_of_channels_stay_as_they_are(tmp_path: Path, zoo: None) -> None:
    state = seeded(TINY, channels=1).encoder.state_dict()
    save_file(state, tmp_path / "gray.safetensors")
    model = imagenet_encoder(TINY, 1, tmp_path / "gray.safetensors")
    assert all(np.array_equal(model.weights[f"encoder.{k}"], v.numpy()) for k, v in state.items())


# ---- what is refused


def lacking(state: State) -> Any:
    return {k: v for k, v in state.items() if "layer1" not in k}


def too_wide(state: State) -> Any:
    return {k: torch.zeros(9, *v.shape[1:]) if k == "bn1.weight" else v for k, v in state.items()}


def twice(state: State) -> Any:
    return {**state, **{f"model.{k}": v + 1 for k, v in state.items()}}


def no_tensors(_: State) -> Any:
    return {"epoch": 3}


def no_names(state: State) -> Any:
    return list(state.values())


class Evil:
    def __reduce__(self) -> Any:
        return Path("touched").touch, ()


def evil(state: State) -> Any:
    return {**state, "args": Evil()}


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lacking, r"w\.pth does not hold the encoder of smp:tu-test_resnet: it lacks \d+ of \d+ tensors, the first is "
         r"layer1\.0\.conv1\.weight; its ImageNet weights are at https://huggingface\.co/timm/test_resnet\.\S+"),
        (too_wide, r"w\.pth does .*: it has 1 tensors of another shape, the first: bn1\.weight is 9 instead of 32.*"),
        (twice, r"w\.pth holds \S+ twice; save the state dict of one encoder"),
        (no_tensors, r"w\.pth holds no tensors by name; save the state dict of an encoder"),
        (no_names, r"w\.pth holds no tensors by name; .*"),
        (evil, r"w\.pth holds more than tensors, which may run code, or is broken; save the state dict alone, or .*"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_this_encoder_is_refused_and_says_why(
    learned: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[State], Any], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(spoil(learned), tmp_path / "w.pth")
    with pytest.raises(BtunetError, match=f"^{sentence}$"):
        imagenet_encoder(TINY, 1, tmp_path / "w.pth")
    assert not Path("touched").exists()


@needs_zoo
@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.bin"])
def test_broken_and_missing_files_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BtunetError, match="cannot be read"):
        imagenet_encoder(TINY, 1, tmp_path / name)
    for content in (b"", b"\x08 no weights at all"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BtunetError, match="broken"):
            imagenet_encoder(TINY, 1, tmp_path / name)


def test_colour_weights_cut_to_gray_are_no_start_for_colour(zoo: None, tmp_path: Path) -> None:
    save_file(seeded(TINY, channels=1).encoder.state_dict(), tmp_path / "gray.safetensors")
    with pytest.raises(BtunetError, match=r"conv1\.0\.weight is 16×1×3×3 instead of 16×3×3×3"):
        imagenet_encoder(TINY, 3, tmp_path / "gray.safetensors")


def test_our_own_networks_have_no_imagenet_weights() -> None:
    with pytest.raises(
        ValueError, match=r"^the network unet has no weights .*; choose one that begins with smp:, such"
    ):
        imagenet_encoder("unet", 1, "imagenet")


# ---- the hub


def test_weights_are_fetched_from_where_the_package_says(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def fetch(*args: Any, **kwargs: Any) -> str:
        asked.append((args, kwargs))
        return str(file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    record = imagenet_encoder(TINY, 1, "imagenet").history[-1]
    assert asked == [(("timm/test_resnet.r160_in1k", "model.safetensors"), {"revision": "main"})]
    assert record["file"] == "https://huggingface.co/timm/test_resnet.r160_in1k/resolve/main/model.safetensors"


@needs_zoo
@pytest.mark.parametrize("name", ["smp:resnet18", TINY])
@pytest.mark.parametrize("kind", ["OfflineModeIsEnabled", "LocalEntryNotFoundError", "HTTPError", "TimeoutError"])
def test_without_the_internet_one_sentence_says_what_to_download_where(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import errors

    def fail(*_: Any, **__: Any) -> None:
        known = {"HTTPError": errors.HfHubHTTPError.__bases__[0], "TimeoutError": TimeoutError}
        raise known[kind]("no") if kind in known else getattr(errors, kind)("no")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    address = {
        "smp:resnet18": r"smp-hub/resnet18\.imagenet/resolve/[0-9a-f]{40}/model\.safetensors",
        TINY: r"timm/test_resnet\.r160_in1k/resolve/main/model\.safetensors",
    }[name]
    with pytest.raises(BtunetError) as caught:
        imagenet_encoder(name, 1, "imagenet")
    assert re.fullmatch(
        rf"the weights cannot be fetched from huggingface\.co \({kind}\); on a computer with internet download "
        rf"https://huggingface\.co/{address} and give that file: --encoder-weights model\.safetensors",
        str(caught.value),
    )


@needs_zoo
def test_an_encoder_without_imagenet_weights_says_so() -> None:
    with pytest.raises(ValueError, match=r"^the ImageNet weights of smp:resnext101_32x48d are not on huggingface\.co"):
        imagenet_encoder("smp:resnext101_32x48d", 1, "imagenet")


# ---- the extra


def test_without_the_extra_a_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    model = imagenet_encoder(TINY, 1, file)
    for module in ("btunet.networks.zoo", "btunet.transfer"):
        monkeypatch.setattr(f"{module}.find_spec", lambda name: None)
    with pytest.raises(BtunetError) as caught:
        model.build(2)
    how = "more packages; install them with: pip install 'napari-btunet[zoo]'"
    assert str(caught.value) == f"the network {TINY} needs {how}"
    assert zoo_available() == (False, f"encoders trained on ImageNet need {how}")


@pytest.mark.parametrize("error", ["RuntimeError('operator torchvision::nms does not exist')", "ImportError('no _C')"])
def test_packages_that_do_not_fit_together_give_one_sentence(
    error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "segmentation_models_pytorch.py").write_text(f"raise {error}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "segmentation_models_pytorch", raising=False)
    with pytest.raises(BtunetError) as caught:
        build("smp:resnet18", 1, 2)
    assert re.fullmatch(
        r"the network smp:resnet18 cannot be used because its packages do not fit together \(torch \S+.*: .*\); "
        r"install the torchvision made for this torch, see https://pytorch\.org/get-started/locally",
        str(caught.value),
    )


@needs_zoo
def test_with_the_extra_nothing_is_missing() -> None:
    assert zoo_available() == (True, "")


# ---- the command line


def test_the_command_line_trains_from_weights_and_says_where_they_are_from(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = striped().clip(0, 255).astype(np.uint8)
    for folder, content in (("images", image), ("masks", (image > 110).astype(np.uint8))):
        (tmp_path / folder).mkdir()
        imageio.imwrite(tmp_path / folder / "a.png", content)
    images, masks, out = (str(tmp_path / name) for name in ("images", "masks", "out.safetensors"))
    common = ["--out", out, "--encoder-weights", str(file), "--steps", "1", "--batch", "4", "--patch-size", "64"]
    origin = r"encoder: \d+ tensors of learned\.safetensors \(sha256 [0-9a-f]{12}…\)\n"
    assert main(["pretrain", images, "--network", TINY, *common]) == 0
    assert re.search(f"^{origin}", capsys.readouterr().err)
    assert main(["finetune", "--images", images, "--labels", masks, "--dense", "--network", TINY, *common]) == 0
    capsys.readouterr()
    assert main(["info", out]) == 0
    assert re.fullmatch(
        rf"model for background, class 1: {TINY}, 1 channel, [\d,]+ values, 1 steps\n{origin}", capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--start-from", "e.safetensors"], "--start-from and --encoder-weights both say what to start from; leave"),
        ([], "the network unet has no weights learned on ImageNet; choose one that begins with smp:"),
    ],
)  # fmt: skip
def test_the_command_line_refuses_weights_that_cannot_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], sentence: str
) -> None:
    imageio.imwrite(tmp_path / "a.png", striped().clip(0, 255).astype(np.uint8))
    out = str(tmp_path / "out.safetensors")
    arguments = ["pretrain", str(tmp_path / "a.png"), "--out", out, "--encoder-weights", "imagenet", *flags]
    assert main(arguments) == 2
    assert sentence in capsys.readouterr().err
