"""What the plugin reads from and writes to napari's layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import btunet

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image, Labels

BACKGROUND = 1  # label of the first class; 0 is "not painted" on strokes, "not predicted yet" on predictions
COLOURS = ("#4d6a8f", "#f6a623", "#e5484d", "#46a758", "#8e6fd8", "#12a5bc", "#d864a8", "#b0a432")
ROLE = "btunet"  # key in a layer's metadata
GEOMETRY = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


def colour_of(label: int) -> str:
    """Return the colour of a label: the first for the background, then one after the other for objects."""
    objects = COLOURS[1:]
    return COLOURS[0] if label <= BACKGROUND else objects[(label - BACKGROUND - 1) % len(objects)]


def rgb_of(label: int) -> tuple[int, int, int]:
    """Return the colour of a label as red, green and blue, 0..255."""
    red, green, blue = bytes.fromhex(colour_of(label)[1:])
    return red, green, blue


def stack_of(layer: Image) -> btunet.Stack:
    """Return what an image layer shows as a stack: its data, axes, pixel size in µm and file."""
    data = layer.data[0] if layer.multiscale else layer.data
    axes = _axes(layer)
    scale, unit = _calibration(layer, len(axes) - (axes[-1] == "S") - axes.count("C"))
    return btunet.Stack(data, axes, layer.name, scale, unit, file_of(layer))


def file_of(layer: Image) -> Path | None:
    """Return the file that an image comes from; None if it has none."""
    source = _told(layer, "file") or getattr(layer.source, "path", None)
    return Path(source) if source else None


def project_of(layer: Image) -> Path | None:
    """Return the project that an image was opened with; None if it was opened alone."""
    folder = _told(layer, "project")
    return Path(folder) if folder else None


def _axes(layer: Image) -> str:
    """Return a letter per axis: from the labels the user gave, else by position."""
    plain = btunet.as_stack(np.empty((1,) * layer.ndim)).axes
    named = [str(label)[:1].upper() for label in layer.axis_labels]
    if named[:1] == ["C"] and not layer.rgb:
        plain = "C" + plain[1:]
    return plain + "S" * bool(layer.rgb)


def _calibration(layer: Image, count: int) -> tuple[tuple[float, ...], str]:
    """Return the size of a pixel along the last ``count`` axes, in µm if the layer's units are lengths."""
    scale = tuple(float(s) for s in np.abs(layer.scale[-count:]))
    units = layer.units[-count:]
    if all(u.is_compatible_with("micrometer") for u in units[-2:]):
        lengths = [u.is_compatible_with("micrometer") for u in units]
        factors = [(1 * u).to("micrometer").magnitude if ok else 1.0 for u, ok in zip(units, lengths, strict=True)]
        return tuple(s * f for s, f in zip(scale, factors, strict=True)), "µm"
    return (scale, "") if any(s != 1 for s in scale) else ((), "")


def add_labels(viewer: Viewer, image: Image, name: str, role: str, classes: int) -> Labels:
    """Add an empty Labels layer that lies exactly on an image; uint8, which napari draws fastest.

    Parameters
    ----------
    viewer
        The viewer.
    image
        The layer to lie on.
    name, role
        Its name, and "strokes" or "prediction" to find it again.
    classes
        How many classes have a colour, background included.
    """
    from napari.layers import Labels

    layer = Labels(
        np.zeros(stack_of(image).spatial_shape, np.uint8),
        name=name,
        metadata={ROLE: {"role": role, "image": image.name}},
        opacity=0.8 if role == "strokes" else 0.5,
        **geometry_of(image),
    )
    colour(layer, classes)
    if role == "prediction":
        _insert_below_strokes(viewer, layer)
    else:
        viewer.layers.append(layer)
    return layer


def add_objects(viewer: Viewer, image: Image, name: str, numbers: np.ndarray) -> Labels:
    """Add numbers of objects that lie on an image, each in a colour of its own."""
    from napari.layers import Labels

    role = {"role": "objects", "image": image.name}
    layer = Labels(numbers, name=name, metadata={ROLE: role}, opacity=0.7, **geometry_of(image))
    _insert_below_strokes(viewer, layer)
    return layer


def _insert_below_strokes(viewer: Viewer, layer: Labels) -> None:
    """Insert a layer where it hides no stroke; the brush stays in the user's hand."""
    active = viewer.layers.selection.active
    strokes = [i for i, other in enumerate(viewer.layers) if role_of(other) == "strokes"]
    viewer.layers.insert(min(strokes, default=len(viewer.layers)), layer)
    viewer.layers.selection.active = active


def geometry_of(image: Image) -> dict[str, Any]:
    """Return what lays a layer without channels exactly on an image."""
    if "C" not in stack_of(image).axes:
        return {key: getattr(image, key) for key in GEOMETRY}
    # the channel axis comes first
    return {key: getattr(image, key)[1:] for key in ("scale", "translate", "units", "axis_labels")}


def role_of(layer: Any) -> str:
    """Return what a layer is to the plugin: "strokes", "prediction", "objects", "learned", … or nothing."""
    return _told(layer, "role")


def _told(layer: Any, what: str) -> str:
    """Return what the plugin wrote down of a layer."""
    return str(layer.metadata.get(ROLE, {}).get(what, "")) if isinstance(layer.metadata, dict) else ""


def colour(layer: Labels, classes: int) -> None:
    """Give a layer the colours of the classes; the background of a prediction is transparent."""
    from napari.utils.colormaps import DirectLabelColormap

    colours: dict[int | None, str] = {label: colour_of(label) for label in range(1, classes + 1)}
    if role_of(layer) == "prediction":
        colours[BACKGROUND] = "transparent"
    nameless = "white"  # a label that is no class yet must not vanish
    layer.colormap = DirectLabelColormap(color_dict={None: nameless, 0: "transparent", **colours})


def shown_plane(viewer: Viewer, layer: Labels) -> int:
    """Return the number of the plane of a layer that the sliders stand on."""
    leading = layer.data.shape[:-2]
    if not leading:
        return 0
    position = layer.world_to_data(np.asarray(viewer.dims.point)[-layer.ndim :])
    index = tuple(int(np.clip(round(p), 0, n - 1)) for p, n in zip(position, leading, strict=False))
    return int(np.ravel_multi_index(index, leading))


def put_plane(viewer: Viewer, layer: Labels, plane: int, mask: np.ndarray, corner: tuple[int, int] = (0, 0)) -> None:
    """Write a predicted plane, or a part that begins at the corner, (Y, X) with 0 = background, in place.

    It is redrawn only if it is in sight.
    """
    planes = layer.data.reshape(-1, *layer.data.shape[-2:])
    rows, columns = (slice(first, first + length) for first, length in zip(corner, mask.shape, strict=True))
    np.add(mask, BACKGROUND, out=planes[plane][rows, columns], casting="unsafe")
    if layer.visible and (viewer.dims.ndisplay == 3 or plane == shown_plane(viewer, layer)):
        layer.refresh(extent=False, thumbnail=False, highlight=False)


def bind_keys(layer: Labels, keys: Mapping[str, Callable[[], None]]) -> None:
    """Bind keys on a strokes layer, nowhere else."""
    for key, act in keys.items():
        layer.bind_key(key, lambda _, act=act: act(), overwrite=True)
