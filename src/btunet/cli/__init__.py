"""The command line: thin wrappers that read, run a task, and write."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from cyclopts import App, CycloptsError

from ..device import mind_the_machine, place
from ..errors import BtunetError
from .console import INTERRUPTED, blame
from .experiments import study
from .training import finetune, pretrain, trial
from .using import evaluate, info, objects, predict

MISTAKE = 2  # exit status
ALONE = (finetune, predict, objects, trial, study)  # commands that several processes cannot share
app = App(
    name="btunet",
    help="Segment images from a few strokes: pre-train on what is not labelled, fine-tune, predict, evaluate.",
    version=lambda: version("napari-btunet"),
    version_flags=["--version"],
)
for command in (pretrain, finetune, predict, objects, evaluate, trial, study, info):
    app.command(command)


def _check_alone(command: Callable[..., Any]) -> None:
    """Refuse to do the same work, and write the same files, several times at once."""
    size = place()[1]
    if size > 1 and command in ALONE:
        raise ValueError(f"{command.__name__} runs in one process, not in {size}; start it without torchrun")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status: 0 done, 2 the caller's mistake, 130 interrupted."""
    mind_the_machine()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may hold anything
    try:
        call: Callable[..., Any]
        call, bound, _ = app.parse_args(arguments, exit_on_error=False, print_error=False)
        _check_alone(call)
        return int(call(*bound.args, **bound.kwargs) or 0)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (CycloptsError, ValueError, BtunetError) as error:
        blame(error)
    except OSError as error:
        blame(BtunetError(f"{error.filename or 'a file'} cannot be used: {error.strerror or error}; choose another"))
    except MemoryError:
        blame(BtunetError("there is not enough memory; give fewer or smaller images, or images in zarr"))
    return MISTAKE


def entry() -> None:
    """Be the ``btunet`` command; what libraries have to say of a broken file is in the one sentence already."""
    logging.getLogger().addHandler(logging.NullHandler())
    sys.exit(main())
