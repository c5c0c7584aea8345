"""Read the contents of the digest from Redis, page by page."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, cast

import orjson
from redis import Redis

from cron_tasks.jobs.job import Job
from cron_tasks.ledger.day_count import DayCount
from cron_tasks.ledger.readable import UNREADABLE, is_time, parse_each
from cron_tasks.ledger.run_id import RunId
from cron_tasks.runs.digest import Entry
from cron_tasks.schedules.durations import DAY, HOUR
from cron_tasks.store import keys
from cron_tasks.store.paging import pages

#: Jobs in one page, and seconds between two pages, in which other threads of beat run.
PAGE, PAUSE = 250, 0.005
#: The most fire times that are counted for one stretch of missed ones.
MOST_COUNTED = 1000
_KINDS = ("missed", "skipped")


def read_digest(redis: Redis, since: float, until: float) -> tuple[Counter[Entry], dict[str, str]]:
    """Count late, missed and skipped runs, and return the names of these jobs by their ids.

    Records with since <= time < until are counted. A run that ended more than a day after its fire
    time is not found. If a job has more than 1,000 records a day, the oldest ones count by their
    hour.
    """
    late: Any = redis.zrangebyscore(keys.LATE, since, f"({until}")
    counts = Counter(Entry("late", RunId.stored(text).job_id, "") for text in late)
    removed = cast("list[str]", redis.zrange(keys.REMOVED, 0, -1))
    job_ids = dict.fromkeys([*cast("list[str]", redis.hkeys(keys.JOBS)), *removed])
    for page in pages(job_ids, PAGE):
        for job_id, records, folded, document in _read_page(redis, page, since, until):
            counts.update(_count_records(job_id, records, document, since, until))
            counts.update(_count_folded(job_id, folded, since, until))
        time.sleep(PAUSE)
    names = dict(_read_names(redis, {entry.job_id for entry in counts}))
    return counts, names


def _read_page(
    redis: Redis, job_ids: list[str], since: float, until: float
) -> Iterator[tuple[str, list[tuple[str, float]], dict[str, str], str]]:
    """Yield each job with records: records with fire times, counts of old ones, the document."""
    with redis.pipeline(transaction=False) as pipe:
        for job_id in job_ids:
            key = keys.ACCOUNT_PREFIX + job_id
            pipe.zrangebyscore(key, since - DAY, until, withscores=True)
        found = zip(job_ids, pipe.execute(raise_on_error=False), strict=True)
        recorded = [(job_id, rows) for job_id, rows in found if rows and isinstance(rows, list)]
        for job_id, _ in recorded:
            pipe.hgetall(keys.FOLDED_PREFIX + job_id)
            pipe.hget(keys.entry_key(job_id), "job")
        rest = pipe.execute(raise_on_error=False) if recorded else []
    for (job_id, rows), folded, document in zip(recorded, rest[::2], rest[1::2], strict=True):
        counts = folded if isinstance(folded, dict) else {}
        yield job_id, rows, counts, document if isinstance(document, str) else ""


def _count_records(
    job_id: str,
    records: Iterable[tuple[str, float]],
    document: str,
    since: float,
    until: float,
) -> Counter[Entry]:
    counts = Counter[Entry]()
    for record, fire_time in parse_each(_read_record, records):
        if since <= (record.get("finished_at") or fire_time) < until:
            entry = Entry(record["status"], job_id, record.get("reason") or "")
            counts[entry] += _count_ticks(record, fire_time, document)
    return counts


def _read_record(row: tuple[str, float]) -> tuple[dict[str, Any], float]:
    """Return a record of the digest, with its fire time. Raises one of UNREADABLE."""
    record: dict[str, Any] = orjson.loads(row[0])
    ended, reason = record.get("finished_at"), record.get("reason")
    is_whole = isinstance(reason, str | None) and (ended is None or is_time(ended))
    if record["status"] not in _KINDS or not is_whole:
        raise ValueError("the digest does not count this record")
    return record, row[1]


def _count_ticks(record: Mapping[str, Any], first: float, document: str) -> int:
    """Return the number of fire times that a record stands for, at least one."""
    if "until" not in record or not document:
        return 1
    try:
        last = datetime.fromisoformat(record["until"]) + timedelta(milliseconds=1)
        schedule = Job.from_document(document).schedule
        ticks = schedule.between(datetime.fromtimestamp(first, UTC), last)
        return max(1, sum(1 for _ in islice(ticks, MOST_COUNTED)))
    except UNREADABLE:
        return 1


def _count_folded(
    job_id: str, folded: Mapping[str, str], since: float, until: float
) -> Counter[Entry]:
    counts = Counter[Entry]()
    for name, value in folded.items():
        hour, _, ended = name.partition(":")
        status, _, reason = ended.partition(":")
        is_count = hour.isdecimal() and value.isdecimal() and status in _KINDS
        if is_count and since <= int(hour) * HOUR < until:
            counts[Entry(status, job_id, reason)] += DayCount.unpack(int(value)).runs
    return counts


def _read_names(redis: Redis, job_ids: Iterable[str]) -> Iterator[tuple[str, str]]:
    for page in pages(job_ids, PAGE):
        with redis.pipeline(transaction=False) as pipe:
            for job_id in page:
                pipe.hget(keys.entry_key(job_id), "job")
            documents = pipe.execute(raise_on_error=False)
        named = zip(page, documents, strict=True)
        yield from parse_each(_read_name, (row for row in named if isinstance(row[1], str)))


def _read_name(row: tuple[str, str]) -> tuple[str, str]:
    job_id, document = row
    return job_id, str(orjson.loads(document).get("name", job_id))
