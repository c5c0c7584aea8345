"""Read the history of jobs: single records, past minutes, and the minute in progress.

Only a quick job has minutes (minutes.py). `request_history` adds a fixed number of commands for
each job to a pipeline, so the caller controls the round trips.
"""

from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from typing import Any, cast

import orjson
from redis import Redis

from cron_tasks.ledger.batch import read_line
from cron_tasks.ledger.minutes import close_minute, is_minute, split_minute
from cron_tasks.ledger.readable import parse_each, parse_run
from cron_tasks.store import keys
from cron_tasks.store.paging import PAGE

#: The number of replies to `request_history`.
REPLIES = 3


def request_history(pipe: Any, job_id: str, most: int = 0) -> None:
    """Request the history of a job, or up to `most` of its newest records and of its minutes."""
    pipe.lrange(keys.HISTORY_PREFIX + job_id, 0, most - 1)
    pipe.lrange(keys.MINUTES_PREFIX + job_id, 0, most - 1)
    pipe.hget(keys.MINUTE, job_id)


def read_history(replies: Sequence[Any], job_id: str) -> list[str]:
    """Return the lines of a history, newest first. Each is a whole record, or a minute.

    A reply that is an error counts as empty, because its key has another type.
    """
    records, past, stored = replies
    lines = [read_line(line, job_id) for line in records] if isinstance(records, list) else []
    minutes = list(filter(is_minute, past)) if isinstance(past, list) else []
    if isinstance(stored, str) and (minute := close_minute(job_id, stored)):
        minutes.insert(0, minute)
    return list(merge_lines(lines, minutes)) if minutes else lines


def merge_lines(lines: Iterable[str], minutes: Iterable[str]) -> Iterator[str]:
    """Yield the lines of two lists, newest first."""
    return merge(lines, minutes, key=_ended_at, reverse=True)


def _ended_at(line: str) -> float:
    """Return the end of a run, or of the last run of a minute. Any other text sorts last."""
    try:
        record = split_minute(line)[-1] if is_minute(line) else orjson.loads(line)
        return float(record["finished_at"])
    except (ValueError, LookupError, TypeError):
        return 0.0


def _split_line(line: str) -> list[dict[str, Any]]:
    """Return the runs of a line, the latest first. Raises one of UNREADABLE."""
    return split_minute(line)[::-1] if is_minute(line) else [parse_run(line)]


def split_runs(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield a record for each run. A minute yields one for each of its runs, the latest first.

    Lines that another program has written are left out.
    """
    for runs in parse_each(_split_line, lines):
        yield from runs


def read_open_minutes(redis: Redis) -> list[str]:
    """Return the minutes in progress of all jobs, newest first.

    With more than a thousand jobs, returns none, because reading them takes too long for a list.
    """
    if redis.hlen(keys.MINUTE) > PAGE:
        return []
    stored = cast("dict[str, str]", redis.hgetall(keys.MINUTE))
    lines = (close_minute(job_id, minute) for job_id, minute in stored.items())
    return sorted(filter(None, lines), key=_ended_at, reverse=True)


def read_newest(row: object, minute: str | None, job_id: str) -> str | None:
    """Return the newer of the newest record of a job and the last run of its minute.

    Return None if there is none that can be read.
    """
    lines = read_history(([row] if isinstance(row, str) else [], [], minute), job_id)
    newest = next(split_runs(lines), None)
    if newest is None or minute is None:
        return lines[0] if newest else None
    return orjson.dumps(newest).decode()
