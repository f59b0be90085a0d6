"""The objects of an image's prediction: a layer with a number for each, and a table of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from qtpy.compat import isalive
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

import btunet
from btunet.task import titled

from . import _layers
from ._files import beside
from ._form import SettingsForm
from ._replacing import may_replace
from ._writer import mask_of

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from ._session import Session

TABLE = "Table (*.csv)"


@dataclass
class _Made:
    """A layer of objects with what they were made of."""

    layer: Labels
    mask: btunet.Stack
    settings: btunet.ObjectSettings
    is_changed: bool = False  # by the user, whose layer it is from then on

    def note(self, _: Any = None) -> None:
        self.is_changed = True


class Objects:
    """Makes objects of the chosen image's prediction and measures them, in the background.

    Parameters
    ----------
    session
        Runs the work.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._made: WeakKeyDictionary[Image, _Made] = WeakKeyDictionary()

    def layer(self) -> Labels | None:
        """Return the objects of the chosen image, if there are any."""
        session = self._session
        made = self._made.get(session.image) if session.image is not None else None
        return made.layer if made is not None and made.layer in session.viewer.layers else None

    def make(self, settings: btunet.ObjectSettings) -> None:
        """Make objects of the prediction; what is not predicted yet is predicted first."""
        session, subject = self._session, self._session.subject
        if session.is_busy:
            session.said.emit(f"Wait until the work is done ({session.doing}), or stop it.", True)
        elif subject is None or session.model is None or subject.prediction is None or not subject.is_predicted:
            session.after_predicting(lambda: self.make(settings))
        else:
            task = self._making(np.asarray(subject.prediction.data), subject.stack, settings)
            session._begin("objects", [subject.image], task)

    def export(self, path: Path) -> None:
        """Measure the objects as they are in their layer now and write the table."""
        session, layer = self._session, self.layer()
        if layer is None or session.image is None:
            session.said.emit("There are no objects of this image yet: make them first.", True)
            return
        made, stack = self._made[session.image], _layers.stack_of(session.image)
        task = self._measuring(path, np.array(layer.data), made, stack, tuple(session.classes))
        session._begin("table", [session.image], task)

    def take(self, kind: str, image: Image, result: Any) -> None:
        """Keep the result of a job, and say so."""
        session = self._session
        if result is None:
            session.said.emit("Stopped: nothing was made.", False)
        elif kind == "table":
            path, rows = result
            session.said.emit(f"Exported: {path}, {rows} objects.", False)
        elif image in session.subjects:
            self._show(image, *result)

    def _show(self, image: Image, mask: btunet.Stack, numbers: np.ndarray, settings: btunet.ObjectSettings) -> None:
        """Show objects in their layer, or in a new one if it is gone or the user has changed it."""
        viewer, made = self._session.viewer, self._made.get(image)
        numbers = np.array(numbers)  # the user may paint in it
        if made is not None and made.layer in viewer.layers and not made.is_changed:
            made.layer.data, made.mask, made.settings = numbers, mask, settings
        else:
            name = self._session.subjects[image].named("objects")
            made = _Made(_layers.add_objects(viewer, image, name, numbers), mask, settings)
            made.layer.events.paint.connect(made.note)
            self._made[image] = made
        self._session.changed.emit()
        self._session.said.emit(f"{int(numbers.max())} objects. Correct them if need be, then export the table.", False)

    def _making(self, labels: np.ndarray, stack: btunet.Stack, settings: btunet.ObjectSettings) -> btunet.Task[Any]:
        """Return mask, numbers and settings; None if it is stopped."""
        mask = replace(stack, data=mask_of(labels), axes=stack.spatial_axes)
        numbers, stopped = yield from titled(self._session._elsewhere("make_objects", mask, settings), "")
        return None if stopped else (mask, numbers, settings)

    def _measuring(
        self, path: Path, numbers: np.ndarray, made: _Made, stack: btunet.Stack, classes: tuple[str, ...]
    ) -> btunet.Task[Any]:
        """Return the path and the number of rows; None if it is stopped, and nothing is written."""
        objects = replace(made.mask, data=numbers)
        work = self._session._elsewhere("measure_objects", objects, made.mask, stack, made.settings, classes)
        rows, stopped = yield from titled(work, "")
        return None if stopped else (btunet.write_table(path, rows), len(rows))


class ObjectsSection(QWidget):
    """The settings of objects and what to do with them.

    Parameters
    ----------
    session
        That of the viewer.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.form = SettingsForm(btunet.ObjectSettings)
        self.make_button = QPushButton("Make objects")
        self.make_button.setObjectName("make_objects_button")
        self.make_button.setToolTip("give every object of the prediction a number and a colour of its own")
        self.table_button = QPushButton("Export table…")
        self.table_button.setObjectName("export_table_button")
        self.table_button.setToolTip("write size, place, shape and brightness of every object to a file")
        buttons = QHBoxLayout()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.form.container.native)
        column.addLayout(buttons)
        for button, act in ((self.make_button, self._on_make), (self.table_button, self._on_table)):
            buttons.addWidget(button)
            button.clicked.connect(act)
        session.changed.connect(self._on_changed)
        self._on_changed()

    def _on_changed(self) -> None:
        if not isalive(self):
            return
        session = self._session
        is_idle = not session.is_busy and session.subject is not None
        self.make_button.setEnabled(is_idle and session.model is not None)
        self.table_button.setEnabled(is_idle and session.objects.layer() is not None)

    def _on_make(self) -> None:
        self._session.objects.make(self.form.value())

    def _on_table(self) -> None:
        suggested = beside(self._session.image, "_objects.csv")
        path, _ = QFileDialog.getSaveFileName(self, "Export table", str(suggested), TABLE)
        named = Path(path if path.lower().endswith(".csv") else f"{path}.csv")
        if path and may_replace(self, [named], Path(path)):
            self._session.objects.export(named)
