"""Segment images from a few strokes: Barlow Twins pre-training of a U-Net, then fine-tuning.

The public names below are imported when they are first used, so that ``import btunet`` needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .device import describe_device
    from .errors import BtunetError, Died, OutOfMemory
    from .evaluation import evaluate
    from .finetuning import finetune
    from .images import Stack, as_stack
    from .model import Model
    from .prediction import predict, predict_probabilities
    from .pretraining import pretrain
    from .process import in_child
    from .reading import find, pair, read
    from .settings import FinetuneSettings, PredictSettings, PretrainSettings
    from .task import PredictedPlane, Progress, Reply, Steer, Task, run
    from .writing import write, write_probabilities

_HOME = {
    "device": ["describe_device"],
    "errors": ["BtunetError", "Died", "OutOfMemory"],
    "evaluation": ["evaluate"],
    "finetuning": ["finetune"],
    "images": ["Stack", "as_stack"],
    "model": ["Model"],
    "prediction": ["predict", "predict_probabilities"],
    "pretraining": ["pretrain"],
    "process": ["in_child"],
    "reading": ["find", "pair", "read"],
    "settings": ["FinetuneSettings", "PredictSettings", "PretrainSettings"],
    "task": ["PredictedPlane", "Progress", "Reply", "Steer", "Task", "run"],
    "writing": ["write", "write_probabilities"],
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}
__all__ = sorted(_MODULE)


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'btunet' has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE[name]}", __name__), name)
