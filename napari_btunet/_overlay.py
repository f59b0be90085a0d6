"""A layer that holds one plane of an image, or a part, and lies where that is; elsewhere nothing is in the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _layers

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image


def add_overlay(
    viewer: Viewer, image: Image, role: str, name: str, data: np.ndarray, above: Any = None, **options: Any
) -> Image:
    """Add a layer directly on an image, below everything painted; whatever was active stays so.

    Parameters
    ----------
    viewer
        The viewer.
    image
        The layer to lie on.
    role, name
        What it is, and what it is called.
    data
        One plane, (Y, X) or (Y, X, 4) for colours.
    above
        Another layer to lie directly on.
    options
        Of napari's Image layer.
    """
    from napari.layers import Image

    leading = len(_layers.stack_of(image).stack_shape)
    layer = Image(
        data[(None,) * leading],
        name=name,
        metadata={_layers.ROLE: {"role": role, "image": image.name}},
        **options,
        **_layers.geometry_of(image),
    )
    active = viewer.layers.selection.active
    viewer.layers.insert(viewer.layers.index(image if above is None else above) + 1, layer)
    viewer.layers.selection.active = active
    return layer


def lay(layer: Image, image: Image, plane: int, data: np.ndarray, corner: tuple[int, int] = (0, 0)) -> None:
    """Give a layer another plane, (Y, X) or (Y, X, 4), that begins at a corner of that of the image."""
    from napari.utils.transforms import Affine

    stack = _layers.stack_of(image)
    leading = np.unravel_index(plane, stack.stack_shape) if stack.stack_shape else ()
    layer.data = data[(None,) * len(leading)]  # (1, …, Y, X)
    turned = Affine(scale=layer.scale, rotate=layer.rotate, shear=layer.shear, ndim=layer.ndim).linear_matrix
    layer.translate = _layers.geometry_of(image)["translate"] + turned @ (*leading, *corner)
