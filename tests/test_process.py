import io
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from btunet import BtunetError, Died, Progress, Spare, Steer, in_child, messages, run
from btunet.messages import BIG, receive, send

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and niceness are POSIX")
HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _quiet_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let children import child_tasks, and check that none leaves a file behind."""
    monkeypatch.syspath_prepend(HERE)
    place = tmp_path / "temp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield
    assert list(place.glob("btunet-*")) == []


def alive(pid: int) -> bool:
    """Whether a process still runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int, seconds: float = 20) -> bool:
    for _ in range(int(seconds / 0.05)):
        if not alive(pid):
            return True
        time.sleep(0.05)
    return False


def new_progress(seen: list[Progress]) -> list[Progress]:
    """Drop what was there before the task began, and repetitions."""
    kept: list[Progress] = []
    for progress in seen:
        if progress.stage != "starting" and (not kept or progress != kept[-1]):
            kept.append(progress)
    return kept


def test_a_child_yields_and_returns_what_the_task_itself_does_even_to_a_slow_consumer() -> None:
    import child_tasks  # type: ignore[import-not-found]  # beside this file

    here: list[Progress] = []
    there: list[Progress] = []
    assert run(child_tasks.count(200), here.append) == 200
    assert run(in_child("child_tasks:count", 200), lambda p: time.sleep(0.001) or there.append(p)) == 200
    assert new_progress(there) == here


def test_a_public_verb_gives_in_a_child_what_it_gives_here(discs: Any) -> None:
    from btunet import FinetuneSettings, finetune

    image, mask = discs(size=48)
    job = ([image], [mask + 1], FinetuneSettings(steps=2, patch_size=32, batch=2))
    here, there = run(finetune(*job)), run(in_child("finetune", *job, threads=1))
    assert there.classes == here.classes
    assert there.history[0]["steps"] == 2
    for name, weight in here.weights.items():
        assert np.allclose(weight, there.weights[name], atol=1e-4), name


def test_a_stop_reaches_the_child_and_its_result_is_kept_and_ctrl_c_does_not_reach_it() -> None:
    before = children()

    def interrupt_then_stop(progress: Progress) -> bool:
        if progress.step == 3:
            for child in children() - before:
                os.kill(child, signal.SIGINT)  # as a terminal does to all processes at once
        return progress.step >= 6

    assert 6 <= run(in_child("child_tasks:count", 10_000, pause=0.01), interrupt_then_stop) < 10_000


def test_a_steer_reaches_the_child_with_its_strokes() -> None:
    steer = Steer((1, 2), {0: {5: np.arange(40_000, dtype=np.int32).reshape(200, 200)}})
    sent: list[Progress] = []

    def once(progress: Progress) -> Any:
        sent.append(progress)
        return steer if len(sent) == 1 else None

    (heard,) = run(in_child("child_tasks:replies", 20), once)
    assert heard.look_at == (1, 2)
    assert np.array_equal(heard.strokes[0][5], steer.strokes[0][5])


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("value", ValueError, "^strokes are wrong$"),
        ("btunet", BtunetError, "^the disk is gone$"),
        ("runtime", BtunetError, "^the work failed: RuntimeError: deep inside; the log has the details$"),
    ],
)
def test_an_error_in_the_child_is_raised_here_and_its_traceback_logged(
    caplog: pytest.LogCaptureFixture, kind: str, error: type[Exception], message: str
) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(error, match=message) as raised:
        run(in_child("child_tasks:fail", kind))
    assert type(raised.value) is error
    assert "Traceback" in caplog.text and "child_tasks.py" in caplog.text


def test_a_result_that_cannot_travel_is_an_error_and_not_a_hang() -> None:
    with pytest.raises(BtunetError, match="the work failed: TypeError"):
        run(in_child("child_tasks:unpicklable"))


def test_an_argument_that_cannot_travel_is_refused_in_one_sentence() -> None:
    with pytest.raises(BtunetError, match=r"cannot be handed to the background process .*; save it first"):
        run(in_child("child_tasks:echo", (i for i in range(3))))


