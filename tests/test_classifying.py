"""The instant classifier as a model: it says the same, is judged, and is compared with networks."""

from __future__ import annotations

import numpy as np
import pytest

from btunet import FinetuneSettings, Model, answer, classify, compare, compare_with_classifier, finetune, predict, run
from btunet.comparison import PEER
from btunet.folds import FOLDS

from .test_heldout import SIDE, image, strokes

CLASSES = ("background", "object")


@pytest.fixture(scope="module")
def made() -> Model:
    return run(classify([image()], [strokes(FOLDS)], CLASSES))


def test_it_predicts_what_strokes_are_answered_with(made: Model) -> None:
    task = answer([image()], [{0: strokes(FOLDS)}], CLASSES, (0, 0))
    shown = next(part.mask for progress in task for part in progress.planes)
    task.close()
    np.testing.assert_array_equal(run(predict(made, [image()]))[0].reshape(SIDE, SIDE), shown)


def test_it_survives_a_file_and_says_what_it_is(made: Model, tmp_path: object) -> None:
    again = Model.load(made.save(f"{tmp_path}/m.safetensors"))
    assert again.is_instant
    assert again.describe() == "model for background, object: what the strokes alone say, no network was trained"
    assert not Model("unet", 1, CLASSES, {}).is_instant


def test_a_network_of_the_same_strokes_was_compared_with_the_same_judgement(made: Model) -> None:
    settings = FinetuneSettings(steps=4, patch_size=48, batch=2)
    network = run(finetune([image()], [strokes(FOLDS)], settings, classes=CLASSES, judged=True))
    assert network.history[-1][PEER] == made.history[-1]["held out"]
    assert len(network.history[-1][PEER]) == len(network.history[-1]["held out"]) == 2
    assert compare_with_classifier(network) is None  # two strokes are too few to say anything
    assert compare(network, made) is None


def test_with_too_few_strokes_it_is_not_judged_but_made() -> None:
    few = run(classify([image()], [strokes(FOLDS - 1)]))
    assert few.is_instant and few.classes == ("background", "class 1")
    assert "held out" not in few.history[-1]


def test_strokes_are_answered_and_scored_beside_it_as_without_a_model(made: Model) -> None:
    task = answer([image()], [{0: strokes(FOLDS)}], CLASSES, (0, 0), model=made)
    estimates = next(progress.estimates for progress in task if progress.estimates is not None)
    task.close()
    assert set(estimates) == {1}


def test_a_network_that_goes_on_from_it_is_not_judged_by_what_it_had_learned(made: Model) -> None:
    settings = FinetuneSettings(steps=4, patch_size=48, batch=2)
    network = run(finetune([image()], [strokes(FOLDS)], settings, start_from=made, judged=True))
    assert "held out" not in network.history[-1]


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one other class"):
        run(classify([image()], [(strokes(3) == 1).astype(np.uint8)], CLASSES))
