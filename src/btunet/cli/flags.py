"""Flags of the command line, made from the settings' dataclasses."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_type_hints

from cyclopts import Parameter

from ..settings import (
    FinetuneSettings,
    ObjectSettings,
    PredictSettings,
    PretrainSettings,
    Settings,
    StudySettings,
    TrialSettings,
    ViewSettings,
)

Many = Parameter(consume_multiple=True, negative=())
Flat = Parameter(name="*")


def flags(settings: type[Settings]) -> type:
    """Return a settings class whose fields carry their help texts and choices in the form cyclopts reads."""
    types = get_type_hints(settings)
    hints = [
        (f.name, Annotated[_flag_type(f, types[f.name]), _flag(f)], _same(f)) for f in dataclasses.fields(settings)
    ]
    here = {"__module__": __name__}  # or cyclopts takes it for a builtin
    return dataclasses.make_dataclass(
        settings.__name__, hints, bases=(settings,), namespace=here, frozen=True, kw_only=True
    )


def _flag_type(f: dataclasses.Field[Any], otherwise: Any) -> Any:
    """Return the type of a flag: its choices if there are any."""
    closed = f.metadata["choices"] and not f.metadata["prefix"]
    return Literal[f.metadata["choices"]] if closed else otherwise


def _flag(f: dataclasses.Field[Any]) -> Parameter:
    negative = None if isinstance(f.default, bool) else ()  # None: cyclopts' own, --no-…
    return Parameter(help=f.metadata["help"], consume_multiple=isinstance(f.default, tuple), negative=negative)


def _same(f: dataclasses.Field[Any]) -> Any:
    return dataclasses.field(default=f.default, metadata=f.metadata)


if TYPE_CHECKING:
    FinetuneFlags: TypeAlias = FinetuneSettings
    ObjectFlags: TypeAlias = ObjectSettings
    PredictFlags: TypeAlias = PredictSettings
    PretrainFlags: TypeAlias = PretrainSettings
    StudyFlags: TypeAlias = StudySettings
    TrialFlags: TypeAlias = TrialSettings
    ViewFlags: TypeAlias = ViewSettings
else:
    PretrainFlags, FinetuneFlags, PredictFlags = map(flags, (PretrainSettings, FinetuneSettings, PredictSettings))
    StudyFlags, ObjectFlags = map(flags, (StudySettings, ObjectSettings))
    TrialFlags, ViewFlags = map(flags, (TrialSettings, ViewSettings))
