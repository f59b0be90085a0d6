"""The papers' experiments on any images: initialisation × network × number of labels × seed, resumable.

Punn & Agarwal 2022 compare networks with and without Barlow Twins at growing shares of the labels; Kalapos &
Gyires-Tóth 2022 compare initialisations and how soon each converges. Here every arm gets the same planes, steps and
schedule; small sets are drawn from more often, so that the steps stay the same (as Kalapos & Gyires-Tóth do).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

import numpy as np

from ..errors import BtunetError
from ..evaluation import evaluate
from ..finetuning import finetune
from ..images import Stack, as_stack, check_contrast
from ..labels import IGNORE, Targets, check_classes, targets_of_masks
from ..model import Model
from ..prediction import predict
from ..pretraining import pretrain
from ..recipes import FINETUNING
from ..replace import replacing
from ..settings import FinetuneSettings, PretrainSettings, StudySettings
from ..task import Task
from ..transfer import IMAGENET, import_encoder
from .plan import Plan, Run, chain, file_name
from .report import read_record, report
from .sets import Labelled

Result = TypeVar("Result")
GROWING = ("networks", "initialisations", "budgets", "seeds")  # settings that may differ when a study is gone on with
COLLAPSED = 0.05  # recall below which a run counts as collapsed, as in a replication of BT-Unet
CURVE = 8  # points of a validation curve


def study(
    train: Sequence[Labelled],
    test: Sequence[Labelled],
    out: Path,
    settings: StudySettings | None = None,
    *,
    unlabelled: Sequence[Stack] = (),
) -> Task[Path]:
    """Train and score every combination of the settings; go on where an earlier call with the same folder stopped.

    Up to a fifth of the training planes are held out for the validation curves and for choosing the learning rate; test
    planes are used for the final scores alone. Every finished run is a file of its own in ``out/runs``, every
    pre-training one in ``out/encoders``; one pre-training serves all seeds, as in Kalapos & Gyires-Tóth.

    Parameters
    ----------
    train, test
        Stacks of one number of channels with masks: 0 = background, 1..K = classes, 255 = ignore.
    out
        Folder for the results: ``runs.csv`` (a row per run), ``summary.md``, ``settings.json``, curves as PNG.
    settings
        What to compare.
    unlabelled
        Further stacks that pre-training sees.

    Yields
    ------
    Progress
        Of the training that runs, with the number of the run and the time left in ``stage``. The reply ``True`` stops
        after summing up the finished runs.

    Returns
    -------
    Path
        ``summary.md``.

    Raises
    ------
    ValueError
        If the settings cannot be understood or fit no network, or images and masks do not belong together.
    BtunetError
        If the folder holds a study of other masks or with other settings, or cannot be written.
    """
    settings = settings or StudySettings()
    if not train or not test:
        raise ValueError(f"there are {len(train)} labelled images to train on and {len(test)} to test; give some")
    bench = _Bench(train, test, out, settings, unlabelled)
    bench.remember_settings()
    waiting = [run for run in bench.plan.runs if not bench.file(run).exists()]
    for network in sorted({run.network for run in waiting if chain(run.initialisation)[0] == IMAGENET}):
        fetched = yield from bench.start(Run(network, IMAGENET, "", 0), f"{network}, {IMAGENET}")  # fails now, or never
        if fetched is None:
            return report(out, settings)
    finished, started = len(bench.plan.runs) - len(waiting), time.monotonic()
    for made, run in enumerate(waiting):
        seconds = (time.monotonic() - started) / made * (len(waiting) - made) if made else None
        left = "" if seconds is None else f", {_duration(seconds)} left"
        stage = f"run {finished + made + 1}/{len(bench.plan.runs)}{left}: {run.describe()}"
        if not (yield from bench.make(run, stage)):
            break
        report(out, settings, pictures=False)
    return report(out, settings)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


class _Bench:
    """What all runs of a study share."""

    def __init__(
        self,
        train: Sequence[Labelled],
        test: Sequence[Labelled],
        out: Path,
        settings: StudySettings,
        unlabelled: Sequence[Stack],
    ) -> None:
        self.stacks, self.test = [stack for stack, _ in train], test
        self.out, self.settings, self.unlabelled = out, settings, unlabelled
        self.classes, masks, self.digest = _checked(train, test, unlabelled)
        self.plan = Plan(masks, settings)

    def file(self, run: Run) -> Path:
        """Return the file that exists when a run is finished."""
        return self.out / "runs" / f"{run.name}.json"

    def remember_settings(self) -> None:
        """Write the settings, or refuse a folder whose study was made with others."""
        path, mine = self.out / "settings.json", json.loads(json.dumps(self.settings.as_dict()))
        mine |= {"train planes": len(self.plan.masks), "test images": len(self.test)}
        mine |= {"unlabelled images": len(self.unlabelled), "masks": self.digest}
        if self.settings.rates:
            mine["rates tried on"] = f"{self.plan.tuned_on}, from {self.settings.initialisations[0]}"
        before = read_record(path) if path.exists() else {}
        for key, value in mine.items():  # an older version may have remembered less
            if key not in GROWING and before.get(key, value) != value:
                raise BtunetError(
                    f"{self.out} holds a study with {key} {before[key]}, not {value}; choose another folder"
                )
        _write(path, mine)

    def make(self, run: Run, stage: str) -> Task[bool]:
        """Train and score one run and write its file; return False if it was stopped, and then write nothing."""
        start = yield from self.start(run, stage)
        if start is None:
            return False
        settings = FinetuneSettings(
            steps=self.settings.steps, seed=run.seed, recipe=self.settings.recipe, learning_rate=self._rate(run)
        )
        labels, strokes = self.plan.labels(run)
        began, curve = time.monotonic(), list[tuple[int, float]]()
        task = finetune(
            [self.stacks[image] for image in labels],
            list(labels.values()),
            settings,
            dense=not strokes,
            start_from=start,
            classes=self.classes,
            validation=[(self.stacks[i], {plane: self.plan.masks[i, plane]}) for i, plane in self.plan.held_out],
            validate_every=max(1, self.settings.steps // CURVE) if self.plan.held_out else 0,
        )
        model = yield from _watched(task, stage, curve)
        if model is None:
            return False
        seconds = time.monotonic() - began
        test = [] if run.rate else self.test  # learning rates are chosen without a look at the test images
        found = yield from _watched(predict(model, [stack for stack, _ in test]), stage)
        if found is None:
            return False
        record = {
            "network": run.network,
            "initialisation": run.initialisation,
            "budget": run.budget,
            "planes": sum(len(planes) for planes in labels.values()),
            "strokes": strokes,
            "seed": run.seed,
            "rate": settings.learning_rate,
            "tuning": bool(run.rate),
            **_scores(found, [mask for _, mask in test]),
            "curve": curve,
            "seconds": round(seconds, 1),
            "start": [dict(entry) for entry in start.history],
        }
        _write(self.file(run), record)
        return True

    def _rate(self, run: Run) -> float:
        """Return the run's own learning rate, the one that did best for its network, or the recipe's."""
        tried = [t for t in self.plan.runs if t.rate and t.network == run.network]
        if run.rate or not tried:
            return run.rate or FINETUNING[self.settings.recipe].descent.rate
        ends = {t.rate: read_record(self.file(t))["curve"][-1][1] for t in tried}
        return max(ends, key=lambda rate: ends[rate])

    def start(self, run: Run, stage: str) -> Task[Model | None]:
        """Return the model a run starts from, made by earlier runs or now; None if it was stopped."""
        parts = chain(run.initialisation)
        model = Model(run.network, self.stacks[0].channels, (), {})
        for i, part in enumerate(parts):
            if part == "random":
                continue
            if part not in ("barlow", "imagenet"):
                model = Model.load(part)
                continue
            file = self.out / "encoders" / f"{file_name(run.network, '+'.join(parts[: i + 1]))}.safetensors"
            if not file.exists():
                barlow = part == "barlow"
                task = self._barlow(model) if barlow else import_encoder(model.network, model.channels, IMAGENET)
                made = yield from _watched(task, stage)
                if made is None:
                    return None
                made.save(file)
            model = Model.load(file)
        return model

    def _barlow(self, model: Model) -> Task[Model]:
        """Pre-train on all training images, the held-out ones included: no label is used."""
        settings = PretrainSettings(
            network=model.network, steps=self.settings.pretrain_steps, recipe=self.settings.recipe
        )
        return pretrain([*self.stacks, *self.unlabelled], settings, start_from=model)


def _checked(
    train: Sequence[Labelled], test: Sequence[Labelled], unlabelled: Sequence[Stack]
) -> tuple[tuple[str, ...], Targets, str]:
    """Return classes, masks to train on and a digest of all masks; refuse now what would end a run after hours."""
    check_contrast([*(stack for stack, _ in train), *unlabelled])
    channels = train[0][0].channels
    for stack, _ in test:
        if stack.channels != channels:
            raise ValueError(f"{stack.name}, to test on, has {stack.channels} channels; those to train on {channels}")
    top = max(int(np.max(mask, where=mask != IGNORE, initial=0)) for _, mask in (*train, *test))
    classes = ("background", *(f"class {k}" for k in range(1, top + 1)))
    masks, truths = (targets_of_masks([s for s, _ in side], [m for _, m in side], classes) for side in (train, test))
    check_classes(masks, classes, "masks")
    if all((truth == IGNORE).all() for truth in truths.values()):
        raise ValueError("the masks to test on hold 255, 'ignore', everywhere; write what is known")
    digest = hashlib.sha256()
    for plane in (*masks.values(), *truths.values()):
        digest.update(plane.tobytes())
    return classes, masks, digest.hexdigest()[:12]


def _watched(task: Task[Result], stage: str, curve: list[tuple[int, float]] | None = None) -> Task[Result | None]:
    """Run a task under another name; return None if it was told to stop. Collects the validation in ``curve``."""
    with closing(task):
        while True:
            try:
                progress = next(task)
            except StopIteration as end:
                result: Result = end.value
                return result
            if curve is not None and "validation dice" in progress.values:
                curve.append((progress.step, round(progress.values["validation dice"], 4)))
            if (yield replace(progress, stage=f"{stage}: {progress.stage}", planes=())) is True:
                return None


def _scores(found: Sequence[np.ndarray], truths: Sequence[np.ndarray]) -> dict[str, Any]:
    """Return the scores of predicted masks, averaged over the classes but the background."""
    if not found:
        return {}
    names = [str(i) for i in range(len(found))]
    result = evaluate(*({n: as_stack(m) for n, m in zip(names, masks, strict=True)} for masks in (found, truths)))
    classes = result["classes"].values()
    pooled = {score: _mean([c["pooled"][score] for c in classes]) or 0.0 for score in ("precision", "recall", "dice")}
    images = [_mean([c["dice"] for c in image["classes"].values()]) for image in result["images"]]
    one_class = len({int(v) for mask in found for v in np.unique(mask)}) == 1
    return {
        "precision": pooled["precision"],
        "recall": pooled["recall"],
        "dice": _mean(images) or 0.0,
        "dice_pooled": pooled["dice"],
        "mean_iou": result["mean_iou"],
        "foreground_iou": result["mean_foreground_iou"],
        "collapsed": pooled["recall"] < COLLAPSED or one_class,
        "images": images,
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return fmean(known) if known else None


def _write(path: Path, record: Mapping[str, Any]) -> None:
    with replacing(path) as part:
        part.write_text(json.dumps(record, indent=1))
