"""Offers to begin again with half the batch what ended for lack of memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtWidgets import QPushButton

import btunet

if TYPE_CHECKING:
    from ._job import Job
    from ._session import Session

Work = tuple[Any, Callable[[], None]]  # the editor of its batch, and what starts it


class SmallerBatch(QPushButton):
    """A button that is there after a training ended for lack of memory, until something else begins.

    Parameters
    ----------
    session
        Whose jobs may end like this.
    works
        Title of a job that has a batch → how to begin it again.
    """

    def __init__(self, session: Session, works: Mapping[str, Work]) -> None:
        super().__init__()
        self.setObjectName("smaller_batch_button")
        self.setToolTip("a step needs less memory then; the learning rate stays what it is")
        self._session, self._works = session, works
        self._job: Job | None = None
        self._failed = ""  # the title of what ended
        self.hide()
        session.changed.connect(self._on_changed)
        self.clicked.connect(self._on_clicked)

    def _on_changed(self) -> None:
        job = self._session.job
        if not isalive(self) or job is None or job is self._job:
            return
        self.hide()
        self._job = job
        job.ended.connect(self._on_ended)

    def _on_ended(self, how: str, result: Any) -> None:
        title = self._job.title if self._job is not None else ""
        if not isalive(self) or how != "failed" or not isinstance(result, btunet.OutOfMemory):
            return
        if title in self._works:
            batch, _ = self._works[title]
            self._failed = title
            self.setText(f"Begin again with {batch.value // 2} instead of {batch.value} patches per step")
            self.setVisible(batch.value // 2 >= batch.min)

    def _on_clicked(self) -> None:
        batch, begin = self._works[self._failed]
        batch.value //= 2
        begin()
