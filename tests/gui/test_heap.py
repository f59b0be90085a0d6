"""Free memory goes back to the system."""

import subprocess
import sys

import pytest

HELD_AND_LEFT = """
import threading
import psutil
from napari_btunet._heap import give_back

def megabytes():
    return psutil.Process().memory_info().rss / 2**20

def work():
    blocks = [b"1" * 50_000 for _ in range(1000)]
    kept.append(blocks[-1][:49_999])  # keeps the heap from being given back by itself

kept, before = [], megabytes()
for _ in range(4):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
held = megabytes() - before
give_back()
print(held, megabytes() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_what_a_thread_has_freed_goes_back() -> None:
    """In a process of its own: one that ran other tests has free memory already."""
    said = subprocess.run([sys.executable, "-c", HELD_AND_LEFT], capture_output=True, text=True, check=True).stdout
    held, left = map(float, said.split())
    assert held > 40
    assert left < held / 3
