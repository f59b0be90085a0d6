from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from btunet.networks.blocks import Gate, HybridPool, Pointwise, conv, spectral_pool

SIZES = [((17, 17), (8, 8)), ((18, 18), (9, 9)), ((19, 16), (9, 8)), ((16, 19), (8, 9)), ((32, 32), (2, 2))]
SIZES += [((20, 12), (7, 12)), ((6, 6), (1, 1)), ((5, 4), (5, 4))]


def noise(*shape: int, seed: int = 0, **options: torch.dtype) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), **options)


def frequencies(small: int) -> dict[int, float]:
    """Return the frequencies that a small signal keeps, each with its share.

    The highest of an even size cannot be told from its negative, so half of each is taken.
    """
    limit = (small - 1) // 2
    kept = dict.fromkeys(range(-limit, limit + 1), 1.0)
    return kept if small % 2 else {**kept, small // 2: 0.5, -small // 2: 0.5}


def slow_spectral_pool(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Sum the low frequencies of a (Y, X) map wave by wave, at the pixels of the smaller map."""
    (height, width), (rows, columns) = x.shape, size
    y, x_ = np.mgrid[:height, :width]
    v, u = np.mgrid[:rows, :columns]
    result = np.zeros(size, complex)
    for k, share_k in frequencies(rows).items():
        for m, share_m in frequencies(columns).items():
            amplitude = (x * np.exp(-2j * np.pi * (k * y / height + m * x_ / width))).mean()
            result += share_k * share_m * amplitude * np.exp(2j * np.pi * (k * v / rows + m * u / columns))
    assert np.abs(result.imag).max() < 1e-9
    return result.real


# ---- convolutions of single pixels


@pytest.mark.parametrize("shape", [(8, 5, 16, 12), (1, 5, 32, 7), (3, 5, 7, 7), (20, 5, 4, 4)])
def test_a_convolution_of_single_pixels_and_its_gradient_are_those_of_torch_also_in_pieces(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    ours, plain = Pointwise(5, 3).double(), nn.Conv2d(5, 3, 1).double()
    plain.load_state_dict(ours.state_dict())
    images = noise(*shape, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    results = []
    for layer in (ours, plain):
        x = images.clone().requires_grad_()
        y = layer(x)
        results.append([y, *torch.autograd.grad(y.sin().sum(), [x, *layer.parameters()])])
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(*results, strict=True))
    assert results[0][0].is_contiguous(memory_format=torch.channels_last)


# ---- spectral pooling


@pytest.mark.parametrize(("size", "smaller"), SIZES)
def test_spectral_pooling_equals_a_sum_over_all_waves(size: tuple[int, int], smaller: tuple[int, int]) -> None:
    x = noise(*size).double().numpy()
    found = spectral_pool(torch.from_numpy(x)[None, None], smaller)
    assert found.dtype == torch.float32 and found.shape == (1, 1, *smaller)
    assert np.allclose(found[0, 0], slow_spectral_pool(x, smaller), atol=1e-5)


@pytest.mark.parametrize(("size", "smaller"), SIZES)
def test_a_constant_map_keeps_its_value(size: tuple[int, int], smaller: tuple[int, int]) -> None:
    assert torch.allclose(spectral_pool(torch.full((2, 3, *size), 4.0), smaller), torch.tensor(4.0), atol=1e-5)


@pytest.mark.parametrize("size", [16, 17, 18, 19])
def test_a_wave_below_the_limit_is_sampled_exactly(size: int) -> None:
    def wave(count: int) -> Tensor:
        y, x = torch.meshgrid(*[torch.arange(count) / count * 2 * torch.pi] * 2, indexing="ij")
        return torch.cos(2 * y - 3 * x + 1) + torch.sin(3 * y) + 2

    assert torch.allclose(spectral_pool(wave(size)[None, None], (size // 2,) * 2)[0, 0], wave(size // 2), atol=1e-5)


def test_waves_above_the_limit_are_gone() -> None:
    x = torch.arange(32) / 32 * 2 * torch.pi
    fine = torch.cos(11 * x)[:, None] * torch.cos(2 * x)
    assert spectral_pool(fine[None, None], (16, 16)).abs().max() < 1e-5


@pytest.mark.parametrize(("size", "smaller"), SIZES)
def test_rows_and_columns_are_treated_alike(size: tuple[int, int], smaller: tuple[int, int]) -> None:
    x = noise(1, 2, *size)
    turned = spectral_pool(x.transpose(-2, -1), smaller[::-1]).transpose(-2, -1)
    assert torch.allclose(spectral_pool(x, smaller), turned, atol=1e-5)


def test_spectral_pooling_is_linear() -> None:
    a, b = noise(1, 2, 19, 18), noise(1, 2, 19, 18, seed=1)
    both = spectral_pool(3 * a - 2 * b, (9, 9))
    assert torch.allclose(both, 3 * spectral_pool(a, (9, 9)) - 2 * spectral_pool(b, (9, 9)), atol=1e-5)


def test_spectral_pooling_mixes_space_and_not_channels_or_images() -> None:
    x = noise(3, 5, 16, 18)
    whole = spectral_pool(x, (8, 9))
    order = torch.tensor([3, 0, 4, 1, 2])
    assert torch.allclose(spectral_pool(x[:, order], (8, 9)), whole[:, order], atol=1e-6)
    assert torch.allclose(spectral_pool(x[1:2, 2:3], (8, 9)), whole[1:2, 2:3], atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_spectral_pooling_computes_in_single_precision_whatever_comes_in(dtype: torch.dtype) -> None:
    x = noise(1, 2, 18, 22).to(dtype)
    found = spectral_pool(x, (9, 11))
    assert found.dtype == torch.float32
    assert torch.equal(found, spectral_pool(x.float(), (9, 11)))


def test_spectral_pooling_computes_in_single_precision_inside_autocast() -> None:
    x = noise(1, 2, 18, 22)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = spectral_pool(x, (9, 11))
    assert torch.equal(found, spectral_pool(x, (9, 11)))


@pytest.mark.parametrize("size", [(8, 8), (7, 10)])
def test_the_gradient_of_spectral_pooling_is_that_of_finite_differences(size: tuple[int, int]) -> None:
    x, weight = noise(1, 1, *size), noise(1, 1, size[0] // 2, size[1] // 2, seed=1)
    x.requires_grad_()
    (spectral_pool(x, (size[0] // 2, size[1] // 2)) * weight).sum().backward()
    pixels = torch.eye(size[0] * size[1]).reshape(-1, 1, *size)  # linear: the change of one pixel is the derivative
    changes = (spectral_pool(pixels, (size[0] // 2, size[1] // 2)) * weight).sum((1, 2, 3))
    assert x.grad is not None and torch.allclose(x.grad.flatten(), changes, atol=1e-5)


# ---- hybrid pooling


@pytest.mark.parametrize("size", [(8, 8), (7, 10), (1, 1)])
def test_a_hybrid_pool_by_one_keeps_the_size(size: tuple[int, int]) -> None:
    assert HybridPool(3, 1)(noise(2, 3, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize(("size", "factor"), [((8, 12), 2), ((7, 9), 2), ((48, 32), 16)])
def test_a_hybrid_pool_makes_maps_as_small_as_max_pooling_does(size: tuple[int, int], factor: int) -> None:
    assert HybridPool(3, factor)(noise(2, 3, *size)).shape == (2, 3, size[0] // factor, size[1] // factor)


@pytest.mark.parametrize("factor", [1, 2])
def test_a_hybrid_pool_is_max_pooling_beside_the_positive_part_of_spectral_pooling(factor: int) -> None:
    pool, x = HybridPool(1, factor), noise(1, 1, 8, 8)
    pool.mix.weight.data[:], pool.mix.bias.data[:] = torch.tensor([3.0, 1.0])[None, :, None, None], 0
    a = x[0, 0].double().numpy()
    starts = range(0, 8, factor)
    largest = np.array([[a[i : i + 2, j : j + 2].max() for j in starts] for i in starts])
    smooth = a if factor == 1 else slow_spectral_pool(a, (4, 4))
    assert np.allclose(pool(x)[0, 0].detach(), 3 * largest + smooth.clip(0), atol=1e-5)


# ---- convolutions and gates


@pytest.mark.parametrize("size", [1, 3, 5])
def test_a_separable_convolution_is_one_with_a_kernel_of_rank_one_per_feature(size: int) -> None:
    alone, mix = conv(3, 4, size, separable=True)
    kernel = mix.weight[:, :, 0, 0, None, None] * alone.weight[None, :, 0]  # (4, 3, size, size)
    x = noise(2, 3, 9, 7)
    expected = torch.nn.functional.conv2d(x, kernel, mix.bias, padding=size // 2)
    assert torch.allclose(mix(alone(x)), expected, atol=1e-5)


@pytest.mark.parametrize("fine", [[3], [3, 2]])
def test_the_mask_of_a_gate_lies_between_0_and_1_and_has_one_value_per_two_by_two_pixels(fine: Sequence[int]) -> None:
    gate = Gate(fine, 5, 4)
    mask = gate([noise(2, f, 12, 8, seed=f) * 20 for f in fine], noise(2, 5, 6, 4) * 20)
    assert mask.shape == (2, 1, 12, 8)
    assert mask.min() >= 0 and mask.max() <= 1 and mask.std() > 0
    assert torch.equal(mask, mask[..., ::2, ::2].repeat_interleave(2, -2).repeat_interleave(2, -1))


def test_a_gate_looks_at_every_map_it_is_given() -> None:
    gate = Gate([3, 2], 5, 4)
    maps = [noise(1, 3, 8, 8).requires_grad_(), noise(1, 2, 8, 8).requires_grad_()]
    coarse = noise(1, 5, 4, 4).requires_grad_()
    gate(maps, coarse).sum().backward()
    assert all(m.grad is not None and m.grad.abs().sum() > 0 for m in (*maps, coarse))
