"""What the engine's tests share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from btunet import Model

os.environ.setdefault("OMP_NUM_THREADS", "1")  # these tensors are too small to be worth sharing between cores
os.environ["BTUNET_PRECISION"] = "float32"  # the same everywhere, and near to the references; other tests ask for more


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def shared() -> Path:
    """Return the folder of the shared image sets: $BTUNET_DATA, or shared/data beside the checkout."""
    folder = Path(os.environ.get("BTUNET_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("the shared image sets are not here")
    return folder


@pytest.fixture
def discs() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Make planes of bright discs on noise and their masks."""

    def make(planes: int = 1, size: int = 96, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        mask = np.zeros((planes, size, size), np.uint8)
        y, x = np.mgrid[:size, :size]
        for plane in mask:
            for cy, cx in rng.integers(10, size - 10, (5, 2)):
                plane[(y - cy) ** 2 + (x - cx) ** 2 < 64] = 1
        image = (40 + 120 * mask + rng.normal(0, 12, mask.shape)).clip(0, 255).astype(np.uint8)
        return image, mask

    return make


@pytest.fixture(scope="session")
def zoo() -> Iterator[None]:
    """Make sure that segmentation-models-pytorch can be imported, also beside a torchvision without its operators.

    Where torch is built for the processor only, torchvision's compiled operators may not load; no encoder uses them.
    """
    if find_spec("segmentation_models_pytorch") is None:
        pytest.skip("needs the extra zoo")
    import torch

    operators = torch.library.Library("torchvision", "FRAGMENT")  # gone when this variable is
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in ("nms", "qnms"):
            operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    yield
    del operators


@pytest.fixture
def lively() -> Callable[..., Any]:
    """Make a network as if trained: random weights and random running statistics, in evaluation mode."""
    import torch

    from btunet.networks import BUILDERS, Network

    def make(channels: int = 1, classes: int = 3, seed: int = 0, name: str = "unet", **options: Any) -> Network:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = BUILDERS[name](channels, classes, **options).eval()
            for key, value in network.state_dict().items():
                if key.endswith("running_mean"):
                    value.normal_(0, 0.3)
                elif key.endswith("running_var"):
                    value.uniform_(0.5, 1.5)
            network.head.weight.data *= 10
        return network

    return make


@pytest.fixture
def model_of() -> Callable[..., Model]:
    """Make a `Model` that holds a network's weights."""

    def make(network: Any, channels: int = 1, classes: int = 3, name: str = "unet") -> Model:
        names = ("background", *(f"class {k}" for k in range(1, classes)))
        return Model(name, channels, names, {}).trained("finetune", network.state_dict(), steps=1)

    return make
