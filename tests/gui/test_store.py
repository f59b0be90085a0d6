"""Everything that is put into a store reaches the disk, also when Python is about to end."""

from __future__ import annotations

from napari_btunet._store import Store


def test_what_waits_is_written_at_closing_also_while_python_ends() -> None:
    store, done = Store(), []
    store._writer.shutdown()  # as Python does before the last window is destroyed
    store.act(lambda: done.append("act"))
    store.send()
    assert done == []
    store.close()
    assert done == ["act"]


def test_what_waits_is_written_at_closing() -> None:
    store, done = Store(), []
    store.act(lambda: done.append("act"))
    store.close()
    assert done == ["act"]
