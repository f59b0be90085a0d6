import pytest
import torch

from btunet.networks.layernorm_unet import ChannelNorm, LayerNormUNet


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_the_stride_follows_the_number_of_levels(depth: int) -> None:
    network = LayerNormUNet(1, 2, (4,) * depth).eval()
    seen: list[torch.Size] = []
    network.encoder.register_forward_pre_hook(lambda _module, args: seen.append(args[0].shape[-2:]))
    assert network(torch.zeros(1, 1, 21, 30)).shape == (1, 2, 21, 30)
    assert network.stride == 2 ** (depth - 1)
    assert seen == [tuple(-(-side // network.stride) * network.stride for side in (21, 30))]


def test_every_pixel_is_normalised_over_its_channels_and_over_nothing_else() -> None:
    x = torch.randn(2, 8, 5, 7, generator=torch.Generator().manual_seed(0)) * 3 + 1
    found = ChannelNorm(8)(x)
    expected = (x - x.mean(1, keepdim=True)) / (x.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    assert found.shape == x.shape and torch.allclose(found, expected, atol=1e-5)


def test_an_image_is_seen_the_same_in_training_and_in_prediction() -> None:
    """There are no statistics of the batch and no dropout."""
    network, images = LayerNormUNet(1, 2, (4, 8)), torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(network.train()(images), network.eval()(images), atol=1e-6)


def test_it_is_light() -> None:
    assert 500_000 < sum(p.numel() for p in LayerNormUNet(1, 2).parameters()) < 2_000_000
