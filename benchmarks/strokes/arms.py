"""The methods that are compared: a name and a function from the same annotations to a predictor.

To try another one, add it to `ARMS` (or to a copy): a function that takes a `Work` and returns a function from a stack
and a plane to class probabilities (K, Y, X).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .ablations import ABLATIONS
from .convpaint import Convpaint
from .instant import Instant
from .networks import network_arms
from .pixels import boosting, forest, logistic
from .scores import Predictor
from .work import Work

Arm = Callable[[Work], Predictor]

PIXELS: dict[str, Arm] = {
    "forest": forest,
    "forest-raw": partial(forest, raw=True),
    "logistic": logistic,
    "lightgbm": boosting,
    "convpaint-gaussian": Convpaint("gaussian"),
    "convpaint-ilastik": Convpaint("ilastik"),
    "convpaint-vgg": Convpaint("vgg-m"),
    "instant": Instant(),
    "instant-random": Instant(is_trained=False),
}
"""Classifiers of single pixels, on filter features but for the last two, which are ours; they take the time they take.

``forest-raw`` sees values as they were stored, as ilastik does; the others are given every image in one range, as the
networks are. An arm whose package is not installed is left out of a run, with a message.
"""

ARMS: dict[str, Arm] = {**PIXELS, **network_arms()}

__all__ = ["ABLATIONS", "ARMS", "PIXELS", "Arm", "Work", "network_arms"]
