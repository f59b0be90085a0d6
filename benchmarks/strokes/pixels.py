"""Classifiers of single pixels on multiscale filter features, as in ilastik, Labkit, APOC and convpaint."""

from __future__ import annotations

from typing import Any

import numpy as np

from btunet.images import Stack

from .scores import Predictor
from .work import Work

MOST = 50_000  # pixels to learn from; strokes are fewer, dense masks many more


def forest(work: Work, *, raw: bool = False) -> Predictor:
    """Learn a random forest of 100 trees grown to the end, as ilastik does."""
    from sklearn.ensemble import RandomForestClassifier

    return _learned(RandomForestClassifier(100, random_state=work.seed, n_jobs=work.threads), work, raw=raw)


def logistic(work: Work) -> Predictor:
    """Learn a logistic regression on the same features, each of variance one."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return _learned(make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, tol=1e-3)), work)


def boosting(work: Work) -> Predictor:
    """Learn gradient-boosted trees with LightGBM's own settings."""
    from lightgbm import LGBMClassifier

    return _learned(LGBMClassifier(random_state=work.seed, n_jobs=work.threads, verbose=-1), work)


def _learned(classifier: Any, work: Work, *, raw: bool = False) -> Predictor:
    features, classes = work.pixels(MOST, raw=raw)
    classifier.fit(features, classes)

    def predict(stack: Stack, plane: int) -> np.ndarray:
        values = work.features(stack, plane, raw=raw)  # (Y, X, F)
        found = classifier.predict_proba(values.reshape(-1, values.shape[-1]))
        probabilities = np.zeros((work.images.classes, *values.shape[:2]), np.float32)
        for k, column in zip(classifier.classes_, found.T, strict=True):
            probabilities[int(k)] = column.reshape(values.shape[:2])
        return probabilities

    return predict
