"""The models of a viewer: the encoder, and every model that was trained or opened; one of them predicts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import btunet

from ._history import History, Round
from ._workspace import Workspace

if TYPE_CHECKING:
    from napari import Viewer


class Models(Workspace):
    """A workspace with models."""

    def __init__(self, viewer: Viewer) -> None:
        self.encoder: btunet.Model | None = None
        self.history = History()
        super().__init__(viewer)

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
        """Use a model of the history."""
        self.use(number)
        self.said.emit(f"Model {number + 1}: {self.history.rounds[number].describe()}.", False)

    def take(self, model: btunet.Model) -> None:
        """Keep a fine-tuned model; a worse one is not used."""
        found = self.history.add(model)
        for subject in self.subjects.values():
            subject.predicted.clear()
        compared = f" ({found.describe()} than the one before)" if found else ""
        if found is not None and found.is_worse:
            self.said.emit(
                f"The new model is worse{compared}, so the one before stays; the list of models has both.", False
            )
        else:
            self.said.emit(f"Fine-tuned{compared}: {model.describe()}.", False)
