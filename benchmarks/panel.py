"""Every network in the window, on real nuclei: the whole loop with clicks and a mouse, and the Dice of what it exports.

    xvfb-run -a -s "-screen 0 1400x900x24" python benchmarks/panel.py DATA OUT [--minutes 0.5]

Three images of kdsb18_fluo are opened, all ticked to learn from. For each network: choose it, pre-train, paint six
strokes of each class on the first image with mouse events, fine-tune, predict, export. Prints a row per network and
leaves masks and a screenshot in OUT.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import Qt
from skimage.morphology import disk, erosion

import btunet
from btunet.settings import NETWORKS
from mouse import Hand
from napari_btunet import demo

STROKES, LENGTH = 6, 20  # of each class; pixels
NAMES = ("04acab7636c4cf61", "05040e2e959c3f56", "03398329ced0c23b")


def strokes(truth: np.ndarray, seed: int = 0) -> list[tuple[int, np.ndarray]]:
    """Return (label, pixels) of straight strokes well inside each class, those of the classes in turn."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(STROKES):
        for label, inside in ((1, truth == 0), (2, truth > 0)):
            safe = erosion(inside, disk(3))
            middle = np.argwhere(safe)[rng.integers(safe.sum())]
            angle = rng.uniform(0, np.pi)
            way = np.linspace(0, LENGTH, LENGTH)[:, None] * [np.sin(angle), np.cos(angle)]
            line = np.round(middle + way).astype(int)
            outside = (line < 0).any(1) | (line >= truth.shape).any(1)
            ends = outside | ~safe[tuple(np.clip(line, 0, np.array(truth.shape) - 1).T)]
            found.append((label, line[: int(ends.argmax()) if ends.any() else LENGTH]))
    return found


def loop(network: str, data: Path, out: Path, minutes: float) -> str:
    """Do what a user does, with one network; return the row of the table."""
    truths = [np.asarray(btunet.read(data / "masks" / f"{name}.png").data).squeeze() > 0 for name in NAMES]
    viewer = napari.Viewer()
    viewer.window.resize(1280, 860)
    for name in NAMES[::-1]:
        viewer.open(data / "images" / f"{name}.png")
    _, panel = viewer.window.add_plugin_dock_widget("napari-btunet", "BT-UNet")
    session, errors = panel.session, []
    session.said.connect(lambda sentence, is_error: errors.append(sentence) if is_error else None)
    demo.wait(lambda: ":" in panel.device_label.text(), "the device")
    panel.image_combo.setCurrentIndex(panel.image_combo.findText(NAMES[0]))
    panel.image_combo.activated.emit(panel.image_combo.currentIndex())
    for row in range(panel.also_list.count()):
        panel.also_list.item(row).setCheckState(Qt.CheckState.Checked)
    panel.network_choice.set_value(network)
    panel.minutes_spin.setValue(minutes)
    panel.finetune_minutes_spin.setValue(minutes)
    panel.pretrain_button.click()
    for layer in viewer.layers:
        layer.visible = layer in (session.image, session.subject.strokes)
    hand = Hand(viewer, session.subject.strokes)
    for label, points in strokes(truths[0]):
        hand.trace(label, points)
    demo.wait(lambda: session.encoder is not None and not session.is_busy, "pre-training")
    learned = session.encoder.history[-1]["steps"]
    began = time.monotonic()
    panel.finetune_button.click()
    demo.wait(session.subject.prediction.data.any, "the first overlay")
    overlay = time.monotonic() - began
    demo.wait(lambda: not session.is_busy and session.subject.is_predicted, "fine-tuning and prediction")
    viewer.screenshot(str(out / f"{network}.png"), canvas_only=False, flash=False)
    dices = []
    for name, truth in zip(NAMES, truths, strict=True):
        panel.image_combo.setCurrentIndex(panel.image_combo.findText(name))
        panel.image_combo.activated.emit(panel.image_combo.currentIndex())
        if not session.subject.is_predicted:
            panel.predict_button.click()
            demo.wait(lambda: not session.is_busy and session.subject.is_predicted, "prediction")
        masks = out / f"{network}_{name}.tif"
        session.export(masks)
        demo.wait(lambda masks=masks: masks in session.exported, "the export")
        dices.append(dice(btunet.read(masks), truth))
    model: Any = session.model
    assert model.network == network, (model.network, network)
    viewer.close()
    cells = " | ".join(f"{value:.3f}" for value in dices)
    return f"| {network} | {learned} | {model.history[-1]['steps']} | {overlay:.1f} s | {cells} | {len(errors)} |"


def dice(masks: btunet.Stack, truth: np.ndarray) -> float:
    """Return the Dice of an exported mask."""
    found = np.asarray(masks.data).squeeze() > 0
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path, help="folder of the sets")
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=0.5, help="of pre-training, and of fine-tuning")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    print("| network | steps of pre-training | of fine-tuning | first overlay | Dice, painted | | | errors |")
    print("|---|---|---|---|---|---|---|---|")
    for network in args.networks:
        print(loop(network, args.data / "kdsb18_fluo", args.out, args.minutes), flush=True)


if __name__ == "__main__":
    main()
