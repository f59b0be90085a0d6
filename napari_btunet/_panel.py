"""The dock widget: passes clicks to the session, and shows how it stands."""

from __future__ import annotations

from functools import partial
from typing import Any

from napari.utils.notifications import show_error
from qtpy.compat import isalive
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QListWidgetItem, QWidget

import btunet
from btunet.settings import PretrainSettings
from btunet.targets import files_of

from . import _files
from ._canvas import CanvasGuard
from ._column import Column
from ._interrupted import Interrupted
from ._live import MODES


class Panel(Column):
    """The panel of one viewer: what to do, from top to bottom."""

    def __init__(self, napari_viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent)
        self._job: Any = None  # the one that is shown
        self._encoder: btunet.Model | None = None  # the one whose network is shown
        self._guard: CanvasGuard | None = None
        self._interrupted: Interrupted | None = None  # the one whose settings are shown
        self._connect()
        self._on_changed()

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
        session, subject = self.session, self.session.subject
        self._show_images()
        self.ignored_views.set_subject(session.image)
        self.understood_label.setText(session.understood())
        self.device_label.setText(session.device)
        self._show_keeper()
        self.class_list.set_value(session.classes, int(subject.strokes.selected_label) if subject else 0)
        is_answered = session.model is None or session.model.is_instant
        score = "" if not is_answered else session.live.sentence(session.classes)
        self.score_label.setText(score)
        self.score_label.setVisible(bool(score))
        self.history_list.set_value(session.history.cards(), session.history.at)
        self.finetune_button.setText(f"Fine-tune model {session.branch}" if session.branch else "Fine-tune")
        self._show_what_is_possible()
        if session.encoder is not None and session.encoder is not self._encoder:
            self.network_choice.set_value(session.encoder.network)
        self._encoder = session.encoder
        if session.keeper.going_on.found is not self._interrupted:
            self._on_interrupted(session.keeper.going_on.found)
        if session.job is not self._job:
            self._on_other_job()

    def _show_what_is_possible(self) -> None:
        """Grey out the buttons that can do nothing now."""
        session, doing, is_open = self.session, self.session.doing, self.session.subject is not None
        self.spot_button.setEnabled(is_open)
        for button in (self.pretrain_button, self.elsewhere_button, self.network_choice.weights_button):
            button.setEnabled(not doing and is_open)
        self.finetune_button.setEnabled(doing in ("", "pretrain", "predict") and is_open)
        for button in (self.predict_button, self.export_button):
            button.setEnabled(not doing and is_open and bool(session.model or session.live.answers))
        self.save_button.setEnabled(bool(session.model or session.encoder))
        self.learned_check.setVisible(doing == "pretrain" or session.encoder is not None)
        self.stop_button.setEnabled(session.job is not None and not session.job.is_stopping)
        self.progress.setVisible(session.is_busy)

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
        self.losses.clear()
        self.progress.set_value(0, "Starting the background process …")

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
        self.losses.take(news)
        self.progress.set_value(job.pace.fraction, "Stopping …" if job.is_stopping else job.pace.sentence())

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
        suggested, subject = _files.beside(self.session.image, "_masks.tif"), self.session.subject
        if subject is None:
            return
        files = partial(files_of, like=subject.stack)
        if path := _files.target(self, "Export masks", suggested, _files.MASKS, files):
            self.session.export(path)

    def _on_save_model(self) -> None:
        suggested = _files.beside(self.session.image, ".safetensors")
        if path := _files.target(self, "Save model", suggested, _files.MODELS):
            self.session.save_model(path)

    def _on_open_model(self) -> None:
        if path := _files.source(self, "Open model", _files.MODELS):
            self.session.open_model(path)
