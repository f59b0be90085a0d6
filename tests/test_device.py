import os
import subprocess
import sys

import pytest
import torch

from btunet import describe_device, device, run
from btunet.barlow import Projector
from btunet.networks import build


def test_the_device_is_named_with_its_reason() -> None:
    line = device.explain_device()
    assert "\n" not in line
    assert line.startswith("GPU" if device.pick_device().type != "cpu" else "CPU, ")
    if line.startswith("CPU"):
        assert "CUDA" in line and str(torch.get_num_threads()) in line


def test_the_device_can_be_asked_for_as_a_task() -> None:
    assert run(describe_device()) == device.explain_device()


@pytest.mark.parametrize("available", [False, True])
def test_a_gpu_is_taken_when_there_is_one(monkeypatch: pytest.MonkeyPatch, available: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert device.pick_device().type == ("cuda" if available else "cpu")


@pytest.mark.parametrize(
    ("wanted", "units", "kind"),
    [
        ("", True, torch.bfloat16),
        ("", False, torch.float32),
        ("float32", True, torch.float32),
        ("bfloat16", False, torch.bfloat16),
    ],
)
def test_networks_compute_in_the_precision_asked_for_or_the_one_there_are_units_for(
    monkeypatch: pytest.MonkeyPatch, wanted: str, units: bool, kind: torch.dtype
) -> None:
    monkeypatch.setenv("BTUNET_PRECISION", wanted)
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: units, raising=False)
    with device.precision(torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == kind


def test_a_version_of_torch_that_does_not_know_the_units_computes_in_single_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("BTUNET_PRECISION", raising=False)
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    with device.precision(torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_a_precision_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BTUNET_PRECISION", "half")
    with pytest.raises(ValueError, match="BTUNET_PRECISION is 'half'; choose float32 or bfloat16"):
        device.precision(torch.device("cpu"))


def test_threads_are_those_asked_for_or_all_but_one() -> None:
    before = torch.get_num_threads()
    try:
        device.use_threads(1)
        assert torch.get_num_threads() == 1
        device.use_threads(0)
        assert torch.get_num_threads() == max(1, device.cores() - 1)
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(not hasattr(os, "nice"), reason="niceness is POSIX")
def test_a_process_can_step_back_and_keep_its_memory() -> None:
    code = (
        "import os; from btunet import device; before = os.nice(0); device.lower_priority(3);"
        "device.mind_the_machine(); bytearray(50_000_000); print(os.nice(0) - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "3\n", done.stderr


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["unet", "attention-unet"])
def test_no_map_of_a_settled_encoder_and_no_gradient_is_in_another_order(name: str, channels: int) -> None:
    encoder = device.settle(build(name, channels, 2).encoder)
    others: list[str] = []

    def look(layer: torch.nn.Module, _args: object, made: torch.Tensor) -> None:
        def look_back(gradient: torch.Tensor) -> None:
            others.extend([f"gradient of {layer}"] * (gradient.stride(1) != 1))

        others.extend([str(layer)] * (made.stride(1) != 1))
        made.register_hook(look_back)

    for layer in encoder.modules():
        if not list(layer.children()):
            layer.register_forward_hook(look)
    images = torch.randn(4, channels, 32, 32, device=device.pick_device())
    with device.precision(images.device):
        maps = encoder(device.channels_last(images))
    Projector([16, 32, 64, 128, 256], (), 4).to(images.device)(maps).square().sum().backward()
    assert not others
