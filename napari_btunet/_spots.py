"""Takes the user to a place in an image and marks it, without touching any layer but its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import btunet

from . import _layers

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Shapes

NAME = "paint here"
SHARE = 0.2  # of the canvas, at least, that a place takes


def show_spot(viewer: Viewer, strokes: Any, spot: btunet.Spot) -> None:
    """Go to a plane and a place of a strokes layer and put a box there; the brush stays in the user's hand.

    Parameters
    ----------
    viewer
        The viewer.
    strokes
        The layer to paint on.
    spot
        The place.
    """
    leading, middle = show_plane(viewer, strokes, spot.plane, (spot.y, spot.x))
    camera = viewer.scene.camera
    side = spot.side * abs(strokes.scale[-1])
    canvas = min(viewer.canvas.size)
    camera.center = (*camera.center[:-2], *middle[-2:])
    camera.zoom = max(camera.zoom, SHARE * canvas / side)
    _mark(viewer, strokes, leading, spot)


def show_plane(viewer: Viewer, strokes: Any, plane: int, at: tuple[float, float] = (0, 0)) -> tuple[Any, Any]:
    """Move the sliders to a plane of a strokes layer; return its index, and where in the world a pixel of it is."""
    leading = np.unravel_index(plane, strokes.data.shape[:-2]) if strokes.ndim > 2 else ()
    middle = strokes.data_to_world((*leading, *at))
    offset = viewer.dims.ndim - strokes.ndim
    for axis in range(len(leading)):
        viewer.dims.set_point(offset + axis, middle[axis])
    return leading, middle


def _mark(viewer: Viewer, strokes: Any, leading: Any, spot: btunet.Spot) -> None:
    """Draw the box in a layer of its own, which is made if it is not there."""
    half = spot.side / 2
    corners = [(spot.y + a * half, spot.x + b * half) for a, b in ((-1, -1), (-1, 1), (1, 1), (1, -1))]
    box = np.array([(*leading, *corner) for corner in corners])
    layer = next((each for each in viewer.layers if _layers.role_of(each) == "spot"), None)
    active = viewer.layers.selection.active
    if layer is not None:
        viewer.layers.remove(layer)
    geometry = {key: getattr(strokes, key) for key in ("scale", "translate", "rotate", "shear", "affine", "units")}
    made: Shapes = viewer.add_shapes(
        [box],
        name=NAME,
        shape_type="polygon",
        face_color="transparent",
        edge_color="yellow",
        edge_width=max(1.0, spot.side / 60),
        ndim=strokes.ndim,
        metadata={_layers.ROLE: {"role": "spot"}},
        **geometry,
    )
    made.editable = False
    viewer.layers.selection.active = active if active in viewer.layers else strokes
