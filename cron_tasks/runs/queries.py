"""Runs in the form for people and programs: ended and open ones. Read from Redis."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from heapq import nlargest
from itertools import count
from typing import Any, cast

from redis import Redis

from cron_tasks.ledger.batch import read_line
from cron_tasks.ledger.batches import read_batched
from cron_tasks.ledger.history import (
    merge_lines,
    read_history,
    read_open_minutes,
    request_history,
)
from cron_tasks.ledger.minutes import is_minute, split_minute, summarise_minute
from cron_tasks.ledger.open_runs import parse_open, read_open_run
from cron_tasks.ledger.readable import parse_each
from cron_tasks.ledger.records import split_reason
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import Kind
from cron_tasks.runs.shapes import (
    Shape,
    add_times,
    name_status,
    read_record,
    read_records,
    shape_open,
    shape_record,
)
from cron_tasks.schedules.human import format_local
from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.store import keys
from cron_tasks.store.paging import pages

OPEN = ("pending", "running", "retrying")
ENDED = ("ok", "failed", "skipped", "missed")
#: Records, or open runs, that one round trip reads.
PAGE = 1000


def list_ended(
    redis: Redis, job_id: str | None = None, status: str | None = None
) -> Iterator[Shape]:
    """Yield the runs that have ended, of one job or of all, newest first.

    They are read from Redis page by page. Runs of one job that did not end ok are kept in its
    account, for longer than in its history. The ordinary runs of a quick job are one record a
    minute (ledger/minutes.py).
    """
    if job_id is not None and status in (None, "ok"):
        lines = merge_lines(
            (read_line(line, job_id) for line in _paged_history(redis, job_id)),
            _read_minutes(redis, job_id),
        )
    elif job_id is not None:
        lines = skip_stretches(_paged(partial(redis.zrevrange, keys.ACCOUNT_PREFIX + job_id)))
    elif status == "failed":
        lines = _dead(redis)
    else:
        recent = map(read_line, _paged(partial(redis.lrange, keys.RECENT)))
        lines = merge_lines(recent, read_open_minutes(redis))
    for run in read_records(lines, job_id or ""):
        if status in (None, run["status"]):
            yield run


def _paged_history(redis: Redis, job_id: str) -> Iterator[str]:
    return _paged(partial(redis.lrange, keys.HISTORY_PREFIX + job_id))


def _read_minutes(redis: Redis, job_id: str) -> list[str]:
    """Return the minutes of a job, newest first."""
    with redis.pipeline(transaction=False) as pipe:
        request_history(pipe, job_id)
        _, *minutes = pipe.execute(raise_on_error=False)
    return read_history(([], *minutes), job_id)


def _dead(redis: Redis) -> Iterator[str]:
    """Yield the failed runs whose reruns have not ended ok."""
    for page in pages(_paged(partial(redis.zrevrange, keys.FAILED, withscores=True))):
        with redis.pipeline(transaction=False) as pipe:
            for text, _ in page:
                run_id = RunId.stored(text)
                account, when = keys.ACCOUNT_PREFIX + run_id.job_id, run_id.scheduled_for
                pipe.zrangebyscore(account, when, when)
            found = pipe.execute(raise_on_error=False)
        for (run_id, at), lines in zip(page, found, strict=True):
            # A key of another type holds no records.
            kept = skip_stretches(lines if isinstance(lines, list) else [])
            about = [line for line in kept if '"until":' not in line]
            yield from about or [_known_to_have_failed(run_id, at)]


def _known_to_have_failed(run_id: str, finished_at: float) -> str:
    """Write a record for a failed run that no longer has one."""
    kept = dict.fromkeys(("reason", "attempt", "started_at", "worker"))
    error = "details are no longer kept, because the job has had many runs since"
    line = {"run_id": run_id, "status": "failed", "finished_at": finished_at, "error": error}
    return json.dumps(kept | line)


def list_open(
    redis: Redis, most: int, job_id: str | None = None, status: str | None = None
) -> list[Shape]:
    """Return up to `most` of the runs that have not ended, the latest fire time first."""
    match = None if job_id is None else re.sub(r"([][*?\\])", r"\\\1", job_id) + "@*"
    opened = read_batched(redis, job_id)
    opened |= parse_each(parse_open, redis.hscan_iter(keys.OPEN, match, count=PAGE))
    found = {
        run_id: state
        for run_id, state in opened.items()
        if job_id in (None, run_id.job_id) and status in (None, name_status(state))
    }
    newest = nlargest(most, found, key=lambda run_id: run_id.scheduled_for)
    traces = cast("list[str | None]", redis.hmget(keys.ATTEMPTS, newest) if newest else [])
    return [
        shape_open(run_id, found[run_id], trace)
        for run_id, trace in zip(newest, traces, strict=True)
    ]


def find_end(redis: Redis, run_id: RunId) -> Shape | None:
    """Return how a run ended, the last time if there are several. None if no record is kept.

    If the run is only known as one of several missed fire times, their record is returned.
    """
    job_id, when = run_id.job_id, run_id.scheduled_for
    known = _first(
        skip_stretches(redis.zrangebyscore(keys.ACCOUNT_PREFIX + job_id, when, when)), run_id
    )
    # The newest records of all jobs include reruns that did not change an earlier outcome.
    recent = _paged(partial(redis.lrange, keys.RECENT))
    if redis.exists(keys.HISTORY_PREFIX + job_id):
        kept = _first(_paged_history(redis, job_id), run_id) or known
    else:
        # If the job was removed, only those records have the attempts before the last one.
        kept = known and (_first(recent, run_id, known) or known)
    if kept is None:
        kept = _first(_read_minutes(redis, job_id), run_id)
    if kept is not None:
        return kept
    if (failed_at := redis.zscore(keys.FAILED, run_id)) is not None:
        return read_record(_known_to_have_failed(run_id, failed_at))
    return find_stretch(redis, job_id, when) or _first(recent, run_id)


def find_last_end(redis: Redis, run_id: RunId) -> Shape | None:
    """Return how a run ended last. None if no record of it is kept.

    Unlike `find_end`, this includes a rerun that was skipped and did not change the earlier
    outcome.
    """
    recent = cast("list[str]", redis.lrange(keys.RECENT, 0, PAGE - 1))
    return _first(recent, run_id) or find_end(redis, run_id)


def _first(lines: Iterable[str], run_id: str, end: Shape | None = None) -> Shape | None:
    """Return the first record of a run that does not stand for others. With `end`, the record of
    that end."""
    job_id = RunId.stored(run_id).job_id
    read = parse_each(lambda line: _read_own(line, run_id, job_id), lines)
    own = (run for run in read if run and run["run_id"] == run_id and "until" not in run)
    same = ("status", "reason", "finished_at")
    return next((run for run in own if not end or all(run[n] == end[n] for n in same)), None)


def _read_own(line: str, run_id: str, job_id: str) -> Shape | None:
    """Parse a record. If it is a minute, return the run if it is one of its ok runs.

    Such a run has the `minute` with its summary. A skipped run has a separate record in the
    account.
    """
    if not is_minute(line):
        return read_record(line, job_id)
    if RunId.stored(json.loads(line)["run_id"]).job_id != job_id:
        return None
    ok = (run for run in split_minute(line) if run["status"] == "ok")
    own = next((run for run in ok if run["run_id"] == run_id), None)
    whole = summarise_minute(line)
    minute = {"minute": whole["summary"]} if "summary" in whole else {}
    return shape_record(own) | minute if own else None


def find_stretch(redis: Redis, job_id: str, when: float) -> Shape | None:
    """Return the record of the stretch of missed fire times that contains `when`, or None."""
    key = keys.ACCOUNT_PREFIX + job_id
    earlier = partial(redis.zrevrangebyscore, key, repr(when), "-inf")
    lines = _paged(lambda first, _: earlier(start=first, num=PAGE))
    stretches = parse_each(_read_stretch, (line for line in lines if '"until":' in line))
    record, last = next(stretches, ({}, 0.0))
    whole = [json.dumps(_overtaken(job_id, record, last) | record)] if last >= when else []
    return next(read_records(whole), None)


def _read_stretch(line: str) -> tuple[Shape, float]:
    """Return the record of a stretch, and its end. Raises one of UNREADABLE."""
    record = dict(json.loads(line))
    return record, datetime.fromisoformat(record["until"]).timestamp()


def _overtaken(job_id: str, record: Shape, finished_at: float) -> Shape:
    """Return the fields that a record lacks whose fire times a change of the job overtook."""
    if "from" not in record:
        return {}
    never = dict.fromkeys(("started_at", "worker", "error"))
    first = RunId(job_id, record.pop("from"))
    return never | {"run_id": first, "attempt": 0, "finished_at": finished_at}


def skip_stretches(lines: Any) -> Iterator[str]:
    """Yield the records of an account that name a run. The others are stretches without an end."""
    return (line for line in lines if line.startswith('{"run_id":'))


def describe_run(redis: Redis, run_id: RunId) -> Shape | None:
    """Return everything about a run, with all of its attempts. None if nothing is known of it.

    An open run also has `holder`, `stopping` (the cancel reason) and `deadline`, at which beat
    looks after it. If it waits for its next attempt, it has `retry_at` in place of `deadline`. A
    run that was missed with others has `since` and `until`.
    """
    tick = read_open_run(redis, run_id)
    if tick is None:
        if (run := find_end(redis, run_id)) is None:
            return None
        own = {"attempts": run.get("attempts", []), "run_id": run_id}
        if "until" in run:
            own |= {"scheduled_for": iso_utc(run_id.scheduled_for), "since": run["scheduled_for"]}
        return run | own
    run = shape_open(run_id, tick.state, tick.trace)
    waits = tick.state.kind is Kind.WAITING and run["status"] == "retrying"
    return run | {
        "attempts": list(map(add_times, json.loads(tick.trace or "[]"))),
        "holder": (tick.state.in_flight and tick.state.holder) or None,
        "retry_at" if waits else "deadline": format_local(redis.zscore(keys.DEADLINES, run_id)),
        "stopping": split_reason(tick.unwanted)[0] or None,
    }


def name_traced(run_id: RunId, run: Shape) -> RunId:
    """Return the run whose trace includes a run. Fire times that were missed together share one."""
    if "since" not in run:
        return run_id
    return RunId(run_id.job_id, datetime.fromisoformat(run["since"]).timestamp())


def _paged(read: Callable[[int, int], Any]) -> Iterator[Any]:
    """Yield what `read(first, last)` returns, PAGE at a time."""
    for first in count(0, PAGE):
        page = read(first, first + PAGE - 1)
        yield from page
        if len(page) < PAGE:
            return
