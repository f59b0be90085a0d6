"""Recipes: what the methods differ in, as values. The code that trains is one and the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Descent:
    """How the weights follow the gradient."""

    algorithm: Literal["adamw", "sgd"]
    rate: float  # highest learning rate of the schedule
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Literal["one-cycle", "constant"] = "one-cycle"


@dataclass(frozen=True, kw_only=True)
class PretrainRecipe:
    """What Barlow Twins pre-training compares, and how."""

    levels: int  # how many of the encoder's maps are pooled and compared, coarsest first; 0 = all
    hidden: tuple[int, ...]  # features of the projector's hidden layers
    dimensions: int  # D, features that are compared; 0 = half the patches of a step
    redundancy: float  # lambda of Eq. 1; 0 = 1 / D
    region: float  # side of what both views are cut from, in patches
    crop: tuple[float, float]  # smallest and largest side of a view, in regions
    light: float  # strength of the changes of brightness, contrast, blur and noise
    descent: Descent
    turned: bool = True  # whether views are mirrored and turned by quarters


@dataclass(frozen=True, kw_only=True)
class FinetuneRecipe:
    """What supervised training minimises, and how."""

    balanced: bool  # whether every class of strokes counts the same, however few its pixels
    zoom: tuple[float, float]  # smallest and largest side of what is seen of a patch
    light: float  # as above
    guide: float  # weight of what the instant classifier expects where nobody painted strokes; 0 = no ImageNet at all
    memory: float  # of the average of the weights that is shown and kept; 0 = the last ones
    descent: Descent


OURS = FinetuneRecipe(
    balanced=True,
    zoom=(0.8, 1.25),
    light=0.5,
    guide=2.0,
    memory=0.98,
    descent=Descent(algorithm="adamw", rate=5e-3, weight_decay=1e-4),
)
# all levels, so that the skip connections learn too; D below N, or the correlation cannot become the identity
OURS_BEFORE = PretrainRecipe(
    levels=0,
    hidden=(256,),
    dimensions=0,
    redundancy=0.0,
    region=1.25,
    crop=(0.7, 1.0),
    light=1.0,
    descent=Descent(algorithm="adamw", rate=1e-3, weight_decay=1e-4),
)

PRETRAINING = {
    "default": OURS_BEFORE,
    "bare": OURS_BEFORE,
    # BT-Unet (Punn & Agarwal 2022). Against its code: views keep the resolution of the image (there they are shrunk to
    # 96 pixels first), turns are of any number of quarters, both views go through the encoder at once, and the rate
    # follows the steps that are made (there it is 0 for the second half)
    "paper": PretrainRecipe(
        levels=1,
        hidden=(128, 128),
        dimensions=128,
        redundancy=5e-3,
        region=1.0,
        crop=(0.75, 1.0),
        light=0.0,
        descent=Descent(algorithm="sgd", rate=1e-3),
    ),
}

FINETUNING = {
    "default": OURS,
    "bare": replace(OURS, guide=0.0),  # from scratch, or from pre-training alone, as in the papers
    # BT-Unet: the average of cross-entropy and Dice as in the paper (its code's cross-entropy is always 0), Adam. The
    # rate stays as it is: the code lowers it on a plateau over 200 epochs, which a training of minutes does not have
    "paper": FinetuneRecipe(
        balanced=False,
        zoom=(1.0, 1.0),
        light=0.0,
        guide=0.0,
        memory=0.0,
        descent=Descent(algorithm="adamw", rate=1e-3, schedule="constant"),
    ),
}
