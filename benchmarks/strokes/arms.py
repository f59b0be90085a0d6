"""The methods that are compared: a name and a function from the same annotations to a predictor.

To try another one, add it to `ARMS` (or to a copy): a function that takes a `Work` and returns a function from a stack
and a plane to class probabilities (K, Y, X).
"""

from __future__ import annotations

from collections.abc import Callable

from .networks import network_arms
from .pixels import boosting, forest, logistic
from .scores import Predictor
from .work import Work

Arm = Callable[[Work], Predictor]

PIXELS: dict[str, Arm] = {"forest": forest, "logistic": logistic, "lightgbm": boosting}
"""Classifiers of single pixels on filter features; they take the time they take."""

ARMS: dict[str, Arm] = {**PIXELS, **network_arms()}

__all__ = ["ARMS", "PIXELS", "Arm", "Work", "network_arms"]
