"""Asks for the files that masks and models are written to or read from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from ._layers import file_of

if TYPE_CHECKING:
    from napari.layers import Image

MASKS = "TIFF with the image's axes (*.tif);;PNG, one per plane (*.png);;Zarr (*.zarr)"
MODELS = "BT-UNet model (*.safetensors)"


def target(parent: QWidget, title: str, suggested: Path, kinds: str) -> Path | None:
    """Return the path to write to; None if the user would rather not."""
    path, kind = QFileDialog.getSaveFileName(parent, title, str(suggested), kinds)
    if not path:
        return None
    named = _with_suffix(Path(path), kind)
    is_asked = named == Path(path)  # the dialog asked about what was typed
    return named if is_asked or _may_replace(parent, named) else None


def source(parent: QWidget, title: str, kinds: str) -> Path | None:
    """Return the path to read from; None if the user would rather not."""
    path, _ = QFileDialog.getOpenFileName(parent, title, "", kinds)
    return Path(path) if path else None


def beside(image: Image | None, ending: str) -> Path:
    """Return a path beside an image, or in the home folder if it has no file."""
    file = file_of(image) if image is not None else None
    folder = file.parent if file else Path.home()
    return folder / f"{file.stem if file else getattr(image, 'name', 'btunet')}{ending}"


def _may_replace(parent: QWidget, path: Path) -> bool:
    """Ask whether a file may be replaced, if there is one."""
    if not path.exists():
        return True
    question = f"{path.name} is there already. Replace it?"
    return bool(QMessageBox.question(parent, "Replace", question) == QMessageBox.StandardButton.Yes)


def _with_suffix(path: Path, kind: str) -> Path:
    """Return the path with the suffix of the chosen file filter if it has none that we write."""
    known = (".tif", ".tiff", ".png", ".zarr", ".safetensors")
    return path if path.suffix.lower() in known else Path(f"{path}{kind[kind.find('(*') + 2 : kind.find(')')]}")
