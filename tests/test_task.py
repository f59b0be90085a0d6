from collections.abc import Iterator

import pytest

from btunet import Progress, Steer, Task, run
from btunet.task import titled


def count(steps: int, log: list[str]) -> Task[int]:
    done = 0
    try:
        while done < steps:
            done += 1
            reply = yield Progress("counting", done, steps)
            log.append(repr(reply))
            if reply is True:
                break
        return done
    finally:
        log.append("cleaned up")


def test_the_result_is_what_the_task_returns() -> None:
    log: list[str] = []
    assert run(count(3, log)) == 3
    assert log == ["None"] * 3 + ["cleaned up"]


def test_every_progress_is_shown_and_true_stops() -> None:
    log: list[str] = []
    seen: list[int] = []

    def look(progress: Progress) -> bool:
        seen.append(progress.step)
        return progress.step == 2

    assert run(count(9, log), look) == 2
    assert seen == [1, 2]
    assert log == ["False", "True", "cleaned up"]


def test_a_task_within_another_tells_whether_it_was_asked_to_stop_even_if_it_goes_on() -> None:
    def deaf() -> Task[str]:
        for step in range(3):
            yield Progress("working", step, 3)
        return "done"

    stages: list[str] = []
    assert run(titled(deaf(), " 1/2"), lambda progress: stages.append(progress.stage)) == ("done", False)
    assert stages == ["working 1/2"] * 3
    assert run(titled(deaf(), ""), lambda progress: progress.step == 1) == ("done", True)


def test_a_steer_reaches_the_task_as_it_is() -> None:
    log: list[str] = []
    run(count(1, log), lambda _: Steer((1, 2)))
    assert log[0] == repr(Steer((1, 2)))


def test_an_error_of_the_consumer_closes_the_task() -> None:
    log: list[str] = []

    def fail(_: Progress) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        run(count(9, log), fail)
    assert log == ["cleaned up"]


def test_an_error_of_the_task_reaches_the_consumer() -> None:
    def fail() -> Task[None]:
        yield Progress("failing", 0, 1)
        raise ValueError("the reason")

    with pytest.raises(ValueError, match=r"^the reason$"):
        run(fail())


def test_a_task_that_yields_nothing_still_returns() -> None:
    def quick() -> Task[str]:
        yield from ()
        return "done"

    assert run(quick()) == "done"


def test_progress_cannot_be_changed_and_has_nothing_by_default() -> None:
    progress = Progress("stage", 1, 2)
    assert not progress.values and progress.planes == ()
    with pytest.raises(AttributeError):
        progress.step = 2  # type: ignore[misc]
    assert Progress("stage", 1, 2).values is not progress.values


def test_a_task_is_an_iterator_of_progress() -> None:
    steps: Iterator[Progress] = count(2, [])
    assert [p.step for p in steps] == [1, 2]
