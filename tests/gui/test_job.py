from __future__ import annotations

from typing import Any

import pytest

import btunet
from napari_btunet._job import Job, Pace, _next_order


def test_fast_progress_reaches_the_window_bundled_and_complete(qtbot: Any) -> None:
    def fast() -> btunet.Task[str]:
        for step in range(5000):
            yield btunet.Progress("counting", step + 1, 5000)
        return "end"

    job, bundles, ends = Job(fast(), "test"), [], []
    job.progressed.connect(bundles.append)
    job.ended.connect(lambda *how: ends.append(how))
    job.start()
    qtbot.waitUntil(lambda: bool(ends), timeout=20_000)
    assert ends == [("done", "end")]
    assert [p.step for bundle in bundles for p in bundle] == list(range(1, 5001))
    assert len(bundles) < 500


def test_nothing_is_sent_before_the_last_was_drawn(qtbot: Any) -> None:
    def endless() -> btunet.Task[None]:
        while (yield btunet.Progress("going on", 1, 0)) is not True:
            pass

    job, bundles, ends = Job(endless(), "test"), [], []
    job.ended.connect(lambda *how: ends.append(how))

    def draw_slowly(bundle: list[btunet.Progress]) -> None:
        assert not job._drawn.is_set()
        bundles.append(bundle)
        qtbot.wait(150)
        assert not job._drawn.is_set()

    job.progressed.connect(draw_slowly)
    job.start()
    qtbot.waitUntil(lambda: len(bundles) >= 3, timeout=20_000)
    job.stop()
    qtbot.waitUntil(lambda: bool(ends), timeout=20_000)
    assert ends == [("done", None)]


@pytest.mark.parametrize("error", [RuntimeError("shape"), ValueError("values"), btunet.BtunetError("disk")])
def test_every_error_arrives_even_a_runtime_error(qtbot: Any, error: Exception) -> None:
    def failing() -> btunet.Task[None]:
        yield btunet.Progress("trying", 0, 1)
        raise error

    job, ends = Job(failing(), "test"), []
    job.ended.connect(lambda *how: ends.append(how))
    job.start()
    qtbot.waitUntil(lambda: bool(ends), timeout=20_000)
    assert ends == [("failed", error)]


def test_abandoning_runs_the_clean_up_of_the_task(qtbot: Any) -> None:
    cleaned = []

    def task() -> btunet.Task[None]:
        try:
            while True:
                yield btunet.Progress("working", 1, 0)
        finally:
            cleaned.append(True)

    job, ends = Job(task(), "test"), []
    job.ended.connect(lambda *how: ends.append(how))
    job.start()
    job.abandon()
    qtbot.waitUntil(lambda: bool(ends), timeout=20_000)
    assert (ends, cleaned) == ([("abandoned", None)], [True])


def test_orders_merge_and_stopping_beats_steering() -> None:
    import queue

    orders: queue.SimpleQueue[Any] = queue.SimpleQueue()
    assert _next_order(orders) is None
    orders.put(btunet.Steer(look_at=(0, 1), strokes={0: {3: "a"}}))
    orders.put(btunet.Steer(strokes={0: {4: "b"}}))
    orders.put(btunet.Steer(look_at=(0, 2)))
    assert _next_order(orders) == btunet.Steer(look_at=(0, 2), strokes={0: {3: "a", 4: "b"}})
    orders.put(btunet.Steer(look_at=(0, 2)))
    orders.put(True)
    assert _next_order(orders) is True


def test_the_pace_says_stage_rate_time_left_and_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("napari_btunet._job.time.monotonic", lambda: now[0])
    pace = Pace()
    pace.note(btunet.Progress("pre-training", 10, 100))
    now[0] += 10
    pace.note(btunet.Progress("pre-training", 30, 100))
    assert pace.sentence() == "Pre-training: 30 of 100, 2.0 per second, 35 s left"
    assert pace.fraction == pytest.approx(0.3)
    now[0] += 21
    assert "no news for 21 s" in pace.sentence()
