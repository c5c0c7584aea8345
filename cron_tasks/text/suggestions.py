"""Suggest the name that a person probably meant. Pure."""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from itertools import chain


def find_nearest(
    word: str,
    known: Iterable[str],
    cutoff: float = 0.75,
    is_valid: Callable[[str], object] = lambda _: True,
) -> str | None:
    """Return the known name nearest to `word`: a similar one, or one that contains the other.

    `word` itself and names that `is_valid` rejects are not suggested.
    """
    names = {name.casefold(): name for name in known if name != word}
    word = word[:60].casefold()
    near = get_close_matches(word, names, 5, cutoff)
    parts = (name for name in names if len(min(word, name, key=len)) > 3)
    within = (name for name in parts if word in name or name in word)
    return next((names[name] for name in chain(near, within) if is_valid(names[name])), None)


def suggest_nearest(
    word: str, known: Iterable[str], is_valid: Callable[[str], object] = lambda _: True
) -> str:
    """Return the end of a sentence, such as `; did you mean 'FRI'?`, or an empty string."""
    near = find_nearest(word, known, 0.6, is_valid)
    return f"; did you mean {near!r}?" if near else ""
