"""What ``npe2 validate`` does not check: that everything the manifest refers to exists."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npe2 import PluginManifest

import btunet
from napari_btunet import _sample, _writer

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "napari_btunet" / "napari.yaml"


@pytest.fixture(scope="module")
def contributions() -> Any:
    return PluginManifest.from_file(MANIFEST).contributions


def test_every_command_that_is_referred_to_exists(contributions: Any) -> None:
    known = {command.id for command in contributions.commands}
    menus = [item for items in contributions.menus.values() for item in items]
    used = {
        *(widget.command for widget in contributions.widgets),
        *(writer.command for writer in contributions.writers),
        *(reader.command for reader in contributions.readers),
        *(sample.command for sample in contributions.sample_data),
        *(item.command for item in menus if getattr(item, "command", None)),
    }
    assert used <= known
    assert known <= used, "a command nobody can reach"


def test_every_submenu_that_is_referred_to_exists(contributions: Any) -> None:
    known = {submenu.id for submenu in contributions.submenus or ()}
    menus = [item for items in contributions.menus.values() for item in items]
    assert {item.submenu for item in menus if getattr(item, "submenu", None)} <= known


def test_every_menu_is_one_napari_takes_contributions_to(contributions: Any) -> None:
    from napari._app_model.constants import MenuId

    contributable = {menu.value for menu in MenuId if menu.value in MenuId.contributables()} | {
        str(getattr(menu, "value", menu)) for menu in MenuId.contributables()
    }
    assert set(contributions.menus) <= contributable
    assert "napari/layers/segment" in contributions.menus


def test_there_are_no_keybindings_that_napari_would_ignore(contributions: Any) -> None:
    assert not contributions.keybindings


def test_every_function_behind_a_command_can_be_imported(contributions: Any) -> None:
    from importlib import import_module

    for command in contributions.commands:
        module, name = command.python_name.split(":")
        assert callable(getattr(import_module(str(module)), str(name)))


def test_the_manifest_at_the_root_is_the_one_in_the_package() -> None:
    assert (ROOT / "napari.yaml").read_text() == MANIFEST.read_text()


def test_the_plugin_does_not_take_over_other_peoples_tiffs(contributions: Any) -> None:
    extensions = [e for writer in contributions.writers for e in writer.filename_extensions]
    assert extensions == [".btmask.tif"]


def test_the_panel_is_found_in_the_menus(make_napari_viewer: Any, quiet: None) -> None:
    viewer = make_napari_viewer()
    top = [a for a in viewer.window._qt_window.menuBar().actions() if a.text().replace("&", "") == "Plugins"]
    plugins = top[0].menu()
    plugins.aboutToShow.emit()
    assert any(a.text().replace("&", "").startswith("BT-UNet") for a in plugins.actions())


def test_samples_open(make_napari_viewer: Any, quiet: None) -> None:
    viewer = make_napari_viewer()
    viewer.open_sample("napari-btunet", "nuclei")
    viewer.open_sample("napari-btunet", "coins")
    assert [layer.data.shape for layer in viewer.layers] == [(30, 256, 256), (303, 384)]


def test_drawn_nuclei_cannot_be_had_by_a_threshold_alone() -> None:
    stack, mask = _sample.draw_nuclei(planes=8, side=128, count=12)
    truth = {"x": btunet.as_stack(mask)}
    scores = [btunet.evaluate({"x": btunet.as_stack((stack > t).astype(np.uint8))}, truth) for t in range(40, 200, 10)]
    best = max(s["classes"]["1"]["pooled"]["dice"] for s in scores)
    assert 0.05 < mask.mean() < 0.6
    assert best < 0.95


def test_saving_a_prediction_through_napari_shifts_it_to_masks(make_napari_viewer: Any, tmp_path: Path) -> None:
    viewer = make_napari_viewer()
    labels = np.array([[0, 1, 2], [3, 2, 1]], np.uint8)
    ours = viewer.add_labels(labels, metadata={"btunet": {"role": "prediction", "image": "x"}}, scale=(0.5, 0.5))
    ours.save(str(tmp_path / "a.btmask.tif"), plugin="napari-btunet")
    back = btunet.read(tmp_path / "a.btmask.tif")
    np.testing.assert_array_equal(back.data, [[0, 0, 1], [2, 1, 0]])
    np.testing.assert_allclose(back.scale, (0.5, 0.5))
    other = viewer.add_labels(labels, name="somebody else's")
    other.save(str(tmp_path / "b.tif"))
    np.testing.assert_array_equal(btunet.read(tmp_path / "b.tif").data, labels)
    _writer.write_mask(str(tmp_path / "c.btmask.tif"), labels, {})
    np.testing.assert_array_equal(btunet.read(tmp_path / "c.btmask.tif").data, labels)


def test_importing_the_plugin_and_its_panel_loads_no_torch() -> None:
    code = "import sys, napari_btunet, napari_btunet._panel; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
