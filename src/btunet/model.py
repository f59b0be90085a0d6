"""A model: a network's weights with all that is needed to use them, in one file that runs no code."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save

from .errors import BtunetError
from .images import Stack
from .labels import IGNORE
from .normalise import Normalisation
from .replace import replacing
from .settings import PretrainSettings
from .weights import Weights, checked, reading_weights

if TYPE_CHECKING:
    from .networks import Network

FORMAT = 1
DEFAULT_NETWORK = PretrainSettings().network
CLASSIFY = "classify"  # verb of a record: no network was trained
HEADER = "btunet"
MOST_CHANNELS = 4096


@dataclass(frozen=True)
class Model:
    """Weights and the record of how they came to be; needs no torch until `build` is called.

    Parameters
    ----------
    network
        Name of the network.
    channels
        Channels of the images it takes.
    classes
        Names of the classes, background first; empty for a pre-trained encoder.
    weights
        Name of each tensor → array; an encoder has only names that begin with ``encoder.``. They become `Weights`,
        which may rest in the model's file.
    normalisation
        How images are brought to the range the network knows.
    history
        One record per training, oldest first: verb, settings (with the seed), steps, seconds, versions, images, date.
    """

    network: str
    channels: int
    classes: tuple[str, ...]
    weights: Mapping[str, np.ndarray] = field(repr=False)
    normalisation: Normalisation = field(default_factory=Normalisation)
    history: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.weights, Weights):
            object.__setattr__(self, "weights", Weights(self.weights))

    @property
    def is_encoder(self) -> bool:
        """Whether this is a pre-trained encoder, which cannot predict yet."""
        return not self.classes

    @property
    def learned_masks(self) -> bool:
        """Whether the last fine-tuning was on dense masks."""
        return next((bool(r.get("dense")) for r in reversed(self.history) if r.get("verb") == "finetune"), False)

    @property
    def is_instant(self) -> bool:
        """Whether this is the instant classifier alone: no network was trained (`classify`)."""
        return bool(self.history) and self.history[-1].get("verb") == CLASSIFY

    @property
    def parameters(self) -> int:
        """Number of stored values."""
        return self._kept.size

    @property
    def bytes_in_memory(self) -> int:
        """How much memory the weights take."""
        return self._kept.bytes_in_memory

    @property
    def _kept(self) -> Weights:
        assert isinstance(self.weights, Weights)
        return self.weights

    def rest_in(self, path: Path) -> None:
        """Give the memory of the weights back: they are read from the file it was saved to when they are used.

        Whoever uses them then may get a BtunetError: the file is gone, or broken.
        """
        self._kept.rest_in(path)

    def wake(self) -> None:
        """Read weights that rest, and keep them in memory.

        Raises
        ------
        BtunetError
            If their file is gone or broken.
        """
        self._kept.wake()

    def describe(self) -> str:
        """Say what this is, in one line."""
        kind = "pre-trained encoder" if self.is_encoder else f"model for {', '.join(self.classes)}"
        steps = sum(int(record.get("steps", 0)) for record in self.history)
        if self.is_instant:
            return f"{kind}: what the strokes alone say, no network was trained"
        channels = f"{self.channels} channel{'s' * (self.channels > 1)}"
        return f"{kind}: {self.network}, {channels}, {self.parameters:,} values, {steps} steps"

    def as_dict(self) -> dict[str, Any]:
        """Return everything but the weights as JSON-ready values."""
        return {
            "format": FORMAT,
            "network": self.network,
            "channels": self.channels,
            "classes": list(self.classes),
            "normalisation": self.normalisation.as_dict(),
            "history": [dict(record) for record in self.history],
        }

    def build(self, classes: int | None = None, seed: int = 0) -> Network:
        """Return the network with these weights; parts that have none start at random.

        Parameters
        ----------
        classes
            Outputs, background included; by default the model's own. A different number gets a new head.
        seed
            Seed of the random parts.

        Raises
        ------
        BtunetError
            If the weights are not those of this network.
        """
        import torch

        from .networks import build
        from .networks.pixels import Pixels

        classes = len(self.classes) if classes is None else classes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = build(self.network, self.channels, classes)
            new = set() if classes == len(self.classes) else {"head", "pixels", "joints"}
            parts = {name.split(".")[0] for name in self.weights} - new
            if "pixels" in parts:
                network.begin_with(Pixels(self.channels, classes))
                if "joints" not in parts:  # of a version that had none
                    network.joints = None
        own = network.state_dict()
        state = {k: torch.tensor(w) for k, w in self.weights.items() if k.split(".")[0] not in new}
        parts = {k.split(".")[0] for k in (state if self.is_encoder else own)} - new
        expected = {k for k in own if k.split(".")[0] in parts}
        if set(state) != expected or any((own[k].shape, own[k].dtype) != (w.shape, w.dtype) for k, w in state.items()):
            raise BtunetError(f"the weights in this model are not those of a {self.network}; the file was altered")
        network.load_state_dict(state, strict=False)
        # the layout in which convolutions are fastest; torch's types forget the keyword
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def trained(self, verb: str, state: Mapping[str, Any], **record: Any) -> Model:
        """Return this model with new weights (torch tensors) and one more record in its history."""
        weights = {k: np.array(v.detach().cpu().numpy(), order="C") for k, v in state.items()}
        entry = {"verb": verb, "date": datetime.now(UTC).isoformat(timespec="seconds"), **record}
        entry["versions"] = {name: version(name) for name in ("napari-btunet", "torch", "numpy")}
        return replace(self, weights=weights, history=(*self.history, entry))

    def with_note(self, **more: Any) -> Model:
        """Return this model with more in the last record of its history."""
        last = dict(self.history[-1]) if self.history else {}
        return replace(self, history=(*self.history[:-1], {**last, **more}))

    def save(self, path: str | Path) -> Path:
        """Write one .safetensors file; the old file stays until the new one is complete.

        Raises
        ------
        BtunetError
            If it cannot be written.
        """
        path = Path(path)
        with replacing(path) as part, part.open("wb") as file:
            file.write(save(dict(self.weights.items()), {HEADER: json.dumps(self.as_dict())}))
            file.flush()
            os.fsync(file.fileno())
        return path

    @classmethod
    def load(cls, path: str | Path) -> Model:
        """Read a model file; nothing in it is executed.

        Raises
        ------
        BtunetError
            If the file cannot be read, is broken, was not written by this package, or by a newer version of it.
        """
        path = Path(path)
        with reading_weights(path) as file:
            header = (file.metadata() or {}).get(HEADER)
            if header is None:
                raise BtunetError(f"{path.name} was not written by btunet; choose a file made by pretrain or finetune")
            weights = {name: checked(path, file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 (not a dict)
        return cls._from_header(path.name, header, weights)

    @classmethod
    def _from_header(cls, name: str, header: str, weights: Mapping[str, np.ndarray]) -> Model:
        try:
            spec = json.loads(header)
            if not isinstance(spec["classes"], list):
                raise TypeError(f"classes are {str(spec['classes'])[:50]!r}")
            if int(spec["format"]) > FORMAT:
                raise BtunetError(f"{name} was written by a newer btunet (format {spec['format']}); update this one")
            model = cls(
                network=str(spec["network"]),
                channels=int(spec["channels"]),
                classes=tuple(str(c) for c in spec["classes"]),
                weights=weights,
                normalisation=Normalisation.from_dict(spec["normalisation"]),
                history=tuple(dict(record) for record in spec["history"]),
            )
            model.describe()  # counts the steps of the history
            if not 1 <= model.channels <= MOST_CHANNELS or len(model.classes) not in (0, *range(2, IGNORE + 1)):
                raise ValueError(f"{model.channels} channels and {len(model.classes)} classes")
            return model
        except (LookupError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
            raise BtunetError(f"the header of {name} is broken ({error}); the file was altered or cut off") from error


def beginning(network: str, stacks: Sequence[Stack], start_from: Model | None) -> Model:
    """Return the model a training begins with: the one given, or one without weights.

    Raises
    ------
    ValueError
        If the images do not fit the model, or it is another network than was asked for.
    """
    model = start_from or Model(network, stacks[0].channels, (), {}, Normalisation())
    if network not in (DEFAULT_NETWORK, model.network):
        raise ValueError(
            f"the model to start from is a {model.network}, not a {network}; leave the network out, or start from none"
        )
    check_channels(model, stacks)
    return model


def check_channels(model: Model, stacks: Sequence[Stack]) -> None:
    """Raise ValueError unless every stack has the channels the model was trained on."""
    for stack in stacks:
        if stack.channels != model.channels:
            raise ValueError(
                f"{stack.name} has {stack.channels} channels but the model was trained on {model.channels}; "
                "choose a model for such images"
            )
