"""The functions of the mapping in addition to JMESPath's own."""

from typing import Any

import jmespath
import pytest
from jmespath.exceptions import JMESPathError

from cron_tasks.settings.functions import MappingFunctions

ROW = {
    "tags": "prod  backup",
    "name": " Nightly_report ",
    "minutes": 5,
    "milliseconds": 1500,
    "zero": 0,
    "status": "PAUSED",
}


def search(expression: str) -> Any:
    return jmespath.search(expression, ROW, jmespath.Options(custom_functions=MappingFunctions()))


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("split(tags, ' ')", ["prod", "backup"]),
        ("split(name, '_')", [" Nightly", "report "]),
        ("split(tags, '')", ["prod", "backup"]),
        ("trim(replace(name, '_', ' '))", "Nightly report"),
        ("lower(status) != 'paused'", False),
        ("default(gone, 'x')", "x"),
        ("default(zero, `7`)", 0),
        ("add(minutes, `1`)", 6),
        ("subtract(minutes, `1`)", 4),
        ("multiply(minutes, `60`)", 300),
        ("divide(milliseconds, `1000`)", 1.5),
        ("divide(minutes, `5`)", 1),
        ("join('-', split(tags, ' '))", "prod-backup"),
    ],
)
def test_each_function(expression: str, value: Any) -> None:
    found = search(expression)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "expression", ["divide(minutes, `0`)", "split(minutes, ' ')", "trim(gone)"]
)
def test_what_a_function_cannot_take_is_an_error_of_the_expression(expression: str) -> None:
    with pytest.raises((JMESPathError, ValueError)):
        search(expression)
