"""See the whole loop on a drawn stack: ``python -m napari_btunet.demo``.

Opens napari with the sample and the panel. With ``--headless`` it then does by itself what a user would do, in the same
window, and leaves masks and a screenshot; with ``--no-window`` it runs the engine alone.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import btunet

from ._sample import draw_nuclei, nuclei

if TYPE_CHECKING:
    from ._panel import Panel

PLANES = (6, 15, 24)  # painted ones
logger = logging.getLogger(__name__)


def draw_strokes(mask: np.ndarray, per_class: int = 4, length: int = 14, seed: int = 0) -> dict[int, np.ndarray]:
    """Return strokes as a hasty user would paint them: short lines inside each class on a few planes.

    Parameters
    ----------
    mask
        Truth (planes, Y, X), 0 = background, 1 = object.
    per_class
        Strokes per class and plane.
    length
        Length of a stroke, pixels.
    """
    from skimage.draw import line
    from skimage.morphology import dilation, disk, erosion

    rng = np.random.default_rng(seed)
    strokes = {}
    for plane in PLANES:
        painted = np.zeros(mask.shape[1:], np.uint8)
        for label, inside in ((1, mask[plane] == 0), (2, mask[plane] == 1)):
            safe = erosion(inside, disk(3))
            starts = np.argwhere(safe)
            for y, x in starts[rng.integers(len(starts), size=per_class)]:
                angle = rng.uniform(0, 2 * np.pi)
                dy, dx = round(length * np.sin(angle)), round(length * np.cos(angle))
                ys, xs = line(y, x, y + dy, x + dx)
                fits = (ys >= 0) & (ys < safe.shape[0]) & (xs >= 0) & (xs < safe.shape[1])
                trace = np.zeros_like(safe)
                trace[ys[fits], xs[fits]] = True
                painted[dilation(trace, disk(1)) & safe] = label
        strokes[plane] = painted
    return strokes


def open_window() -> tuple[Any, Panel]:
    """Open napari with the drawn stack and the panel."""
    import napari

    viewer = napari.Viewer()
    (data, options, _), *_ = nuclei()
    viewer.add_image(data, **options)
    viewer.dims.set_current_step(0, PLANES[1])
    _, panel = viewer.window.add_plugin_dock_widget("napari-btunet", "BT-UNet")
    return viewer, panel


def play(out: Path, minutes: float) -> list[Path]:
    """Do in the window what a user would do; returns the files left in ``out``."""
    with tempfile.TemporaryDirectory() as scratch:  # the next demo finds nothing of this one
        os.environ["BTUNET_PROJECTS"] = scratch
        return _play(out, minutes)


def _play(out: Path, minutes: float) -> list[Path]:
    viewer, panel = open_window()
    session = panel.session
    wait(lambda: session.subject is not None, "the strokes layer")
    subject = session.subject
    assert subject is not None
    viewer.window.resize(1280, 860)
    panel.minutes_spin.setValue(minutes)
    panel.finetune_minutes_spin.setValue(minutes)
    panel.pretrain_button.click()
    for plane, painted in draw_strokes(draw_nuclei()[1]).items():
        where = np.nonzero(painted)
        index = (np.full(len(where[0]), plane), *where)
        subject.strokes.data_setitem(index, painted[where])
    wait(lambda: session.encoder is not None, "pre-training")
    panel.finetune_button.click()
    wait(lambda: not session.is_busy and subject.is_predicted, "fine-tuning and prediction")
    session.export(out / "nuclei_masks.tif")
    wait(lambda: session.exported, "the export")
    viewer.screenshot(str(out / "window.png"), canvas_only=False, flash=False)
    made = [*session.exported, out / "window.png"]
    viewer.close()
    return made


def wait(condition: Callable[[], Any], what: str, minutes: float = 30) -> None:
    """Let the window live until the condition holds; TimeoutError says what did not come."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop, timer, clock = QEventLoop(), QTimer(), QTimer()
    timer.timeout.connect(lambda: loop.quit() if condition() else None)
    timer.start(50)
    clock.setSingleShot(True)
    clock.timeout.connect(loop.quit)
    clock.start(int(minutes * 60_000))
    getattr(loop, "exec_", loop.exec)()
    if not condition():
        raise TimeoutError(f"{what} did not end within {minutes} minutes")


def play_without_window(out: Path, minutes: float) -> list[Path]:
    """Run the same loop with the engine alone; returns the files left in ``out``."""
    from PIL import Image
    from skimage.color import label2rgb

    image, truth = draw_nuclei()
    stack = btunet.as_stack(image, name="nuclei")
    encoder = btunet.run(btunet.pretrain([stack], btunet.PretrainSettings(minutes=minutes)))
    settings = btunet.FinetuneSettings(minutes=minutes)
    model = btunet.run(btunet.finetune([stack], [draw_strokes(truth)], settings, start_from=encoder))
    mask = btunet.run(btunet.predict(model, [stack]))[0]
    made = btunet.write(out / "nuclei_masks.tif", mask, stack)
    plane = PLANES[1]
    picture = label2rgb(mask[plane], image[plane], alpha=0.4, bg_label=0)
    Image.fromarray((picture * 255).astype(np.uint8)).save(out / "overlay.png")
    return [*made, out / "overlay.png"]


def dice(masks: Path) -> float:
    """Return the Dice of exported masks against what was drawn."""
    report = btunet.evaluate({"nuclei": btunet.read(masks)}, {"nuclei": btunet.as_stack(draw_nuclei()[1])})
    return float(report["classes"]["1"]["pooled"]["dice"])


def main(arguments: list[str] | None = None) -> None:
    """Open the window, or play the loop without a user."""
    parser = argparse.ArgumentParser(prog="python -m napari_btunet.demo", description=__doc__)
    parser.add_argument("--headless", action="store_true", help="do the whole loop in the window, then close it")
    parser.add_argument("--no-window", action="store_true", help="do the whole loop without a window")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for masks and picture")
    parser.add_argument("--minutes", type=float, default=1.0, help="of pre-training, and of fine-tuning")
    options = parser.parse_args(arguments)
    if not (options.headless or options.no_window):
        import napari

        open_window()
        napari.run()
        return
    options.out.mkdir(parents=True, exist_ok=True)
    made = (play_without_window if options.no_window else play)(options.out, options.minutes)
    sys.stdout.write("".join(f"{path}\n" for path in made))
    sys.stdout.write(f"Dice against the drawn truth: {dice(made[0]):.3f}\n")


if __name__ == "__main__":
    main()
