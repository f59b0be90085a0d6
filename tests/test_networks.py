"""What every network promises, whatever it is made of."""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from btunet import FinetuneSettings, Model, PretrainSettings, as_stack, finetune, predict, pretrain, run
from btunet.device import settle
from btunet.labels import targets_of_strokes
from btunet.learner import Learner
from btunet.networks import BUILDERS, build
from btunet.networks.attention_unet import AttentionUNet
from btunet.networks.blocks import Dropout
from btunet.optimise import seeded
from btunet.settings import NETWORKS
from btunet.tiles import predict_plane

TINY = (2, 2, 2, 2, 2)
SMALL = (4, 8, 8)
SPECTRAL = ("inception-unet", "rca-iunet")
every_network = pytest.mark.parametrize("name", NETWORKS)

# published: values with running statistics for 3 channels and one output, and those of the encoder (METHOD.md, 2)
PUBLISHED = {
    "unet": (353_104, 188_523),
    "plain-unet": (2_081_045, 1_228_784),
    "attention-unet": (2_454_329, 1_228_784),
    "inception-unet": (3_970_963, None),
    "rca-iunet": (2_923_817, 1_400_592),
}
OUTPUT_NORM = {"inception-unet": 0}  # the others' code normalises the output: 4 values that are left out here


def noise(*shape: int, seed: int = 0, **options: torch.dtype) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), **options)


def values_in(module: nn.Module) -> int:
    """Count parameters and running statistics."""
    return sum(v.numel() for name, v in module.state_dict().items() if not name.endswith("num_batches_tracked"))


def average_pool(x: Tensor, size: tuple[int, int]) -> Tensor:
    return nn.functional.adaptive_avg_pool2d(x, size)


# ---- what they are


def test_every_network_has_a_builder_and_a_sentence() -> None:
    assert list(BUILDERS) == list(NETWORKS)
    assert all(NETWORKS.values())


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_number_of_values_is_the_published_one(name: str) -> None:
    network, (whole, encoder) = build(name, 3, 1), PUBLISHED[name]
    assert values_in(network) == whole - OUTPUT_NORM.get(name, 4)
    assert encoder is None or values_in(network.encoder) == encoder


def test_the_separable_attention_unet_has_the_published_number_of_values_too() -> None:
    assert values_in(AttentionUNet(3, 1, separable=True)) == 726_388 - 4


@every_network
def test_the_sentence_a_user_reads_gives_the_right_number_of_parameters(name: str) -> None:
    found = re.search(r"(\d+\.(\d+)) million parameters", NETWORKS[name])
    assert found is not None
    parameters = sum(p.numel() for p in build(name, 1, 2).parameters())
    assert round(parameters / 1e6, len(found[2])) == float(found[1])


@every_network
def test_the_state_has_three_parts(name: str) -> None:
    assert {key.split(".")[0] for key in build(name, 1, 2).state_dict()} == {"encoder", "decoder", "head"}


@every_network
def test_the_encoder_gives_one_map_per_level_each_half_the_size(name: str) -> None:
    network = build(name, 1, 2).eval()
    with torch.no_grad():
        features = network.encoder(torch.zeros(1, 1, 32, 48))
        assert [f.shape[1] for f in features] == list(network.widths) == [16, 32, 64, 128, 256]
        assert [tuple(f.shape[-2:]) for f in features] == [(32 >> i, 48 >> i) for i in range(5)]
        assert network.decoder(features).shape == (1, network.widths[0], 32, 48)


@every_network
def test_nothing_normalises_the_logits(name: str) -> None:
    """The head is the last to act, and it is a plain 1×1 convolution: scaling it scales the logits."""
    torch.manual_seed(0)
    network, image = BUILDERS[name](1, 2, widths=TINY).eval(), noise(1, 1, 32, 32)
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


def test_a_network_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no network 'vit'; choose one of: unet, plain-unet"):
        build("vit", 1, 2)


# ---- any image


