"""Numbers and lists as people write them."""

import pytest

from cron_tasks.text.english import join_words, none_or, number_of


@pytest.mark.parametrize(
    ("count", "noun", "expected"),
    [
        (0, "row", "0 rows"),
        (1, "row", "1 row"),
        (2000, "open tick", "2,000 open ticks"),
        (1, "entry", "1 entry"),
        (3, "entry", "3 entries"),
    ],
)
def test_a_number_and_its_noun(count: int, noun: str, expected: str) -> None:
    assert number_of(count, noun) == expected


def test_none_begins_a_sentence() -> None:
    assert none_or(0, "entry") == "No entries"
    assert none_or(2, "entry") == "2 entries"


@pytest.mark.parametrize(
    ("words", "text"),
    [([], ""), (["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "c"], "a, b or c")],
)
def test_a_list_is_joined_with_the_last_word(words: list[str], text: str) -> None:
    assert join_words(words, "or") == text
