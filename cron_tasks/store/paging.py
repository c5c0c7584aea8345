"""Reading and writing in pages, so that no call to Redis takes long."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

PAGE = 1000
T = TypeVar("T")


def pages(items: Iterable[T], size: int = PAGE) -> Iterator[list[T]]:
    iterator = iter(items)
    while page := list(islice(iterator, size)):
        yield page
