"""The models of a viewer: the encoder, and every model that was trained or opened; one of them predicts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import btunet

from ._history import History, Round
from ._workspace import Workspace

if TYPE_CHECKING:
    from napari import Viewer


BOTH = "So they go on answering; the list of models has both."


class Models(Workspace):
    """A workspace with models."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer)
        self.encoder: btunet.Model | None = None
        self.history = History()
        self._by_hand: btunet.Model | None = None

    def begin_with(
        self, classes: tuple[str, ...], encoder: btunet.Model | None, models: list[btunet.Model], at: int
    ) -> None:
        """Go on with the classes and models of a project; what is here already comes after them, and stays in use."""
        self.encoder = self.encoder or encoder
        mine, place = self.history.rounds, self.history.at
        self.history = History([*map(Round.of, models), *mine], len(models) + place if mine else at)
        if len(classes) >= len(self.classes):
            self.classes = list(classes)

    @property
    def model(self) -> btunet.Model | None:
        """The model that predicts."""
        return self.history.present

    @property
    def is_outdone(self) -> bool:
        """Whether the present model is worse, beyond doubt, than what the strokes alone say."""
        found = btunet.compare_with_classifier(self.model) if self.model else None
        return found is not None and found.is_worse

    @property
    def branch(self) -> int:
        """Number, from 1, of the model that fine-tuning goes on from; 0: it begins with the encoder."""
        models = [found.model for found in self.history.rounds]
        return next((n for n, model in enumerate(models, 1) if model is self._by_hand), 0)

    def encoder_for(self, stack: btunet.Stack, network: str) -> btunet.Model | None:
        """Return the encoder if it is of this network and was trained on images with as many channels."""
        encoder = self.encoder
        fits = encoder is not None and encoder.channels == stack.channels and encoder.network == network
        return encoder if fits else None

    def beginning(
        self, stack: btunet.Stack, settings: btunet.FinetuneSettings
    ) -> tuple[btunet.Model | None, btunet.FinetuneSettings]:
        """Return what fine-tuning begins with, the model chosen by hand or the encoder, and settings that fit it."""
        if self.branch and self._by_hand is not None:
            return self._by_hand, dataclasses.replace(settings, network=self._by_hand.network)
        return self.encoder_for(stack, settings.network), settings

    def keys(self) -> dict[str, Callable[[], None]]:
        """Return what keys do while a strokes layer is active."""
        return {**super().keys(), "R": self.go_back}

    def save_model(self, path: Path) -> None:
        """Save the model, or the encoder if there is no model yet."""
        model = self.model or self.encoder
        if model is None:
            self.said.emit("There is no model yet: pre-train or fine-tune first.", True)
            return
        try:
            model.save(path)
        except btunet.BtunetError as error:
            self.said.emit(str(error), True)
        else:
            self.said.emit(f"Saved {path.name}: {model.describe()}.", False)

    def open_model(self, path: Path) -> None:
        """Open a model or an encoder; a model's classes become the panel's."""
        try:
            model = btunet.Model.load(path)
        except btunet.BtunetError as error:
            self.said.emit(str(error), True)
            return
        if model.is_encoder:
            self.encoder = model
        else:
            self.use(len(self.history.rounds), model, path.name)
            self.set_classes([name[:1].upper() + name[1:] for name in model.classes])
        self.said.emit(f"Opened {path.name}: {model.describe()}.", False)
        self.changed.emit()

    def use(self, number: int, model: btunet.Model | None = None, note: str = "") -> None:
        """Make a model of the history the present one, or a new one; what others predicted is out of date."""
        if model is not None:
            self.history.rounds.append(Round.of(model.with_note(note=note)))
        self.history.use(number)
        for subject in self.subjects.values():
            subject.predicted.clear()
        self.changed.emit()

    def go_back(self) -> None:
        """Return to the model before the present one, and show what it predicts."""
        if self.history.at < 1:
            self.said.emit("There is no earlier model.", False)
        else:
            self.choose_round(self.history.at - 1)

    def choose_round(self, number: int) -> None:
        """Use a model of the history; fine-tuning goes on from it, unless it is chosen once more."""
        found = self.history.rounds[number]
        try:
            found.model.wake()
        except btunet.BtunetError as error:
            self.said.emit(f"Model {number + 1} cannot be used: {error}", True)
            return
        self._by_hand = None if self._by_hand is found.model else found.model
        self.use(number)
        how = "goes on from it" if self._by_hand else "begins with the encoder again"
        self.said.emit(f"Model {number + 1}: {found.describe()}. Fine-tuning {how}.", False)

    def take(self, model: btunet.Model) -> None:
        """Keep a fine-tuned model; a worse one is not used."""
        found = self.history.add(model)
        self._by_hand = None  # a choice is for one training
        for subject in self.subjects.values():
            subject.predicted.clear()
        compared = f" ({found.describe()} than the one before)" if found else ""
        alone = btunet.compare_with_classifier(model)
        if found is not None and found.is_worse:
            self.said.emit(
                f"The new model is worse{compared}, so the one before stays; the list of models has both.", False
            )
        elif alone is not None and alone.is_worse:
            self.said.emit(f"The strokes alone do better: the new model is {alone.describe()}. {BOTH}", False)
        elif model.is_instant:
            self.said.emit(f"Learned: {model.describe()}.", False)
        else:
            self.said.emit(f"Fine-tuned{compared}: {model.describe()}.", False)