@every_network
@pytest.mark.parametrize("size", [(1, 1), (33, 95)])
def test_the_output_has_the_size_of_the_image(name: str, size: tuple[int, int]) -> None:
    with torch.no_grad():
        found = build(name, 2, 3).eval()(noise(1, 2, *size))
    assert found.shape == (1, 3, *size) and torch.isfinite(found).all()


@every_network
def test_sizes_from_17_to_300_are_taken(lively: Any, name: str) -> None:
    network = lively(name=name, widths=TINY)
    with torch.no_grad():
        for size in [*range(17, 35), *range(36, 301, 33), 300]:  # every remainder of the stride
            assert network(torch.zeros(1, 1, size, 17)).shape == (1, 3, size, 17)
        assert network(torch.zeros(1, 1, 17, 300)).shape[-2:] == (17, 300)


@every_network
@pytest.mark.parametrize(("channels", "classes"), [(1, 9), (2, 2), (7, 3)])
def test_any_number_of_channels_and_classes_is_taken(name: str, channels: int, classes: int) -> None:
    with torch.no_grad():
        found = BUILDERS[name](channels, classes, widths=TINY).eval()(torch.zeros(2, channels, 32, 48))
    assert found.shape == (2, classes, 32, 48)


@every_network
def test_the_stride_is_what_sides_are_padded_to(name: str) -> None:
    network = BUILDERS[name](1, 2, widths=TINY).eval()
    seen: list[torch.Size] = []
    network.encoder.register_forward_pre_hook(lambda _module, args: seen.append(args[0].shape[-2:]))
    network(torch.zeros(1, 1, 21, 30))
    assert network.stride == 16 and seen == [(32, 32)]


@every_network
def test_prediction_does_not_depend_on_the_other_images_of_the_batch(lively: Any, name: str) -> None:
    network, images = lively(name=name, widths=TINY).double(), noise(3, 1, 40, 40, dtype=torch.float64)
    tolerance = 1e-4 if name in SPECTRAL else 1e-9  # transforms are in single precision
    with torch.no_grad():
        together = network(images)[1]
        images[[0, 2]] += 100
        assert torch.allclose(network(images)[1], together, atol=tolerance)
        assert torch.allclose(network(images[1:2])[0], together, atol=tolerance)


# ---- how far they see


def farthest(network: Any, places: range, size: int) -> int:
    """Return how far from a pixel that is changed the output changes."""
    network, image, found = network.double(), noise(1, 1, size, size, dtype=torch.float64), 0
    with torch.no_grad():
        before = network(image)
        for place in places:
            other = image.clone()
            other[..., place, place] += 100
            changed = ((network(other) - before).abs().amax((0, 1)) > 0).nonzero()
            found = max(found, int((changed - place).abs().max()))
    return found


def farthest_path(network: nn.Module, place: int, size: int) -> int:
    """Return how far from an output pixel there is a path to the image: every weight is positive, so none cancel."""
    network = network.double().eval()
    for parameter in network.parameters():
        parameter.data.uniform_(0.01, 0.1)
    image = torch.ones(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(image)[0, :, place, place].sum(), image)
    return int((gradient[0, 0].nonzero() - place).abs().max())


