"""Transfer learning: an encoder that learned on ImageNet, as a model to start from.

Its first convolution took red, green and blue; it is fitted to the channels of the images at hand: for one channel the
three are summed (Kalapos & Gyires-Tóth 2022), so that a gray image gives what it gives in colour; for more they are
repeated in turn and scaled by 3 / channels, as segmentation-models-pytorch and timm do; for three nothing changes.
"""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import BtunetError
from .model import Model
from .settings import ZOO
from .task import Progress, Task

if TYPE_CHECKING:
    from torch import Tensor

    from .networks.zoo import Hosted

IMAGENET = "imagenet"
"""What to give instead of a file of weights to have them fetched."""

ZOO_ENCODERS = {
    "resnet18": "a small ResNet: plain, robust, the least memory; 14 million parameters with the decoder",
    "resnet34": "a deeper ResNet, a third slower than resnet18; 24 million parameters",
    "resnet50": "the ResNet most studies use, half as fast as resnet18; 33 million parameters",
    "efficientnet-b0": "few parameters and a quarter faster than resnet18, but more memory; 6 million parameters",
    "mobilenet_v2": "made for phones: the fastest of these on a processor; 7 million parameters",
    "tu-resnet50": "timm's ResNet-50, as in the paper on hierarchical pre-training; 33 million parameters",
}
"""Encoders to offer, with what each is good for. Any other that segmentation-models-pytorch or timm has works too."""

_WRAPPERS = ("module.", "model.", "backbone.", "encoder.", "net.")
_NESTS = ("state_dict", "model_state_dict", "model")


def zoo_available() -> tuple[bool, str]:
    """Return whether networks whose names begin with ``smp:`` can be built, and if not, why; imports nothing."""
    missing = [name for name in ("segmentation_models_pytorch", "timm", "torchvision") if find_spec(name) is None]
    if not missing:
        return True, ""
    return False, "encoders trained on ImageNet need more packages; install them with: pip install 'napari-btunet[zoo]'"


def import_encoder(network: str, channels: int, weights: str | Path) -> Task[Model]:
    """Return `imagenet_encoder` as a task, so that a process without torch can ask another."""
    yield Progress("fetching weights" if weights == IMAGENET else "reading weights", 0, 0)
    return imagenet_encoder(network, channels, weights)


def imagenet_encoder(network: str, channels: int, weights: str | Path) -> Model:
    """Return a pre-trained encoder made of weights that were learned elsewhere.

    Parameters
    ----------
    network
        ``smp:`` and the name of an encoder.
    channels
        Channels of the images it is for.
    weights
        A file (.safetensors, .pth, .pt, .bin) of torchvision, timm or segmentation-models-pytorch, or ``"imagenet"``:
        then they are fetched from huggingface.co, once. Nothing else in this package uses the internet.

    Returns
    -------
    Model
        An encoder without classes. Its history says where the weights are from and how many tensors were taken.

    Raises
    ------
    ValueError
        If the network takes no such weights.
    BtunetError
        If the weights cannot be read or fetched, or are not those of this encoder.
    """
    if not network.startswith(ZOO):
        raise ValueError(
            f"the network {network} has no weights learned on ImageNet; choose one that begins with {ZOO}, "
            f"such as {ZOO}resnet18"
        )
    import torch

    from .networks import build
    from .networks.zoo import imagenet_file

    hosted = imagenet_file(network.removeprefix(ZOO))
    file, name = Path(weights), Path(weights).name
    if weights == IMAGENET:
        if hosted is None:
            raise ValueError(f"the ImageNet weights of {network} are not on huggingface.co; give a file of them")
        file, name = _fetched(hosted), hosted.address
    given = _read(file)
    with torch.random.fork_rng(devices=[]):
        own = build(network, channels, 2).encoder.state_dict()
    hint = f"; its ImageNet weights are at {hosted.address}" if hosted and weights != IMAGENET else ""
    state = _fitted(own, given, f"{name} does not hold the encoder of {network}: it", hint)
    matched = sum(_plain(key) in given for key in own)
    return Model(network, channels, (), {}).trained(
        "import",
        {f"encoder.{key}": value for key, value in state.items()},
        file=name,
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        matched=matched,
        ignored=len(given) - matched,
        packages={package: version(package) for package in ("segmentation-models-pytorch", "timm")},
    )


