"""A form made from the fields of a settings class."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import Field, fields
from typing import Any, Generic, TypeVar

from magicgui.widgets import Container, create_widget

from btunet.settings import Settings

SMALL = 1e-4  # step of a number that may be 0
S = TypeVar("S", bound=Settings)


class SettingsForm(Generic[S]):
    """Edits a settings value: one row per field, with its limits and its help text as tooltip.

    Parameters
    ----------
    kind
        The settings class.
    leave_out
        Fields that are edited elsewhere in the panel.
    """

    def __init__(self, kind: type[S], leave_out: Collection[str] = ()) -> None:
        self._kind = kind
        rows = [_row(f) for f in fields(kind) if f.name not in leave_out]
        self.container: Any = Container(widgets=rows, labels=True)
        self.container.margins = (0, 0, 0, 0)

    def value(self, **elsewhere: object) -> S:
        """Return the settings as they stand, completed by the fields edited elsewhere."""
        return self._kind(**{row.name: row.value for row in self.container}, **elsewhere)

    def set_value(self, settings: S) -> None:
        """Show other settings."""
        for row in self.container:
            row.value = getattr(settings, row.name)


def _row(f: Field[Any]) -> Any:
    """Return the editor of one field."""
    limits = f.metadata
    options = {"tooltip": limits["help"]}
    if limits["choices"]:
        options["choices"] = limits["choices"]
    elif isinstance(f.default, int | float) and not isinstance(f.default, bool):
        options |= {key: limits[key] for key in ("min", "max") if limits[key] is not None}
        options.setdefault("max", 2**31 - 1)
        if isinstance(f.default, float):
            options["step"] = limits["min"] or SMALL
    return create_widget(value=f.default, name=f.name, label=f.name.replace("_", " "), options=options)
