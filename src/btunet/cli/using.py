"""Commands that use a model, or what it made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, validators

from ..model import Model
from ..project import Project
from ..reading import find, read, stem
from ..replace import replacing
from ..task import Task, run
from .console import INTERRUPTED, Console, plain, say
from .flags import (
    Flat,
    Many,
    ObjectFlags,
    PredictFlags,
)
from .inputs import check_folder, check_name, files_of, origin


def predict(
    model: Path | None = None,
    *images: Path,
    out: Path,
    project: Path | None = None,
    probabilities: bool = False,
    format: Literal["tiff", "png", "zarr"] = "tiff",
    jobs: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 1,
    scheduler: str | None = None,
    settings: Annotated[PredictFlags | None, Flat] = None,
) -> int:
    """Write a mask for every image; goes on where the same command was interrupted.

    Images may be larger than memory. What is unfinished waits in hidden folders in the folder for the masks.

    Parameters
    ----------
    model
        Model file made by finetune; by default the one the project uses.
    images
        Image files, folders or .zarr; image.zarr/2 names a level; by default the project's.
    out
        Folder for the masks, each named like its image.
    project
        Folder of a project, as the window makes it (.btunet).
    probabilities
        Also write the probability of every class, background first.
    format
        Kind of file of the masks.
    jobs
        Processes at a time; a large image is divided among them.
    scheduler
        Address of a dask.distributed scheduler, whose workers do the work instead.
    """
    from ..jobs import predict_files

    if project and model and model.suffix != ".safetensors":
        images, model = (model, *images), None
    files = list(find(images)) if images or not project else []
    if project:
        work = Project.open(project)
        model, files = model or work.model(work.present), files or files_of(work)
    if model is None:
        raise ValueError("there is no model to predict with; name its file, or give --project")
    check_folder(out)
    task = predict_files(
        model,
        files,
        out,
        settings,
        format=format,
        probabilities=probabilities,
        jobs=jobs,
        scheduler=scheduler,
    )
    interrupted = _show(task, out)
    if interrupted:
        say("the same command goes on from here")
    return INTERRUPTED if interrupted else 0


def objects(
    *masks: Path,
    out: Path,
    images: Annotated[list[Path] | None, Many] = None,
    classes: Annotated[list[str] | None, Many] = None,
    format: Literal["tiff", "zarr"] = "tiff",
    settings: Annotated[ObjectFlags | None, Flat] = None,
) -> int:
    """Give every object of masks a number and measure it: name_objects for every mask, objects.csv for all.

    Parameters
    ----------
    masks
        Mask files or folders: 0 = background, 1.. = classes.
    out
        Folder for both.
    images
        Their images, of the same names: brightness is measured in them; axes and pixel size are theirs.
    classes
        Names of classes 1, 2, ...
    format
        Kind of file of the numbered objects.
    """
    from ..inventory import objects_of_files

    check_folder(out)
    named = ("background", *classes) if classes else ()
    task = objects_of_files(find(masks), out, settings, images=find(images or ()), classes=named, format=format)
    return INTERRUPTED if _show(task, out) else 0


def _show(task: Task[list[Path]], out: Path) -> bool:
    """Print the files that a task writes into a folder, and say which were replaced; return whether it was stopped."""
    before = {path: path.stat().st_mtime_ns for path in out.glob("*")}
    with Console() as console:
        files = run(task, console.show)
    for path in files:
        print(path)
    replaced = [path.name for path in files if path in before and path.stat().st_mtime_ns != before[path]]
    if replaced:
        more = f" and {len(replaced) - 3} more" if len(replaced) > 3 else ""
        say(f"replaced what was there before: {', '.join(replaced[:3])}{more}")
    return console.interrupted


def evaluate(predictions: Path, truth: Path, *, json_file: Annotated[Path | None, Parameter("--json")] = None) -> int:
    """Score masks against true masks of the same name.

    Parameters
    ----------
    predictions
        Mask file or folder.
    truth
        Mask file or folder; masks without a prediction are left out.
    json_file
        Write everything, with the scores of every plane, to this file.
    """
    from ..evaluation import evaluate as score

    if json_file:
        check_name(json_file)
    made, true = ([*find([path])] for path in (predictions, truth))
    if len(made) == len(true) == 1:
        report = score({stem(made[0]): read(made[0])}, {stem(made[0]): read(true[0])})
    else:
        report = score({stem(p): read(p) for p in made}, {stem(p): read(p) for p in true})
        if len(true) > len(made):
            say(f"{len(true) - len(made)} of {len(true)} true masks have no prediction and are left out")
    print(_table(report))
    if json_file:
        with replacing(json_file) as part:
            part.write_text(json.dumps(report, indent=1))
    return 0


def _table(report: dict[str, Any]) -> str:
    lines = [f"{'class':>5} {'':8}{'precision':>10}{'recall':>10}{'dice':>10}{'iou':>10}"]
    for name, scores in report["classes"].items():
        for kind in ("mean", "pooled"):
            values = (scores[kind][s] for s in ("precision", "recall", "dice", "iou"))
            lines.append(f"{name:>5} {kind:8}" + "".join("         -" if v is None else f"{v:10.4f}" for v in values))
        empty = ", ".join(f"{count} in {where}" for where, count in scores["empty"].items() if count)
        if empty:
            lines.append(f"{name:>5} empty: {empty}")
    mean_iou = "-" if report["mean_iou"] is None else f"{report['mean_iou']:.4f}"
    lines.append(f"mean IoU with background {mean_iou} over {report['planes']} planes")
    return "\n".join(lines)


def info(file: Path, *, as_json: Annotated[bool, Parameter("--json")] = False) -> int:
    """Say what a model file or an image is.

    Parameters
    ----------
    file
        Model (.safetensors) or image.
    as_json
        Print a model's whole record as JSON.
    """
    if file.suffix != ".safetensors":
        print(read(file).describe())
        return 0
    model = Model.load(file)
    print(json.dumps(model.as_dict(), indent=1) if as_json else plain(model.describe()))
    for record in model.history:
        if record.get("verb") == "import" and not as_json:
            print(plain(origin(record)))
    return 0
