import pytest
import torch

from btunet.networks.unet import UNet


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_the_stride_follows_the_number_of_levels(depth: int) -> None:
    network = UNet(1, 2, separable=True, widths=(4,) * depth).eval()
    seen: list[torch.Size] = []
    network.encoder.register_forward_pre_hook(lambda _module, args: seen.append(args[0].shape[-2:]))
    assert network(torch.zeros(1, 1, 21, 30)).shape == (1, 2, 21, 30)
    assert network.stride == 2 ** (depth - 1)
    assert seen == [tuple(-(-side // network.stride) * network.stride for side in (21, 30))]
