import numpy as np
import pytest
import torch
from torch import Tensor

from btunet.barlow import EPSILON, Projector, barlow_twins, cross_correlation, effective_rank


def embeddings(n: int = 32, d: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, d, generator=generator)
    return z * 3 + 1, z * 2 + 0.5 * torch.randn(n, d, generator=generator)


def whitened(n: int, d: int) -> Tensor:
    """Features with zero mean, unit variance and no correlation at all."""
    z = np.random.default_rng(0).normal(size=(n, d))
    q, _ = np.linalg.qr(z - z.mean(0))
    return torch.from_numpy(q * np.sqrt(n)).float()


def test_the_loss_equals_the_papers_equation_in_float64() -> None:
    z_a, z_b = embeddings()
    a, b = z_a.double().numpy(), z_b.double().numpy()
    _n, d = a.shape
    invariance = reduction = 0.0
    for i in range(d):
        for j in range(d):
            x, y = a[:, i] - a[:, i].mean(), b[:, j] - b[:, j].mean()
            c = (x * y).mean() / np.sqrt(((x**2).mean() + EPSILON) * ((y**2).mean() + EPSILON))
            if i == j:
                invariance += (1 - c) ** 2
            else:
                reduction += c**2
    found = [part.item() for part in barlow_twins(z_a, z_b, 0.005)]
    assert found == pytest.approx([invariance, 0.005 * reduction], rel=1e-4)


def test_two_identical_views_of_whitened_features_cost_nothing() -> None:
    z = whitened(64, 16)
    assert sum(part.item() for part in barlow_twins(z, z, 1.0)) < 1e-6


def test_scale_and_offset_of_a_feature_do_not_matter() -> None:
    z_a, z_b = embeddings()
    scale, offset = torch.tensor([0.5, 2, 10, 1, 100, 3]), torch.tensor([5.0, -3, 0, 1, 40, -7])
    moved = [part.item() for part in barlow_twins(z_a * scale + offset, z_b, 0.1)]
    assert moved == pytest.approx([part.item() for part in barlow_twins(z_a, z_b, 0.1)], rel=1e-3)


def test_a_constant_feature_costs_one_and_gives_no_nan() -> None:
    z = whitened(64, 4)
    z[:, 2] = 7
    z.requires_grad_()
    on_diagonal, off_diagonal = barlow_twins(z, z, 1.0)
    (on_diagonal + off_diagonal).backward()
    assert on_diagonal.item() == pytest.approx(1, abs=1e-4)
    assert off_diagonal.item() == pytest.approx(0, abs=1e-6)
    assert z.grad is not None and torch.isfinite(z.grad).all()


def test_a_collapse_of_everything_still_has_a_finite_gradient() -> None:
    z = torch.ones(8, 4, requires_grad=True)
    sum(barlow_twins(z, z, 1.0)).backward()  # type: ignore[union-attr]
    assert z.grad is not None and torch.isfinite(z.grad).all()


def test_features_that_repeat_each_other_are_what_the_off_diagonal_punishes() -> None:
    z = whitened(64, 1).repeat(1, 4)
    on_diagonal, off_diagonal = barlow_twins(z, z, 1.0)
    assert on_diagonal.item() == pytest.approx(0, abs=1e-6)
    assert off_diagonal.item() == pytest.approx(12, rel=1e-3)


def test_correlations_lie_between_minus_one_and_one() -> None:
    c = cross_correlation(*embeddings(n=3, d=40))
    assert c.abs().max() <= 1 + 1e-5


