import json
from typing import Any

import numpy as np
import pytest

from btunet import Stack, as_stack, evaluate


def one(prediction: Any, truth: Any) -> dict[str, Any]:
    return evaluate({"a": as_stack(prediction)}, {"a": as_stack(truth)})


def plane(*values: int) -> np.ndarray:
    return np.array([values], np.uint8)


TRUTH, FOUND = plane(1, 1, 1, 0, 0, 0, 255, 255), plane(1, 1, 0, 1, 0, 0, 1, 0)


def test_scores_are_those_computed_by_hand() -> None:
    report = one(FOUND, TRUTH)
    scores = {"precision": 2 / 3, "recall": 2 / 3, "dice": 2 / 3, "iou": 1 / 2}
    assert report["classes"]["1"]["mean"] == pytest.approx(scores)
    assert report["classes"]["1"]["pooled"] == pytest.approx(scores)
    assert report["mean_iou"] == pytest.approx((2 / 4 + 2 / 4) / 2)
    assert report["mean_foreground_iou"] == pytest.approx(0.5)
    assert report["images"] == [{"name": "a", "plane": 0, "classes": {"1": pytest.approx(scores)}}]
    assert report["planes"] == 1


def test_every_class_has_its_own_score() -> None:
    report = one(plane(0, 1, 1, 2, 2, 3), plane(0, 1, 2, 2, 2, 0))
    ious = [1 / 2, 1 / 2, 2 / 3, 0]
    assert [report["classes"][k]["pooled"]["iou"] for k in "123"] == pytest.approx(ious[1:])
    assert report["mean_iou"] == pytest.approx(sum(ious) / 4)
    assert report["mean_foreground_iou"] == pytest.approx(sum(ious[1:]) / 3)


def test_the_mean_is_over_planes_and_pooled_is_over_pixels() -> None:
    truth = np.stack([plane(1, 1, 1, 1), plane(1, 0, 0, 0)])
    found = np.stack([plane(1, 1, 1, 1), plane(0, 1, 0, 0)])
    scores = one(found, truth)["classes"]["1"]
    assert scores["mean"]["iou"] == pytest.approx(0.5)
    assert scores["pooled"]["iou"] == pytest.approx(4 / 6)


def test_planes_without_an_object_are_counted_and_left_out_of_the_mean_when_both_agree() -> None:
    empty, full = plane(0, 0), plane(1, 1)
    truth, found = np.stack([empty, empty, full, full]), np.stack([empty, full, empty, full])
    scores = one(found, truth)["classes"]["1"]
    assert scores["empty"] == {"both": 1, "truth only": 1, "prediction only": 1}
    assert scores["mean"]["dice"] == pytest.approx((0 + 0 + 1) / 3)


def test_a_class_nobody_sees_has_no_score() -> None:
    report = one(plane(0, 0), plane(0, 0))
    assert report["classes"]["1"]["mean"]["dice"] is None
    assert report["mean_iou"] == 1
    assert report["mean_foreground_iou"] is None


def test_a_truth_that_is_unknown_everywhere_has_no_score() -> None:
    report = one(plane(0, 1), plane(255, 255))
    assert report["mean_iou"] is None


def test_a_perfect_prediction_scores_one(rng: np.random.Generator) -> None:
    mask = rng.integers(0, 4, (3, 20, 20)).astype(np.uint8)
    report = one(mask, mask)
    assert report["mean_iou"] == report["mean_foreground_iou"] == 1


def test_the_report_is_json(rng: np.random.Generator) -> None:
    truth, found = rng.integers(0, 3, (2, 4, 5, 6)).astype(np.uint8)
    report = one(found, truth)
    assert json.loads(json.dumps(report)) == report


def test_truths_without_a_prediction_are_left_out() -> None:
    report = evaluate({"a": as_stack(FOUND)}, {"a": as_stack(TRUTH), "b": as_stack(plane(3, 3))})
    assert report["planes"] == 1


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.int64, np.uint64])
def test_whole_numbers_of_any_type_are_scored(dtype: Any) -> None:
    report = one(FOUND.astype(dtype), np.where(TRUTH == 255, 0, TRUTH).astype(dtype))
    assert report["classes"]["1"]["pooled"]["recall"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        (plane(0, 1), plane(0, 1, 1), r"the prediction of a is \(1, 2\) but its truth is \(1, 3\)"),
        (plane(0, 1).astype(float), plane(0, 1), "a does not hold classes: expected whole numbers from 0 to 255"),
        (plane(0, 1), plane(0, 1) * 0.5, "a does not hold classes: expected whole numbers from 0 to 255"),
        (plane(0, 1).astype(int) - 1, plane(0, 1), "a does not hold classes: expected whole numbers from 0 to 255"),
        (plane(0, 1), plane(0, 1).astype(int) * 3000, "a does not hold classes"),
        (plane(0, 255), plane(0, 1), "the prediction of a holds 255; a prediction must name a class for every pixel"),
    ],
)
def test_what_is_no_mask_is_refused(prediction: np.ndarray, truth: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        one(prediction, truth)


def test_truths_of_0_and_255_only_are_refused_because_255_is_left_out() -> None:
    with pytest.raises(ValueError, match="255 means 'ignore' here; write the object as 1"):
        one(plane(0, 1), plane(0, 255))


def test_a_prediction_without_truth_is_refused() -> None:
    masks = {name: as_stack(FOUND) for name in "abc"}
    with pytest.raises(ValueError, match=r"2 of 3 predictions have no truth of the same name \(first: b\)"):
        evaluate(masks, {"a": as_stack(TRUTH)})
    with pytest.raises(ValueError, match="0 of 0 predictions"):
        evaluate({}, {"a": as_stack(TRUTH)})


def test_colour_pictures_are_no_masks() -> None:
    colour = Stack(np.zeros((4, 4, 3), np.uint8), "YXS")
    with pytest.raises(ValueError, match="the prediction of a is"):
        evaluate({"a": colour}, {"a": colour})
