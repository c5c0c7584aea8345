"""Pages, in which Redis is read and written so that no call takes long."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

PAGE = 1000
T = TypeVar("T")


def pages(items: Iterable[T], size: int = PAGE) -> Iterator[list[T]]:
    """Yield the items in lists of at most `size`."""
    iterator = iter(items)
    while page := list(islice(iterator, size)):
        yield page
