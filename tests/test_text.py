"""A row may contain anything, but nothing of it reaches a terminal or a log line unescaped."""

import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cron_tasks.text.display import cell_width, fit, printable, short_repr, wrap
from cron_tasks.text.output import render_output
from cron_tasks.text.stored_json import to_storable
from cron_tasks.text.suggestions import find_nearest

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("Water the plants", "Water the plants"),
        ("Zażółć 日本語 👨‍👩‍👧 नमस्ते", "Zażółć 日本語 👨‍👩‍👧 नमस्ते"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\u202eb\u2066c\u200f", "a\\u202eb\\u2066c\\u200f"),
        ("\x00\x85\u2028\u2029\ufeff", "\\x00\\x85\\u2028\\u2029\\ufeff"),
        ("\ud800", "\\ud800"),
        ("x" * 21, "x" * 19 + "…"),
        ("", ""),
    ],
)
def test_printable(text: str, safe: str) -> None:
    assert printable(text, max(20, len(safe))) == safe


@settings(deadline=None)
@given(ANY_TEXT, st.integers(1, 100))
def test_printable_text_is_one_short_line_that_can_be_encoded(text: str, limit: int) -> None:
    safe = printable(text, limit)
    assert len(safe) <= limit
    safe.encode()
    assert not {unicodedata.category(char) for char in safe} & {"Cc", "Cs", "Zl", "Zp"}
    assert printable(safe, limit) == safe


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError


def nested(levels: int) -> list[object]:
    value: list[object] = []
    for _ in range(levels):
        value = [value]
    return value


ABYSS = nested(100_000)


@pytest.mark.parametrize(
    "value",
    ["x" * 2**20, ABYSS, 10**10_000, {"a": "\ud800\n"}, Rude(), float("nan")],
    ids=["1 MB", "deep", "10,000 digits", "surrogate", "repr raises", "NaN"],
)
def test_any_value_can_be_shown(value: object) -> None:
    line = short_repr(value)
    assert 0 < len(line) <= 60
    assert line.isprintable()


@pytest.mark.parametrize(
    "value",
    [{"a": [1, 2.5, None, True, "ü", -(2**63), 2**63 - 1]}, nested(31), "", 0],
    ids=["all kinds", "deep", "empty", "zero"],
)
def test_a_json_value_is_stored_unchanged(value: object) -> None:
    assert to_storable(value) == value


@pytest.mark.parametrize(
    "value",
    [
        nested(33),
        ABYSS,
        [{"a": 2**64}],
        ["\udfff"],
        {"\udfff": 1},
        {1: 1},
        [b"x"],
        "x" * 5000,
    ],
    ids=[
        "too deep",
        "abyss",
        "huge",
        "surrogate",
        "surrogate key",
        "number as key",
        "bytes",
        "long",
    ],
)
def test_other_values_are_stored_as_a_text_that_shows_them(value: object) -> None:
    stored = to_storable(value)
    assert isinstance(stored, str)
    assert 0 < len(stored) <= 500


def test_the_limit_decides_what_is_too_long_and_nan_becomes_null() -> None:
    assert to_storable("x" * 5000, limit=6000) == "x" * 5000
    assert to_storable([float("nan"), float("-inf")]) == [None, None]


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("crn_expression", "cron_expression"),
        ("cronExpression", "cron_expression"),
        ("cron", "cron_expression"),
        ("timezone_name", "timezone"),
        ("nothing", None),
        pytest.param("x" * 2**20, None, id="1 MB"),
    ],
)
def test_find_nearest(word: str, near: str | None) -> None:
    assert find_nearest(word, ["timezone", "cron_expression"]) == near


class Sulky:
    def __str__(self) -> str:
        raise ValueError


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("result", "output"),
    [
        (None, None),
        ("", None),
        ("a\nb", "a\nb"),
        ({"ü": [1, None]}, '{"ü": [1, null]}'),
        (2**70, str(2**70)),
        ("ü" * 5000, "ü" * 2048),
        (0, "0"),
        (False, "false"),
        (b"caf\xc3\xa9 \xff", "café \ufffd"),
        ({"a": b"b", "c": {1}}, '{"a": "b", "c": "{1}"}'),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        (CYCLE, "[[[[[[[...]]]]]]]"),
        (["x"] * 10**6, ('["x"' + ', "x"' * 1000)[:4096]),
        ("\ud800", "\\ud800"),
    ],
)
def test_render_output(result: Any, output: str | None) -> None:
    assert render_output(result) == output


def test_a_result_whose_text_fails_is_rendered() -> None:
    assert render_output(10**5000) == "a huge number"
    assert "Sulky" in str(render_output(Sulky()))
    assert "Sulky" in str(render_output({"a": Sulky()}))


@settings(deadline=None)
@given(ANY_TEXT, st.integers(2, 40))
def test_text_for_a_screen_keeps_its_width(text: str, width: int) -> None:
    shown = printable(text, 500)
    assert cell_width(fit(shown, width)) <= width
    assert all(cell_width(line) <= width for line in wrap(shown, width))
    if not any(map(str.isspace, shown)):
        assert "".join(wrap(shown, width)) == shown