@every_network
@pytest.mark.parametrize("levels", [2, 3, 5])
def test_the_reach_is_how_far_the_convolutions_see(monkeypatch: pytest.MonkeyPatch, name: str, levels: int) -> None:
    monkeypatch.setattr("btunet.networks.blocks.spectral_pool", average_pool)  # which sees everything
    monkeypatch.setattr(
        nn.functional, "max_pool2d", lambda x, size, stride=None: nn.functional.avg_pool2d(x, size, stride)
    )
    monkeypatch.setattr("btunet.networks.inception_unet.SHORT", 2 ** (levels - 1))
    network = BUILDERS[name](1, 2, widths=(2,) * levels if levels == 5 else (4,) * levels)
    size = -(-(2 * network.reach + 2 * network.stride) // network.stride) * network.stride
    middle = size // 2 // network.stride * network.stride
    torch.manual_seed(0)
    places = range(network.stride) if levels < 5 else (2, 4)  # how it lies in the pooling; all 16 take long
    found = max(farthest_path(network, middle + place, size) for place in places)
    if name == "rca-iunet":  # its gates look at the encoder's maps, so they do not add up: it is only a bound
        assert 0.9 * network.reach < found <= network.reach
    else:
        assert found == network.reach


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "inception-unet"])  # that one has five levels
def test_what_lies_beyond_the_reach_changes_nothing(lively: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("btunet.networks.blocks.spectral_pool", average_pool)
    network = lively(classes=2, name=name, widths=SMALL)
    size = (2 * network.reach + 40) // network.stride * network.stride
    found = farthest(network, range(size // 2, size // 2 + network.stride), size)  # wherever it lies in the pooling
    assert network.reach / 2 < found <= network.reach


@pytest.mark.parametrize("name", SPECTRAL)
def test_networks_with_spectral_pooling_see_the_whole_tile(lively: Any, name: str) -> None:
    network = lively(classes=2, name=name, widths=TINY)
    assert farthest(network, range(0, 1), 64) == 63


# ---- training


@every_network
def test_the_gradient_reaches_every_parameter(lively: Any, name: str) -> None:
    network = lively(channels=2, name=name)  # evaluation mode: a bias before a normalisation has a gradient too
    network(noise(2, 2, 48, 32)).square().mean().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, key


@every_network
def test_bfloat16_gives_nearly_what_single_precision_does(lively: Any, name: str) -> None:
    network, image = lively(name=name), noise(2, 1, 48, 41)
    with torch.no_grad():
        exact = network(image)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = network(image).float()
    assert torch.isfinite(found).all() and not torch.equal(found, exact)
    assert (found - exact).square().mean().sqrt() < 0.05 * exact.std()


@every_network
def test_a_saved_model_gives_the_same_numbers(lively: Any, model_of: Any, tmp_path: Path, name: str) -> None:
    model, image = model_of(lively(name=name), name=name), noise(1, 1, 50, 40)
    back = Model.load(model.save(tmp_path / "a.safetensors"))
    with torch.no_grad():
        assert torch.equal(back.build().eval()(image), model.build().eval()(image))


@every_network
def test_it_pretrains_finetunes_and_predicts(rng: np.random.Generator, name: str) -> None:
    """And the pre-trained encoder, running statistics included, is exactly where fine-tuning starts."""
    image = rng.random((2, 40, 40))
    strokes = np.where(rng.random(image.shape) < 0.2, 1 + (image > 0.5), 0)
    encoder = run(pretrain([image], PretrainSettings(network=name, steps=2, batch=4, patch_size=32)))
    assert encoder.network == name and encoder.is_encoder
    stacks, settings = [as_stack(image)], FinetuneSettings(network=name, steps=1, batch=2, patch_size=32)
    student = Learner(encoder, ["a", "b"], stacks, targets_of_strokes(stacks, [strokes]), settings)
    start = student.network.encoder.state_dict()
    assert {f"encoder.{key}" for key in start} == set(encoder.weights)
    assert all(np.array_equal(value.numpy(), encoder.weights[f"encoder.{key}"]) for key, value in start.items())
    random = build(name, 1, 2).encoder.state_dict()  # and it did learn, statistics too
    moved = [key for key, value in start.items() if not torch.equal(value, random[key])]
    assert all(key in moved for key in start if key.endswith(("running_mean", "running_var")))
    model = run(finetune([image], [strokes], settings, start_from=encoder))
    assert model.network == name and [record["verb"] for record in model.history] == ["pretrain", "finetune"]
    (found,) = run(predict(model, [image]))
    assert found.shape == image.shape and set(np.unique(found)) <= {0, 1}


@pytest.mark.parametrize("name", ["unet", "plain-unet", *SPECTRAL])
def test_everything_runs_in_bfloat16_if_asked_for_and_learns_nearly_the_same(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    image, losses = rng.random((40, 40)), []
    labels, settings = 1 + (image > 0.5), FinetuneSettings(network=name, steps=1, batch=2, patch_size=32)
    for precision in ("float32", "bfloat16"):
        monkeypatch.setenv("BTUNET_PRECISION", precision)
        encoder = run(pretrain([image], PretrainSettings(network=name, steps=1, batch=16, patch_size=32)))
        model = run(finetune([image], [labels], settings, start_from=encoder))
        assert all(weight.dtype in (np.float32, np.int64) for weight in model.weights.values())
        found = predict_plane(model.build().eval(), image[None].astype(np.float32), 64)
        assert found.dtype == np.float32 and np.allclose(found.sum(0), 1, atol=1e-5)
        losses.append([record["final"]["loss"] for record in model.history])
    assert losses[0] != losses[1] and losses[1] == pytest.approx(losses[0], rel=0.1)


@every_network
def test_a_training_keeps_the_order_of_values_that_convolutions_are_fastest_in(name: str) -> None:
    network = settle(build(name, 1, 2))
    found = network.encoder(torch.zeros(2, 1, 64, 64))
    assert all(m.is_contiguous(memory_format=torch.channels_last) for m in found if min(m.shape[2:]) > 1)


def test_dropout_keeps_the_share_and_the_sum_of_values_and_goes_back_the_way_it_came() -> None:
    x = torch.ones(3, 7, 61, 67).to(memory_format=torch.channels_last).requires_grad_()
    with seeded(torch.Generator().manual_seed(0)):
        y = Dropout(0.1)(x)
    assert y.detach().unique().tolist() == pytest.approx([0, 1 / 0.9])
    assert (y == 0).float().mean() == pytest.approx(0.1, abs=0.004)  # 4 standard deviations of 85,827 draws
    assert y.detach().mean((1, 2, 3)).tolist() == pytest.approx([1, 1, 1], abs=0.01)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
    assert Dropout(0.1).eval()(x) is x and torch.equal(Dropout(0.0)(x), x)


@every_network
def test_the_seed_alone_decides_what_is_learned_dropout_included(rng: np.random.Generator, name: str) -> None:
    image = rng.random((40, 40))
    for train in (
        lambda seed: pretrain([image], PretrainSettings(network=name, steps=2, batch=4, patch_size=32, seed=seed)),
        lambda seed: finetune(
            [image], [1 + (image > 0.5)], FinetuneSettings(network=name, steps=2, batch=2, patch_size=32, seed=seed)
        ),
    ):
        made = []
        for state, seed in ((1, 0), (2, 0), (1, 1)):
            torch.manual_seed(state)
            before = torch.get_rng_state()
            made.append(run(train(seed)).weights)
            assert torch.equal(torch.get_rng_state(), before)  # which is the user's
        one, again, other = made
        assert all(np.array_equal(one[key], again[key]) for key in one)
        assert any(not np.array_equal(one[key], other[key]) for key in one)


@every_network
def test_the_smallest_patches_are_trained_on_or_refused_with_a_sentence(rng: np.random.Generator, name: str) -> None:
    image = rng.random((40, 40))
    labels, settings = 1 + (image > 0.5), FinetuneSettings(network=name, steps=1, batch=1, patch_size=16)
    normalises_over_the_batch = any(isinstance(m, nn.BatchNorm2d) for m in build(name, 1, 2).modules())
    if normalises_over_the_batch:  # and its bottleneck would have a single pixel
        with pytest.raises(ValueError, match="one patch of this size is too little to normalise; raise batch or patch"):
            run(finetune([image], [labels], settings))
        settings = replace(settings, batch=2)
    model = run(finetune([image], [labels], settings))
    assert all(math.isfinite(value) for value in model.history[0]["final"].values())
