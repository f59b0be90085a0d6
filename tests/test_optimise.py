import copy
import math
import time

import pytest
import torch
from torch import nn

from btunet import BtunetError, OutOfMemory
from btunet.optimise import Average, Clock, Trainer, explained, one_cycle
from btunet.recipes import FINETUNING, PRETRAINING, Descent

ADAMW = Descent(algorithm="adamw", rate=1e-3, weight_decay=1e-4)


def test_the_rate_rises_in_a_line_and_falls_in_half_a_cosine() -> None:
    assert one_cycle(0) == pytest.approx(0.05)
    assert one_cycle(0.05) == pytest.approx((0.05 + 1) / 2)
    assert one_cycle(0.1) == pytest.approx(1)
    assert one_cycle(0.55) == pytest.approx(0.5)
    assert one_cycle(1) == pytest.approx(0, abs=1e-12)
    assert one_cycle(1.5) == pytest.approx(0, abs=1e-12)


def test_the_rate_is_highest_once_and_never_negative() -> None:
    rates = [one_cycle(i / 1000) for i in range(1001)]
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1]) and rates[top:] == sorted(rates[top:], reverse=True)
    assert min(rates) >= 0 and max(rates) <= 1


def test_a_clock_of_steps_counts_them() -> None:
    clock = Clock(4, 1e-9)
    seen = []
    while not clock.done:
        seen.append(clock.fraction)
        clock.step += 1
        assert clock.total == 4
    assert seen == [0, 0.25, 0.5, 0.75]


def test_a_clock_of_minutes_makes_at_least_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    clock = Clock(0, 0.5)
    now[0] += 1000
    assert clock.fraction == 1 and not clock.done
    clock.step += 1
    assert clock.done


def test_a_clock_of_minutes_estimates_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    clock = Clock(0, 1)
    for _ in range(10):
        now[0] += 1.5
        clock.step += 1
    assert clock.fraction == pytest.approx(0.25) and clock.total == 40 and clock.seconds == 15
    now[0] = 60
    assert clock.done


def test_a_step_follows_the_gradient_at_the_rate_of_the_schedule() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 1.0)
    trainer = Trainer(layer, ADAMW, 0.1)
    trainer.step(layer(torch.ones(1, 1)).sum(), 0.55)
    expected = 1 * (1 - 0.05 * 1e-4) - 0.05  # AdamW's first step has the length of the rate
    assert layer.weight.item() == pytest.approx(expected, abs=1e-6)


def test_a_step_forgets_the_gradient_of_the_one_before() -> None:
    layer = nn.Linear(1, 1, bias=False)
    trainer = Trainer(layer, ADAMW)
    for _ in range(2):
        trainer.step(2 * layer(torch.ones(1, 1)).sum(), 0.5)
        assert layer.weight.grad is not None and layer.weight.grad.item() == pytest.approx(2)


def test_a_huge_gradient_is_cut() -> None:
    layer = nn.Linear(4, 1, bias=False)
    Trainer(layer, ADAMW).step(1e6 * layer(torch.ones(1, 4)).sum(), 0.5)
    assert layer.weight.grad is not None and layer.weight.grad.norm().item() == pytest.approx(5, rel=1e-3)


DESCENTS = {
    f"{verb} {name}": r.descent
    for verb, of in (("pretrain", PRETRAINING), ("finetune", FINETUNING))
    for name, r in of.items()
}


def in_torch(descent: Descent, layers: nn.Module) -> torch.optim.Optimizer:
    if descent.algorithm == "sgd":
        options = {"momentum": descent.momentum, "weight_decay": descent.weight_decay}
        return torch.optim.SGD(layers.parameters(), lr=descent.rate, **options)
    if not descent.weight_decay:
        return torch.optim.Adam(layers.parameters(), lr=descent.rate)  # what the paper used
    return torch.optim.AdamW(layers.parameters(), lr=descent.rate, weight_decay=descent.weight_decay)


