"""Is the verdict right? Whether pre-training helped by held-out strokes, against Dice of test images with true masks.

    PYTHONPATH=benchmarks python benchmarks/verdict.py DATA OUT.csv [--sets ...] [--starts barlow masks constant zero]

The simulated person of `strokes` paints; `btunet.trial` judges an encoder by the strokes. The truth: trainings on all
of the strokes, from random weights and from the encoder, with the same steps and pairs of seeds; difference in Dice of
test images, paired, with an interval over seeds and images. Four encoders: *barlow* is pre-trained on the set's
images; *masks* was taken from a model that learned true masks of images on which nothing is painted; in *constant*
every tensor of the first holds its mean only; in *zero* all are 0, so that it can learn nothing and must hurt.
Finished rows of OUT.csv are not repeated.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import btunet
from btunet import FinetuneSettings, Model, PretrainSettings, TrialSettings, Verdict
from btunet.device import mind_the_machine
from btunet.settings import RECIPES
from strokes.annotation import begin, showing_all
from strokes.bootstrap import Difference, difference, paired
from strokes.networks import Trained, encoder, finetuned
from strokes.scores import score
from strokes.sets import ImageSet, load, names_in
from strokes.work import Work

COLUMNS = ("set", "start", "recipe", "budget", "seed", "steps", "strokes", "difference", "low", "high", "verdict")
KEY = COLUMNS[:6]
TRUE = ("true difference", "true low", "true high", "seconds")
STARTS = ("barlow", "masks", "constant", "zero")
LEARNED = 12  # planes whose masks an encoder may have learned


def start_of(kind: str, work: Work, how: FinetuneSettings, before: PretrainSettings) -> Model:
    """Return an encoder; made once if there is a folder to keep it in."""
    if kind != "masks":
        model = encoder(work, before)
    if kind == "constant":
        return replace(model, weights={k: np.full_like(w, w.mean()) for k, w in model.weights.items()})
    if kind == "zero":
        return replace(model, weights={k: np.zeros_like(w) for k, w in model.weights.items()})
    if kind == "barlow":
        return model
    assert work.cache
    path = work.cache / f"{work.images.name}__masks__{work.seed}.safetensors"
    if not path.exists():
        others = [plane for plane in showing_all(work.images, work.seed) if plane not in work.labels][:LEARNED]
        masks = {plane: work.images.masks[plane] for plane in others or work.images.masks}
        learned = finetuned(replace(work, labels=masks, dense=True, steps=200), replace(how, recipe=RECIPES[0]))
        weights = {k: w for k, w in learned.weights.items() if k.startswith("encoder.")}
        replace(learned, classes=(), weights=weights).save(path)
    return Model.load(path)


def tried(work: Work, start: Model, settings: TrialSettings) -> Verdict:
    """Return what the strokes say."""
    strokes = [{p: v for (i, p), v in work.labels.items() if i == n} for n in range(len(work.images.stacks))]
    return btunet.run(btunet.trial(work.images.stacks, strokes, start, settings))


def true(work: Work, start: Model, settings: TrialSettings, how: FinetuneSettings, test: int) -> Difference:
    """Return the difference in Dice of test images that the start makes to trainings on all strokes."""
    sides: list[list[dict[str, object]]] = [[], []]
    nothing = replace(start, weights={}, history=())
    for seed in range(settings.seeds):
        for side, model in zip(sides, (nothing, start), strict=True):
            predictor = Trained(finetuned(replace(work, seed=seed, steps=settings.steps), how, model))
            side.append({"seed": seed, "table": score(predictor, work.images, limit=test).table})
    found = difference(paired(sides[1], sides[0]))
    assert found
    return found


def row_of(images: ImageSet, start: str, seed: int, settings: TrialSettings, args: argparse.Namespace) -> list[object]:
    """Return one line of the table."""
    began = time.perf_counter()
    work = Work(images, begin(images, args.budget, seed).labels, seed=seed, cache=args.encoders)
    how = FinetuneSettings(recipe=settings.recipe, batch=settings.batch, patch_size=settings.patch_size)
    model = start_of(start, work, how, PretrainSettings(steps=args.pretrain_steps))
    head = [images.name, start, settings.recipe, args.budget, seed, settings.steps]
    try:
        verdict = tried(work, model, replace(settings, seed=seed))
    except ValueError as error:
        return [*head, 0, "", "", "", str(error), "", "", "", ""]
    truth = true(work, model, settings, how, args.test)
    numbers = [f"{v:.4f}" for v in (verdict.difference, verdict.low, verdict.high)]
    actual = [f"{v:.4f}" for v in (truth.mean, truth.low, truth.high)]
    return [*head, verdict.strokes, *numbers, verdict.word, *actual, round(time.perf_counter() - began)]


def word_of(mean: float, low: float, high: float) -> str:
    """Say both differences by one rule."""
    return Verdict(mean, low, high, (), ()).word


def report(path: Path) -> None:
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["true low"]]
    print("| set | recipe | encoder | strokes | held-out strokes say | Dice of test images says |")
    print("|---|---|---|---|---|---|")
    found = []
    for row in rows:
        sides = [[float(row[f"{of}{name}"]) for name in ("difference", "low", "high")] for of in ("", "true ")]
        found.append([(numbers[0], word_of(*numbers)) for numbers in sides])
        cells = (f"{word_of(*n)}: {n[0]:+.3f} ({n[1]:+.3f} to {n[2]:+.3f})" for n in sides)
        print(f"| {row['set']} | {row['recipe']} | {row['start']} | {row['strokes']} | {' | '.join(cells)} |")
    same = sum(said[1] == real[1] for said, real in found)
    opposite = sum({said[1], real[1]} == {"helped", "hurt"} for said, real in found)
    signs = [said[0] * real[0] > 0 for said, real in found]
    clear = [sign for sign, (said, _) in zip(signs, found, strict=True) if said[1] != "no clear difference"]
    print(
        f"\n{len(found)} trials: the same verdict {same}, the opposite verdict {opposite}, the same sign {sum(signs)};"
    )
    print(f"{len(clear)} clear verdicts, of which {sum(clear)} have the sign of the truth")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", nargs="+")
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=STARTS)
    parser.add_argument("--recipe", choices=RECIPES, default=RECIPES[0])
    parser.add_argument("--budget", default="4x5")
    parser.add_argument("--seeds", type=int, default=1, help="repetitions, each with other strokes")
    parser.add_argument("--encoders", type=Path, help="folder that keeps encoders; by default beside OUT.csv")
    parser.add_argument("--pretrain-steps", type=int, default=300)
    parser.add_argument("--steps", type=int, default=40, help="of every training")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=2, help="of trainings for every fold")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--patch-size", type=int, default=64)
    parser.add_argument("--test", type=int, default=8, help="test images")
    args = parser.parse_args()
    mind_the_machine()
    torch.set_num_threads(1)
    args.encoders = args.encoders or args.out.parent / "encoders"
    effort = {"steps": args.steps, "batch": args.batch, "patch_size": args.patch_size}
    settings = TrialSettings(recipe=args.recipe, folds=args.folds, seeds=args.pairs, **effort)
    done = set[tuple[str, ...]]()
    if args.out.exists():
        with args.out.open(newline="") as file:
            done = {tuple(row[c] for c in KEY) for row in csv.DictReader(file)}
    else:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(",".join((*COLUMNS, *TRUE)) + "\n")
    for seed in range(args.seeds):
        for start in args.starts:
            for name in args.sets or names_in(args.data):
                if (name, start, args.recipe, args.budget, str(seed), str(args.steps)) in done:
                    continue
                row = row_of(load(args.data, name), start, seed, settings, args)
                with args.out.open("a", newline="") as file:
                    csv.writer(file).writerow(row)
    report(args.out)


if __name__ == "__main__":
    main()
