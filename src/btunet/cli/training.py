"""Commands that train: pretrain, finetune, and the trial of both."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..device import place
from ..model import Model
from ..project import Project
from ..reading import find, read
from ..settings import (
    FinetuneSettings,
    PretrainSettings,
)
from ..task import Task, run
from .console import INTERRUPTED, Console, say
from .flags import (
    FinetuneFlags,
    Flat,
    Many,
    PretrainFlags,
    TrialFlags,
    ViewFlags,
)
from .inputs import check_folder, check_name, images_of, labelled, needed, start_of, strokes_of


def pretrain(
    *images: Path,
    out: Path | None = None,
    project: Path | None = None,
    start_from: Path | None = None,
    encoder_weights: str | None = None,
    resume: bool = False,
    settings: Annotated[PretrainFlags | None, Flat] = None,
    views: Annotated[ViewFlags | None, Flat] = None,
) -> int:
    """Pre-train an encoder on images without labels (Barlow Twins).

    What is needed to go on after an interruption is kept beside the encoder, once a minute: ENCODER.checkpoint.

    Parameters
    ----------
    images
        Image files, folders or .zarr; by default the project's.
    out
        File to write the encoder to (.safetensors); by default into the project.
    project
        Folder of a project, as the window makes it (.btunet).
    start_from
        Model whose encoder is trained further.
    encoder_weights
        Weights the encoder of an smp: network starts from instead: a file, or "imagenet" to download them.
    resume
        Go on where the same command was interrupted; where there is nothing to go on from, start.
    """
    from ..pretraining import pretrain as task

    work = Project.open(project) if project else None
    stacks = images_of(work, images) if work else [read(path) for path in find(images)]
    start = start_of(start_from, encoder_weights, settings or PretrainSettings(), stacks)
    save = None if out else needed(work).save_encoder
    out = out or needed(work).encoder
    checkpoint = out.with_suffix(".checkpoint")
    training = task(stacks, settings, views=views, start_from=start, checkpoint=checkpoint, resume=resume)
    if checkpoint.exists():
        say(f"going on from {checkpoint}" if resume else f"starting anew; --resume would go on from {checkpoint}")
    return train(training, out, checkpoint, save)


def finetune(
    *,
    images: Annotated[list[Path] | None, Many] = None,
    labels: Annotated[list[Path] | None, Many] = None,
    out: Path | None = None,
    project: Path | None = None,
    dense: bool = False,
    start_from: Path | None = None,
    encoder_weights: str | None = None,
    settings: Annotated[FinetuneFlags | None, Flat] = None,
) -> int:
    """Train a model from strokes or masks.

    Parameters
    ----------
    images
        Image files, folders or .zarr; by default the project's.
    labels
        Label files or folders, paired with the images by name: 0 = not annotated, 1 = background, 2.. = classes. With
        strokes, images without any are looked at too. By default the project's strokes.
    out
        File to write the model to (.safetensors); by default the project's next.
    project
        Folder of a project, as the window makes it (.btunet): its images, strokes, classes and encoder.
    dense
        Labels are masks: 0 = background, 1.. = classes, 255 = ignore.
    start_from
        Pre-trained encoder, or model to train further.
    encoder_weights
        Weights the encoder of an smp: network starts from instead: a file, or "imagenet" to download them.
    """
    from ..finetuning import finetune as task

    work = Project.open(project) if project else None
    if work and (labels or dense):
        raise ValueError("a project has its own strokes; leave --labels and --dense out, or --project")
    stacks, drawn = strokes_of(work, images or []) if work else labelled(images or [], labels or [], dense)
    if work and work.encoder.exists() and not encoder_weights:
        start_from = start_from or work.encoder
    start = start_of(start_from, encoder_weights, settings or FinetuneSettings(), stacks)
    classes = work.classes if work else None
    training = task(stacks, drawn, settings, dense=dense, start_from=start, classes=classes, judged=work is not None)
    return train(training, out or needed(work).next_model)


def trial(
    *,
    images: Annotated[list[Path], Many],
    labels: Annotated[list[Path], Many],
    start_from: Path,
    out: Path | None = None,
    as_json: Annotated[bool, Parameter("--json")] = False,
    settings: Annotated[TrialFlags | None, Flat] = None,
) -> int:
    """Say whether pre-training helped on these images: trains with and without it, judged by held-out strokes.

    Parameters
    ----------
    images
        Image files, folders or .zarr.
    labels
        Strokes, paired with the images by name: 0 = not annotated, 1 = background, 2.. = classes.
    start_from
        The pre-trained encoder.
    out
        Folder for verdict.json, with every stroke, and verdict.svg, a picture.
    as_json
        Print everything as JSON.
    """
    from ..trials import trial as task

    encoder = Model.load(start_from)
    stacks, drawn = labelled(images, labels)
    if out:
        check_folder(out)
    with Console() as console:
        verdict = run(task(stacks, drawn, encoder, settings), console.show)
    print(json.dumps(verdict.as_dict(), indent=1) if as_json else verdict.describe())
    for path in verdict.save(out) if out else ():
        say(str(path))
    return INTERRUPTED if console.interrupted else 0


def train(
    task: Task[Model], out: Path, checkpoint: Path | None = None, save: Callable[[Model], object] | None = None
) -> int:
    """Run a training, save the model, say where it is, and remove the checkpoint of a training that is done."""
    if out.suffix != ".safetensors":
        raise ValueError(f"--out is {out}; expected a name that ends in .safetensors")
    check_name(out)
    with Console() as console:
        model = run(task, console.show)
    if place()[0] > 0:
        return 0  # the first process saves
    save(model) if save else model.save(out)
    print(f"{out}  {model.describe()}")
    if checkpoint and console.interrupted:
        say("the same command with --resume goes on from here")
    elif checkpoint:
        checkpoint.unlink(missing_ok=True)
    return INTERRUPTED if console.interrupted else 0