@pytest.mark.parametrize("which", [*DESCENTS, "sgd with decay"])
def test_every_recipe_descends_as_torchs_own_optimiser_does(which: str) -> None:
    with_decay = Descent(algorithm="sgd", rate=0.1, momentum=0.5, weight_decay=0.1)
    descent = DESCENTS.get(which, with_decay)
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    theirs = copy.deepcopy(ours)
    trainer, optimiser = Trainer(ours, descent), in_torch(descent, theirs)
    lengths = []
    for step in range(5):
        x, scale = torch.randn(16, 4), 10.0**step  # the last gradients are longer than what is allowed
        trainer.step(ours(x).square().mean() * scale, step / 5)
        optimiser.zero_grad()
        (theirs(x).square().mean() * scale).backward()
        lengths.append(nn.utils.clip_grad_norm_(theirs.parameters(), 5.0).item())
        constant = descent.schedule == "constant"
        optimiser.param_groups[0]["lr"] = descent.rate * (1 if constant else one_cycle(step / 5))
        optimiser.step()
    assert lengths[0] < 5 < lengths[-1]
    for found, expected in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(found, expected, rtol=1e-6, atol=1e-8)


def test_a_constant_schedule_has_the_same_rate_from_beginning_to_end() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 1.0)
    trainer = Trainer(layer, Descent(algorithm="sgd", rate=0.1, momentum=0, schedule="constant"))
    for step, fraction in enumerate((0, 0.05, 0.5, 0.999, 1), 1):
        trainer.step(layer(torch.ones(1, 1)).sum(), fraction)
        assert layer.weight.item() == pytest.approx(1 - 0.1 * step, abs=1e-6)


def test_a_rate_that_was_asked_for_is_taken_instead_of_the_recipes() -> None:
    moved = []
    for rate in (0.0, 0.5):
        layer = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(layer.weight)
        descent = Descent(algorithm="sgd", rate=0.1, schedule="constant")
        Trainer(layer, descent, rate).step(layer(torch.ones(1, 1)).sum(), 0.5)
        moved.append(-layer.weight.item())
    assert moved == pytest.approx([0.1, 0.5])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_the_training_and_changes_nothing(value: float) -> None:
    layer = nn.Linear(1, 1)
    before = layer.weight.item()
    with pytest.raises(BtunetError, match="the training diverged"):
        Trainer(layer, ADAMW).step(layer(torch.ones(1, 1)).sum() * value, 0.5)
    assert layer.weight.item() == before


def test_the_average_equals_its_recursion() -> None:
    layer = nn.BatchNorm1d(1)
    average = Average(layer, longest=0.5)
    expected = 1.0
    for step in range(1, 12):
        with torch.no_grad():
            layer.weight.fill_(step)
        layer.num_batches_tracked.fill_(step)  # type: ignore[union-attr]
        average.update(layer)
        decay = min(0.5, step / (step + 4))
        expected = decay * expected + (1 - decay) * step
        assert average.state["weight"].item() == pytest.approx(expected, rel=1e-5)
        assert average.state["num_batches_tracked"].item() == step


def test_statistics_are_not_averaged_once_more() -> None:
    layer = nn.BatchNorm1d(1)
    average = Average(layer, longest=0.9)
    for value in range(1, 6):
        layer.running_mean.fill_(value)  # type: ignore[union-attr]
        average.update(layer)
        assert average.state["running_mean"].item() == value


def test_an_average_without_memory_is_the_last_weights_bit_for_bit() -> None:
    layer = nn.BatchNorm1d(3)
    average = Average(layer, longest=0)
    for step in range(1, 6):
        with torch.no_grad():
            layer.weight.copy_(torch.rand(3) / step)
        average.update(layer)
        assert all(torch.equal(average.state[key], value) for key, value in layer.state_dict().items())


def test_the_average_of_what_does_not_change_is_itself_and_shares_no_memory() -> None:
    layer = nn.Linear(3, 2)
    average = Average(layer)
    for _ in range(5):
        average.update(layer)
    assert torch.allclose(average.state["weight"], layer.weight)
    with torch.no_grad():
        layer.weight += 1
    assert not torch.allclose(average.state["weight"], layer.weight)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB, max allowed: 9.07 GB)"),
    ],
)
def test_running_out_of_memory_names_the_setting_to_lower(error: Exception) -> None:
    message = "not enough memory for this step; lower batch or patch size and try again"
    with pytest.raises(OutOfMemory, match=message), explained("batch or patch size"):
        raise error


def test_asking_torch_for_too_much_memory_is_explained() -> None:
    with pytest.raises(OutOfMemory, match="lower the tile size"), explained("the tile size"):
        torch.empty(2**55)


def test_other_errors_are_left_alone() -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), explained("batch"):
        raise RuntimeError("shapes differ")
