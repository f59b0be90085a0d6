from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from btunet import FinetuneSettings, Model, Steer, finetune, run
from btunet.filters import REACH
from btunet.guide import teach
from btunet.images import as_stack
from btunet.labels import targets_of_strokes
from btunet.learner import Learner
from btunet.networks import build
from btunet.networks.pixels import Pixels

QUICK = FinetuneSettings(steps=1, batch=2, patch_size=32)


@pytest.fixture
def taught(rng: np.random.Generator) -> tuple[Pixels, torch.Tensor, torch.Tensor]:
    """A part that was taught that bright pixels are objects, and what it was taught with."""
    images = torch.from_numpy(rng.random((2, 1, 64, 64), np.float32))
    expected = torch.cat([(images < 0.5).float(), (images >= 0.5).float()], 1)
    torch.manual_seed(0)
    pixels = Pixels(1, 2)
    teach(pixels, images, expected, seed=0)
    return pixels, images, expected


def test_it_learns_what_it_is_taught(taught: tuple[Pixels, torch.Tensor, torch.Tensor]) -> None:
    pixels, images, expected = taught
    right = pixels(images).argmax(1) == expected.argmax(1)
    assert right.float().mean() > 0.95


def test_teaching_depends_on_the_seed_and_on_nothing_else() -> None:
    images, expected = torch.rand(1, 2, 40, 40), torch.full((1, 3, 40, 40), 1 / 3)

    def weights(seed: int) -> list[torch.Tensor]:
        torch.manual_seed(5)
        pixels = Pixels(2, 3)
        torch.manual_seed(seed + 100)
        teach(pixels, images, expected, seed)
        return list(pixels.parameters())

    assert all(torch.equal(a, b) for a, b in zip(weights(0), weights(0), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(weights(0), weights(1), strict=True))


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (31, 33), (130, 70)])
def test_every_image_has_logits_of_every_pixel(shape: tuple[int, int]) -> None:
    assert Pixels(3, 4)(torch.rand(2, 3, *shape)).shape == (2, 4, *shape)


def test_a_network_that_begins_with_it_answers_what_it_answers(taught: Any) -> None:
    pixels, images, _ = taught
    network = build("unet", 1, 2).eval()
    network.begin_with(pixels)
    assert torch.equal(network(images), pixels(images))
    assert network.reach >= REACH
    network(images).sum().backward()
    assert network.head.weight.grad is not None and network.head.weight.grad.abs().sum() > 0


def test_constant_images_are_no_trouble() -> None:
    pixels = Pixels(1, 2)
    teach(pixels, torch.zeros(1, 1, 40, 40), torch.full((1, 2, 40, 40), 0.5), seed=0)
    assert torch.isfinite(pixels(torch.zeros(1, 1, 40, 40))).all()


def test_it_is_part_of_what_strokes_teach_and_is_saved_with_it(discs: Any, tmp_path: Any) -> None:
    image, mask = discs(size=64)
    model = run(finetune([image], [mask + 1], QUICK))
    assert any(name.startswith("pixels.") for name in model.weights)
    again = Model.load(model.save(tmp_path / "model.safetensors"))
    images = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        assert torch.equal(model.build().eval()(images), again.build().eval()(images))
    further = run(finetune([image], [mask + 1], QUICK, start_from=again))
    assert further.weights.keys() == model.weights.keys()


def test_a_model_for_other_classes_gets_a_new_one(discs: Any) -> None:
    image, mask = discs(size=64)
    model = run(finetune([image], [mask + 1], QUICK))
    strokes = mask + 1
    strokes[0, :4] = 3
    further = run(finetune([image], [strokes], QUICK, start_from=model, classes=("ground", "disc", "rim")))
    assert further.weights["pixels.layers.4.weight"].shape[0] == 3


def test_masks_teach_a_network_without_it(discs: Any) -> None:
    image, mask = discs(size=64)
    model = run(finetune([image], [mask], QUICK, dense=True))
    assert not any(name.startswith("pixels.") for name in model.weights)


def test_the_papers_recipe_has_none(discs: Any) -> None:
    image, mask = discs(size=64)
    model = run(finetune([image], [mask + 1], replace(QUICK, recipe="paper")))
    assert not any(name.startswith("pixels.") for name in model.weights)


def test_training_leaves_it_alone_and_new_strokes_reach_it_at_once(discs: Any) -> None:
    image, mask = discs(size=64)
    stacks = [as_stack(image)]
    targets = targets_of_strokes(stacks, [mask + 1])
    learner = Learner(Model("unet", 1, (), {}), ["a", "b"], stacks, targets, QUICK, strokes=True)

    def answer() -> torch.Tensor:
        assert learner.averaged().pixels is not None
        with torch.no_grad():
            return learner.averaged().pixels(torch.from_numpy(learner.sources[0].plane(0))[None]).argmax(1)

    before = answer()
    for step in range(3):
        learner.step(step / 4)
    assert torch.equal(answer(), before)
    learner.take(Steer(strokes={0: {0: 2 - mask[0]}}))  # all classes exchanged
    learner.step(0.9)
    assert (answer() != before).float().mean() > 0.9


def test_more_strokes_teach_it_anew_but_do_not_overrule_masks(discs: Any) -> None:
    image, mask = discs(size=64)
    name = "pixels.layers.0.weight"
    first = run(finetune([image], [mask + 1], QUICK))
    more = run(finetune([image], [2 - mask], QUICK, start_from=first))
    assert not np.array_equal(more.weights[name], first.weights[name])
    finer = run(finetune([image], [mask], QUICK, dense=True, start_from=first))
    assert np.array_equal(finer.weights[name], first.weights[name])
    masks = run(finetune([image], [mask], QUICK, dense=True))
    assert name not in run(finetune([image], [mask + 1], QUICK, start_from=masks)).weights
