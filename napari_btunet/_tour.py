"""Takes the user to places: where strokes would tell much, strokes that contradict the others, what is unsure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import btunet

from ._doubt import Doubt
from ._spots import show_spot

if TYPE_CHECKING:
    from napari.layers import Image

    from ._answered import Answered
    from ._subject import Subject

Found = tuple["Image", btunet.Spot]


class Tour:
    """Where to look next, in any plane of any image of a session.

    Parameters
    ----------
    session
        Its live answers know the places.
    """

    def __init__(self, session: Answered) -> None:
        self._session = session
        self.doubt = Doubt()
        self._wants_spot = False

    def next_spot(self) -> None:
        """Go where strokes would tell the most; find out where, if nothing is known yet."""
        session = self._session
        found = session.live.trail.step(forward=True)
        self._wants_spot = found is None
        if found is not None:
            self._go_to(found)
        elif session.doing in ("finetune", "predict", "export"):
            session.said.emit("Looking for places to paint when this work is done.", False)
        else:
            session.said.emit("Looking for places to paint …", False)
            session.answer(unpainted=True)

    def last_spot(self) -> None:
        """Go back to the place before."""
        self._go_to(self._session.live.trail.step(forward=False))

    def next_contradiction(self) -> None:
        """Go to a stroke that contradicts the others."""
        session = self._session
        found = session.live.next_doubt()
        if found is None:
            known = session.live.doubts is not None
            session.said.emit("No stroke contradicts the others." if known else "No stroke was judged yet.", False)
        else:
            self._go_to(found, "Is this right?")

    def on_judged(self) -> None:
        """Go to a place that was waited for; have a new score shown."""
        if self._wants_spot and (found := self._session.live.trail.step(forward=True)):
            self._wants_spot = False
            self._go_to(found)
        self._session.changed.emit()

    def _go_to(self, found: Found | None, why: str = "Paint here:") -> None:
        """Show a place and say why."""
        session = self._session
        if found is None or found[0] not in session.images:
            session.said.emit("There is no such place; press N for the next one.", False)
            return
        image, spot = found
        if image is not session.image or image not in session.subjects:
            session.choose(image)
        if image in session.subjects:
            show_spot(session.viewer, session.subjects[image].strokes, spot)
            session.said.emit(f"{why} {spot.reason}.", False)

    # ------------------------------------------------------------------------------------------ what is unsure

    def toggle_doubt(self) -> None:
        """Show or hide where the answer is unsure."""
        subject = self._session.subject
        if subject is not None:
            self.doubt.toggle(self._session.viewer, subject.image, subject.plane(self._session.viewer))
            self.see_doubt()

    def see_doubt(self) -> None:
        """Show how unsure the plane in sight is, if that is wanted; find out if need be."""
        subject = self._session.subject
        if subject is None or not self.doubt.is_shown:
            return
        plane = subject.plane(self._session.viewer)
        self.doubt.look(self._session.viewer, subject.image, plane)
        if not self.doubt.knows(subject.image, plane):
            self._session.answer()

    def note_doubt(self, subject: Subject, part: btunet.PredictedPlane) -> None:
        """Take in how unsure a predicted part of a plane is."""
        self.doubt.take(subject.image, part)
        if part.plane == subject.plane(self._session.viewer):
            self.doubt.look(self._session.viewer, subject.image, part.plane)
