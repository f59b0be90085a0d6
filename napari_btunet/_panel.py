"""The dock widget: builds the column and passes clicks to the session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari.utils.notifications import show_error
from qtpy.compat import isalive
from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

import btunet
from btunet.settings import FinetuneSettings, PretrainSettings, Settings
from btunet.targets import files_of

from ._budget import BudgetLine
from ._canvas import CanvasGuard
from ._cards import Cards
from ._changed import ChangedImage
from ._classes import ClassList
from ._curve import Curve
from ._form import SettingsForm
from ._interrupted import Interrupted
from ._layers import file_of
from ._learned import HealthLabel, LearnedCheck
from ._live import MODES
from ._network import NetworkChoice
from ._objects import ObjectsSection
from ._project_buttons import ProjectButtons
from ._replacing import may_replace
from ._session import Session, session_of
from ._smaller import SmallerBatch
from ._strip import PlaneStrip
from ._trial import TrialButtons
from ._views import IgnoredViews

MASKS = "TIFF with the image's axes (*.tif);;PNG, one per plane (*.png);;Zarr (*.zarr)"
MODELS = "BT-UNet model (*.safetensors)"


class Panel(QWidget):
    """The panel of one viewer: what to do, from top to bottom."""

    def __init__(self, napari_viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session: Session = session_of(napari_viewer)
        self._losses: list[float] = []
        self._steps: list[int] = []
        self._job: Any = None  # the one that is shown
        self._encoder: btunet.Model | None = None  # the one whose network is shown
        self._guard: CanvasGuard | None = None
        self._interrupted: Interrupted | None = None  # the one whose settings are shown
        self._build()
        self._connect()
        self._on_changed()

    # ------------------------------------------------------------------------------------------ building

    def _build(self) -> None:
        column = QWidget()
        rows = QVBoxLayout(column)
        for part in (self._build_image, self._build_pretrain, self._build_paint, self._build_finetune):
            part(rows)
        self._build_progress(rows)
        self._build_results(rows)
        self._build_more(rows)
        works = {
            "pretrain": (self.pretrain_form.container.batch, self._on_pretrain),
            "finetune": (self.finetune_form.container.batch, self._on_finetune),
        }
        self.smaller_button = SmallerBatch(self.session, works)
        rows.insertWidget(rows.indexOf(self.stop_button), self.smaller_button)
        rows.addStretch()
        scroll = _Column()
        scroll.setWidget(column)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)

    def _build_image(self, rows: QVBoxLayout) -> None:
        self.image_combo = _named(QComboBox(), "image_combo", "the image you paint on")
        self.understood_label = _sentence("understood_label")
        self.device_label = _sentence("device_label")
        self.kept_label = _sentence("kept_label")
        self.also_label = QLabel("Also learn from")
        self.also_list = _named(QListWidget(), "also_list", "more images to learn from, painted or not")
        self.also_list.setMaximumHeight(4 * self.fontMetrics().height() + 8)
        form = QFormLayout()
        form.addRow("Image", self.image_combo)
        rows.addLayout(form)
        self.changed_image = ChangedImage(self.session)
        told = (self.understood_label, self.device_label, self.kept_label, self.changed_image)
        for widget in (*told, self.also_label, self.also_list):
            rows.addWidget(widget)

    def _build_pretrain(self, rows: QVBoxLayout) -> None:
        rows.addWidget(_heading("1  Learn without labels"))
        self.network_choice = NetworkChoice()
        self.minutes_spin = _minutes(PretrainSettings, "minutes_spin")
        self.pretrain_button = _named(QPushButton("Pre-train"), "pretrain_button", "painting goes on meanwhile")
        row = QHBoxLayout()
        for widget in (self.minutes_spin, self.pretrain_button):
            row.addWidget(widget)
        self.learned_check = LearnedCheck(self.session.learned)
        self.ignored_views = IgnoredViews()
        rows.addWidget(self.network_choice)
        rows.addLayout(row)
        for widget in (self.learned_check, self.ignored_views):
            rows.addWidget(widget)

    def _build_paint(self, rows: QVBoxLayout) -> None:
        rows.addWidget(_heading("2  Paint a few strokes of each class"))
        self.class_list = ClassList()
        self.class_list.setMaximumHeight(5 * self.fontMetrics().height() + 12)
        self.add_class_button = _named(QPushButton("Add a class"), "add_class_button", "one more kind of object")
        self.live_combo = _named(QComboBox(), "live_combo", "what single pixels look like, shown at once")
        self.live_combo.addItems(["Answer every stroke", "Answer once, now", "Answer nothing"])
        self.spot_button = _named(QPushButton("Where next?"), "spot_button", "go where strokes would tell the most (N)")
        self.score_label = _sentence("score_label")
        row = QHBoxLayout()
        for widget in (self.add_class_button, self.spot_button):
            row.addWidget(widget)
        rows.addWidget(self.class_list)
        rows.addLayout(row)
        self.budget_label = BudgetLine(self.session)
        for widget in (self.live_combo, self.score_label, self.budget_label):
            rows.addWidget(widget)

    def _build_finetune(self, rows: QVBoxLayout) -> None:
        rows.addWidget(_heading("3  Learn from the strokes"))
        self.finetune_minutes_spin = _minutes(FinetuneSettings, "finetune_minutes_spin")
        self.finetune_button = _named(
            QPushButton("Fine-tune"), "finetune_button", "train from all strokes; paint more meanwhile, it is taken in"
        )
        row = QHBoxLayout()
        row.addWidget(self.finetune_minutes_spin)
        row.addWidget(self.finetune_button)
        rows.addLayout(row)

    def _build_progress(self, rows: QVBoxLayout) -> None:
        self.status_label = _sentence("status_label")
        self.progress_bar = _named(QProgressBar(), "progress_bar", "how far the work is")
        self.curve = _named(Curve(), "loss_curve", "the loss: what training makes smaller")
        self.health_label = _sentence("health_label")
        self.stop_button = _named(QPushButton("Stop"), "stop_button", "stop, and keep what was learned")
        self.learning_label = HealthLabel(self.session)
        for widget in (self.progress_bar, self.status_label, self.learning_label, self.curve, self.health_label):
            rows.addWidget(widget)
        rows.addWidget(self.stop_button)

    def _build_results(self, rows: QVBoxLayout) -> None:
        rows.addWidget(_heading("4  Use it"))
        self.predict_button = _named(QPushButton("Predict"), "predict_button", "predict this image with the model")
        self.history_list = Cards()
        self.plane_strip = PlaneStrip(self.session)
        rows.addWidget(self.history_list)
        rows.addWidget(self.plane_strip)
        self.export_button = _named(QPushButton("Export masks…"), "export_button", "write the masks to files, checked")
        self.open_button = _named(QPushButton("Open model…"), "open_model_button", "use a model or encoder from a file")
        self.save_button = _named(QPushButton("Save model…"), "save_model_button", "write the model to one file")
        for pair in ((self.predict_button, self.export_button), (self.open_button, self.save_button)):
            row = QHBoxLayout()
            for widget in pair:
                row.addWidget(widget)
            rows.addLayout(row)

    def _build_more(self, rows: QVBoxLayout) -> None:
        self.more = QCollapsible("More")
        self.more.addWidget(self.budget_label.curve)
        self.pretrain_form = SettingsForm(PretrainSettings, leave_out=("network", "minutes"))
        self.finetune_form = SettingsForm(FinetuneSettings, leave_out=("network", "minutes"))
        for title, form in (("Pre-training", self.pretrain_form), ("Fine-tuning", self.finetune_form)):
            self.more.addWidget(_heading(title))
            self.more.addWidget(form.container.native)
        self.elsewhere_button = _named(
            QPushButton("Pre-train elsewhere…"), "elsewhere_button", "write a script for another machine or a cluster"
        )
        self.more.addWidget(self.elsewhere_button)
        self.more.addWidget(_heading("Project"))
        self.project_buttons = ProjectButtons(self.session)
        self.more.addWidget(self.project_buttons)
        self.objects_section = ObjectsSection(self.session, self._beside)
        self.more.addWidget(_heading("Objects"))
        self.more.addWidget(self.objects_section)
        self.trial = TrialButtons(self.session, self.finetune_form.value)
        self.more.addWidget(self.trial)
        rows.addWidget(self.more)

    # ------------------------------------------------------------------------------------------ reacting

    def _connect(self) -> None:
        self.session.changed.connect(self._on_changed)
        self.session.progressed.connect(self._on_progressed)
        self.session.said.connect(self._on_said)
        self.image_combo.activated.connect(self._on_image_chosen)
        self.also_list.itemChanged.connect(self._on_also_changed)
        self.class_list.chosen.connect(self.session.choose_class)
        self.class_list.renamed.connect(self.session.rename_class)
        self.add_class_button.clicked.connect(self.session.add_class)
        self.spot_button.clicked.connect(self.session.tour.next_spot)
        self.live_combo.activated.connect(self._on_live)
        self.history_list.chosen.connect(self.session.choose_round)
        self.history_list.pointed.connect(self.session.difference.point_at)
        self.network_choice.weights_wanted.connect(self._on_weights_wanted)
        self.ignored_views.wanted.connect(self._on_views_wanted)
        self.pretrain_form.container.changed.connect(self.ignored_views.renew)
        self.pretrain_button.clicked.connect(self._on_pretrain)
        self.elsewhere_button.clicked.connect(self._on_elsewhere)
        self.finetune_button.clicked.connect(self._on_finetune)
        self.session.train_wanted.connect(self._on_finetune)
        self.stop_button.clicked.connect(self.session.stop)
        self.predict_button.clicked.connect(self.session.predict)
        self.export_button.clicked.connect(self._on_export)
        self.open_button.clicked.connect(self._on_open_model)
        self.save_button.clicked.connect(self._on_save_model)

    def showEvent(self, event: Any) -> None:  # noqa: N802 (Qt's name)
        """End all work when the window that holds the panel goes; hiding or closing the dock changes nothing."""
        super().showEvent(event)
        window = self.window()
        if window is not None and window is not self:
            window.destroyed.connect(self.session.shutdown)
            self._guard = self._guard or CanvasGuard(self.session.viewer.layers, window)

    def hideEvent(self, event: Any) -> None:  # noqa: N802 (Qt's name)
        """Keep no process ready for a window that closes; it may live on unseen for long before it is destroyed."""
        super().hideEvent(event)
        window = self.window()
        if window is not None and not event.spontaneous() and not window.isVisible():
            self.session.spare.drop()

    def _on_changed(self) -> None:
        if not isalive(self):
            return
        session = self.session
        self._show_images()
        self.ignored_views.set_subject(session.image)
        self.understood_label.setText(session.understood())
        self.device_label.setText(session.device)
        self._show_keeper()
        subject = session.subject
        self.class_list.set_value(session.classes, int(subject.strokes.selected_label) if subject else 0)
        score = "" if session.model else session.live.sentence(session.classes)
        self.score_label.setText(score)
        self.score_label.setVisible(bool(score))
        self.history_list.set_value(session.history.cards(), session.history.at)
        self.finetune_button.setText(f"Fine-tune model {session.branch}" if session.branch else "Fine-tune")
        doing = session.doing
        stopping = session.job is not None and session.job.is_stopping
        self.spot_button.setEnabled(subject is not None)
        for button in (self.pretrain_button, self.elsewhere_button):
            button.setEnabled(not doing and subject is not None)
        self.finetune_button.setEnabled(doing in ("", "pretrain", "predict") and subject is not None)
        self.predict_button.setEnabled(not doing and session.model is not None and subject is not None)
        self.export_button.setEnabled(not doing and session.model is not None and subject is not None)
        self.save_button.setEnabled(bool(session.model or session.encoder))
        self.network_choice.weights_button.setEnabled(not doing and subject is not None)
        if session.encoder is not None and session.encoder is not self._encoder:
            self.network_choice.set_value(session.encoder.network)
        self._encoder = session.encoder
        if session.keeper.going_on.found is not self._interrupted:
            self._on_interrupted(session.keeper.going_on.found)
        self.stop_button.setEnabled(bool(doing) and not stopping)
        if session.job is not self._job:
            self._on_other_job()

    def _on_interrupted(self, found: Interrupted | None) -> None:
        """Show the settings with which a pre-training would go on."""
        self._interrupted = found
        if found is not None:
            self.pretrain_form.set_value(found.settings)
            self.network_choice.set_value(found.settings.network)
            self.minutes_spin.setValue(found.settings.minutes)
            self.ignored_views.set_value(found.views)

    def _on_other_job(self) -> None:
        """Show that a job began or that none runs."""
        self._job = self.session.job
        self._losses, self._steps = [], []
        self.progress_bar.setRange(0, 0 if self._job else 1)  # 0 to 0 is "busy"
        self.progress_bar.setValue(0)
        if self._job is not None:
            self.status_label.setText("Starting the background process …")

    def _show_images(self) -> None:
        images = self.session.images
        for widget, shown in ((self.image_combo, images), (self.also_list, images)):
            was = widget.blockSignals(True)
            widget.clear()
            if widget is self.image_combo:
                widget.addItems([image.name for image in shown])
                if self.session.image in shown:
                    widget.setCurrentIndex(shown.index(self.session.image))
            else:
                for image in shown:
                    item = QListWidgetItem(image.name)
                    checked = image in self.session.also or image is self.session.image
                    item.setCheckState(Qt.CheckState.Checked if checked else Qt.CheckState.Unchecked)
                    widget.addItem(item)
            widget.blockSignals(was)
        for widget in (self.also_label, self.also_list):
            widget.setVisible(len(images) > 1)

    def _show_keeper(self) -> None:
        keeper = self.session.keeper
        self.kept_label.setText(keeper.sentence())
        self.kept_label.setToolTip(str(keeper.project.folder) if keeper.project else "")
        self.kept_label.setVisible(bool(keeper.sentence()))

    def _on_live(self, row: int) -> None:
        self.session.set_live(MODES[row])

    def _on_progressed(self, news: list[btunet.Progress]) -> None:
        job = self.session.job
        if not isalive(self) or job is None:
            return
        steps = [p for p in news if p.values]
        for progress in steps:
            if not self._steps or progress.step != self._steps[-1]:
                self._losses.append(progress.values["loss"])
                self._steps.append(progress.step)
        if steps:
            self.curve.set_value(self._losses, "loss")
            self.health_label.setText("  ".join(f"{name} {value:.3g}" for name, value in steps[-1].values.items()))
        self.progress_bar.setRange(0, 1000 if job.pace.fraction else 0)
        self.progress_bar.setValue(round(1000 * job.pace.fraction))
        self.status_label.setText("Stopping …" if job.is_stopping else job.pace.sentence())

    def _on_said(self, sentence: str, is_error: bool) -> None:
        if not isalive(self):
            return
        self.status_label.setText(sentence)
        if is_error:
            show_error(sentence)

    def _on_image_chosen(self, row: int) -> None:
        self.session.choose(self.session.images[row])

    def _on_also_changed(self, _: Any) -> None:
        rows = range(self.also_list.count())
        checked = [row for row in rows if self.also_list.item(row).checkState() == Qt.CheckState.Checked]
        self.session.also = [self.session.images[row] for row in checked]

    def _pretrain_settings(self) -> PretrainSettings:
        return self.pretrain_form.value(network=self.network_choice.value(), minutes=self.minutes_spin.value())

    def _on_pretrain(self) -> None:
        self.session.pretrain(self._pretrain_settings(), self.ignored_views.value())

    def _on_views_wanted(self) -> None:
        self.session.preview_views(self._pretrain_settings(), self.ignored_views.show_pairs)

    def _on_elsewhere(self) -> None:
        self.session.run_elsewhere(self._pretrain_settings(), self.ignored_views.value())

    def _on_finetune(self) -> None:
        network, minutes = self.network_choice.value(), self.finetune_minutes_spin.value()
        self.session.finetune(self.finetune_form.value(network=network, minutes=minutes))

    def _on_weights_wanted(self, weights: str) -> None:
        self.session.import_encoder(self.network_choice.value(), weights)

    def _on_export(self) -> None:
        path, kind = QFileDialog.getSaveFileName(self, "Export masks", str(self._beside("_masks.tif")), MASKS)
        if path and self.session.subject is not None:
            named = _with_suffix(Path(path), kind)
            if may_replace(self, files_of(named, self.session.subject.stack), Path(path)):
                self.session.export(named)

    def _on_save_model(self) -> None:
        path, kind = QFileDialog.getSaveFileName(self, "Save model", str(self._beside(".safetensors")), MODELS)
        if path:
            named = _with_suffix(Path(path), kind)
            if may_replace(self, [named], Path(path)):
                self.session.save_model(named)

    def _on_open_model(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open model", "", MODELS)
        if path:
            self.session.open_model(Path(path))

    def _beside(self, ending: str) -> Path:
        """Return a path beside the chosen image, or in the home folder if it has no file."""
        image = self.session.image
        file = file_of(image) if image is not None else None
        folder = file.parent if file else Path.home()
        return folder / f"{file.stem if file else getattr(image, 'name', 'btunet')}{ending}"


class _Column(QScrollArea):
    """Scrolls up and down only: it is always as wide as what it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFrameShape(QScrollArea.Shape.NoFrame)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Leave room for the column and the scroll bar beside it."""
        hint, column, bar = super().minimumSizeHint(), self.widget(), self.verticalScrollBar()
        if column is None or bar is None:
            return hint
        return QSize(column.minimumSizeHint().width() + bar.sizeHint().width(), hint.height())


def _with_suffix(path: Path, kind: str) -> Path:
    """Return the path with the suffix of the chosen file filter if it has none that we write."""
    known = (".tif", ".tiff", ".png", ".zarr", ".safetensors")
    return path if path.suffix.lower() in known else Path(f"{path}{kind[kind.find('(*') + 2 : kind.find(')')]}")


def _named(widget: Any, name: str, tooltip: str) -> Any:
    widget.setObjectName(name)
    widget.setToolTip(tooltip)
    return widget


def _sentence(name: str) -> QLabel:
    label = QLabel()
    label.setObjectName(name)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def _heading(text: str) -> QLabel:
    label = QLabel(text)
    font = label.font()
    font.setBold(True)
    label.setFont(font)
    return label


def _minutes(kind: type[Settings], name: str) -> QDoubleSpinBox:
    """Return the editor of a settings class's ``minutes``."""
    field = kind.__dataclass_fields__["minutes"]
    spin = _named(QDoubleSpinBox(), name, field.metadata["help"])
    spin.setDecimals(2)
    spin.setRange(0.05, field.metadata["max"])
    spin.setSingleStep(1)
    spin.setSuffix(" min")
    spin.setValue(field.default)
    return spin
