"""A pre-training that did not come to its end, because the window was closed or something broke."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import btunet
from btunet.checkpoint import Checkpoint
from btunet.replace import remove
from btunet.settings import Settings

S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class Interrupted:
    """What it was started with, and how far it came.

    Parameters
    ----------
    settings, views
        With which it goes on.
    seconds
        That it has trained.
    """

    settings: btunet.PretrainSettings
    views: btunet.ViewSettings
    seconds: float

    def sentence(self) -> str:
        """Say what becomes of it."""
        done = f"{self.seconds:.0f} s" if self.seconds < 90 else f"{self.seconds / 60:.0f} min"
        return f"A pre-training was interrupted after {done}: Pre-train goes on with it."


class GoingOn:
    """Knows whether there is a pre-training to go on with, and goes on with it if it is asked for the same.

    Parameters
    ----------
    say
        Tells the user something.
    """

    def __init__(self, say: Callable[[str], Any]) -> None:
        self.found: Interrupted | None = None
        self._say = say
        self._path: Path | None = None  # of the checkpoint
        self._is_refused = False  # the checkpoint does not fit what is here now
        self._is_going_on = False

    def look(self, path: Path) -> None:
        """Look for a checkpoint, which nobody may be writing."""
        for part in path.parent.glob(f".{path.stem}.*.part{path.suffix}"):
            remove(part)  # its writing was interrupted
        self._path, self.found = path, None if self._is_refused else _interrupted(path)

    def options(self, path: Path, settings: btunet.PretrainSettings, views: btunet.ViewSettings) -> dict[str, Any]:
        """Return how `btunet.pretrain` keeps a checkpoint, and whether it goes on from there."""
        self._path = path
        found, self.found = self.found, None
        self._is_going_on = found is not None and (found.settings, found.views) == (settings, views)
        self._is_refused = False
        if found is not None:
            how = "goes on where it was" if self._is_going_on else "begins anew: its settings are others now"
            self._say(f"The pre-training that was interrupted {how}.")
        return {"checkpoint": path, "resume": self._is_going_on}

    def fail(self, error: Any) -> None:
        """Take in why a pre-training failed."""
        self._is_refused = self._is_going_on and not isinstance(error, btunet.Died | btunet.OutOfMemory)
        if self._is_refused:
            self._say("The pre-training cannot go on where it was; the next click on Pre-train begins anew.")
        if self._path is not None:
            self.look(self._path)


def _interrupted(path: Path) -> Interrupted | None:
    """Return what a checkpoint is of; None if there is none, or none that can be used."""
    if not path.exists():
        return None
    try:
        found = Checkpoint.glance(path)
        settings, views = _told(btunet.PretrainSettings, found), _told(btunet.ViewSettings, found)
        return Interrupted(settings, views, float(found.state["seconds"]))
    except (btunet.BtunetError, LookupError, TypeError, ValueError):  # it is replaced by the next one
        return None


def _told(kind: type[S], found: Checkpoint) -> S:
    about: dict[str, Any] = {f.name: found.about[f.name] for f in fields(kind)}
    return kind(**about)