@pytest.mark.parametrize(
    ("number", "reason"),
    [(signal.SIGKILL, "lack of memory; lower the batch"), (signal.SIGSEGV, r"unexpectedly \(code -11")],
)
def test_a_child_that_is_killed_is_reported_as_died(number: int, reason: str) -> None:
    with pytest.raises(Died, match=reason):
        run(in_child("child_tasks:die", int(number)))


def test_closing_the_task_kills_the_child_at_once() -> None:
    task = in_child("child_tasks:count", 10_000, pause=0.05)
    before = children()
    while next(task).stage == "starting":
        pass
    (child,) = children() - before
    task.close()
    assert not alive(child)


def test_a_task_that_was_never_started_costs_nothing() -> None:
    before = children()
    in_child("child_tasks:count", 3).close()
    assert children() == before


def test_closing_while_more_messages_wait_than_the_queue_holds_does_not_hang() -> None:
    task = in_child("child_tasks:count", 5000)
    while next(task).stage == "starting":
        pass
    time.sleep(0.3)
    task.close()


def children() -> set[int]:
    found = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return {int(pid) for pid in found if alive(int(pid))}


PARENT = """
import sys, tempfile
tempfile.tempdir = sys.argv[1]
from btunet import in_child
for progress in in_child("child_tasks:count", 100_000, pause=0.02):
    if progress.stage != "starting":
        print("running", flush=True)
"""


