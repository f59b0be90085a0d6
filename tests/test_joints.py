from typing import Any

import numpy as np
import pytest
import torch

from btunet import FinetuneSettings, Model, finetune, run
from btunet.networks import BUILDERS, build
from btunet.networks.joints import Joints
from btunet.networks.pixels import Pixels
from btunet.networks.trunk import STRIDES, WIDTHS

QUICK = FinetuneSettings(steps=2, batch=2, patch_size=32)


def maps_of(side: int, widths: tuple[int, ...]) -> list[torch.Tensor]:
    return [torch.rand(1, w, side // 2**i, side // 2**i) for i, w in enumerate(widths)]


def features_of(side: int) -> list[torch.Tensor]:
    return [torch.rand(1, w, side // s, side // s) for w, s in zip(WIDTHS, STRIDES, strict=True)]


def test_at_first_they_add_nothing() -> None:
    maps = maps_of(64, (4, 5, 6, 7, 8))
    joined = Joints((4, 5, 6, 7, 8))(maps, features_of(64), 0)
    assert all(torch.equal(a, b) for a, b in zip(joined, maps, strict=True))


@pytest.mark.parametrize("levels", [2, 4, 5, 6])
def test_every_map_of_the_trunk_is_taken_once_where_its_resolution_is_or_is_nearest(levels: int) -> None:
    joints = Joints([4] * levels)
    assert sorted(i for taken in joints._taken for i in taken) == list(range(len(STRIDES)))
    for level, taken in enumerate(joints._taken, start=1):
        assert all(STRIDES[i] == 2**level or (level == levels - 1 and STRIDES[i] > 2**level) for i in taken)


def test_features_are_added_at_their_own_places_inside_the_margin() -> None:
    joints = Joints((1, 1, 1))
    for level in joints.levels:
        torch.nn.init.ones_(level)
    features = [torch.zeros_like(f) for f in features_of(128)]
    features[2][0, 0, 20, 18] = 1  # a pixel of stride 4: at (80, 72) of the image, (48, 40) inside a margin of 32
    _, finer, coarser = joints([torch.zeros_like(m) for m in maps_of(64, (1, 1, 1))], features, 32)
    assert not finer.any()
    assert np.argwhere(coarser[0, 0].detach().numpy()).tolist() == [[12, 10]]


@pytest.mark.parametrize("name", BUILDERS)
def test_every_network_learns_through_them(name: str) -> None:
    network = build(name, 1, 2).train()
    network.begin_with(Pixels(1, 2))
    torch.nn.init.normal_(network.head.weight)
    images = torch.rand(2, 1, 64, 64)
    network(images, 16).square().mean().backward()
    assert network.joints is not None
    assert all(level.grad.abs().sum() > 0 for level in network.joints.levels)
    assert all(parameter.grad is None for parameter in network.pixels.parameters())


def test_training_uses_them_and_a_file_keeps_them(discs: Any, tmp_path: Any) -> None:
    image, mask = discs(size=64)
    model = run(finetune([image], [mask], QUICK, dense=True))
    assert any(weight.any() for name, weight in model.weights.items() if name.startswith("joints."))
    again, images = Model.load(model.save(tmp_path / "model.safetensors")), torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        assert torch.equal(model.build().eval()(images), again.build().eval()(images))


def test_a_model_made_before_there_were_joints_is_what_it_was(discs: Any) -> None:
    image, mask = discs(size=64)
    model = run(finetune([image], [mask], QUICK, dense=True))
    weights = {name: weight for name, weight in model.weights.items() if not name.startswith("joints.")}
    old = Model(model.network, 1, model.classes, weights, model.normalisation, model.history)
    assert old.build().joints is None
    further = run(finetune([image], [mask], QUICK, dense=True, start_from=old))
    assert further.weights.keys() == weights.keys()
