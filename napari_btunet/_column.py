"""The panel's column: what to do next on top, then the way from an image to masks, and everything else in More."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QListWidget, QPushButton, QVBoxLayout, QWidget
from superqt import QCollapsible

from btunet.settings import FinetuneSettings, PretrainSettings

from ._budget import BudgetLine
from ._cards import Cards
from ._changed import ChangedImage
from ._classes import ClassList
from ._form import SettingsForm
from ._keys import listed
from ._learned import HealthLabel, LearnedCheck
from ._network import NetworkChoice
from ._next import NextStep
from ._objects import ObjectsSection
from ._parts import Scroll, beside, heading, minutes, named, sentence
from ._progress import Losses, ProgressRow
from ._project_buttons import ProjectButtons
from ._session import Session, session_of
from ._smaller import SmallerBatch
from ._strip import PlaneStrip
from ._trial import TrialButtons
from ._views import IgnoredViews


class Column(QWidget):
    """The widgets of the panel, which do nothing yet.

    Parameters
    ----------
    napari_viewer
        Whose session they show.
    """

    def __init__(self, napari_viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session: Session = session_of(napari_viewer)
        column = QWidget()
        rows = QVBoxLayout(column)
        for part in (self._next, self._image, self._pretrain, self._paint, self._finetune, self._use, self._more):
            part(rows)
        works = {
            "pretrain": (self.pretrain_form.container.batch, self.pretrain_button.click),
            "finetune": (self.finetune_form.container.batch, self.finetune_button.click),
        }
        self.smaller_button = SmallerBatch(self.session, works)
        rows.insertWidget(rows.indexOf(self.progress) + 1, self.smaller_button)
        rows.addStretch()
        scroll = Scroll()
        scroll.setWidget(column)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)

    def _next(self, rows: QVBoxLayout) -> None:
        self.next_label = NextStep(self.session)
        self.status_label = sentence("status_label")
        self.status_label.setMinimumHeight(2 * self.fontMetrics().height())
        self.progress = ProgressRow()
        self.progress_bar, self.stop_button = self.progress.bar, self.progress.stop_button
        _add(rows, self.next_label, self.status_label, self.progress)

    def _image(self, rows: QVBoxLayout) -> None:
        self.image_combo = named(QComboBox(), "image_combo", "the image you paint on")
        self.understood_label, self.device_label = sentence("understood_label"), sentence("device_label")
        self.kept_label = sentence("kept_label")
        self.changed_image = ChangedImage(self.session)
        self.also_label = QLabel("Also learn from")
        self.also_list = named(QListWidget(), "also_list", "more images to learn from, painted or not")
        self.also_list.setMaximumHeight(4 * self.fontMetrics().height() + 8)
        form = QFormLayout()
        form.addRow("Image", self.image_combo)
        rows.addLayout(form)
        told = (self.understood_label, self.device_label, self.kept_label, self.changed_image)
        _add(rows, *told, self.also_label, self.also_list)

    def _pretrain(self, rows: QVBoxLayout) -> None:
        self.minutes_spin = minutes(PretrainSettings, "minutes_spin")
        self.pretrain_button = named(QPushButton("Pre-train"), "pretrain_button", "painting goes on meanwhile")
        self.learned_check = LearnedCheck(self.session.learned)
        self.learning_label = HealthLabel(self.session)
        rows.addWidget(heading("1  Learn without labels"))
        rows.addLayout(beside(self.minutes_spin, self.pretrain_button))
        _add(rows, self.learning_label, self.learned_check)

    def _paint(self, rows: QVBoxLayout) -> None:
        self.class_list = ClassList()
        self.add_class_button = named(QPushButton("Add a class"), "add_class_button", "one more kind of object")
        self.spot_button = named(QPushButton("Where next?"), "spot_button", "go where strokes would tell the most (N)")
        self.score_label = sentence("score_label")
        self.budget_label = BudgetLine(self.session)
        rows.addWidget(heading("2  Paint a few strokes of each class"))
        rows.addWidget(self.class_list)
        rows.addLayout(beside(self.add_class_button, self.spot_button))
        _add(rows, self.score_label, self.budget_label)

    def _finetune(self, rows: QVBoxLayout) -> None:
        self.finetune_minutes_spin = minutes(FinetuneSettings, "finetune_minutes_spin")
        explained = "train from all strokes; paint more meanwhile, it is taken in (T)"
        self.finetune_button = named(QPushButton("Fine-tune"), "finetune_button", explained)
        rows.addWidget(heading("3  Learn from the strokes"))
        rows.addLayout(beside(self.finetune_minutes_spin, self.finetune_button))

    def _use(self, rows: QVBoxLayout) -> None:
        self.history_list = Cards()
        self.plane_strip = PlaneStrip(self.session)
        self.export_button = named(QPushButton("Export masks…"), "export_button", "write the masks to files, checked")
        _add(rows, heading("4  Use it"), self.history_list, self.plane_strip, self.export_button)

    # ------------------------------------------------------------------------------------------ everything else

    def _more(self, rows: QVBoxLayout) -> None:
        self.more = QCollapsible("More")
        self.more.setObjectName("more")
        for part in (
            self._keys,
            self._answers,
            self._pretraining,
            self._finetuning,
            self._models,
            self._objects,
            self._project,
        ):
            for widget in part():
                self.more.addWidget(widget)
        rows.addWidget(self.more)

    def _keys(self) -> list[QWidget]:
        self.keys_label = sentence("keys_label")
        self.keys_label.setText(listed())
        self.keys_label.setWordWrap(False)
        return [heading("Keys, on the strokes layer"), self.keys_label]

    def _answers(self) -> list[QWidget]:
        self.live_combo = named(QComboBox(), "live_combo", "what strokes say of other pixels, shown at once")
        self.live_combo.addItems(["Answer every stroke", "Answer once, now", "Answer nothing"])
        return [heading("Answers to strokes"), self.live_combo, self.budget_label.curve]

    def _pretraining(self) -> list[QWidget]:
        self.network_choice, self.ignored_views = NetworkChoice(), IgnoredViews()
        self.pretrain_form = SettingsForm(PretrainSettings, leave_out=("network", "minutes"))
        script = "write a script for another machine or a cluster"
        self.elsewhere_button = named(QPushButton("Pre-train elsewhere…"), "elsewhere_button", script)
        form = self.pretrain_form.container.native
        shown = self.network_choice, self.ignored_views, form, self.elsewhere_button
        return [heading("Pre-training"), *shown]

    def _finetuning(self) -> list[QWidget]:
        self.finetune_form = SettingsForm(FinetuneSettings, leave_out=("network", "minutes"))
        self.trial = TrialButtons(self.session, self.finetune_form.value)
        self.losses = Losses()
        self.curve, self.health_label = self.losses.curve, self.losses.label
        return [heading("Fine-tuning"), self.finetune_form.container.native, self.trial, self.losses]

    def _models(self) -> list[QWidget]:
        self.predict_button = named(QPushButton("Predict"), "predict_button", "predict this image with the model")
        self.open_button = named(QPushButton("Open model…"), "open_model_button", "use a model or encoder from a file")
        self.save_button = named(QPushButton("Save model…"), "save_model_button", "write the model to one file")
        return [heading("Models"), self.predict_button, self.open_button, self.save_button]

    def _objects(self) -> list[QWidget]:
        self.objects_section = ObjectsSection(self.session)
        return [heading("Objects"), self.objects_section]

    def _project(self) -> list[QWidget]:
        self.project_buttons = ProjectButtons(self.session)
        return [heading("Project"), self.project_buttons]


def _add(rows: QVBoxLayout, *widgets: QWidget) -> None:
    for widget in widgets:
        rows.addWidget(widget)