@pytest.mark.parametrize("shapes", [((4, 3), (4, 2)), ((1, 3), (1, 3))])
def test_embeddings_that_cannot_be_compared_are_refused(shapes: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(ValueError, match="expected twice"):
        cross_correlation(*(torch.zeros(s) for s in shapes))


def test_half_precision_embeddings_are_correlated_in_single_precision() -> None:
    z_a, z_b = embeddings()
    c = cross_correlation(z_a.half(), z_b.half())
    assert c.dtype == torch.float32
    assert torch.allclose(c, cross_correlation(z_a, z_b), atol=1e-2)


def test_the_effective_rank_counts_equally_strong_directions() -> None:
    assert effective_rank(whitened(64, 10)) == pytest.approx(10, rel=1e-4)
    assert effective_rank(torch.cat([whitened(64, 5)] * 2, 1)) == pytest.approx(5, rel=1e-3)


def test_the_effective_rank_equals_its_definition() -> None:
    z = embeddings(n=20, d=5)[0]
    s = np.linalg.svd((z - z.mean(0)).double().numpy(), compute_uv=False)
    p = s / s.sum()
    assert effective_rank(z) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-4)


def test_collapsed_features_have_rank_one() -> None:
    assert effective_rank(torch.full((8, 4), 3.0)) == 1
    assert effective_rank(torch.arange(8.0)[:, None] * torch.ones(4)) == pytest.approx(1, abs=1e-3)


def cheapest(n: int, d: int, redundancy: float, *, views_differ: bool) -> float:
    """Return the least loss that N embeddings can have, found by moving the embeddings themselves (Adam)."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(1 + views_differ, n, d, generator=generator, dtype=torch.float64, requires_grad=True)
    mean, square, least = torch.zeros_like(z), torch.zeros_like(z), np.inf
    for step in range(1, 301):
        loss = sum(barlow_twins(z[0], z[-1], redundancy))
        least = min(least, loss.item())  # type: ignore[union-attr]
        (gradient,) = torch.autograd.grad(loss, z)
        with torch.no_grad():
            mean.lerp_(gradient, 0.1)
            square.lerp_(gradient.square(), 0.001)
            z -= 0.05 * (mean / (1 - 0.9**step)) / ((square / (1 - 0.999**step)).sqrt() + 1e-9)
    return least


@pytest.mark.parametrize("n", [4, 8, 16])
def test_fewer_patches_than_features_leave_a_loss_that_nothing_can_lower(n: int) -> None:
    """The correlation has rank N - 1 at most; the paper's 4 and 8 patches of 128 features cost about 22 and 10."""
    d, redundancy = 128, 5e-3
    excess = redundancy * (d / (n - 1) - 1)
    floor, of_equal_views = d * excess / (1 + excess), d * excess
    assert floor == pytest.approx({4: 22.1, 8: 10.2, 16: 4.65}[n], abs=0.05)
    assert floor * 0.99 < cheapest(n, d, redundancy, views_differ=True) < floor * 1.05
    assert of_equal_views * 0.99 < cheapest(n, d, redundancy, views_differ=False) < of_equal_views * 1.05


def test_more_patches_than_features_can_have_almost_no_loss() -> None:
    assert cheapest(24, 16, 5e-3, views_differ=True) < 0.05


def test_the_projector_has_the_published_number_of_values() -> None:
    """255,467 with the encoder's 188,523; three biases of 128 that the next layer would remove are left out."""
    state = Projector((256,), (128, 128), 128).state_dict()
    values = sum(v.numel() for name, v in state.items() if not name.endswith("num_batches_tracked"))
    assert values == 255_467 - 188_523 - 3 * 128


def test_the_projector_can_see_the_bottleneck_alone() -> None:
    torch.manual_seed(0)
    levels = [torch.randn(8, 2, 16, 16), torch.randn(8, 4, 8, 8)]
    projector = Projector((4,), (5,), 3)
    out = projector(levels)
    levels[0] += 1
    assert torch.equal(projector(levels), out) and projector.layers[0].in_features == 4


def test_the_projector_sees_every_level_of_the_encoder() -> None:
    torch.manual_seed(0)
    projector = Projector((2, 4), (5,), 3)
    levels = [torch.randn(8, 2, 16, 16, requires_grad=True), torch.randn(8, 4, 8, 8, requires_grad=True)]
    out = projector(levels)
    assert out.shape == (8, 3)
    out.square().sum().backward()
    assert all(level.grad is not None and level.grad.abs().sum() > 0 for level in levels)
