"""Gives memory that background threads have freed back to the system."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Hand free memory back; does nothing where the C library cannot.

    glibc keeps what a thread has freed for the next one with the same heap, and hands out up to eight heaps per core:
    every job receives its planes and models in new threads, so without this each of these heaps stays as large as the
    largest result that came to it.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):  # musl has none
        library.malloc_trim(0)
