from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QPushButton, QWidget

import btunet
from napari_btunet._session import session_of

from .conftest import children, discs, panel_of

NAMES = (
    *("image_combo", "network_combo", "minutes_spin", "pretrain_button", "finetune_button"),
    *("stop_button", "export_button", "add_class_button", "status_label", "progress_bar"),
)


def test_the_panel_opens_ready(window: Any) -> None:
    w = window(discs(), scale=(3, 0.5, 0.5), translate=(1, 2, 3), units=("µm",) * 3)
    image, strokes = w.viewer.layers
    assert (w.panel.image_combo.currentText(), strokes.name) == ("cells", "strokes")
    assert strokes.data.shape == image.data.shape
    assert not strokes.data.any()
    np.testing.assert_allclose(strokes.extent.world, image.extent.world)
    assert strokes.units == image.units
    assert w.panel.understood_label.text().startswith("3 planes z, 1 channel, 96 × 96 pixels, 3 × 0.5 × 0.5 µm")
    assert w.panel.pretrain_button.isEnabled()
    assert not w.panel.stop_button.isEnabled()


@pytest.mark.parametrize("name", NAMES)
def test_widgets_carry_the_names_scripts_look_for(window: Any, name: str) -> None:
    assert window(discs()).panel.findChild(QWidget, name) is not None


def test_the_panel_opens_without_an_image_and_takes_the_first_that_comes(window: Any) -> None:
    w = window()
    assert "Open an image" in w.panel.understood_label.text()
    assert not w.panel.finetune_button.isEnabled()
    w.viewer.add_image(discs(), name="late")
    assert w.panel.image_combo.currentText() == "late"
    assert w.strokes.data.shape == (3, 96, 96)


