from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from btunet import (
    Model,
    PredictSettings,
    Progress,
    Stack,
    Steer,
    as_stack,
    predict,
    predict_probabilities,
    run,
)

SMALL = PredictSettings(tile=32)


@pytest.fixture
def model(lively: Any, model_of: Callable[..., Model]) -> Model:
    return model_of(lively())


def order(task: Any, reply: Callable[[Progress], Any] = lambda _: None) -> list[tuple[int, int]]:
    seen: list[tuple[int, int]] = []

    def note(progress: Progress) -> Any:
        seen.extend((p.image, p.plane) for p in progress.planes)
        return reply(progress)

    run(task, note)
    return seen


@pytest.mark.parametrize("shape", [(17, 17), (33, 70), (1, 1), (2, 40, 31), (2, 2, 20, 24), (1, 2, 1, 18, 18)])
def test_a_mask_has_the_shape_of_its_image(model: Model, rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    (mask,) = run(predict(model, [rng.random(shape)]))
    assert mask.shape == shape and mask.dtype == np.uint8
    assert set(np.unique(mask)) <= {0, 1, 2}


@pytest.mark.parametrize(("axes", "shape"), [("YXS", (40, 30, 3)), ("CYX", (3, 40, 30)), ("ZCYX", (2, 3, 40, 30))])
def test_the_channel_axis_is_not_in_the_mask(
    lively: Any, model_of: Callable[..., Model], rng: np.random.Generator, axes: str, shape: tuple[int, ...]
) -> None:
    model = model_of(lively(channels=3), channels=3)
    stack = as_stack(rng.random(shape), axes)
    (mask,) = run(predict(model, [stack]))
    (found,) = run(predict_probabilities(model, [stack]))
    assert mask.shape == stack.spatial_shape
    assert found.shape == (*stack.stack_shape, 3, 40, 30)


def test_channels_mean_the_same_wherever_their_axis_is(
    lively: Any, model_of: Callable[..., Model], rng: np.random.Generator
) -> None:
    model, planar = model_of(lively(channels=3), channels=3), rng.random((3, 40, 30))
    one = run(predict_probabilities(model, [as_stack(planar, "CYX")]))[0]
    two = run(predict_probabilities(model, [as_stack(np.moveaxis(planar, 0, -1), "YXS")]))[0]
    assert np.array_equal(one, two)


def test_probabilities_sum_to_one_and_their_largest_is_the_mask(model: Model, rng: np.random.Generator) -> None:
    image = rng.random((2, 50, 45))
    (found,) = run(predict_probabilities(model, [image]))
    (mask,) = run(predict(model, [image]))
    assert found.dtype == np.float32 and found.shape == (2, 3, 50, 45)
    assert np.allclose(found.sum(1), 1, atol=1e-5)
    assert np.array_equal(found.argmax(1), mask)


def test_the_tile_size_changes_nothing_but_rounding(model: Model, rng: np.random.Generator) -> None:
    image = rng.random((30, 341))
    whole, tiled = (run(predict_probabilities(model, [image], PredictSettings(tile=t)))[0] for t in (512, 40))
    assert np.abs(whole - tiled).max() < 1e-5


def test_every_plane_is_predicted_as_if_it_were_alone_with_the_range_of_its_stack(
    model: Model, rng: np.random.Generator
) -> None:
    image = rng.random((3, 32, 32))
    image[:, 0, :2] = 0, 1  # every plane has the whole range
    (stack,) = run(predict(model, [np.stack([image[1]] * 3)]))
    (alone,) = run(predict(model, [image[1]]))
    assert all(np.array_equal(plane, alone) for plane in stack)


def test_a_plane_is_predicted_the_same_in_other_units(model: Model, rng: np.random.Generator) -> None:
    image = rng.integers(0, 200, (40, 40)).astype(np.uint8)
    one, two = (run(predict_probabilities(model, [i]))[0] for i in (image, image.astype(np.float64) * 40 + 1000))
    assert np.allclose(one, two, atol=1e-3)


def test_planes_are_predicted_in_order_from_the_one_that_is_looked_at(model: Model, rng: np.random.Generator) -> None:
    images = [rng.random((3, 20, 20)), rng.random((2, 20, 20))]
    assert order(predict(model, images)) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert order(predict(model, images, look_at=(1, 1))) == [(1, 1), (0, 0), (0, 1), (0, 2), (1, 0)]
    assert order(predict(model, images, look_at=(7, 7)))[0] == (0, 0)


def test_a_steer_names_the_next_plane(model: Model, rng: np.random.Generator) -> None:
    task = predict(model, [rng.random((5, 20, 20))])
    assert order(task, lambda p: Steer((0, 3)) if p.step == 1 else None) == [(0, 0), (0, 3), (0, 1), (0, 2), (0, 4)]


def test_the_planes_that_are_shown_are_those_that_are_returned(model: Model, rng: np.random.Generator) -> None:
    seen: list[Progress] = []
    (mask,) = run(predict(model, [rng.random((3, 20, 20))], SMALL), seen.append)
    assert [(p.stage, p.step, p.total) for p in seen] == [("predicting", i, 3) for i in (1, 2, 3)]
    for progress in seen:
        (plane,) = progress.planes
        assert np.array_equal(plane.mask, mask[plane.plane])


def test_the_reply_true_stops_and_leaves_the_rest_empty(model: Model, rng: np.random.Generator) -> None:
    image = rng.random((3, 20, 20))
    (whole,) = run(predict(model, [image]))
    (part,) = run(predict(model, [image]), lambda _: True)
    assert np.array_equal(part[0], whole[0]) and not part[1:].any()


def test_a_lazy_image_is_read_plane_by_plane(model: Model, rng: np.random.Generator) -> None:
    class Lazy:
        def __init__(self, data: np.ndarray) -> None:
            self.data, self.shape, self.dtype, self.largest = data, data.shape, data.dtype, 0

        def __getitem__(self, index: Any) -> np.ndarray:
            part = self.data[index]
            self.largest = max(self.largest, part.size)
            return part

    lazy = Lazy(rng.random((4, 20, 20)))
    (mask,) = run(predict(model, [Stack(lazy, "ZYX")]))
    assert np.array_equal(mask, run(predict(model, [lazy.data]))[0])
    assert lazy.largest == 400


def test_a_constant_image_is_predicted_without_nan(model: Model) -> None:
    (found,) = run(predict_probabilities(model, [np.full((20, 20), 5)]))
    assert np.isfinite(found).all()


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, np.int32, np.uint64, np.float16, ">f4", ">u2"])
def test_images_of_any_type_of_number_are_predicted(model: Model, rng: np.random.Generator, dtype: Any) -> None:
    (mask,) = run(predict(model, [(rng.random((20, 20)) * 100 > 50).astype(dtype)]))
    assert mask.shape == (20, 20)


def test_an_encoder_cannot_predict(rng: np.random.Generator) -> None:
    for verb in (predict, predict_probabilities):
        with pytest.raises(ValueError, match="pre-trained encoder without classes; fine-tune it first"):
            run(verb(Model("unet", 1, (), {}), [rng.random((20, 20))]))  # type: ignore[operator]


def test_an_image_of_other_channels_is_refused(model: Model, rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="image has 3 channels but the model was trained on 1"):
        run(predict(model, [as_stack(rng.random((20, 20, 3)), "YXS")]))


def test_an_image_with_nan_is_refused(model: Model) -> None:
    with pytest.raises(ValueError, match="image 0 has 1 values that are NaN or infinite in plane 0"):
        run(predict(model, [np.array([[0, np.nan], [1, 2]])]))


def test_no_image_gives_no_mask(model: Model) -> None:
    assert run(predict(model, [])) == []
