"""What more strokes would bring: found again on curves that are known, and unsaid where nothing is known."""

from __future__ import annotations

import numpy as np
import pytest

from btunet.budget import FEWEST, NOISIEST, WANDER, WORTH, Forecast, forecast

N = np.array([4, 8, 12, 16, 20, 24, 28, 32])


def law(n: np.ndarray, top: float, fall: float, rate: float) -> np.ndarray:
    return np.asarray(top - fall * np.asarray(n, float) ** -rate)


def found(efforts: np.ndarray, scores: np.ndarray, more: float = 0.0) -> Forecast:
    said = forecast(efforts.tolist(), scores.tolist(), more)
    assert isinstance(said, Forecast), said
    return said


@pytest.mark.parametrize(("top", "fall", "rate"), [(0.9, 0.8, 0.5), (0.95, 0.9, 1.0), (0.8, 1.0, 0.3)])
def test_the_gain_of_a_known_law_is_found_again(top: float, fall: float, rate: float) -> None:
    said = found(N, law(N, top, fall, rate), 16)
    true = float(law(48, top, fall, rate) - law(32, top, fall, rate))  # type: ignore[arg-type]
    assert said.gain == pytest.approx(true, abs=0.01)
    assert said.low <= true <= said.high


def test_with_noise_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    inside, rng = 0, np.random.default_rng(0)
    for _ in range(100):
        top, rate = rng.uniform(0.7, 0.95), rng.uniform(0.3, 1.2)
        said = found(N, np.clip(law(N, top, 0.8, rate) + rng.normal(0, 0.03, len(N)), 0, 1), 16)
        true = float(law(48, top, 0.8, rate) - law(32, top, 0.8, rate))  # type: ignore[arg-type]
        inside += said.low <= true <= said.high
    assert inside >= 85


def test_one_may_stop_on_a_plateau_and_not_on_a_slope() -> None:
    rng = np.random.default_rng(0)
    flat = found(N, 0.8 + rng.normal(0, 0.005, len(N)))
    steep = found(N, law(N, 1.0, 1.6, 0.4) + rng.normal(0, 0.005, len(N)))
    assert flat.may_stop and flat.most < WORTH
    assert not steep.may_stop and steep.low > 0.02


def test_wild_scores_do_not_say_stop() -> None:
    wild = found(N, np.array([0.2, 0.9, 0.1, 0.8, 0.3, 0.9, 0.2, 0.5]))
    assert wild.noise > NOISIEST and not wild.may_stop


def test_nothing_is_said_about_too_few_scores_or_scores_at_one_effort() -> None:
    assert f"needs {FEWEST} scores, there are 2" in str(forecast([4, 8], [0.5, 0.6]))
    assert "needs 5 scores, there are 1" in str(forecast([4, 4, 4, 4, 4, 0], [0.5] * 6))
    assert "further apart" in str(forecast([20, 21, 22, 23, 24], [0.5] * 5))
    assert "needs" in str(forecast([], []))


def test_few_noisy_scores_leave_open_whether_to_stop() -> None:
    said = found(N[:5], np.array([0.6, 0.7, 0.66, 0.72, 0.72]))
    assert not said.may_stop
    assert said.most > WORTH and said.high - said.low > 0.02


def test_a_falling_score_forecasts_no_loss_but_the_interval_allows_one() -> None:
    said = found(N, np.linspace(0.9, 0.6, len(N)))
    assert said.low < 0 <= said.gain <= said.most < said.high


def test_the_interval_is_never_narrower_than_what_a_few_strokes_change_by_chance() -> None:
    said = found(N, law(N, 0.9, 0.8, 0.5))
    assert said.gain - said.low >= WANDER and said.high - said.gain >= WANDER
    assert said.most - said.gain < WANDER


def test_by_default_half_of_what_was_painted_is_asked_for() -> None:
    assert found(N, law(N, 0.9, 0.5, 0.5)).more == 16
