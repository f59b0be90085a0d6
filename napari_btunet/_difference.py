"""Where another model differs from the present one: a layer over the plane in sight, while it is wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

import btunet

from . import _layers
from ._job import Job
from ._overlay import add_overlay, lay
from ._thumbnail import lines_of

if TYPE_CHECKING:
    from napari.layers import Image

    from ._models import Models

MOST = 2**26  # pixels of predictions that are remembered, the latest


class Seen:
    """What models predicted: the latest planes."""

    def __init__(self) -> None:
        self._latest: np.ndarray | None = None  # (Y, X), of the model in the making
        self._masks: dict[tuple[int, Image, int], np.ndarray] = {}  # model, image, plane → (Y, X)

    def take(self, model: btunet.Model | None, image: Image, part: btunet.PredictedPlane) -> None:
        """Remember a plane that a model predicted, None: one in the making; the array is not copied."""
        if part.mask.shape != _layers.stack_of(image).plane_shape:
            return
        if model is None:
            self._latest = part.mask
            return
        key = (id(model), image, part.plane)  # models of the history live as long as this
        self._masks.pop(key, None)
        self._masks[key] = part.mask
        while len(self._masks) > max(2, MOST // part.mask.size):
            del self._masks[next(iter(self._masks))]

    def of(self, model: btunet.Model, image: Image, plane: int) -> np.ndarray | None:
        """Return a plane as a model predicted it, (Y, X); None if that is not remembered."""
        return self._masks.get((id(model), image, plane))

    def picture(self) -> dict[str, list[str]]:
        """Return a small picture of what the model in the making predicted last, for its record; then forget it."""
        latest, self._latest = self._latest, None
        return {} if latest is None else {"picture": lines_of(latest)}

    def forget(self, image: Image) -> None:
        """Let go of an image that is not open any more."""
        self._masks = {key: mask for key, mask in self._masks.items() if key[1] is not image}


class Difference:
    """One layer per image, made when it is first wanted; hidden as soon as it is not.

    Parameters
    ----------
    session
        Whose models are compared.
    elsewhere
        Returns a task in another process, which predicts what was not predicted yet.
    """

    def __init__(self, session: Models, elsewhere: Callable[..., btunet.Task[Any]]) -> None:
        self.seen = Seen()
        self._session, self._elsewhere = session, elsewhere
        self._layers: dict[Image, Image] = {}
        self._other: btunet.Model | None = None  # what is compared with the present one
        self._is_held = False  # by the key, not by the mouse
        self._about: tuple[Any, ...] = ()  # what is shown, or being found out
        self._job: Job | None = None

    def point_at(self, number: int) -> None:
        """Show where a model of the history differs, -1: no more."""
        rounds = self._session.history.rounds
        self._is_held = False
        self._want(rounds[number].model if 0 <= number < len(rounds) else None)

    def toggle(self) -> None:
        """Show where the model before the present one differs (after it, if it is the first), or hide it."""
        if self._is_held:
            self.point_at(-1)
            return
        history = self._session.history
        if len(history.rounds) < 2:
            self._session.said.emit("There is no other model to compare with.", False)
            return
        number = history.at - 1 if history.at > 0 else 1
        self.point_at(number)
        self._is_held = True
        where = f"Where model {number + 1} differs from model {history.at + 1}"
        self._session.said.emit(f"{where}, in the colours of what it says; D hides it.", False)

    def look(self, _: Any = None) -> None:
        """Follow the slider, the image and the present model."""
        subject, present, other = self._session.subject, self._session.model, self._other
        if other is None or present is None or subject is None or other is present:
            self._hide()
            return
        image, plane = subject.image, subject.plane(self._session.viewer)
        about = (id(present), id(other), image, plane)
        if about == self._about:
            return
        self._hide()
        self._about = about
        masks = [self.seen.of(model, image, plane) for model in (present, other)]
        if masks[0] is None or masks[1] is None:
            self._predict(present if masks[0] is None else other, subject.stack, image, plane)
        else:
            self._lay(image, plane, coloured(masks[0], masks[1]))

    def _want(self, other: btunet.Model | None) -> None:
        self._other = other
        self.look()

    def _predict(self, model: btunet.Model, stack: btunet.Stack, image: Image, plane: int) -> None:
        """Have one plane predicted, then look again."""
        task = self._elsewhere("predict", model, [stack], look_at=(0, plane))
        job = self._job = Job(task, "difference")

        def on_progressed(news: list[btunet.Progress]) -> None:
            parts = [part for progress in news for part in progress.planes if part.plane == plane]
            if parts and job is self._job:
                self.seen.take(model, image, parts[0])
                self._about = ()
                self.look()

        job.progressed.connect(on_progressed)
        job.ended.connect(lambda how, result: self._on_ended(job, how, result))
        job.start()

    def _on_ended(self, job: Job, how: str, result: Any) -> None:
        if job is self._job:
            self._job = None
            if how == "failed":
                self._other = None
                self._session.said.emit(f"The models cannot be compared: {result}", False)

    def _lay(self, image: Image, plane: int, colours: np.ndarray) -> None:
        layer, viewer, subject = self._layers.get(image), self._session.viewer, self._session.subjects[image]
        if layer is None or layer not in viewer.layers:
            name, above = f"difference ({image.name})", subject.prediction
            layer = add_overlay(viewer, image, "difference", name, colours, above, rgb=True)
            self._layers[image] = layer
        lay(layer, image, plane, colours)
        layer.visible = True

    def _hide(self) -> None:
        """Hide what is shown and end the process; the layer stays in the list, since removing one takes long."""
        self._about = ()
        self.rest()
        for layer in self._layers.values():
            if layer.visible:
                layer.visible = False

    def rest(self) -> None:
        """End the process, if there is one."""
        if self._job is not None:
            job, self._job = self._job, None
            job.abandon()

    def forget(self, image: Image) -> None:
        """Let go of an image that is not open any more."""
        self._layers.pop(image, None)
        self.seen.forget(image)
        self._other = None


def coloured(present: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return what the other mask (Y, X) says where it differs, in the colours of its classes: (Y, X, 4) uint8."""
    colours = np.array([(*_layers.rgb_of(k + _layers.BACKGROUND), 255) for k in range(int(other.max()) + 1)], np.uint8)
    found = colours[other]
    found[present == other] = 0
    return found
