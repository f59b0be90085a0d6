"""Windows cut where they are needed are the same wherever the image lies."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from btunet.images import Stack, as_stack
from btunet.normalise import Normalisation
from btunet.patches import Source
from btunet.windows import Place, Windows

CPU = torch.device("cpu")
EVERYTHING = 2**40
PLACES: list[Place] = [(0, 0, 3, 5), (0, 2, -9, 30), (1, 0, 20, -7), (1, 0, -10, 12), (0, 1, 38, 44)]


def stacks(dtype: str) -> list[Stack]:
    """Return two images of different sizes with two channels, over the whole range of a type."""
    rng = np.random.default_rng(0)
    made = []
    for shape in ((3, 2, 50, 60), (2, 40, 30)):
        values = rng.normal(size=shape)
        if np.dtype(dtype).kind in "iu":
            limits = np.iinfo(dtype)
            values = np.interp(values, (-3, 3), (limits.min, limits.max)).round()
        made.append(Stack(values.astype(dtype), "ZCYX"[-len(shape) :], "image"))
    return made


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", ">u2", "i2", "i4", "f4", "f8"])
def test_windows_of_resident_images_are_those_of_the_images(dtype: str) -> None:
    sources = [Source(stack, Normalisation()) for stack in stacks(dtype)]
    cut, resident = Windows(sources, CPU), Windows(sources, CPU, room=EVERYTHING)
    assert resident.are_resident
    assert not cut.are_resident
    np.testing.assert_allclose(resident(PLACES, 24), cut(PLACES, 24), atol=2e-5)
    assert resident(PLACES, 24).dtype == torch.float32


def test_windows_far_wider_than_an_image_mirror_it_again_and_again() -> None:
    sources = [Source(as_stack(np.random.default_rng(0).random((7, 9))), Normalisation())]
    places: list[Place] = [(0, 0, -20, -33)]
    found = [Windows(sources, CPU, room=room)(places, 64) for room in (0, EVERYTHING)]
    np.testing.assert_allclose(found[1], found[0], atol=2e-5)


def test_a_large_offset_costs_no_contrast() -> None:
    data = 1e8 + np.random.default_rng(0).random((40, 40))
    sources = [Source(as_stack(data), Normalisation())]
    found = [Windows(sources, CPU, room=room)([(0, 0, 4, 4)], 32) for room in (0, EVERYTHING)]
    np.testing.assert_allclose(found[1], found[0], atol=1e-4)
    assert found[1].std() > 0.3


def test_a_channel_without_contrast_is_zero() -> None:
    data = np.stack([np.full((40, 40), 7, np.uint8), np.arange(1600, dtype=np.uint8).reshape(40, 40)])
    sources = [Source(Stack(data, "CYX", "image"), Normalisation())]
    window = Windows(sources, CPU, room=EVERYTHING)([(0, 0, 0, 0)], 32)
    assert (window[0, 0] == 0).all()
    assert window[0, 1].std() > 0


def test_images_stay_where_they_are_if_they_take_more_than_the_room() -> None:
    sources = [Source(stack, Normalisation()) for stack in stacks("u2")]
    size = (3 * 2 * 50 * 60 + 2 * 40 * 30) * 2
    assert Windows(sources, CPU, room=size).are_resident
    assert not Windows(sources, CPU, room=size - 1).are_resident
    wide = [Source(stack, Normalisation()) for stack in stacks("f8")]
    assert Windows(wide, CPU, room=2 * size).are_resident  # they become float32


def test_both_trainings_run_on_resident_images(monkeypatch: pytest.MonkeyPatch) -> None:
    from btunet import FinetuneSettings, PretrainSettings, finetune, pretrain, run

    made: list[Windows] = []
    real = Windows.__init__

    def resident(self: Windows, sources: list[Source], device: torch.device, room: int | None = None) -> None:
        real(self, sources, device, EVERYTHING)
        made.append(self)

    monkeypatch.setattr(Windows, "__init__", resident)
    image = np.random.default_rng(0).integers(0, 255, (2, 80, 90)).astype(np.uint8)
    strokes = np.zeros(image.shape, np.uint8)
    strokes[0, 10, 5:60], strokes[1, 50, 5:60] = 1, 2
    encoder = run(pretrain([image], PretrainSettings(steps=2, batch=4, patch_size=32)))
    run(finetune([image], [strokes], FinetuneSettings(steps=2, batch=2, patch_size=32), start_from=encoder))
    assert len(made) == 2
    assert all(windows.are_resident for windows in made)
