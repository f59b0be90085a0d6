import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from btunet import BtunetError, Model, as_stack
from btunet.device import settle
from btunet.model import FORMAT, HEADER, beginning, check_channels
from btunet.normalise import Normalisation

MakeModel = Callable[..., Model]


@pytest.fixture
def model(lively: Any, model_of: MakeModel) -> Model:
    return model_of(lively())


def rewrite(path: Path, header: dict[str, Any] | str, weights: dict[str, np.ndarray] | None = None) -> Path:
    text = header if isinstance(header, str) else json.dumps(header)
    path.write_bytes(save(weights or {"encoder.a": np.zeros(2, np.float32)}, {HEADER: text}))
    return path


def header_of(model: Model, **changes: Any) -> dict[str, Any]:
    return {**model.as_dict(), **changes}


def test_a_saved_model_comes_back_bit_for_bit(model: Model, tmp_path: Path) -> None:
    back = Model.load(model.save(tmp_path / "deep" / "a.safetensors"))
    assert back.as_dict() == model.as_dict()
    assert list(back.weights) == sorted(model.weights)
    for name, weight in model.weights.items():
        assert back.weights[name].dtype == weight.dtype
        assert back.weights[name].shape == weight.shape
        assert back.weights[name].tobytes() == weight.tobytes()


def test_a_saved_model_predicts_the_same_numbers(lively: Any, model_of: MakeModel, tmp_path: Path) -> None:
    network, image = settle(lively()), torch.randn(1, 1, 50, 40)
    back = settle(Model.load(model_of(network).save(tmp_path / "a.safetensors")).build().eval())
    with torch.no_grad():
        assert torch.equal(back(image), network(image))


def test_the_header_is_plain_json_that_any_program_can_read(model: Model, tmp_path: Path) -> None:
    raw = model.save(tmp_path / "a.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    ours = json.loads(json.loads(raw[8 : 8 + length])["__metadata__"][HEADER])
    assert ours["format"] == FORMAT
    assert ours["classes"] == ["background", "class 1", "class 2"]
    assert ours["normalisation"] == {"low": 0.5, "high": 99.5}
    assert ours["history"][0]["versions"]["torch"] == torch.__version__


def test_loading_and_describing_needs_no_torch(model: Model, tmp_path: Path) -> None:
    path = model.save(tmp_path / "a.safetensors")
    code = f"import sys, btunet; print(btunet.Model.load({str(path)!r}).describe()); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("model for background, class 1, class 2: unet, 1 channel, ")


@pytest.mark.parametrize("keep", [0, 4, 100, 20_000])
def test_a_file_that_was_cut_off_is_refused(model: Model, tmp_path: Path, keep: int) -> None:
    path = model.save(tmp_path / "a.safetensors")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BtunetError, match=r"^a\.safetensors is not a model file, or it is broken \([^\n]*\)$"):
        Model.load(path)


def test_random_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(BtunetError, match="is not a model file"):
        Model.load(path)


def test_a_file_that_does_not_exist_or_is_a_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(BtunetError, match="cannot be read"):
            Model.load(path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_of_another_program_are_refused(tmp_path: Path, dtype: torch.dtype) -> None:
    from safetensors.torch import save_file

    save_file({"layer.weight": torch.zeros(3, dtype=dtype)}, tmp_path / "a.safetensors", {"format": "pt"})
    with pytest.raises(BtunetError, match="was not written by btunet"):
        Model.load(tmp_path / "a.safetensors")


def test_a_newer_format_is_refused(model: Model, tmp_path: Path) -> None:
    path = rewrite(tmp_path / "a.safetensors", header_of(model, format=FORMAT + 1))
    with pytest.raises(BtunetError, match=f"newer btunet .format {FORMAT + 1}.; update"):
        Model.load(path)


@pytest.mark.parametrize(
    "header", ["{", "[]", "null", "{}", '{"format": "x"}', '{"format": null}', '"text"', "\u0000", '{"format": 1}']
)
def test_a_header_that_is_not_ours_is_refused(tmp_path: Path, header: str) -> None:
    path = rewrite(tmp_path / "a.safetensors", header)
    with pytest.raises(BtunetError, match=r"the header of .* is broken"):
        Model.load(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("classes", 3),
        ("classes", None),
        ("channels", "many"),
        ("history", 5),
        ("history", ["a"]),
        ("normalisation", 5),
        ("normalisation", {}),
        ("normalisation", {"low": "a", "high": 1}),
    ],
)
def test_a_header_with_a_broken_field_is_refused(model: Model, tmp_path: Path, field: str, value: Any) -> None:
    path = rewrite(tmp_path / "a.safetensors", header_of(model, **{field: value}))
    with pytest.raises(BtunetError, match=r"the header of .* is broken"):
        Model.load(path)


def test_no_pickle_is_ever_loaded(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2)}, tmp_path / "a.safetensors")
    with pytest.raises(BtunetError, match="is not a model file"):
        Model.load(tmp_path / "a.safetensors")


def without(model: Model, *prefixes: str) -> dict[str, np.ndarray]:
    return {k: w for k, w in model.weights.items() if not k.startswith(prefixes)}


