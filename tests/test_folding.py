import pytest
import torch
from torch import nn

from btunet.networks import build
from btunet.networks.folding import fold
from btunet.settings import NETWORKS


@pytest.mark.parametrize("name", NETWORKS)
def test_a_folded_network_gives_the_same_logits_with_fewer_normalisations(name: str) -> None:
    network = build(name, 1, 2)
    generator = torch.Generator().manual_seed(0)
    for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):  # as if it had been trained
        for values, low, high in ((norm.running_mean, -1, 1), (norm.running_var, 0.5, 2), (norm.weight.data, 0.5, 2)):
            assert values is not None
            values.uniform_(low, high, generator=generator)
    images = torch.randn(2, 1, 64, 48, generator=generator)
    with torch.no_grad():
        before = network.eval()(images)
        count = sum(isinstance(m, nn.BatchNorm2d) for m in network.modules())
        fold(network)
        after = network(images)
    assert torch.allclose(before, after, atol=1e-4 * float(before.abs().max()))
    assert sum(isinstance(m, nn.BatchNorm2d) for m in network.modules()) < count


def test_a_normalisation_that_does_more_than_that_stays() -> None:
    class Active(nn.BatchNorm2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).relu()

    network = nn.Sequential(nn.Conv2d(1, 2, 1), Active(2)).eval()
    fold(network)
    assert type(network[1]) is Active
