from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from btunet import FinetuneSettings, Model, Steer, finetune, run
from btunet.images import as_stack
from btunet.labels import targets_of_strokes
from btunet.learner import Learner
from btunet.networks import build
from btunet.networks.pixels import Pixels, enlarged, sampled
from btunet.networks.trunk import STRIDES

QUICK = FinetuneSettings(steps=1, batch=2, patch_size=32)


@pytest.fixture
def taught(rng: np.random.Generator) -> tuple[Pixels, torch.Tensor]:
    """A part with random weights, and images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pixels = Pixels(1, 2)
        pixels.weight.normal_()
    images = torch.from_numpy(rng.random((2, 1, 64, 64), np.float32))
    pixels.get_used_to(images)
    return pixels, images


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (31, 33), (130, 70)])
def test_every_image_has_logits_of_every_pixel(shape: tuple[int, int]) -> None:
    assert Pixels(3, 4)(torch.rand(2, 3, *shape)).shape == (2, 4, *shape)


def test_a_network_that_begins_with_it_answers_what_it_answers(taught: Any) -> None:
    pixels, images = taught
    network = build("unet", 1, 2).eval()
    network.begin_with(pixels)
    assert torch.equal(network(images), pixels(images))
    assert network.reach >= pixels.reach and network.stride == pixels.stride
    network(images).sum().backward()
    assert network.head.weight.grad is not None and network.head.weight.grad.abs().sum() > 0


def test_constant_images_are_no_trouble() -> None:
    pixels = Pixels(1, 2)
    pixels.get_used_to(torch.zeros(1, 1, 64, 64))
    assert torch.isfinite(pixels(torch.zeros(1, 1, 40, 40))).all()


def test_maps_are_weighed_before_they_are_enlarged_to_the_same_result(rng: np.random.Generator) -> None:
    pixels = Pixels(1, 3)
    pixels.weight.normal_()
    pixels.bias.normal_()
    images = torch.from_numpy(rng.random((1, 1, 64, 96), np.float32))
    maps = pixels.features(images)
    together = torch.cat([enlarged(m, stride) for m, stride in zip(maps, STRIDES, strict=True)], 1)  # (1, D, Y, X)
    logits = torch.einsum("kd,ndyx->nkyx", pixels.weight, together) + pixels.bias[:, None, None]
    assert torch.allclose(pixels.regression(maps), logits, atol=1e-3)


def test_a_few_pixels_are_looked_up_without_enlarging_all(rng: np.random.Generator) -> None:
    maps = [torch.from_numpy(rng.random((1, 3, 64 // stride, 64 // stride), np.float32)) for stride in STRIDES]
    places = torch.tensor([[0, 63, 17, 40], [0, 63, 50, 3]])
    whole = torch.cat([enlarged(m, stride) for m, stride in zip(maps, STRIDES, strict=True)], 1)[0]  # (F, Y, X)
    assert torch.allclose(sampled(maps, places), whole[:, places[0], places[1]].T, atol=1e-5)


def test_what_is_usual_has_mean_zero_and_deviation_one(rng: np.random.Generator) -> None:
    pixels, images = Pixels(1, 2), torch.from_numpy(rng.random((4, 1, 64, 64), np.float32))
    pixels.get_used_to(images)
    stem = pixels.features(images)[0]
    assert stem.mean((0, 2, 3)).abs().max() < 0.2 and 0.7 < stem.std((0, 2, 3)).median() < 1.1


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
    assert further.weights["pixels.weight"].shape[0] == 3


def test_masks_teach_it_how_common_a_class_is(discs: Any) -> None:
    image, mask = discs(size=64)
    mask[:, 16:] = 0
    assert 0 < mask.mean() < 0.1
    by_strokes, by_masks = (
        run(finetune([image], [mask + offset], QUICK, dense=not offset)).weights["pixels.bias"] for offset in (1, 0)
    )
    assert by_masks[1] - by_masks[0] < by_strokes[1] - by_strokes[0]


@pytest.mark.parametrize("recipe", ["bare", "paper"])
def test_recipes_without_imagenet_have_none(discs: Any, recipe: str) -> None:
    image, mask = discs(size=64)
    model = run(finetune([image], [mask + 1], replace(QUICK, recipe=recipe)))
    assert {name.split(".")[0] for name in model.weights} == {"encoder", "decoder", "head"}


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


def test_more_strokes_or_masks_teach_it_anew_but_strokes_do_not_overrule_masks(discs: Any) -> None:
    image, mask = discs(size=64)
    name = "pixels.weight"
    first = run(finetune([image], [mask + 1], QUICK))
    more = run(finetune([image], [2 - mask], QUICK, start_from=first))
    assert not np.array_equal(more.weights[name], first.weights[name])
    masks = run(finetune([image], [mask], QUICK, dense=True, start_from=first))
    assert not np.array_equal(masks.weights[name], first.weights[name])
    after = run(finetune([image], [mask + 1], QUICK, start_from=masks))
    assert np.array_equal(after.weights[name], masks.weights[name])


def test_only_this_part_looks_into_the_margin(taught: Any) -> None:
    pixels, images = taught
    network = build("unet", 1, 2).eval()
    torch.nn.init.normal_(network.head.weight)
    alone = network(images[..., 16:48, 16:48])
    kept = [p.clone() for p in network.head.parameters()]
    network.begin_with(pixels)
    for parameter, value in zip(network.head.parameters(), kept, strict=True):
        parameter.data = value
    both = network(images, 16)
    assert torch.allclose(both, alone + pixels(images)[..., 16:48, 16:48], atol=1e-5)
