"""Segment images from a few strokes: Barlow Twins pre-training of a U-Net, then fine-tuning.

The public names below are imported when they are first used, so that ``import btunet`` needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .answering import answer as answer
    from .classifying import classify as classify
    from .comparison import Comparison as Comparison
    from .comparison import Score as Score
    from .comparison import compare as compare
    from .comparison import compare_with_classifier as compare_with_classifier
    from .comparison import right as right
    from .datasets import find_pairs as find_pairs
    from .device import describe_device as describe_device
    from .errors import BtunetError as BtunetError
    from .errors import Died as Died
    from .errors import OutOfMemory as OutOfMemory
    from .evaluation import evaluate as evaluate
    from .finetuning import finetune as finetune
    from .images import Stack as Stack
    from .images import as_stack as as_stack
    from .inventory import objects_of_files as objects_of_files
    from .jobs import predict_files as predict_files
    from .labels import check_strokes as check_strokes
    from .measures import measure_objects as measure_objects
    from .measures import write_table as write_table
    from .model import Model as Model
    from .objects import make_objects as make_objects
    from .prediction import predict as predict
    from .prediction import predict_probabilities as predict_probabilities
    from .pretraining import pretrain as pretrain
    from .previewing import preview_views as preview_views
    from .process import Spare as Spare
    from .process import in_child as in_child
    from .reading import find as find
    from .reading import pair as pair
    from .reading import read as read
    from .settings import FinetuneSettings as FinetuneSettings
    from .settings import ObjectSettings as ObjectSettings
    from .settings import PredictSettings as PredictSettings
    from .settings import PretrainSettings as PretrainSettings
    from .settings import StudySettings as StudySettings
    from .settings import TrialSettings as TrialSettings
    from .settings import ViewSettings as ViewSettings
    from .streaming import predict_to as predict_to
    from .studies import study as study
    from .task import Estimate as Estimate
    from .task import LearnedPlane as LearnedPlane
    from .task import PredictedPlane as PredictedPlane
    from .task import Progress as Progress
    from .task import Reply as Reply
    from .task import Spot as Spot
    from .task import Steer as Steer
    from .task import Task as Task
    from .task import run as run
    from .transfer import ZOO_ENCODERS as ZOO_ENCODERS
    from .transfer import imagenet_encoder as imagenet_encoder
    from .transfer import import_encoder as import_encoder
    from .transfer import zoo_available as zoo_available
    from .trials import trial as trial
    from .verdict import Verdict as Verdict
    from .writing import write as write
    from .writing import write_probabilities as write_probabilities

_HOME = {
    "answering": ["answer"],
    "classifying": ["classify"],
    "comparison": ["Comparison", "Score", "compare", "compare_with_classifier", "right"],
    "datasets": ["find_pairs"],
    "device": ["describe_device"],
    "errors": ["BtunetError", "Died", "OutOfMemory"],
    "evaluation": ["evaluate"],
    "finetuning": ["finetune"],
    "images": ["Stack", "as_stack"],
    "inventory": ["objects_of_files"],
    "jobs": ["predict_files"],
    "labels": ["check_strokes"],
    "measures": ["measure_objects", "write_table"],
    "model": ["Model"],
    "objects": ["make_objects"],
    "prediction": ["predict", "predict_probabilities"],
    "pretraining": ["pretrain"],
    "previewing": ["preview_views"],
    "process": ["Spare", "in_child"],
    "reading": ["find", "pair", "read"],
    "settings": [
        "FinetuneSettings",
        "ObjectSettings",
        "PredictSettings",
        "PretrainSettings",
        "StudySettings",
        "TrialSettings",
        "ViewSettings",
    ],
    "streaming": ["predict_to"],
    "studies": ["study"],
    "task": ["Estimate", "LearnedPlane", "PredictedPlane", "Progress", "Reply", "Spot", "Steer", "Task", "run"],
    "transfer": ["ZOO_ENCODERS", "imagenet_encoder", "import_encoder", "zoo_available"],
    "trials": ["trial"],
    "verdict": ["Verdict"],
    "writing": ["write", "write_probabilities"],
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}
__all__ = sorted(_MODULE)


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'btunet' has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE[name]}", __name__), name)