def _fetched(hosted: Hosted) -> Path:
    """Return a file of huggingface.co, downloaded unless it was before."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    web: Any = HfHubHTTPError.__bases__  # the errors of the web client, which differs between versions
    try:
        return Path(huggingface_hub.hf_hub_download(hosted.repository, hosted.name, revision=hosted.revision))
    except (OSError, RuntimeError, *web) as error:
        raise BtunetError(
            f"the weights cannot be fetched from huggingface.co ({type(error).__name__}); on a computer with internet "
            f"download {hosted.address} and give that file: --encoder-weights {hosted.name}"
        ) from error


def _read(file: Path) -> dict[str, Tensor]:
    """Return the tensors in a file by their plain names; nothing in it is executed.

    Raises
    ------
    BtunetError
        If it cannot be read, or holds more than tensors.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if file.suffix == ".safetensors":
            content: Any = load_file(file)
        else:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise BtunetError(f"{file} cannot be read: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        raise BtunetError(
            f"{file.name} holds more than tensors, which may run code, or is broken; save the state dict alone, or "
            "choose a .safetensors file"
        ) from error
    except (SafetensorError, EOFError, RuntimeError, ValueError, KeyError) as error:
        raise BtunetError(f"{file.name} is not a file of weights, or it is broken ({error})") from error
    for nest in _NESTS:
        if isinstance(content, Mapping) and isinstance(content.get(nest), Mapping):
            content = content[nest]
    found: dict[str, Tensor] = {}
    for key, value in content.items() if isinstance(content, Mapping) else ():
        if isinstance(value, torch.Tensor) and found.setdefault(_plain(str(key)), value) is not value:
            raise BtunetError(f"{file.name} holds {_plain(str(key))} twice; save the state dict of one encoder")
    if not found:
        raise BtunetError(f"{file.name} holds no tensors by name; save the state dict of an encoder")
    return found


def _plain(key: str) -> str:
    """Return a tensor's name without what wraps its encoder, and as timm writes it when it makes no features."""
    while wrapper := next((w for w in _WRAPPERS if key.startswith(w)), None):
        key = key.removeprefix(wrapper)
    return re.sub(r"(?<=[a-z])_(?=\d+\.)", ".", key)  # stages_0.conv → stages.0.conv


def _fitted(own: Mapping[str, Tensor], given: Mapping[str, Tensor], subject: str, hint: str) -> dict[str, Tensor]:
    """Return the tensors an encoder needs, from those of a file; ``subject`` and ``hint`` complete what it refuses."""
    state, missing, wrong = {}, [], []
    for key, value in own.items():
        tensor = given.get(_plain(key))
        if tensor is None and key.endswith("num_batches_tracked"):
            state[key] = value  # older files do not count batches, and nothing here uses the count
        elif tensor is None:
            missing.append(key)
        else:
            state[key] = _in_channels(tensor, value).to(value.dtype)
            if state[key].shape != value.shape:
                wrong.append(f"{_plain(key)} is {_shape(tensor)} instead of {_shape(value)}")
    if missing:
        raise BtunetError(
            f"{subject} lacks {len(missing)} of {len(own)} tensors, the first is {_plain(missing[0])}{hint}"
        )
    if wrong:
        raise BtunetError(f"{subject} has {len(wrong)} tensors of another shape, the first: {wrong[0]}{hint}")
    return state


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a number"


def _in_channels(tensor: Tensor, like: Tensor) -> Tensor:
    """Return the kernels (F, 3, Y, X) of a first convolution for the channels ``like`` has; all others as they are."""
    if like.ndim != 4 or tensor.shape != (len(like), 3, *like.shape[2:]):
        return tensor
    channels = like.shape[1]
    if channels == 1:
        return tensor.float().sum(1, keepdim=True)  # (F, 1, Y, X)
    turns = [i % 3 for i in range(channels)]
    return tensor.float()[:, turns] * (3 / channels)  # (F, C, Y, X)
