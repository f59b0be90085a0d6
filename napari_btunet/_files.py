"""Asks for the files that masks and models are written to or read from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QWidget

from ._layers import file_of
from ._replacing import may_replace

if TYPE_CHECKING:
    from napari.layers import Image

MASKS = "TIFF with the image's axes (*.tif);;PNG, one per plane (*.png);;Zarr (*.zarr)"
MODELS = "BT-UNet model (*.safetensors)"


def target(
    parent: QWidget,
    title: str,
    suggested: Path,
    kinds: str,
    files: Callable[[Path], Sequence[Path]] = lambda path: [path],
) -> Path | None:
    """Return the path to write to; None if the user would rather not, or not replace ``files`` of that name."""
    path, kind = QFileDialog.getSaveFileName(parent, title, str(suggested), kinds)
    if not path:
        return None
    named = _with_suffix(Path(path), kind)
    return named if may_replace(parent, files(named), Path(path)) else None


def source(parent: QWidget, title: str, kinds: str) -> Path | None:
    """Return the path to read from; None if the user would rather not."""
    path, _ = QFileDialog.getOpenFileName(parent, title, "", kinds)
    return Path(path) if path else None


def beside(image: Image | None, ending: str) -> Path:
    """Return a path beside an image, or in the home folder if it has no file."""
    file = file_of(image) if image is not None else None
    folder = file.parent if file else Path.home()
    return folder / f"{file.stem if file else getattr(image, 'name', 'btunet')}{ending}"


def _with_suffix(path: Path, kind: str) -> Path:
    """Return the path with the suffix of the chosen file filter if it has none that we write."""
    known = (".tif", ".tiff", ".png", ".zarr", ".safetensors")
    return path if path.suffix.lower() in known else Path(f"{path}{kind[kind.find('(*') + 2 : kind.find(')')]}")
