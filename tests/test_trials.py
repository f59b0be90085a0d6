"""Whether pre-training helped is told by strokes that neither training learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from btunet import FinetuneSettings, Model, Progress, Task, TrialSettings, in_child, run, trial, trials
from btunet.folds import GAP, Stroke
from btunet.images import Stack

SIDE = 96
QUICK = TrialSettings(folds=2, steps=1, batch=2, patch_size=32, recipe="paper")
NOTHING = Model("unet", 1, (), {})  # an encoder without weights is the random start itself
ROWS = range(8, SIDE, 20)  # of the strokes: five of each class


def image() -> np.ndarray:
    """Return an image, dark on the left and bright on the right."""
    return np.random.default_rng(0).normal(0, 0.1, (SIDE, SIDE)) + (np.arange(SIDE) >= SIDE // 2)


def strokes() -> np.ndarray:
    values = np.zeros((SIDE, SIDE), np.uint8)
    for row in ROWS:
        values[row, 5:30], values[row, SIDE - 30 : SIDE - 5] = 1, 2
    return values


class Stub:
    """Trainings that learn nothing and are judged as it was planted; keeps what they were given."""

    def __init__(self, gain: float = 0.0) -> None:
        self.gain, self.rng = gain, np.random.default_rng(0)
        self.given: list[tuple[np.ndarray, FinetuneSettings, Model]] = []
        self.asked: list[list[Stroke]] = []

    def finetune(
        self, stacks: Any, labels: Any, settings: FinetuneSettings, *, start_from: Model, classes: Any
    ) -> Task[Model]:
        self.given.append((labels[0][0], settings, start_from))
        for step in range(settings.steps):
            yield Progress("fine-tuning", step + 1, settings.steps, {"loss": 1.0})
        return start_from

    def judge(self, model: Model, stacks: Sequence[Stack], held: list[Stroke]) -> list[float]:
        self.asked.append(held)
        return [0.5 + self.rng.normal(0, 0.02) + self.gain * bool(model.weights) for _ in held]


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    made = Stub()
    monkeypatch.setattr(trials, "finetune", made.finetune)
    monkeypatch.setattr(trials, "_judge", made.judge)
    return made


@pytest.fixture(scope="module")
def encoder() -> Model:
    """Return an encoder with weights of its own."""
    built = NOTHING.build(2, seed=9).state_dict()
    return replace(NOTHING, weights={k: v.numpy() for k, v in built.items() if k.startswith("encoder.")})


# ---- with trainings


def fingerprint(model: Model, stacks: Any, held: list[Stroke]) -> list[float]:
    """Judge by what any difference between two trainings shows in."""
    return [float(np.abs(model.weights["head.weight"]).mean())] * len(held)


def test_equal_starts_differ_by_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "_judge", fingerprint)
    verdict = run(trial([image()], [strokes()], NOTHING, QUICK))
    assert (verdict.difference, verdict.low, verdict.high) == (0, 0, 0)
    assert verdict.word == "no clear difference"
    assert len({share for stroke in verdict.judged for share in stroke.without}) == 4  # each pair has its own seed


def test_a_trial_can_be_repeated(monkeypatch: pytest.MonkeyPatch, encoder: Model) -> None:
    monkeypatch.setattr(trials, "_judge", fingerprint)
    first, second = (run(trial([image()], [strokes()], encoder, QUICK)) for _ in range(2))
    assert first == second
    assert all(stroke.gain for stroke in first.judged)


def test_a_child_process_gives_the_verdict(encoder: Model) -> None:
    verdict = run(in_child("trial", [image()], [strokes()], encoder, QUICK, threads=1))
    assert verdict.describe().endswith("on 10 held-out strokes")
    assert all(0 <= share <= 1 for stroke in verdict.judged for share in stroke.pretrained)


# ---- without


def test_every_stroke_is_judged_once_by_every_pair(stub: Stub, encoder: Model) -> None:
    values = strokes()
    found = run(trial([image()], [values], encoder, QUICK, classes=["dark", "bright"]))
    assert found.classes == ("dark", "bright")
    assert sorted((s.y, s.x) for s in found.judged) == sorted((row, x) for row in ROWS for x in (5, SIDE - 30))
    for stroke in found.judged:
        assert values[stroke.y, stroke.x] == stroke.kind + 1
        assert len(stroke.without) == len(stroke.pretrained) == QUICK.seeds
    assert set(found.of_folds) == {0, 1}


@pytest.mark.parametrize(("gain", "word"), [(0.1, "helped"), (-0.1, "hurt"), (0.0, "no clear difference")])
def test_what_was_planted_is_found(stub: Stub, encoder: Model, gain: float, word: str) -> None:
    stub.gain = gain
    verdict = run(trial([image()], [strokes()], encoder))
    assert verdict.word == word
    assert verdict.difference == pytest.approx(gain, abs=0.02)


def test_nothing_within_the_gap_of_a_held_out_stroke_is_learned(stub: Stub, encoder: Model) -> None:
    values = strokes()
    values[ROWS[0] + GAP, 5:30] = 1  # one stroke lies in the gap of another
    run(trial([image()], [values], encoder))
    for (learned, _, _), held in zip(stub.given, stub.asked, strict=True):
        away = np.ones((SIDE, SIDE), bool)
        for stroke in held:
            away.ravel()[stroke.pixels] = False
        distance = distance_transform_edt(away)
        np.testing.assert_array_equal(learned, np.where(distance > GAP, values, 0))
        assert learned.any() and not away.all()


def test_pairs_share_all_but_the_encoder(stub: Stub, encoder: Model) -> None:
    run(trial([image()], [strokes()], replace(encoder, network="plain-unet"), TrialSettings(steps=3)))
    pairs = list(zip(stub.given[::2], stub.given[1::2], strict=True))
    assert len(pairs) == 4 * 2
    for (learned, settings, start), (same, also, pretrained) in pairs:
        np.testing.assert_array_equal(learned, same)
        assert settings == also and settings.steps == 3
        assert start == replace(pretrained, weights={})
        assert pretrained.weights
    assert len({settings.seed for _, settings, _ in stub.given}) == len(pairs)


def test_steps_are_counted_over_all_trainings(stub: Stub, encoder: Model) -> None:
    seen: list[Progress] = []
    run(trial([image()], [strokes()], encoder, QUICK), seen.append)
    assert seen[-1].step == seen[-1].total == 2 * 2 * 2 * QUICK.steps
    assert [p.step for p in seen] == sorted(p.step for p in seen)
    assert "difference" in seen[-1].values
    assert all("loss" in p.values for p in seen if p.values)  # as a window draws it


def test_a_trial_that_is_stopped_keeps_folds_with_two_pairs(stub: Stub, encoder: Model) -> None:
    settings = TrialSettings(seeds=3, steps=2)
    per_fold = settings.seeds * 2 * settings.steps
    stopped = {
        at: run(trial([image()], [strokes()], encoder, settings), lambda p, at=at: p.step >= at)  # type: ignore[misc]
        for at in (0, per_fold // 3 + 1, per_fold - 1, per_fold + 1, 2 * per_fold + 1)
    }
    folds = [sorted(verdict.of_folds) for verdict in stopped.values()]
    assert folds == [[], [], [0], [0], [0, 1]]
    kept = [sorted({len(s.without) for s in verdict.judged}) for verdict in stopped.values()]
    assert kept == [[], [], [2], [3], [3]]
    assert stopped[0].describe() == "Nothing is known yet: no held-out stroke was judged"


# ---- refusals


def refused(values: np.ndarray, encoder: Model = NOTHING, settings: TrialSettings = QUICK, images: int = 1) -> str:
    with pytest.raises(ValueError) as error:
        run(trial([image()] * images, [values], encoder, settings, classes=["paper", "ink"]))
    return str(error.value)


def test_too_few_strokes_are_refused() -> None:
    values = strokes()
    assert "'paper' has 5 strokes" in refused(values, settings=replace(QUICK, folds=6))
    values[ROWS[0] : ROWS[2], SIDE // 2 :] = 0
    assert "'ink' has 3 strokes (what touches counts as one); paint at least 4 of each class" in refused(values)


def test_strokes_that_lie_too_close_are_refused() -> None:
    values = strokes()
    values[:, SIDE // 2 :] = 0
    values[8:16:2, 60:90] = 2
    assert "'ink' lie so close to held-out ones that none is left" in refused(values)


def test_a_model_that_learned_strokes_is_refused() -> None:
    assert "choose a pre-trained encoder" in refused(strokes(), replace(NOTHING, classes=("paper", "ink")))


def test_what_does_not_belong_together_is_refused() -> None:
    assert "there are 2 images but strokes for 1" in refused(strokes(), images=2)
    assert "1 channels but the model was trained on 3" in refused(strokes(), replace(NOTHING, channels=3))
    assert "only 'paper' is annotated" in refused(np.minimum(strokes(), 1))
