"""What differs on a GPU: as far as it goes on the processor, and the loop itself where there is one."""

import numpy as np
import pytest
import torch

from btunet import FinetuneSettings, PretrainSettings, device, finetune, memory, predict, pretrain, run

gpu = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")]


class Moves(torch.Tensor):
    """A tensor that notes how it is moved, and stays."""

    log: list[tuple[str, bool]]

    def pin_memory(self) -> "Moves":  # type: ignore[override]
        Moves.log = [("pinned", True)]
        return self

    def to(self, place: torch.device, non_blocking: bool = False) -> "Moves":  # type: ignore[override]
        Moves.log.append((place.type, non_blocking))
        return self


def test_an_array_is_sent_to_a_gpu_from_memory_it_can_fetch_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "from_numpy", lambda values: torch.tensor(values).as_subclass(Moves))
    device.send(np.zeros(3, np.float32), torch.device("cuda"))
    assert Moves.log == [("pinned", True), ("cuda", True)]


def test_an_array_stays_where_it_is_on_the_processor() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    sent = device.send(values, torch.device("cpu"))
    assert sent.data_ptr() == values.ctypes.data and torch.equal(sent, torch.tensor(values))


def test_free_memory_of_a_gpu_counts_what_torch_holds_and_does_not_use(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"mem_get_info": (100, 1000), "memory_reserved": 50, "memory_allocated": 20}.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    assert memory.free(torch.device("cuda")) == 130


@pytest.mark.parametrize("_", [pytest.param(0, marks=gpu)])
def test_the_whole_loop_runs_on_a_gpu(_: int) -> None:
    image, strokes = np.random.default_rng(0).random((96, 96)), np.zeros((96, 96), int)
    image[:48] += 2
    strokes[20, 5:90], strokes[70, 5:90] = 2, 1
    encoder = run(pretrain([image], PretrainSettings(steps=5, batch=8, patch_size=32)))
    model = run(finetune([image], [strokes], FinetuneSettings(steps=60, patch_size=32), start_from=encoder))
    (mask,) = run(predict(model, [image]))
    assert (mask[:40] == 1).mean() > 0.9 and (mask[56:] == 0).mean() > 0.9