def test_the_device_is_named_with_the_reason(make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer()
    _, panel = viewer.window.add_plugin_dock_widget("napari-btunet", "BT-UNet")
    qtbot.waitUntil(lambda: ":" in panel.device_label.text(), timeout=60_000)
    assert panel.device_label.text().startswith(("CPU", "GPU"))
    session_of(viewer).shutdown()


@pytest.mark.parametrize(
    ("shape", "options", "sentence", "strokes"),
    [
        ((64, 80), {}, "1 plane, 1 channel, 64 × 80", (64, 80)),
        ((64, 80, 3), {"rgb": True}, "1 plane, 3 channels, 64 × 80", (64, 80)),
        ((2, 3, 64, 80), {}, "2 planes t × 3 planes z, 1 channel", (2, 3, 64, 80)),
        ((2, 64, 80), {"axis_labels": ("c", "y", "x")}, "1 plane, 2 channels, 64 × 80", (64, 80)),
        ((2, 3, 64, 80), {"axis_labels": ("c", "z", "y", "x")}, "3 planes z, 2 channels", (3, 64, 80)),
    ],
)
def test_images_of_many_kinds_are_understood(
    window: Any, shape: Any, options: Any, sentence: str, strokes: Any
) -> None:
    w = window(np.zeros(shape, np.uint8), **options)
    assert w.panel.understood_label.text().startswith(sentence)
    assert w.strokes.data.shape == strokes


def test_multiscale_and_dask_images_get_full_size_strokes(window: Any) -> None:
    import dask.array

    full = dask.array.from_array(discs(4, 128), chunks=(1, 64, 64))
    w = window([full, full[:, ::2, ::2]], multiscale=True)
    assert w.strokes.data.shape == (4, 128, 128)
    assert isinstance(w.strokes.data, np.ndarray)


def test_a_second_image_gets_strokes_of_its_own(window: Any) -> None:
    w = window(discs())
    w.viewer.add_image(discs(2, 64), name="other")
    w.panel.image_combo.setCurrentIndex(1)
    w.panel.image_combo.activated.emit(1)
    assert w.strokes.name == "strokes (other)"
    assert w.strokes.data.shape == (2, 64, 64)
    assert w.panel.also_list.count() == 2


def test_strokes_opened_from_a_file_are_taken_up(make_napari_viewer: Any, qtbot: Any, quiet: None) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(discs(), name="cells")
    painted = np.zeros((3, 96, 96), np.uint8)
    painted[1, 5, 5:20] = 2
    viewer.add_labels(painted, name="strokes")
    viewer.window.add_plugin_dock_widget("napari-btunet", "BT-UNet")
    session = session_of(viewer)
    session.begin()
    assert len(viewer.layers) == 2
    assert list(session.subject.ledger.all()) == [1]
    session.shutdown()


def test_classes_are_added_named_and_chosen(window: Any) -> None:
    w = window(discs())
    w.click("add_class_button")
    assert w.session.classes == ["Background", "Object", "Object 2"]
    assert w.strokes.selected_label == 3
    assert w.strokes.mode == "paint"
    w.panel.class_list.item(2).setText("Mitochondrion")
    assert w.session.classes[2] == "Mitochondrion"
    w.panel.class_list.itemClicked.emit(w.panel.class_list.item(0))
    assert w.strokes.selected_label == 1


def test_the_panel_follows_the_label_chosen_in_naparis_own_controls(window: Any) -> None:
    w = window(discs())
    w.strokes.selected_label = 1
    assert w.panel.class_list.currentRow() == 0
    w.strokes.selected_label = 3  # what napari's "new label" does
    assert w.panel.class_list.value() == ["Background", "Object", "Object 2"]
    assert w.panel.class_list.currentRow() == 2
    w.strokes.selected_label = 9
    assert len(w.session.classes) == 3


def test_the_keys_work_on_the_strokes_and_nowhere_else(window: Any) -> None:
    w = window(discs())
    w.session.add_class()
    keys = {str(key): action for key, action in w.strokes.keymap.items()}
    assert {"Q", "W"} <= set(keys)
    image = w.viewer.layers["cells"]
    assert not {"Q", "W"} & {str(key) for key in (*image.keymap, *w.viewer.keymap)}
    labels = []
    for key in "WQQQ":
        keys[key](w.strokes)
        labels.append(w.strokes.selected_label)
    assert labels == [1, 2, 3, 2]


def test_a_real_stroke_with_the_mouse_is_seen(window: Any) -> None:
    w = window(discs(), show=True)
    w.session.choose_class(2)
    w.strokes.brush_size = 5
    w.drag((30, 30), (30, 60))
    painted = w.session.subject.ledger.all()
    plane = w.session.subject.plane(w.viewer)
    assert list(painted) == [plane]
    assert (painted[plane][30, 35:55] == 2).all()


def test_undo_after_every_action_gives_back_the_exact_strokes(window: Any, tmp_path: Path) -> None:
    w = window(discs())
    w.annotate()
    before = w.strokes.data.copy()
    w.strokes.paint((0, 80, 80), 2)

    def undone_and_redone() -> bool:
        with_dab = w.strokes.data.copy()
        w.strokes.undo()
        same = np.array_equal(w.strokes.data, before)
        w.strokes.redo()
        return same and np.array_equal(w.strokes.data, with_dab)

    assert undone_and_redone()
    w.click("add_class_button")
    assert undone_and_redone()
    w.session.rename_class(2, "Cell")
    assert undone_and_redone()
    w.click("pretrain_button")
    w.wait(lambda: w.session.encoder)
    assert undone_and_redone()
    w.click("finetune_button")
    w.wait(lambda: w.session.model and not w.session.is_busy)
    assert undone_and_redone()
    w.session.export(tmp_path / "masks.tif")
    w.wait(lambda: w.session.exported)
    assert undone_and_redone()
    w.session.save_model(tmp_path / "m.safetensors")
    w.session.open_model(tmp_path / "m.safetensors")
    assert undone_and_redone()


def test_undo_reaches_the_ledger_though_napari_does_not_announce_it(window: Any) -> None:
    w = window(discs())
    w.strokes.paint((1, 20, 20), 2)
    assert list(w.session.subject.ledger.take()) == [1]
    w.strokes.undo()
    taken = w.session.subject.ledger.take()
    assert not taken[1].any()
    assert w.session.subject.ledger.all() == {}


def test_the_whole_loop_from_strokes_to_masks(window: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    w = window(discs(), show=True, scale=(2, 0.25, 0.25), units=("µm",) * 3)
    w.hurry(60)
    for label, (start, stop) in {2: ((10, 4), (10, 20)), 1: ((18, 2), (18, 22))}.items():
        w.session.choose_class(label)
        w.strokes.brush_size = 4
        w.drag(start, stop)
    assert set(np.unique(w.strokes.data)) == {0, 1, 2}
    w.click("finetune_button")
    assert not w.panel.finetune_button.isEnabled()
    w.wait(lambda: w.prediction.data.any())
    assert w.session.doing == "finetune", "the prediction should appear while it trains"
    shown = w.session.subject.plane(w.viewer)
    assert w.prediction.data[shown].all()
    assert w.viewer.layers.selection.active is w.strokes or w.viewer.layers.selection.active == w.strokes
    w.wait(lambda: not w.session.is_busy)
    assert w.prediction.data.all(), "the whole stack should be predicted"
    assert set(np.unique(w.prediction.data)) <= {1, 2}
    assert w.prediction.dtype == np.uint8
    np.testing.assert_allclose(w.prediction.extent.world, w.viewer.layers["cells"].extent.world)
    target = tmp_path / "cells_masks.tif"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(target), "TIFF (*.tif)"))
    w.click("export_button")
    w.wait(lambda: w.session.exported)
    assert "checked" in w.panel.status_label.text()
    back = btunet.read(target)
    np.testing.assert_array_equal(back.data, w.prediction.data - 1)
    assert (back.axes, back.unit) == ("ZYX", "µm")
    np.testing.assert_allclose(back.scale, (2, 0.25, 0.25))
    assert w.errors == []


