import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.feature import hessian_matrix, hessian_matrix_eigvals

from btunet.filters import REACH, SCALES, blur, filter_responses


def test_the_finest_responses_are_those_of_the_textbook(rng: np.random.Generator) -> None:
    image = gaussian_filter(rng.random((40, 50)), 1).astype(np.float32)
    found = filter_responses(torch.from_numpy(image)[None, None])[0].numpy()
    smooth = gaussian_filter(image, 1, mode="nearest", truncate=3).astype(np.float64)
    inside = slice(4, -4), slice(4, -4)
    assert np.array_equal(found[0], image)
    assert found[1][inside] == pytest.approx(smooth[inside], abs=1e-5)
    gradient = np.hypot(*np.gradient(smooth))
    assert found[2][inside] == pytest.approx(gradient[inside], abs=1e-5)
    large, small = hessian_matrix_eigvals(hessian_matrix(smooth, sigma=0.01, use_gaussian_derivatives=False))
    assert np.corrcoef(found[3][inside].ravel(), large[inside].ravel())[0, 1] > 0.9
    assert np.corrcoef(found[4][inside].ravel(), small[inside].ravel())[0, 1] > 0.9
    assert (found[3] >= found[4]).all()
    mean_of_squares = gaussian_filter(image.astype(np.float64) ** 2, 1, mode="nearest", truncate=3)
    deviation = np.sqrt(np.maximum(mean_of_squares - smooth**2, 1e-6))
    assert found[5][inside] == pytest.approx(deviation[inside], abs=2e-3)


@pytest.mark.parametrize(("shape", "channels"), [((1, 1), 1), ((3, 17), 2), ((64, 64), 3), ((33, 47), 1)])
def test_every_size_has_finite_responses_of_its_own_size(shape: tuple[int, int], channels: int) -> None:
    found = filter_responses(torch.rand(2, channels, *shape, generator=torch.Generator().manual_seed(0)))
    assert found.shape[0] == 2 and found.shape[2:] == shape and bool(torch.isfinite(found).all())
    if min(shape) >= 2**SCALES:
        assert found.shape[1] == channels * (1 + 5 * SCALES)


def test_a_constant_image_stays_constant_and_has_no_edges() -> None:
    found = filter_responses(torch.full((1, 1, 48, 48), 0.7))[0]
    values, edges = found[[0, *range(1, 26, 5)]], found[[i for i in range(1, 26) if i % 5 in (2, 3, 4)]]
    assert torch.allclose(values, torch.tensor(0.7), atol=1e-5) and float(edges.abs().max()) < 1e-5


def test_what_lies_beyond_the_reach_does_not_matter() -> None:
    images = torch.rand(1, 1, 192, 192, generator=torch.Generator().manual_seed(0))
    other = images.clone()
    other[..., 96 + 2 * REACH :] += 5
    stride = 2 ** (SCALES - 1)
    near, far = filter_responses(images)[..., :96], filter_responses(other)[..., :96]
    assert torch.allclose(near[..., : 96 // stride * stride], far[..., : 96 // stride * stride], atol=1e-5)


def test_a_blur_is_a_gaussian_of_one_pixel() -> None:
    dot = torch.zeros(1, 1, 15, 15)
    dot[..., 7, 7] = 1
    found = blur(dot)[0, 0]
    assert float(found.sum()) == pytest.approx(1, abs=1e-5)
    assert float(found[7, 8] / found[7, 7]) == pytest.approx(np.exp(-0.5), abs=1e-5)
    assert torch.allclose(found, found.mT) and torch.allclose(found, found.flip(0))
