from typing import Any

import pytest
import torch
from torch import nn

from btunet.networks import UNet, build

SMALL = (4, 8, 8)


@pytest.mark.parametrize("size", [(17, 17), (17, 300), (64, 64), (33, 95), (100, 101), (299, 31), (1, 1)])
def test_the_output_has_the_size_of_the_image_whatever_it_is(lively: Any, size: tuple[int, int]) -> None:
    with torch.no_grad():
        assert lively()(torch.randn(1, 1, *size)).shape == (1, 3, *size)


def test_sizes_from_17_to_300_are_taken(lively: Any) -> None:
    network = lively(widths=(2, 2, 2, 2, 2))
    with torch.no_grad():
        for size in range(17, 301, 5):  # every remainder of the stride, many times
            assert network(torch.zeros(1, 1, size, 17)).shape[-2:] == (size, 17)


@pytest.mark.parametrize("channels", [1, 2, 3, 7])
@pytest.mark.parametrize("classes", [2, 3, 9])
def test_any_number_of_channels_and_classes_is_taken(channels: int, classes: int) -> None:
    with torch.no_grad():
        assert build("unet", channels, classes).eval()(torch.zeros(2, channels, 32, 48)).shape == (2, classes, 32, 48)


def test_the_default_network_is_light() -> None:
    assert 500_000 < sum(p.numel() for p in build("unet", 1, 2).parameters()) < 2_000_000


def test_the_gradient_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    network = build("unet", 2, 3).train()
    network(torch.randn(2, 2, 48, 32)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_the_encoder_gives_one_map_per_level_each_half_the_size() -> None:
    network = build("unet", 1, 2).eval()
    with torch.no_grad():
        features = network.encoder(torch.zeros(1, 1, 64, 96))
        assert [f.shape[1] for f in features] == list(network.widths)
        assert [tuple(f.shape[-2:]) for f in features] == [(64 >> i, 96 >> i) for i in range(5)]
        assert network.decoder(features).shape == (1, network.widths[0], 64, 96)


def test_the_state_has_three_parts() -> None:
    assert {name.split(".")[0] for name in build("unet", 1, 2).state_dict()} == {"encoder", "decoder", "head"}


def test_nothing_normalises_the_logits() -> None:
    """The head is the last to act, and it is a plain 1×1 convolution: scaling it scales the logits."""
    torch.manual_seed(0)
    network, image = build("unet", 1, 2).eval(), torch.randn(1, 1, 32, 32)
    order: list[nn.Module] = []
    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda module, *_: order.append(module))
    with torch.no_grad():
        before = network(image)
        assert order[-1] is network.head and isinstance(network.head, nn.Conv2d)
        network.head.weight *= 3
        assert network.head.bias is not None
        network.head.bias *= 3
        assert torch.allclose(network(image), before * 3, atol=1e-5)


@pytest.mark.parametrize("widths", [(4, 8), SMALL, (4, 8, 8, 8)])
def test_the_reach_bounds_how_far_an_output_pixel_sees(lively: Any, widths: tuple[int, ...]) -> None:
    network = lively(classes=2, widths=widths).double()
    size = 2 * network.reach + 40
    image = torch.randn(1, 1, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    farthest = 0
    with torch.no_grad():
        before = network(image)
        for place in range(size // 2, size // 2 + network.stride):  # wherever it lies in the grid of the pooling
            other = image.clone()
            other[..., place, place] += 100
            changed = ((network(other) - before).abs().amax((0, 1)) > 0).nonzero()
            farthest = max(farthest, int((changed - place).abs().max()))
    assert farthest <= network.reach
    assert farthest > network.reach / 2  # and it is no wild guess


def test_the_reach_of_the_default_network_is_a_bound_too(lively: Any) -> None:
    network = lively(classes=2)
    size = 2 * network.reach + 48
    image = torch.randn(1, 1, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = network(image)
        for place in (size // 2, size // 2 + 15):
            other = image.clone()
            other[..., place, place] += 1000
            changed = ((network(other) - before).abs().amax((0, 1)) > 1e-4).nonzero()
            assert int((changed - place).abs().max()) <= network.reach


def test_prediction_does_not_depend_on_the_other_images_of_the_batch(lively: Any) -> None:
    network = lively(widths=SMALL)
    images = torch.randn(3, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(network(images)[1:2], network(images[1:2]), atol=1e-5)


def test_a_network_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no network 'vit'; choose one of: unet"):
        build("vit", 1, 2)


def test_the_stride_is_what_sides_are_padded_to() -> None:
    for widths in ((4, 8), SMALL):
        seen: list[tuple[int, ...]] = []
        network = UNet(1, 2, widths)
        network.encoder.register_forward_pre_hook(lambda _module, args, seen=seen: seen.append(args[0].shape[-2:]))
        network.eval()(torch.zeros(1, 1, 21, 30))
        assert all(side % network.stride == 0 for side in seen[0])
        assert seen[0][0] - 21 < network.stride and seen[0][1] - 30 < network.stride
