"""What learns: pre-training, fine-tuning, and the trial that compares what comes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import btunet

from . import _layers
from ._answered import Answered
from ._keeper import Keeper
from ._views import Peek
from ._work import NO_IMAGE

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image


class Training(Answered):
    """Answered strokes that networks learn from, kept in a project."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer)
        self.verdict: btunet.Verdict | None = None
        self.peek = Peek(self._elsewhere)
        self._began_with: dict[str, Any] = {}  # what the running training will have seen
        self.keeper = Keeper(self)
        self.said.connect(self.keeper.note)
        self.changed.connect(self.keeper.soon)

    def shutdown(self, *_: Any) -> None:
        """End all work: the window is gone."""
        super().shutdown()
        self.peek.rest()
        self.keeper.close()

    def pretrain(self, settings: btunet.PretrainSettings, views: btunet.ViewSettings | None = None) -> None:
        """Pre-train on the chosen images, from the present encoder if it fits them."""
        if self.image is None:
            self.said.emit(NO_IMAGE, True)
            return
        images = self._chosen()
        try:
            stacks = [_layers.stack_of(image) for image in images]
        except ValueError as error:
            self.said.emit(str(error), True)
            return
        encoder = self.encoder_for(stacks[0], settings.network)
        look_at = (0, self.subject.plane(self.viewer)) if self.subject else None
        self.learned.expect(self.viewer, self.image)
        kept = self.keeper.pretraining(self.image, settings, views)
        # in a process of its own: the one that is ready is for the first stroke, which comes soon and does not wait
        task = btunet.in_child("pretrain", stacks, settings, views=views, start_from=encoder, look_at=look_at, **kept)
        self._begin("pretrain", images, task)
        self.spare.prepare()

    def run_elsewhere(self, settings: btunet.PretrainSettings, views: btunet.ViewSettings | None = None) -> None:
        """Ready the project for pre-training on another machine; the encoder is taken in when it is there."""
        if self.image is None:
            self.said.emit(NO_IMAGE, True)
            return
        images = self._chosen()
        try:
            encoder = self.encoder_for(_layers.stack_of(self.image), settings.network)
            self._begin("prepare", images, self.keeper.prepare(images, settings, views, encoder))
        except ValueError as error:
            self.said.emit(str(error), True)

    def preview_views(self, settings: btunet.PretrainSettings, show: Callable[[Any], None]) -> None:
        """Have pairs of views made of the chosen images; ``show`` gets them."""
        self.peek.ask(self._chosen(), settings, show)

    def import_encoder(self, network: str, weights: str) -> None:
        """Make an encoder of weights learned elsewhere: a file, or "imagenet", which downloads them."""
        if self.image is None:
            self.said.emit(NO_IMAGE, True)
            return
        channels = _layers.stack_of(self.image).channels
        self._begin("import", [self.image], self._elsewhere("import_encoder", network, channels, weights))

    def finetune(self, settings: btunet.FinetuneSettings) -> None:
        """Train from all strokes of all images, looking at the other chosen ones.

        A running pre-training is stopped and kept first.
        """
        if self.doing in ("pretrain", "predict"):
            self._after_stopping(lambda: self.finetune(settings))
            return
        try:
            images, stacks, strokes = self._to_learn_from()
        except ValueError as error:
            self.live.rest()  # it was not told of strokes that were taken here
            self.said.emit(str(error), True)
            return
        start, settings = self.beginning(stacks[0], settings)
        task = self._elsewhere(
            "finetune",
            stacks,
            strokes,
            settings,
            start_from=start,
            classes=tuple(self.classes),
            look_at=(0, self.subjects[images[0]].plane(self.viewer)),
            judged=True,
        )
        self.live.rest()
        self.subjects[images[0]].expect(self.viewer, len(self.classes))
        self.is_behind = False
        self._note_beginning(strokes)
        self._begin("finetune", images, task)

    def classify(self) -> None:
        """Make a model of what the strokes alone say, to predict whole stacks with it."""
        try:
            images, *given = self._to_learn_from()
        except ValueError as error:
            self.said.emit(str(error), True)
            return
        self.live.rest()  # it was not told of strokes that were taken here
        self.is_behind = False
        self._note_beginning(given[1])
        self._begin("classify", images, self._elsewhere("classify", *given, tuple(self.classes)))

    def _note_beginning(self, strokes: list[btunet.Strokes]) -> None:
        """Note what the model that is made now will have seen."""
        painted = sum(int((plane > 0).sum()) for planes in strokes for plane in planes.values())
        self._began_with = {"painted": painted, "strokes": self.keeper.seen(), "effort": self.effort.as_dict()}

    def try_out(self, encoder: btunet.Model, settings: btunet.TrialSettings) -> None:
        """Find out whether an encoder helps, by strokes held out of trainings with it and without it."""
        try:
            images, *given = self._to_learn_from()
        except ValueError as error:
            self.said.emit(str(error), True)
        else:
            task = self._elsewhere("trial", *given, encoder, settings, classes=tuple(self.classes))
            self._begin("trial", images, task)
        self.live.rest()  # it was not told of strokes that were taken here
        if self.live.mode == "live":
            self.answer()

    def _to_learn_from(self) -> tuple[list[Image], list[btunet.Stack], list[btunet.Strokes]]:
        """Return the images, the chosen one first among the painted ones, then those to look at; and their strokes.

        Raises
        ------
        ValueError
            Unless there are strokes of two classes.
        """
        images = [image for image, subject in self.subjects.items() if subject.ledger.all()]
        if not images:
            raise ValueError("Paint first: a few strokes on an object and a few on the background.")
        images.sort(key=lambda image: image is not self.image)
        stacks = [self.subjects[image].stack for image in images]
        strokes: list[btunet.Strokes] = [self.subjects[image].ledger.all() for image in images]
        btunet.check_strokes(stacks, strokes, self.classes)
        others = {image: _layers.stack_of(image) for image in self._chosen() if image not in images}
        looked_at = {image: stack for image, stack in others.items() if stack.channels == stacks[0].channels}
        return [*images, *looked_at], [*stacks, *looked_at.values()], [*strokes, *({} for _ in looked_at)]

    def _on_painted(self, _: Any = None) -> None:
        self.keeper.soon()
        super()._on_painted()
