"""The runs: every arm on the same annotations of a set, with rounds of corrections, one row each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .annotation import Painting, begin, correct, opened
from .arms import PIXELS, Arm
from .features import Features
from .rows import Row, append, read_rows
from .scores import Predictor, mask_of, score
from .sets import ImageSet, Masks
from .work import Work

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is compared on every set."""

    arms: Mapping[str, Arm]
    budgets: tuple[str, ...] = ("1x3", "4x5", "15x5", "2", "5", "20")
    seeds: tuple[int, ...] = (0, 1, 2)
    efforts: tuple[str, ...] = ("60s",)  # seconds, or steps as 200steps; arms of single pixels take their own time
    rounds: int = 0  # of corrections, after strokes
    corrections: int = 3  # strokes per image and round
    fresh: int = 0  # further planes that are opened, and corrected, in every round
    test: int = 0  # test planes at most; 0 = all
    threads: int = 1
    megabytes: int = 1024  # to keep features in

    def efforts_of(self, arm: str) -> tuple[str, ...]:
        """Return the efforts an arm is run with."""
        return ("",) if arm in PIXELS else self.efforts


def effort_of(text: str) -> tuple[float, int]:
    """Return seconds and steps; one of them is 0.

    >>> effort_of("60s"), effort_of("200steps"), effort_of("")
    ((60.0, 0), (0.0, 200), (0.0, 0))
    """
    if text.endswith("steps"):
        return 0.0, int(text.removesuffix("steps"))
    if text and not text.endswith("s"):
        raise ValueError(f"the effort {text!r} is not understood; write 60s or 200steps")
    return float(text.removesuffix("s") or 0), 0


def bench(images: ImageSet, out: Path, plan: Plan, say: Say = print) -> None:
    """Make all runs of one set that are not yet in ``out/rows.csv``."""
    features, missing = Features(plan.megabytes, plan.threads), set[str]()
    for seed in plan.seeds:
        for budget in plan.budgets:
            painting: Painting | None = None
            for arm in plan.arms:
                for effort in plan.efforts_of(arm):
                    key: Row = {"set": images.name, "arm": arm, "effort": effort, "budget": budget, "seed": seed}
                    key["test"] = plan.test
                    if arm in missing or is_finished(out, key, plan):
                        continue
                    painting = painting or begin(images, budget, seed)
                    try:
                        _sequence(images, out, plan, key, painting, features, say)
                    except ImportError as error:
                        missing.add(arm)
                        say(f"{arm} is left out: {error}")


def is_finished(out: Path, key: Row, plan: Plan) -> bool:
    """Whether all rounds of a run are in the table."""
    rounds = {r["round"] for r in read_rows(out / "rows.csv") if all(r[k] == v for k, v in key.items())}
    return rounds >= set(range(1 + _rounds(key["budget"], plan)))


def _rounds(budget: str, plan: Plan) -> int:
    return plan.rounds if "x" in budget else 0


def _sequence(
    images: ImageSet, out: Path, plan: Plan, key: Row, painting: Painting, features: Features, say: Say
) -> None:
    """Train, score and correct, round by round; an interrupted one begins again, since later rounds need the first."""
    predictor: Predictor | None = None
    seed, (seconds, steps) = int(key["seed"]), effort_of(key["effort"])
    for turn in range(1 + _rounds(key["budget"], plan)):
        if turn and predictor:
            painting = opened(painting, images, seed, plan.fresh)
            found = _predicted(predictor, images, painting)
            painting = correct(painting, found, images, strokes=plan.corrections, seed=seed, turn=turn)
        work = Work(
            images,
            painting.labels,
            dense=painting.dense,
            seconds=seconds,
            steps=steps,
            seed=seed,
            threads=plan.threads,
            cache=out / "encoders",
            features=features,
        )
        predictor = _run(images, out, plan, {**key, "round": turn}, painting, work, say)


def _run(images: ImageSet, out: Path, plan: Plan, key: Row, painting: Painting, work: Work, say: Say) -> Predictor:
    """Train and score one arm once, and add its row."""
    arm = plan.arms[key["arm"]]
    getattr(arm, "prepare", lambda _: None)(work)  # what all runs share is not part of the seconds
    began, saved = time.perf_counter(), work.features.saved
    predictor = arm(work)
    trained = time.perf_counter() - began + work.features.saved - saved
    saved = work.features.saved
    scores = score(predictor, images, limit=plan.test)
    tested = scores.seconds + work.features.saved - saved
    append(
        out / "rows.csv",
        {
            **key,
            "planes": len(painting.labels),
            "strokes": painting.strokes,
            "length": painting.length,
            "pixels": painting.pixels,
            "dice": round(scores.dice, 4),
            "recall": round(scores.recall, 4),
            "collapsed": scores.collapsed,
            "train_seconds": round(trained, 2),
            "test_seconds": round(tested, 2),
            "table": [[None if d is None else round(d, 4) for d in image] for image in scores.table],
        },
    )
    said = f"{key['set']}, {key['arm']} {key['effort']}, {key['budget']}, seed {key['seed']}, round {key['round']}"
    say(f"{said}: Dice {scores.dice:.3f}, {trained:.1f} s{', collapsed' * scores.collapsed}")
    return predictor


def _predicted(predictor: Predictor, images: ImageSet, painting: Painting) -> Masks:
    return {(i, plane): mask_of(predictor, images.stacks[i], plane) for i, plane in painting.labels}
