"""The command line: thin wrappers that read, run a task, and write."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from cyclopts import App, CycloptsError, Parameter, validators

from .claims import check_file
from .device import mind_the_machine, place
from .errors import BtunetError
from .images import Stack
from .model import Model
from .project import Project, absolute
from .reading import find, pair, read, stem
from .replace import explaining, replacing
from .settings import (
    FinetuneSettings,
    ObjectSettings,
    PredictSettings,
    PretrainSettings,
    Settings,
    StudySettings,
    TrialSettings,
    ViewSettings,
)
from .task import Progress, Strokes, Task, run

logger = logging.getLogger(__name__)
app = App(
    name="btunet",
    help="Segment images from a few strokes: pre-train on what is not labelled, fine-tune, predict, evaluate.",
    version=lambda: version("napari-btunet"),
    version_flags=["--version"],
)
Many = Parameter(consume_multiple=True, negative=())
Flat = Parameter(name="*")
INTERRUPTED, MISTAKE = 130, 2


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
    from .settings import FinetuneSettings as FinetuneFlags
    from .settings import ObjectSettings as ObjectFlags
    from .settings import PredictSettings as PredictFlags
    from .settings import PretrainSettings as PretrainFlags
    from .settings import StudySettings as StudyFlags
    from .settings import TrialSettings as TrialFlags
    from .settings import ViewSettings as ViewFlags
else:
    PretrainFlags, FinetuneFlags, PredictFlags = map(flags, (PretrainSettings, FinetuneSettings, PredictSettings))
    StudyFlags, ObjectFlags = map(flags, (StudySettings, ObjectSettings))
    TrialFlags, ViewFlags = map(flags, (TrialSettings, ViewSettings))


@app.command
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
    from .pretraining import pretrain as task

    work = Project.open(project) if project else None
    stacks = _images_of(work, images) if work else [read(path) for path in find(images)]
    start = _start(start_from, encoder_weights, settings or PretrainSettings(), stacks)
    out = out or _needed(work).encoder
    checkpoint = out.with_suffix(".checkpoint")
    training = task(stacks, settings, views=views, start_from=start, checkpoint=checkpoint, resume=resume)
    if checkpoint.exists():
        _say(f"going on from {checkpoint}" if resume else f"starting anew; --resume would go on from {checkpoint}")
    return _train(training, out, checkpoint)


@app.command
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
    from .finetuning import finetune as task

    work = Project.open(project) if project else None
    if work and (labels or dense):
        raise ValueError("a project has its own strokes; leave --labels and --dense out, or --project")
    stacks, drawn = _strokes_of(work, images or []) if work else _labelled(images or [], labels or [], dense)
    if work and work.encoder.exists() and not encoder_weights:
        start_from = start_from or work.encoder
    start = _start(start_from, encoder_weights, settings or FinetuneSettings(), stacks)
    classes = work.classes if work else None
    training = task(stacks, drawn, settings, dense=dense, start_from=start, classes=classes, judged=work is not None)
    return _train(training, out or _needed(work).next_model)


def _labelled(images: Sequence[Path], labels: Sequence[Path], dense: bool = False) -> tuple[list[Stack], list[Any]]:
    """Return images with what was drawn on each; after them, for strokes, those with nothing."""
    image_files = find(images)
    pairs = pair(image_files, find(labels))
    labelled = [image for image, _ in pairs]
    others = [image for image in image_files if image not in labelled]
    if others:
        fate = "are not used" if dense else "are only looked at"
        _say(f"{len(others)} of {len(image_files)} images have no label and {fate}")
    stacks = [read(image) for image in (labelled if dense else [*labelled, *others])]
    drawn: list[Any] = [_label(read(label)) for _, label in pairs]
    return stacks, [*drawn, *({} for _ in stacks[len(drawn) :])]


def _needed(project: Project | None) -> Project:
    """Return the project, or say that it or --out is missing."""
    if project is None:
        raise ValueError("there is no file to write to; give --out, or --project")
    return project


def _images_of(project: Project, named: Sequence[Path]) -> list[Stack]:
    """Return the images of a project, those that were named if some were."""
    files = list(find(named)) if named else []
    wanted = {absolute(file) for file in files}
    numbers = [n for n in range(len(project.images)) if not files or project.file_of(n) in wanted]
    if not numbers:
        raise ValueError(f"{project.folder.name} knows none of these images; name some it knows, or none")
    return [project.read(n, files) for n in numbers]


def _strokes_of(project: Project, named: Sequence[Path]) -> tuple[list[Stack], list[Strokes]]:
    """Return the images of a project, and what was painted on each."""
    stacks = _images_of(project, named)
    places = [project.find(stack) for stack in stacks]
    return stacks, [project.journal(n).replay().planes if n is not None else {} for n in places]


def _label(stack: Stack) -> Any:
    if stack.channels != 1:
        raise ValueError(f"{stack.name} has {stack.channels} channels; labels are gray images whose values are classes")
    return stack.whole()


def _start(
    model: Path | None, weights: str | None, settings: PretrainSettings | FinetuneSettings, stacks: list[Stack]
) -> Model | None:
    """Return the model to start from, if there is one."""
    if model and weights:
        raise ValueError("--start-from and --encoder-weights both say what to start from; leave one of them out")
    if not weights or not stacks:  # the task says that there is no image
        return Model.load(model) if model else None
    from .transfer import imagenet_encoder

    encoder = imagenet_encoder(settings.network, stacks[0].channels, weights)
    _say(_origin(encoder.history[0]))
    return encoder


def _origin(record: Mapping[str, Any]) -> str:
    """Say where the weights of an encoder are from."""
    return f"encoder: {record['matched']} tensors of {record['file']} (sha256 {record['sha256'][:12]}…)"


def _train(task: Task[Model], out: Path, checkpoint: Path | None = None) -> int:
    """Run a training, save the model, say where it is, and remove the checkpoint of a training that is done."""
    if out.suffix != ".safetensors":
        raise ValueError(f"--out is {out}; expected a name that ends in .safetensors")
    _check_name(out)
    with _Console() as console:
        model = run(task, console.show)
    if place()[0] > 0:
        return 0  # the first process saves
    model.save(out)
    print(f"{out}  {model.describe()}")
    if checkpoint and console.interrupted:
        _say("the same command with --resume goes on from here")
    elif checkpoint:
        checkpoint.unlink(missing_ok=True)
    return INTERRUPTED if console.interrupted else 0


def _check_name(path: Path) -> None:
    """Refuse before hours of work a file that could not be written after them."""
    check_file(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file")
    _check_folder(path.parent)
    with explaining(path), suppress(FileNotFoundError, NotADirectoryError):
        path.with_name(f".{path.name}.{os.getpid()}.part").lstat()  # as it is called until it is whole


def _check_folder(folder: Path) -> None:
    """Refuse the same of a folder."""
    nearest = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists() or p.is_symlink())
    try:
        tempfile.TemporaryFile(dir=nearest).close()  # permissions alone do not tell of disks that are read-only
    except OSError as error:
        raise BtunetError(f"{nearest} cannot be written to; choose another folder") from error


@app.command
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
    from .jobs import predict_files

    if project and model and model.suffix != ".safetensors":
        images, model = (model, *images), None
    files = list(find(images)) if images or not project else []
    if project:
        work = Project.open(project)
        model, files = model or work.model(work.present), files or _files_of(work)
    if model is None:
        raise ValueError("there is no model to predict with; name its file, or give --project")
    _check_folder(out)
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
    with _Console() as console:
        for path in run(task, console.show):
            print(path)
    if console.interrupted:
        _say("the same command goes on from here")
    return INTERRUPTED if console.interrupted else 0


def _files_of(project: Project) -> list[Path]:
    """Return the files of a project's images."""
    return [path for stack in _images_of(project, []) if (path := stack.path)]


