"""Pause Python's garbage collector while a list is synced."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def pause_garbage_collection() -> Iterator[None]:
    """Turn off the garbage collector. A long list makes many lasting objects and no cycles, and the
    search for cycles would take another third of the time of a sync."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
