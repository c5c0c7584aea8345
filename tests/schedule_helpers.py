"""Helpers of the tests of schedules."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from cron_tasks.schedules import Schedule, ScheduleError, parse

MICRO = timedelta(microseconds=1)
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)  # a Monday


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def ticks(schedule: Schedule, start: datetime = NOW, count: int = 3) -> list[str]:
    end = datetime.max.replace(tzinfo=UTC)
    return [tick.strftime("%m-%d %H:%M:%S") for tick in islice(schedule.between(start, end), count)]


def faults(**fields: Any) -> list[tuple[str, str]]:
    with pytest.raises(ScheduleError) as error:
        parse(**fields)
    return error.value.errors


def understood(**fields: Any) -> Schedule | None:
    """Return the schedule, or None if it was rejected with an explanation."""
    try:
        return parse(**fields)
    except ScheduleError as refused:
        told = refused.errors
    assert told
    assert all(field and message for field, message in told)
    return None
