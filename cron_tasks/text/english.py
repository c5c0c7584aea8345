"""Write numbers of things and lists in English. Pure."""

from collections.abc import Sequence


def number_of(count: int, noun: str) -> str:
    """Return `1 row`, `2,000 rows` or `3 entries`. Only the last word of a noun is inflected."""
    if count == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s"
    return f"{count:,} {plural}"


def none_or(count: int, noun: str) -> str:
    """Return the same as the beginning of a sentence, with `No rows` for zero."""
    return number_of(count, noun) if count else f"No {number_of(0, noun).removeprefix('0 ')}"


def join_words(words: Sequence[str], last: str = "and") -> str:
    """Return `a`, `a and b` or `a, b and c`."""
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
