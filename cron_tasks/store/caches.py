"""Bounded caches."""

from itertools import islice
from typing import Any


def drop_oldest(cache: dict[Any, Any], most: int) -> None:
    """If a cache has more than `most` entries, drop a tenth of them: those that were added first.

    Dropping one for each that is added would take longer and longer, because the iterator of a dict
    skips all entries that were deleted at its front.
    """
    if len(cache) > most:
        for key in list(islice(cache, most // 10 + 1)):
            cache.pop(key, None)  # Another thread may have dropped it.