@app.command
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
    from .inventory import objects_of_files

    _check_folder(out)
    named = ("background", *classes) if classes else ()
    task = objects_of_files(find(masks), out, settings, images=find(images or ()), classes=named, format=format)
    with _Console() as console:
        for path in run(task, console.show):
            print(path)
    return INTERRUPTED if console.interrupted else 0


@app.command
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
    from .evaluation import evaluate as score

    if json_file:
        _check_name(json_file)
    made, true = ([*find([path])] for path in (predictions, truth))
    if len(made) == len(true) == 1:
        report = score({stem(made[0]): read(made[0])}, {stem(made[0]): read(true[0])})
    else:
        report = score({stem(p): read(p) for p in made}, {stem(p): read(p) for p in true})
        if len(true) > len(made):
            _say(f"{len(true) - len(made)} of {len(true)} true masks have no prediction and are left out")
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


@app.command
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
    from .trials import trial as task

    encoder = Model.load(start_from)
    stacks, drawn = _labelled(images, labels)
    if out:
        _check_folder(out)
    with _Console() as console:
        verdict = run(task(stacks, drawn, encoder, settings), console.show)
    print(json.dumps(verdict.as_dict(), indent=1) if as_json else verdict.describe())
    for path in verdict.save(out) if out else ():
        _say(str(path))
    return INTERRUPTED if console.interrupted else 0


