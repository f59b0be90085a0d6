"""Free memory goes back to the system."""

import gc
import sys
import threading

import psutil
import pytest

from napari_btunet._heap import give_back


def megabytes() -> float:
    return psutil.Process().memory_info().rss / 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_what_a_thread_has_freed_goes_back() -> None:
    kept = []

    def work() -> None:
        blocks = [bytes(50_000) for _ in range(1000)]
        kept.append(blocks[-1])  # keeps the heap from being given back by itself

    before = megabytes()
    for _ in range(4):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    gc.collect()
    held = megabytes() - before
    give_back()
    assert held > 40
    assert megabytes() - before < held / 3