def test_a_child_never_outlives_a_parent_that_is_killed_and_leaves_no_files(tmp_path: Path) -> None:
    place = tmp_path / "orphan"
    place.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, sys.path)])}
    command = [sys.executable, "-c", PARENT, str(place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"running\n"
        (child,) = map(int, Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split())
        assert alive(child)
        parent.kill()
    assert gone(child)
    assert list(place.iterdir()) == []


def test_the_child_goes_last_leaves_a_core_free_and_may_print(capfd: pytest.CaptureFixture[str]) -> None:
    found = run(in_child("child_tasks:facts"))
    out, err = capfd.readouterr()
    assert out == "" and "printed by python" in err and "written to the file descriptor" in err
    assert found["pid"] != os.getpid()
    assert found["nice"] == min(19, os.nice(0) + 10)
    assert found["threads"] == max(1, len(os.sched_getaffinity(0)) - 1)


def test_a_silent_child_is_still_heard_of_every_half_second() -> None:
    seen: list[Progress] = []
    run(in_child("child_tasks:count", 2, pause=1.3), seen.append)
    assert sum(p.step == 1 for p in seen) >= 3
    assert all(p.values == {"half": 0.5} for p in seen if p.step == 1)


# ---- messages


def sent(content: Any, folder: Path) -> bytes:
    pipe = io.BytesIO()
    send(pipe, folder, content)
    return pipe.getvalue()


@pytest.mark.parametrize("content", [None, True, {"a": [1, 2.5, "ü"]}, Progress("s", 1, 2), Steer((0, 1))])
def test_small_messages_come_through_as_they_were(content: Any, tmp_path: Path) -> None:
    assert receive(io.BytesIO(sent(content, tmp_path)), tmp_path) == content


@pytest.mark.parametrize("is_huge", [False, True])
def test_a_big_array_travels_as_a_file_and_only_a_huge_one_keeps_it_open(
    is_huge: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "HUGE", BIG if is_huge else messages.HUGE)
    array = np.arange(2**16, dtype=np.int32).reshape(256, 256)
    stream = io.BytesIO()
    send(stream, tmp_path, array)
    message = stream.getvalue()
    assert len(message) < 2000 < BIG < array.nbytes
    before = psutil.Process().num_fds()
    found = receive(io.BytesIO(message), tmp_path)
    assert np.array_equal(found, array)
    assert not found.flags.writeable
    assert psutil.Process().num_fds() == before + is_huge
    assert list(tmp_path.glob("tmp*")) == []  # nothing is left in the folder


@pytest.mark.parametrize("make", [np.asfortranarray, np.transpose, lambda a: a[::2, ::3], lambda a: a.astype(">f4")])
def test_big_arrays_of_any_layout_come_through(make: Any, tmp_path: Path) -> None:
    array = make(np.random.default_rng(0).normal(size=(600, 400)))
    assert np.array_equal(receive(io.BytesIO(sent(array, tmp_path)), tmp_path), array)


def test_a_cut_off_message_is_the_end_of_the_stream(tmp_path: Path) -> None:
    message = sent({"a": list(range(100))}, tmp_path)
    for cut in (0, 5, 20, len(message) - 1):
        with pytest.raises(EOFError):
            receive(io.BytesIO(message[:cut]), tmp_path)


def mapped(path: Path) -> np.memmap:
    np.arange(90_000, dtype=np.uint16).tofile(path)
    return np.memmap(path, np.uint16, "r", shape=(300, 300))


def test_an_array_mapped_from_a_file_is_opened_again_and_not_copied(tmp_path: Path) -> None:
    array = mapped(tmp_path / "a.raw")
    message = sent(array, tmp_path)
    assert len(message) < 2000
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["a.raw"]
    found = run(in_child("child_tasks:memory_of", array))
    assert found == {
        "memmap": True,
        "file": str(tmp_path / "a.raw"),
        "writeable": False,
        "sum": int(array.sum(dtype=int)),
    }


@pytest.mark.parametrize("cut", [np.s_[100:], np.s_[:, 10:50], np.s_[::-1], np.s_[5]])
def test_a_part_of_a_mapped_array_comes_through(tmp_path: Path, cut: Any) -> None:
    part = mapped(tmp_path / "a.raw")[cut]
    assert np.array_equal(receive(io.BytesIO(sent(part, tmp_path)), tmp_path), part)


def test_a_mapped_array_in_columns_comes_through(tmp_path: Path) -> None:
    mapped(tmp_path / "a.raw")
    array = np.memmap(tmp_path / "a.raw", np.uint16, "r", shape=(300, 300), order="F")
    assert np.array_equal(receive(io.BytesIO(sent(array, tmp_path)), tmp_path), array)


def test_changes_to_a_private_mapping_are_not_lost(tmp_path: Path) -> None:
    mapped(tmp_path / "a.raw")
    array = np.memmap(tmp_path / "a.raw", np.uint16, "c", shape=(300, 300))
    array[:] = 7
    assert np.array_equal(receive(io.BytesIO(sent(array, tmp_path)), tmp_path), array)


def test_a_lazy_array_travels_with_the_functions_inside_it() -> None:
    dask = pytest.importorskip("dask.array")
    lazy = dask.from_array(np.arange(100).reshape(10, 10)).map_blocks(lambda block: block * 2)
    back = run(in_child("child_tasks:echo", lazy))
    assert np.array_equal(back.compute(), np.arange(100).reshape(10, 10) * 2)


@pytest.fixture
def spare() -> Iterator[Spare]:
    kept = Spare()
    yield kept
    kept.drop()


def test_a_spare_child_has_imported_everything_takes_one_job_and_ends_when_dropped(spare: Spare) -> None:
    first = run(in_child("child_tasks:facts", spare=spare))
    waiting = spare.pid
    assert waiting is not None and alive(waiting) and waiting != first["pid"]
    second = run(in_child("child_tasks:facts", spare=spare))
    assert second["pid"] == waiting
    assert second["imported"] and not first["imported"]
    assert (second["nice"], second["threads"]) == (first["nice"], first["threads"])
    waiting = spare.pid
    assert waiting is not None and alive(waiting)
    spare.drop()
    assert gone(waiting)
    spare.prepare()
    assert spare.pid is None


def test_a_spare_child_that_was_killed_is_replaced(spare: Spare) -> None:
    spare.prepare()
    waiting = spare.pid
    assert waiting is not None
    os.kill(waiting, signal.SIGKILL)
    assert gone(waiting)
    assert run(in_child("child_tasks:count", 3, spare=spare)) == 3
    assert spare.pid != waiting


def test_a_spare_never_outlives_its_parent() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, sys.path)])}
    code = "import sys, btunet; btunet.Spare().prepare(); print('waiting', flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, **pipes) as parent:  # type: ignore[call-overload]
        assert parent.stdout.readline() == b"waiting\n"
        (waiting,) = map(int, Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split())
        parent.kill()
    assert gone(waiting)
