from typing import Any

import numpy as np
import pytest
import torch

from btunet.tiles import doubt, predict_plane

SMALL = (4, 8, 8)  # widths of a network with a short reach, so that many tiles fit into a small plane


def plane(height: int, width: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(channels, height, width)).astype(np.float32)


@pytest.mark.parametrize("size", [(131, 97), (17, 210)])
@pytest.mark.parametrize("tile", [16, 20, 48, 70])
def test_tiles_give_what_the_whole_plane_gives(lively: Any, size: tuple[int, int], tile: int) -> None:
    network, image = lively(widths=SMALL), plane(*size)
    whole = predict_plane(network, image, 10_000)
    assert np.abs(predict_plane(network, image, tile) - whole).max() < 2e-5


@pytest.mark.parametrize("tile", [32, 48, 100])
def test_tiles_of_the_default_network_give_what_the_whole_plane_gives(lively: Any, tile: int) -> None:
    network, image = lively(classes=2), plane(40, 321)
    whole = predict_plane(network, image, 10_000)
    assert np.abs(predict_plane(network, image, tile) - whole).max() < 2e-5


def test_small_tiles_are_really_used(lively: Any) -> None:
    network, seen = lively(widths=SMALL), []
    network.register_forward_hook(lambda _module, args, _out: seen.append(tuple(args[0].shape[-2:])))
    predict_plane(network, plane(150, 150), 32)
    assert len(seen) == 25
    assert max(max(shape) for shape in seen) < 150


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (5, 3), (33, 47)])
def test_a_plane_of_any_size_gets_probabilities_of_its_size(lively: Any, size: tuple[int, int]) -> None:
    found = predict_plane(lively(channels=2, widths=SMALL), plane(*size, channels=2), 32)
    assert found.shape == (3, *size) and found.dtype == np.float32
    assert np.allclose(found.sum(0), 1, atol=1e-5) and found.min() >= 0


def test_prediction_leaves_the_network_and_the_plane_alone(lively: Any) -> None:
    network, image = lively(widths=SMALL), plane(100, 100)
    before, weights = image.copy(), {k: v.clone() for k, v in network.state_dict().items()}
    predict_plane(network, image, 32)
    assert np.array_equal(image, before)
    assert all(torch.equal(v, weights[k]) for k, v in network.state_dict().items())


def test_doubt_is_one_minus_the_margin_of_the_two_likeliest() -> None:
    shares = np.array([[0.5, 1.0, 0.0, 0.6], [0.5, 0.0, 0.25, 0.3], [0.0, 0.0, 0.75, 0.1]], np.float32)[:, None]
    assert doubt(shares).tolist() == [[255, 0, 128, 178]]
    assert doubt(shares).dtype == np.uint8