def test_background_is_transparent_in_the_prediction_and_colours_agree(window: Any) -> None:
    w = window(discs())
    done = btunet.PredictedPlane(0, 0, np.eye(96, dtype=np.uint8))
    w.session._show(w.session.image, done)
    assert w.prediction.get_color(1)[3] == 0
    np.testing.assert_allclose(w.prediction.get_color(2), w.strokes.get_color(2))
    assert set(np.unique(w.prediction.data[0])) == {1, 2}


def test_moving_the_slider_while_training_refreshes_the_new_plane(window: Any) -> None:
    w = window(discs(6))
    w.hurry(10_000)
    w.annotate()
    w.viewer.dims.set_current_step(0, 0)
    w.click("finetune_button")
    w.wait(lambda: w.prediction.data[0].any())
    w.viewer.dims.set_current_step(0, 4)
    w.wait(lambda: w.prediction.data[4].any())
    assert not w.prediction.data[2].any()
    w.click("stop_button")
    w.wait(lambda: not w.session.is_busy)
    assert w.session.model is not None
    assert w.prediction.data.all()


def test_strokes_painted_while_training_are_taken_in(window: Any, tmp_path: Path) -> None:
    w = window(discs(6))
    w.hurry(10_000)
    w.annotate(0)
    sent: list[Any] = []
    w.click("finetune_button")
    w.wait(lambda: w.prediction.data.any())
    real = w.session.job.steer
    w.session.job.steer = lambda steer: (sent.append(steer), real(steer))
    w.annotate(3)
    w.wait(lambda: any(3 in s.strokes.get(0, {}) for s in sent))
    w.click("stop_button")
    w.wait(lambda: not w.session.is_busy)
    assert w.session.model is not None
    assert w.errors == []


def test_stop_keeps_what_pre_training_learned(window: Any) -> None:
    w = window(discs())
    w.hurry(10_000)
    w.click("pretrain_button")
    w.wait(lambda: w.panel.curve.value())
    assert w.panel.pretrain_button.isEnabled() is False
    w.click("stop_button")
    w.wait(lambda: not w.session.is_busy)
    assert w.session.encoder is not None
    assert w.session.encoder.history[-1]["steps"] < 10_000
    assert w.panel.pretrain_button.isEnabled()
    assert "Pre-trained" in w.panel.status_label.text()


