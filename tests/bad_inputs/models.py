"""Model files and checkpoints."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save

from .case import Case, Make
from .tiffs import raw

USES = ("info", "start")
BUILT = ("model",)  # what shows only when the network is built
NAME = "bad.safetensors"
BROKEN = "bad.safetensors (is not a model file|cannot be read)"
HEADER = "header of bad.safetensors is broken"
OTHERS = "the weights in this model|cannot be used"
Tensors = dict[str, np.ndarray]
KEY = "btunet"


def model(
    change: Callable[[dict[str, Any]], Any] | None = None, weights: Callable[[Tensors], Any] | None = None
) -> Make:
    """Copy the good model, with a change to its header or to its weights."""

    def make(folder: Path) -> Path:
        with safe_open(folder / "model.safetensors", framework="numpy") as file:
            about = json.loads(file.metadata()[KEY])
        tensors = load_file(folder / "model.safetensors")
        if change:
            change(about)
        if weights:
            weights(tensors)
        (folder / NAME).write_bytes(save(tensors, {KEY: json.dumps(about)}))
        return Path(NAME)

    return make


def about(**fields: Any) -> Make:
    return model(lambda header: header.update(fields))


def header(text: str) -> Make:
    def make(folder: Path) -> Path:
        (folder / NAME).write_bytes(save({"encoder.a": np.zeros(2, np.float32)}, {KEY: text}))
        return Path(NAME)

    return make


def outer(text: bytes, length: int | None = None) -> Make:
    """Make a safetensors file with an outer header of its own."""
    return raw(struct.pack("<Q", len(text) if length is None else length) + text + bytes(64), NAME)


def cut(share: float) -> Make:
    def make(folder: Path) -> Path:
        content = (folder / "model.safetensors").read_bytes()
        (folder / NAME).write_bytes(content[: int(share * len(content))])
        return Path(NAME)

    return make


def first(tensors: Tensors, end: str = "weight") -> str:
    return next(name for name in sorted(tensors) if name.endswith(end) and tensors[name].ndim > 1)


def swapped(tensors: Tensors) -> None:
    for name, value in tensors.items():
        if value.ndim == 4 and value.shape[0] != value.shape[1]:
            tensors[name] = np.ascontiguousarray(value.swapaxes(0, 1))


def to(dtype: Any) -> Callable[[Tensors], Any]:
    return lambda tensors: tensors.update({name: value.astype(dtype) for name, value in tensors.items()})


def one(value: float) -> Callable[[Tensors], Any]:
    def change(tensors: Tensors) -> None:
        name = first(tensors)
        tensors[name] = tensors[name].copy()
        tensors[name].flat[0] = value

    return change


def bfloat16(folder: Path) -> Path:
    import torch
    from safetensors.torch import save as save_tensors

    with safe_open(folder / "model.safetensors", framework="numpy") as file:
        text = file.metadata()
    tensors = {k: torch.tensor(v, dtype=torch.bfloat16) for k, v in load_file(folder / "model.safetensors").items()}
    (folder / NAME).write_bytes(save_tensors(tensors, text))
    return Path(NAME)


def checkpoint(change: Callable[[dict[str, Any], Tensors], Any] | None, share: float = 1.0) -> Make:
    """Change the checkpoint of an interrupted training; return the name of its encoder."""

    def make(folder: Path) -> Path:
        path = folder / "interrupted.checkpoint"
        with safe_open(path, framework="numpy") as file:
            found = json.loads(file.metadata()["btunet checkpoint"])
        tensors = load_file(path)
        if change:
            change(found, tensors)
        content = save(tensors, {"btunet checkpoint": json.dumps(found)})
        (folder / "bad.checkpoint").write_bytes(content[: int(share * len(content))])
        return Path(NAME)

    return make


def state(**fields: Any) -> Make:
    return checkpoint(lambda found, _: found["state"].update(fields))


TORN = "bad.checkpoint is not a checkpoint, or it is broken .*; start anew"
RESUME = ("resume",)

CASES = [
    Case("an empty model", USES, raw(b"", NAME), BROKEN),
    Case("text called model", USES, raw(b"not a model\n" * 99, NAME), BROKEN),
    Case("half of a model", USES, cut(0.5), BROKEN),
    Case("a model's header alone", USES, cut(0.002), BROKEN),
    Case("a pickle called model", USES, raw(b"PK\3\4" + bytes(99), NAME), BROKEN),
    Case("an outer header of 2^63 bytes", USES, outer(b"{}", 2**63), BROKEN),
    Case("an outer header of 90 MB that is not there", USES, outer(b"{}", 90_000_000), BROKEN),
    Case("an outer header that is no JSON", USES, outer(b"{'a': 1}      "), BROKEN),
    Case("an outer header that is no text", USES, outer(b"\xff\xfe" * 8), BROKEN),
    Case("an outer header a hundred thousand deep", USES, outer(b'{"a":' * 100_000), BROKEN),
    Case(
        "tensors that overlap",
        USES,
        outer(json.dumps({n: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} for n in "ab"}).encode()),
        BROKEN,
    ),
    Case(
        "a tensor that is longer than the file",
        USES,
        outer(json.dumps({"a": {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4 * 10**18]}}).encode()),
        BROKEN,
    ),
    Case("a model of another program", USES, lambda folder: _foreign(folder, None), "was not written by btunet"),
    Case(
        "metadata of another program",
        USES,
        lambda folder: _foreign(folder, {"format": "pt"}),
        "was not written by btunet",
    ),
    Case("a header that is no JSON", USES, header("{"), HEADER),
    Case("a header that is empty", USES, header(""), HEADER),
    Case("a header of foreign JSON", USES, header('{"name": "other", "layers": [1, 2]}'), HEADER),
    Case("a header that is a number", USES, header("5"), HEADER),
    Case("a header a hundred thousand deep", USES, header("[" * 100_000), HEADER),
    Case("a newer model", USES, about(format=99), "written by a newer btunet .format 99.; update"),
    Case("a format that is infinite", USES, about(format=float("inf")), HEADER),
    Case("a format that is no number", USES, about(format=None), HEADER),
    Case("channels that are infinite", USES, about(channels=float("inf")), HEADER),
    Case("no channels", USES, about(channels=0), HEADER),
    Case("negative channels", USES, about(channels=-1), HEADER),
    Case("a billion channels", USES, about(channels=10**9), HEADER),
    Case("two channels instead of one", BUILT, about(channels=2), "1 channels but the model was trained on 2|altered"),
    Case("one class", USES, about(classes=["background"]), HEADER),
    Case("a million classes", USES, about(classes=["a"] * 10**6), HEADER),
    Case("three classes instead of two", ("model",), about(classes=["a", "b", "c"]), OTHERS),
    Case("classes that are one word", USES, about(classes="background"), HEADER),
    Case("an unknown network", BUILT, about(network="resnet-of-mine"), "network"),
    Case("a network in a folder", BUILT, about(network="smp:../../x"), "network|x"),
    Case("a percentile that is not a number", USES, about(normalisation={"low": float("nan"), "high": 99}), HEADER),
    Case("percentiles beyond 100", USES, about(normalisation={"low": 1, "high": 1000}), HEADER),
    Case("percentiles the wrong way round", USES, about(normalisation={"low": 90, "high": 10}), HEADER),
    Case("a history of steps in words", USES, about(history=[{"steps": "many"}]), HEADER),
    Case("swapped shapes", BUILT, model(weights=swapped), OTHERS),
    Case("a missing tensor", BUILT, model(weights=lambda t: t.pop(first(t))), OTHERS),
    Case(
        "an unknown tensor", BUILT, model(weights=lambda t: t.update({"encoder.more": np.zeros(3, np.float32)})), OTHERS
    ),
    Case("no tensors", BUILT, model(weights=lambda t: t.clear()), OTHERS),
    Case("a weight that is not a number", USES, model(weights=one(np.nan)), "NaN or infinite"),
    Case("a weight that is infinite", USES, model(weights=one(np.inf)), "NaN or infinite"),
    Case("weights that are whole numbers", BUILT, model(weights=to(np.int32)), OTHERS),
    Case("weights that are doubles", BUILT, model(weights=to(np.float64)), OTHERS),
    Case("weights of true and false", BUILT, model(weights=to(bool)), OTHERS),
    Case("weights in bfloat16", BUILT, bfloat16, "bad.safetensors|" + OTHERS),
    Case("half of a checkpoint", RESUME, checkpoint(None, 0.5), TORN),
    Case("an empty checkpoint", RESUME, checkpoint(None, 0), TORN),
    Case("a checkpoint of nothing", RESUME, checkpoint(lambda found, tensors: found["state"].clear()), TORN),
    Case("a checkpoint without tensors", RESUME, checkpoint(lambda found, tensors: tensors.clear()), TORN),
    Case("a newer checkpoint", RESUME, checkpoint(lambda found, _: found.update(format=99)), "newer btunet"),
    Case(
        "a checkpoint of infinite format", RESUME, checkpoint(lambda found, _: found.update(format=float("inf"))), TORN
    ),
    Case(
        "a checkpoint of other settings",
        RESUME,
        checkpoint(lambda found, _: found["about"].update(seed=7)),
        "of a training with other seed .7, not 0.",
    ),
    Case("a checkpoint of a negative batch", RESUME, state(batch=-4), TORN),
    Case("a checkpoint of no batch", RESUME, state(batch=0), TORN),
    Case("a checkpoint of a billion patches", RESUME, state(batch=10**9), TORN),
    Case("a checkpoint of a billion features", RESUME, state(dimensions=10**9), TORN),
    Case("a checkpoint of infinite steps", RESUME, state(step=float("inf")), TORN),
    Case("a checkpoint of negative steps", RESUME, state(step=-(10**9)), TORN),
    Case("a checkpoint without random numbers", RESUME, state(numpy={"bit_generator": "MT19937"}), TORN),
    Case("a checkpoint that is not numbers", RESUME, checkpoint(lambda _, tensors: one(np.nan)(tensors)), TORN),
    Case("a checkpoint of other types", RESUME, checkpoint(lambda _, tensors: to(np.float16)(tensors)), TORN),
]


def _foreign(folder: Path, metadata: dict[str, str] | None) -> Path:
    (folder / NAME).write_bytes(save({"layer": np.zeros(3, np.float32)}, metadata))
    return Path(NAME)
