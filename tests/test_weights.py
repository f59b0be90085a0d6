import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from btunet import BtunetError, Model
from btunet.weights import Weights


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"encoder.a": rng.random((3, 4), np.float32), "head.b": np.array([7], np.int64)}


@pytest.fixture
def model(arrays: dict[str, np.ndarray]) -> Model:
    return Model("unet", 1, ("background", "a"), arrays)


def same(one: Any, other: Any) -> bool:
    return set(one) == set(other) and all(np.array_equal(one[k], other[k]) for k in other)


def test_resting_weights_take_no_memory_and_are_the_same(
    model: Model, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    before = model.bytes_in_memory, model.parameters, model.describe()
    model.rest_in(model.save(tmp_path / "m.safetensors"))
    assert (model.bytes_in_memory, model.parameters, model.describe()) == (0, *before[1:])
    assert same(model.weights, arrays) and same(dict(model.weights.items()), arrays)
    assert [w.shape for w in model.weights.values()] == [a.shape for a in arrays.values()]
    assert model.bytes_in_memory == 0  # also after they were used
    model.wake()
    assert model.bytes_in_memory == before[0] > 0 and same(model.weights, arrays)


def test_resting_weights_travel_whole_and_are_saved_whole(
    model: Model, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    model.rest_in(model.save(tmp_path / "m.safetensors"))
    sent = pickle.loads(pickle.dumps(model))  # noqa: S301 (as between the window and its process)
    kept = Model.load(model.save(tmp_path / "n.safetensors"))
    (tmp_path / "m.safetensors").unlink()
    assert same(sent.weights, arrays) and sent.bytes_in_memory
    assert same(kept.weights, arrays)


def test_a_note_does_not_wake_weights(model: Model, tmp_path: Path) -> None:
    model.rest_in(model.save(tmp_path / "m.safetensors"))
    assert model.with_note(note="x").bytes_in_memory == 0


def test_without_a_file_they_stay_where_they_are(model: Model, arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    model.rest_in(tmp_path / "none.safetensors")
    assert model.bytes_in_memory
    model.rest_in(model.save(tmp_path / "m.safetensors"))
    model.rest_in(tmp_path / "none.safetensors")
    assert model.bytes_in_memory == 0 and same(model.weights, arrays)


def test_it_can_rest_in_another_file_from_then_on(model: Model, arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    one, other = model.save(tmp_path / "one.safetensors"), model.save(tmp_path / "other.safetensors")
    model.rest_in(one)
    model.rest_in(other)
    one.unlink()
    assert same(model.weights, arrays)


@pytest.mark.parametrize("harm", ["gone", "cut", "other", "another of its kind"])
def test_a_file_that_is_gone_or_altered_is_an_error_in_one_sentence(model: Model, tmp_path: Path, harm: str) -> None:
    path = model.save(tmp_path / "m.safetensors")
    model.rest_in(path)
    if harm == "gone":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(path.read_bytes()[:100])
    else:
        bad = (
            {"tail": np.zeros(2, np.float32)} if harm == "other" else {k: w * np.nan for k, w in model.weights.items()}
        )
        Model("unet", 1, model.classes, bad).save(path)
    for use in (model.wake, lambda: dict(model.weights), lambda: pickle.dumps(model), model.weights.items):
        with pytest.raises(BtunetError, match=r"^[^\n]*m\.safetensors[^\n]*$"):
            use()
    assert model.bytes_in_memory == 0


def test_weights_of_weights_are_the_same_object(model: Model) -> None:
    assert Model("unet", 2, (), model.weights).weights is model.weights
    assert isinstance(model.weights, Weights)
