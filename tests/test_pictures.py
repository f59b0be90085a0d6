from typing import Any

import numpy as np
import pytest
import torch

from btunet import Model, PretrainSettings, Progress, Steer, as_stack, pretrain, run
from btunet import pictures as module
from btunet.normalise import Normalisation
from btunet.patches import Source
from btunet.pictures import Pictures
from btunet.windows import Windows

QUICK = PretrainSettings(steps=6, batch=4, patch_size=16)


def pictures_of(image: np.ndarray, seed: int = 0) -> Pictures:
    sources = [Source(as_stack(image), Normalisation())]
    network = Model("unet", 1, (), {}).build(2, seed=seed)
    return Pictures(network.encoder.train(), sources, Windows(sources, torch.device("cpu")), network.stride, seed=0)


@pytest.mark.parametrize("side", [37, 64])
def test_a_picture_has_a_colour_per_pixel_whatever_the_side(discs: Any, side: int) -> None:
    taken = pictures_of(discs(planes=2, size=side)[0]).take(0, 1)
    assert taken.colours.shape == (side, side, 3) and taken.colours.dtype == np.uint8
    assert (taken.image, taken.plane, taken.corner) == (0, 1, (0, 0))


def test_objects_have_other_colours_than_the_background(discs: Any) -> None:
    image, mask = discs(planes=1, size=96)
    colours = pictures_of(image).take(0, 0).colours.astype(float)
    inside, outside = colours[mask[0] == 1], colours[mask[0] == 0]
    assert abs(inside.mean(0) - outside.mean(0)).max() > outside.std(0).max()


def test_a_picture_turns_with_its_image_as_it_lies(discs: Any) -> None:
    """What is where in the picture is where it is in the image: a window of it has the window's colours."""
    image = discs(planes=1, size=128)[0]
    whole = pictures_of(image)
    part = pictures_of(image)
    part._places = whole._places
    part._sources = [Source(as_stack(image[:, 32:, 32:]), Normalisation())]
    part._sources[0].__dict__["limits"] = whole._sources[0].limits
    a, b = whole.take(0, 0).colours[64:, 64:], part.take(0, 0).colours[32:, 32:]
    assert abs(a.astype(int) - b).mean() < 8


def test_of_a_large_plane_the_middle_is_shown(discs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 32)
    image = discs(size=96)[0]
    image[0, :32] = image[0, 64:] = 0
    taken = pictures_of(image).take(0, 0)
    assert taken.colours.shape == (32, 32, 3) and taken.corner == (32, 32)
    assert taken.colours.std() > 20


def test_the_encoder_is_left_in_training_and_as_it_was(discs: Any) -> None:
    taken = pictures_of(discs()[0])
    before = {key: value.clone() for key, value in taken._encoder.state_dict().items()}
    taken.take(0, 0)
    assert taken._encoder.training
    assert all(torch.equal(value, before[key]) for key, value in taken._encoder.state_dict().items())


def test_colours_stay_from_look_to_look_and_from_plane_to_plane(discs: Any) -> None:
    image = np.repeat(discs()[0], 2, axis=0)
    taken = pictures_of(image)
    first, second = taken.take(0, 0).colours, taken.take(0, 1).colours
    assert abs(first.astype(int) - second).max() <= 1


def test_pictures_take_a_bounded_share_of_the_time(discs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    taken = pictures_of(discs()[0])
    colours = taken._colours

    def slow(window: np.ndarray) -> np.ndarray:
        now[0] += 0.5
        return colours(window)

    monkeypatch.setattr(taken, "_colours", slow)
    spent, steps = 0.0, 0
    while now[0] < 200:
        if taken.is_due:
            taken.take(0, 0)
            spent, steps = spent + 0.5, steps + 1
        now[0] += 0.1
    assert steps > 3 and spent / now[0] < 0.02


# ---- in a training


def test_what_is_learned_does_not_depend_on_whether_somebody_looks(discs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pictures, "is_due", True)
    image = discs(planes=2)[0]
    seen: list[Progress] = []
    looked = run(pretrain([image], QUICK, look_at=(0, 1)), seen.append)
    alone = run(pretrain([image], QUICK))
    assert [p.learned is not None for p in seen[1:]] == [True] * 6
    assert all(np.array_equal(looked.weights[name], alone.weights[name]) for name in alone.weights)


def test_the_first_and_the_last_step_are_shown_and_nothing_to_nobody(discs: Any) -> None:
    seen: list[Progress] = []
    run(pretrain([discs()[0]], QUICK, look_at=(0, 0)), seen.append)
    shown = [p.step for p in seen if p.learned]
    assert shown[0] == 1 and shown[-1] == 6
    run(pretrain([discs()[0]], QUICK), lambda p: seen.append(p))
    assert all(p.learned is None for p in seen[7:])


def test_the_look_follows_the_user(discs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pictures, "is_due", True)
    task = pretrain([discs(planes=3)[0], discs(planes=2)[0]], QUICK, look_at=(0, 0))
    next(task)
    looks = [(0, 1), None, (1, 1), (0, 2)]  # the first while images are read
    planes = []
    for look in looks:
        learned = task.send(Steer(look_at=look)).learned
        assert learned is not None
        planes.append((learned.image, learned.plane))
    task.close()
    assert planes == [(0, 1), (0, 1), (1, 1), (0, 2)]