def altered(model: Model) -> dict[str, dict[str, np.ndarray]]:
    first = next(k for k in model.weights if k.endswith("weight"))
    return {
        "a tensor is missing": without(model, first),
        "all of the head is missing": without(model, "head."),
        "all of the decoder is missing": without(model, "decoder."),
        "everything is missing": {},
        "a tensor has another shape": {**model.weights, first: model.weights[first][..., :1]},
        "a tensor is unknown": {**model.weights, "encoder.more": np.zeros(3, np.float32)},
        "a part is unknown": {**model.weights, "tail.weight": np.zeros(3, np.float32)},
    }


@pytest.mark.parametrize("change", list(altered(Model("unet", 1, (), {"encoder.weight": np.zeros(1)}))))
def test_altered_weights_are_refused_when_the_network_is_built(model: Model, change: str) -> None:
    broken = Model("unet", 1, model.classes, altered(model)[change])
    with pytest.raises(BtunetError, match="are not those of a unet; the file was altered"):
        broken.build()


def test_weights_of_other_channels_than_the_header_says_are_refused(model: Model) -> None:
    with pytest.raises(BtunetError, match="the file was altered"):
        Model("unet", 2, model.classes, model.weights).build()


def test_an_encoder_gives_its_weights_to_a_network_whose_other_parts_start_at_random(lively: Any) -> None:
    weights = {k: v.numpy() for k, v in lively().state_dict().items() if k.startswith("encoder.")}
    encoder = Model("unet", 1, (), weights)
    assert encoder.is_encoder
    one, same, other = (encoder.build(3, seed) for seed in (0, 0, 1))
    for name, value in one.state_dict().items():
        assert torch.equal(value, same.state_dict()[name])
        if name in weights:
            assert np.array_equal(value.numpy(), weights[name])
    assert not torch.equal(one.head.weight, other.head.weight)


def test_another_number_of_classes_gets_a_new_head_and_keeps_the_rest(model: Model) -> None:
    state = model.build(5).state_dict()
    assert state["head.weight"].shape[0] == 5
    assert all(np.array_equal(state[k].numpy(), w) for k, w in without(model, "head.").items())


def test_building_does_not_touch_the_global_random_state(model: Model) -> None:
    before = torch.get_rng_state()
    model.build(5)
    assert torch.equal(torch.get_rng_state(), before)


def test_building_does_not_share_memory_with_the_model(model: Model) -> None:
    network = model.build()
    before = model.weights["head.weight"].copy()
    with torch.no_grad():
        network.head.weight += 1
    assert np.array_equal(model.weights["head.weight"], before)


def test_training_adds_a_record_and_leaves_the_old_model_alone(model: Model) -> None:
    new = model.trained("finetune", {"a": torch.ones(2)}, steps=7)
    assert [record["steps"] for record in new.history] == [1, 7]
    assert len(model.history) == 1
    assert new.history[1]["verb"] == "finetune"
    assert set(new.history[1]["versions"]) == {"napari-btunet", "torch", "numpy"}


def test_a_model_that_cannot_be_saved_says_so_and_leaves_nothing(model: Model, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(BtunetError, match=r"cannot be written: .*; free some space or choose another folder"):
        model.save(tmp_path / "file" / "a.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


FULL_DISK = """
import resource, sys
from dataclasses import replace
from btunet import BtunetError, Model
path = sys.argv[1]
model = Model.load(path)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    replace(model, classes=("new",) * 3).save(path)
except BtunetError as error:
    sys.exit(str(error))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file size are POSIX")
def test_a_full_disk_leaves_the_old_file_and_no_half_of_a_new_one(model: Model, tmp_path: Path) -> None:
    path = model.save(tmp_path / "a.safetensors")
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=False)
    assert done.stderr.strip().endswith("cannot be written: File too large; free some space or choose another folder")
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]
    assert Model.load(path).classes == model.classes


def test_images_of_other_channels_than_the_models_are_refused(model: Model) -> None:
    check_channels(model, [as_stack(np.zeros((4, 4)))])
    with pytest.raises(ValueError, match="photo has 3 channels but the model was trained on 1"):
        check_channels(model, [as_stack(np.zeros((4, 4, 3)), "YXS", "photo")])


def test_a_training_begins_with_the_model_given_or_with_none() -> None:
    stacks, given = [as_stack(np.zeros((4, 4)))], Model("rca-iunet", 1, (), {})
    fresh = beginning("attention-unet", stacks, None)
    assert (fresh.network, fresh.channels, fresh.classes, fresh.weights) == ("attention-unet", 1, (), {})
    assert beginning("rca-iunet", stacks, given) is given
    assert beginning("unet", stacks, given) is given  # the default: nothing was asked for


def test_beginning_with_another_network_than_asked_for_is_refused_in_one_sentence() -> None:
    with pytest.raises(
        ValueError, match="the model to start from is a unet, not a rca-iunet; leave the network"
    ) as error:
        beginning("rca-iunet", [as_stack(np.zeros((4, 4)))], Model("unet", 1, (), {}))
    assert "\n" not in str(error.value)


def test_an_encoder_describes_itself_as_one() -> None:
    encoder = Model("unet", 2, (), {"encoder.a": np.zeros((3, 4))}, Normalisation(), ({"steps": 5}, {"steps": 6}))
    assert encoder.describe() == "pre-trained encoder: unet, 2 channels, 12 values, 11 steps"