def test_fine_tune_during_pre_training_keeps_the_encoder_and_goes_on(window: Any) -> None:
    w = window(discs())
    w.annotate()
    w.panel.pretrain_form.container.steps.value = 10_000
    w.click("pretrain_button")
    w.wait(lambda: w.panel.curve.value())
    w.click("finetune_button")
    w.wait(lambda: w.session.model is not None)
    verbs = [record["verb"] for record in w.session.model.history]
    assert verbs == ["pretrain", "finetune"]
    w.wait(lambda: not w.session.is_busy)


def test_several_images_are_pre_trained_on_together_lazy_ones_too(window: Any, tmp_path: Path) -> None:
    import dask.array
    import zarr

    w = window(discs())
    on_disk = zarr.create_array(tmp_path / "a.zarr", data=discs(2, 64))
    w.viewer.add_image(dask.array.from_array(discs(2, 64), chunks=(1, 64, 64)), name="lazy")
    w.viewer.add_image(on_disk, name="on disk")
    for row in (1, 2):
        w.panel.also_list.item(row).setCheckState(Qt.CheckState.Checked)
    w.click("pretrain_button")
    w.wait(lambda: w.session.encoder)
    assert w.session.encoder.history[-1]["images"] == ["cells", "lazy", "on disk"]


def test_fine_tuning_looks_at_ticked_images_that_nobody_painted(window: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    w = window(discs())
    w.annotate()
    w.viewer.add_image(discs(2, 64), name="unpainted")
    w.viewer.add_image(np.zeros((8, 64, 3), np.uint8), name="of other channels", rgb=True)
    w.viewer.add_image(discs(2, 64), name="not ticked")
    for row in (1, 2):
        w.panel.also_list.item(row).setCheckState(Qt.CheckState.Checked)
    asked: list[Any] = []
    real = btunet.in_child
    monkeypatch.setattr(btunet, "in_child", lambda *call, **options: asked.append(call) or real(*call, **options))
    w.click("finetune_button")
    w.wait(lambda: w.session.model is not None and not w.session.is_busy)
    _, stacks, strokes, _ = asked[0]
    assert [stack.name for stack in stacks] == ["cells", "unpainted"]
    assert strokes[0] and strokes[1] == {}
    assert w.errors == []


def test_a_failure_in_the_child_is_one_sentence_and_nothing_is_lost(window: Any) -> None:
    data = discs().astype(np.float32)
    data[1, 3, 3] = np.nan
    w = window(data, contrast_limits=(0, 255))
    w.annotate()
    before = w.strokes.data.copy()
    w.click("finetune_button")
    w.wait(lambda: w.errors)
    assert "NaN" in w.errors[0]
    assert "\n" not in w.errors[0]
    assert w.panel.status_label.text() == w.errors[0]
    assert not w.session.is_busy
    assert w.panel.finetune_button.isEnabled()
    np.testing.assert_array_equal(w.strokes.data, before)


def test_a_killed_child_is_told_and_the_old_model_stays(window: Any) -> None:
    w = window(discs())
    w.annotate()
    w.click("finetune_button")
    w.wait(lambda: w.session.model is not None and not w.session.is_busy)
    good = w.session.model
    w.hurry(10_000)
    w.click("finetune_button")
    w.wait(lambda: w.panel.curve.value() and w.session.doing == "finetune" and children())
    for pid in children():
        os.kill(pid, signal.SIGKILL)
    w.wait(lambda: w.errors)
    assert "killed" in w.errors[0]
    assert w.session.model is good
    assert w.panel.finetune_button.isEnabled()


def test_closing_the_window_while_training_ends_the_child_and_leaves_no_file(
    window: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    w = window(discs())
    w.hurry(10_000)
    w.click("pretrain_button")
    w.wait(lambda: w.panel.curve.value())
    assert children()
    assert list(tmp_path.glob("btunet-*"))
    w.viewer.close()
    w.wait(lambda: children() <= {w.session.spare.pid} and not list(tmp_path.glob("btunet-*")))


def test_a_process_waits_for_the_next_click_until_the_window_closes(window: Any) -> None:
    w = window(discs(planes=1), show=True)
    w.session.spare.prepare()  # as after any job
    w.wait(lambda: children() == {w.session.spare.pid})
    w.viewer.window.remove_dock_widget(w.panel)
    assert children()
    w.viewer.window.add_plugin_dock_widget("napari-btunet", "BT-UNet")
    w.viewer.close()
    w.wait(lambda: not children())


def test_removing_the_image_ends_the_work_but_keeps_what_was_learned(window: Any) -> None:
    w = window(discs())
    w.hurry(10_000)
    w.click("pretrain_button")
    w.wait(lambda: w.panel.curve.value())
    w.viewer.layers.remove("cells")
    w.wait(lambda: not w.session.is_busy)
    assert children() <= {w.session.spare.pid}
    assert w.session.encoder is not None
    assert w.panel.image_combo.count() == 0


def test_closing_the_dock_only_hides_it(window: Any) -> None:
    w = window(discs())
    w.hurry(10_000)
    w.click("pretrain_button")
    w.wait(lambda: w.panel.curve.value())
    w.viewer.window.remove_dock_widget(w.panel)
    w.qtbot.wait(200)
    assert w.session.doing == "pretrain"
    _, again = w.viewer.window.add_plugin_dock_widget("napari-btunet", "BT-UNet")
    assert again is panel_of(w.viewer)
    assert again.session is w.session
    w.wait(lambda: again.curve.value())
    w.qtbot.mouseClick(again.stop_button, Qt.MouseButton.LeftButton)
    w.wait(lambda: not w.session.is_busy)
    assert w.session.encoder is not None


@pytest.mark.parametrize(
    ("labels", "expected"), [((), "Paint first"), ((2,), "Object"), ((1,), "Background"), ((1, 5), "class")]
)
def test_strokes_nothing_can_be_learned_from_are_refused_at_once(window: Any, labels: Any, expected: str) -> None:
    w = window(discs())
    for i, label in enumerate(labels):
        w.strokes.paint((0, 20 + 30 * i, 20), label)
    w.click("finetune_button")
    assert len(w.errors) == 1
    assert expected in w.errors[0]
    assert not w.session.is_busy


def test_a_constant_image_is_refused_in_one_sentence(window: Any) -> None:
    w = window(np.full((2, 64, 64), 7, np.uint8))
    w.click("pretrain_button")
    w.wait(lambda: w.errors)
    assert "same value everywhere" in w.errors[0]


def test_export_into_a_place_that_cannot_be_written_says_so(window: Any, tmp_path: Path) -> None:
    w = window(discs())
    w.annotate()
    w.click("finetune_button")
    w.wait(lambda: w.session.model is not None and not w.session.is_busy)
    (tmp_path / "file").write_text("not a folder")
    w.session.export(tmp_path / "file" / "masks.tif")
    w.wait(lambda: w.errors)
    assert "cannot be written" in w.errors[0]
    assert w.prediction.data.all()
    w.session.export(tmp_path / "planes.png")
    w.wait(lambda: w.session.exported)
    assert [p.name for p in w.session.exported] == ["planes_000.png", "planes_001.png", "planes_002.png"]


def test_models_are_saved_opened_and_refused(window: Any, tmp_path: Path) -> None:
    w = window(discs())
    w.session.save_model(tmp_path / "none.safetensors")
    assert "no model yet" in w.errors.pop()
    w.annotate()
    w.click("finetune_button")
    w.wait(lambda: w.session.model is not None and not w.session.is_busy)
    w.session.save_model(tmp_path / "m.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"nonsense")
    w.session.open_model(tmp_path / "broken.safetensors")
    assert "not a model file" in w.errors.pop()
    rgb = w.viewer.add_image(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8), name="rgb")
    w.session.choose(rgb)
    w.session.open_model(tmp_path / "m.safetensors")
    w.click("predict_button")
    w.wait(lambda: w.errors)
    assert "3 channels" in w.errors[0]


def test_every_button_has_a_tooltip_and_the_more_section_shows_the_settings(window: Any) -> None:
    w = window(discs())
    buttons = [b for b in w.panel.findChildren(QPushButton) if b.objectName().endswith("_button")]
    assert len(buttons) > 9
    assert all(b.toolTip() for b in buttons)
    assert w.panel.finetune_form.value(minutes=2.0) == btunet.FinetuneSettings(
        minutes=2.0, steps=12, patch_size=32, batch=2
    )
    assert w.panel.finetune_form.container.seed.tooltip == "seed of all random choices"


def test_the_panel_is_drawn_before_the_strokes_layer_is_made(make_napari_viewer: Any, qtbot: Any, quiet: None) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(discs(), name="cells")
    _, panel = viewer.window.add_plugin_dock_widget("napari-btunet", "BT-UNet")
    session = panel.session
    assert panel.image_combo.currentText() == "cells"
    assert session.subject is None
    assert not panel.finetune_button.isEnabled()
    qtbot.waitUntil(lambda: session.subject is not None, timeout=60_000)
    assert viewer.layers.selection.active is session.subject.strokes
    assert panel.finetune_button.isEnabled()
    session.shutdown()


@pytest.mark.parametrize("remove", [True, False])
def test_an_image_may_go_and_another_come_before_the_strokes_layer_is_made(
    make_napari_viewer: Any, qtbot: Any, quiet: None, remove: bool
) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(discs(), name="cells")
    _, panel = viewer.window.add_plugin_dock_widget("napari-btunet", "BT-UNet")
    session = panel.session
    if remove:
        viewer.layers.remove("cells")
    other = viewer.add_image(discs(2, 64), name="other")
    qtbot.waitUntil(lambda: session.subject is not None, timeout=60_000)
    qtbot.wait(1000)  # whatever else is still to come
    assert session.image is (other if remove else viewer.layers["cells"])
    assert sum(layer.name.startswith("strokes") for layer in viewer.layers) == 1
    session.shutdown()


def test_the_only_image_may_go_before_the_strokes_layer_is_made(
    make_napari_viewer: Any, qtbot: Any, quiet: None
) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(discs(), name="cells")
    _, panel = viewer.window.add_plugin_dock_widget("napari-btunet", "BT-UNet")
    assert panel.next_label.text().startswith("Pre-train")
    viewer.layers.remove("cells")
    assert panel.next_label.text().startswith("Open an image")
    qtbot.wait(1000)
    assert not viewer.layers
    viewer.add_image(discs(), name="late")
    assert panel.session.subject is not None
    panel.session.shutdown()


def test_a_window_closed_before_the_strokes_layer_is_made_gets_none(
    make_napari_viewer: Any, qtbot: Any, quiet: None
) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(discs(), name="cells")
    _, panel = viewer.window.add_plugin_dock_widget("napari-btunet", "BT-UNet")
    session = panel.session
    session.shutdown()
    qtbot.wait(1000)
    assert session.subject is None
    assert len(viewer.layers) == 1


def test_a_panel_being_drawn_imports_nothing_for_labels() -> None:
    code = (
        "import sys, napari, numpy as np\n"
        "viewer = napari.Viewer(show=False)\n"
        "viewer.add_image(np.zeros((3, 64, 64), 'u1'))\n"
        "viewer.window.add_plugin_dock_widget('napari-btunet', 'BT-UNet')\n"
        "from napari_btunet._soon import NEEDED\n"
        "before = [name for name in NEEDED if name in sys.modules]\n"
        "viewer.add_labels(np.zeros((3, 64, 64), 'u1'))\n"
        "print(before, [name for name in NEEDED if name not in sys.modules])\n"
        "sys.stdout.flush()\n"
        "import os; os._exit(0)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[-1] == "[] []"  # and napari still needs all of them
