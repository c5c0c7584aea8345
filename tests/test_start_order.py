"""Long tests begin first, in every process."""

from pathlib import Path

import pytest
from start_order import LONG, deal


def file_of(test: str) -> str:
    return test.partition("::")[0]


def test_each_long_file_is_there() -> None:
    assert [name for name in LONG if not Path(__file__).with_name(name).exists()] == []


@pytest.mark.parametrize("processes", [1, 2, 3, 6])
def test_every_part_begins_with_long_tests(processes: int) -> None:
    names = [*(f"test_short_{number}.py" for number in range(50)), *LONG]
    tests = [f"{name}::{number}" for name in names for number in range(7)]
    dealt = deal(tests, file_of, processes)
    assert sorted(dealt) == sorted(tests)
    rest = dealt
    for left in range(processes, 0, -1):  # as pytest-xdist gives them out
        size = len(rest) // left
        part, rest = rest[:size], rest[size:]
        assert file_of(part[0]) in LONG
        assert file_of(part[-1]) not in LONG


def test_few_tests_are_all_run() -> None:
    tests = [f"{name}::{number}" for name in list(LONG)[:2] for number in range(3)]
    assert sorted(deal(tests, file_of, 6)) == sorted(tests)