@app.command
def study(
    *,
    images: Path,
    masks: Path | None = None,
    out: Path,
    split: Path | None = None,
    test_images: Path | None = None,
    test_masks: Path | None = None,
    unlabelled: Annotated[list[Path] | None, Many] = None,
    instances: bool = False,
    settings: Annotated[StudyFlags | None, Flat] = None,
) -> int:
    """Compare initialisations, networks and amounts of labels on images with masks; goes on where it stopped.

    Parameters
    ----------
    images
        Folder or file; with the masks in it if they are not given.
    masks
        Folder or file of the masks.
    out
        Folder for the results: summary.md, runs.csv, curves.
    split
        JSON file with the lists train and test; by default split.json beside the images, else 30 % are for the test.
    test_images, test_masks
        Images to test on, instead of a split.
    unlabelled
        Further images that pre-training sees.
    instances
        Masks number objects.
    """
    from .datasets import find_pairs
    from .studies import find_split, split_set
    from .studies import study as task

    if split and test_images:
        raise ValueError("--split and --test-images both say what to test on; leave one of them out")
    if test_masks and not test_images:
        raise ValueError("--test-masks needs --test-images; give both, or neither")
    found = find_pairs(images, masks, instances=instances)
    _say(found.describe())
    test = find_pairs(test_images, test_masks, instances=instances) if test_images else None
    train, tested, how = split_set(found, split or find_split(images), test)
    _say(f"{len(train)} to train on, {len(tested)} to test ({how})")
    _check_folder(out)
    more = [read(path) for path in find(unlabelled)] if unlabelled else []
    with _Console() as console:
        summary = run(task(train, tested, out, settings, unlabelled=more), console.show)
    print(summary)
    return INTERRUPTED if console.interrupted else 0


@app.command
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
    print(json.dumps(model.as_dict(), indent=1) if as_json else _plain(model.describe()))
    for record in model.history:
        if record.get("verb") == "import" and not as_json:
            print(_plain(_origin(record)))
    return 0


class _Console:
    """Shows progress on stderr; the first Ctrl-C asks the task to stop and keep what there is, the second ends it.

    SIGTERM, by which clusters announce that time is up, is like the first, however often it comes.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self._shown = 0.0
        self._started = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def __enter__(self) -> _Console:
        self._before = {number: signal.signal(number, self._interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._terminal:
            sys.stderr.write("\n")

    def _interrupt(self, number: int, _: object) -> None:
        if self.interrupted and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self.interrupted:
            _say("stopping; what is done is kept (press Ctrl-C again to drop it)")
        self.interrupted = True

    def show(self, progress: Progress) -> bool:
        """Draw a line at most ten times a second on a terminal, once in five seconds elsewhere."""
        now, last = time.monotonic(), progress.step == progress.total and "/" not in progress.stage  # of several files
        if now - self._shown >= (0.1 if self._terminal else 5) or last:
            self._shown = now
            values = "  ".join(f"{name} {value:.3f}" for name, value in progress.values.items())
            values += f"  ({progress.health.word})" if progress.health else ""
            line = f"{progress.stage} {progress.step}/{progress.total}  {now - self._started:.0f} s  {values}"
            sys.stderr.write(f"\r\x1b[K{line}" if self._terminal else f"{line}\n")
            sys.stderr.flush()
        return self.interrupted


def _say(sentence: str) -> None:
    if place()[0] == 0:  # of several processes the first speaks for all
        sys.stderr.write(f"{sentence}\n")


def _blame(error: Exception) -> None:
    """Say what went wrong, in a line of its own even where several processes do."""
    rank, size = place()
    sys.stderr.write(f"btunet{f', process {rank + 1} of {size}' * (size > 1)}: {_plain(str(error))}\n")


def _plain(text: str) -> str:
    """Return one line without what would steer a terminal: names of files and classes may hold anything."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _check_alone(command: Callable[..., Any]) -> None:
    """Refuse to do the same work, and write the same files, several times at once."""
    size = place()[1]
    if size > 1 and command in (finetune, predict, objects, trial, study):
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
        _blame(error)
    except OSError as error:
        _blame(BtunetError(f"{error.filename or 'a file'} cannot be used: {error.strerror or error}; choose another"))
    except MemoryError:
        _blame(BtunetError("there is not enough memory; give fewer or smaller images, or images in zarr"))
    return MISTAKE


def entry() -> None:
    """Be the ``btunet`` command; what libraries have to say of a broken file is in the one sentence already."""
    logging.getLogger().addHandler(logging.NullHandler())
    sys.exit(main())
