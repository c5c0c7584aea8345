"""Numbers of things, as people write them."""

import pytest

from cron_tasks.text.plurals import none_or, number_of


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
