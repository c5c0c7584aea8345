"""Read the accounts of the ticks of jobs from Redis, page by page."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, cast

from redis import Redis

from cron_tasks.audit.account_parts import (
    read_evidence,
    read_folded_counts,
    read_open_tick,
    read_record,
    read_versions,
)
from cron_tasks.audit.job_account import JobAccount
from cron_tasks.ledger.batch import STATE
from cron_tasks.ledger.batches import parse_batched
from cron_tasks.ledger.history import REPLIES, read_history, request_history
from cron_tasks.ledger.minutes import count_minute
from cron_tasks.ledger.run_id import RunId
from cron_tasks.schedules.durations import DAY
from cron_tasks.store import keys
from cron_tasks.store.paging import pages
from cron_tasks.store.readable import is_count, parse_each

#: The open ticks of jobs, each with its time and its stored state.
OpenTicks = dict[str, tuple[tuple[float, str], ...]]
#: Accounts in one page.
PAGE = 500
#: Replies for a job that has records: the counts of old ones, and the history.
_REST = 1 + REPLIES


def read_accounts(
    redis: Redis,
    job_ids: Iterable[str],
    days: Sequence[int],
    opened: OpenTicks | None = None,
) -> Iterator[JobAccount]:
    """Yield the accounts of these jobs, with the counts of some `days` since 1970.

    Each page takes a fixed number of round trips. `opened` are the open ticks of all jobs. Without
    it each page is read in one transaction, together with the open ticks and the histories. Then an
    account is consistent.
    """
    for page in pages(job_ids, PAGE):
        counts, minutes, rows, by_job, rest = _read_page(redis, page, days, opened)
        ok, old_ok = _by_job(page, days, counts[::2]), _by_job(page, days, counts[1::2])
        _add_minutes(ok, days, minutes)
        for n, job_id in enumerate(page):
            account = _build_account(job_id, rows[n], ok[n], old_ok[n], by_job.get(job_id, ()))
            yield _add_rest(account, *rest[job_id]) if job_id in rest else account


def _by_job(page: Sequence[str], days: Sequence[int], rows: Iterable[Any]) -> list[dict[int, int]]:
    """Return the counts of each job of a page by day. A row has the counts of one day."""
    counts: list[dict[int, int]] = [{} for _ in page]
    for day, row in zip(days, rows, strict=True):
        # A key of another type says nothing.
        for count, stored in zip(counts, [] if isinstance(row, Exception) else row, strict=False):
            if is_count(stored):
                count[day] = int(stored)
    return counts


def _add_minutes(counts: Sequence[dict[int, int]], days: Sequence[int], minutes: Any) -> None:
    """Add the ok runs of minutes in progress to the counts of their jobs."""
    # A key of another type says nothing.
    found_minutes = [] if isinstance(minutes, Exception) else minutes
    for count, stored in zip(counts, found_minutes, strict=False):
        if stored and (found := count_minute(stored)):
            day, packed = found
            if packed and day in days:
                count[day] = count.get(day, 0) + packed


def _read_page(
    redis: Redis, page: Sequence[str], days: Sequence[int], opened: OpenTicks | None
) -> tuple[list[Any], Any, list[tuple[Any, ...]], OpenTicks, dict[str, tuple[Any, ...]]]:
    """Return for a page of jobs two replies a day, the minutes in progress, and for each job its
    entry, score, versions and records. Then the open ticks by job, and the counts of old records
    and the history of those jobs that need them."""
    with redis.pipeline(transaction=opened is None) as pipe:
        _request_present(pipe, page, days)
        if opened is None:
            _request_past(pipe, page)
            _request_rest(pipe, page)
            # A run only ever moves from a batch to the other open runs.
            pipe.hgetall(keys.BATCHES)
            pipe.hgetall(keys.OPEN)
        else:
            past_keys = (keys.VERSIONS_PREFIX, keys.ACCOUNT_PREFIX)
            pipe.exists(*(prefix + job_id for job_id in page for prefix in past_keys))
        replies = iter(pipe.execute(raise_on_error=False))
        counts = list(islice(replies, 2 * len(days)))
        minutes, scores = next(replies), next(replies)
        found = list(islice(replies, len(page)))
        past: list[tuple[Any, ...]] = [((), ())] * len(page)
        if opened is None:
            past = list(_groups(islice(replies, 2 * len(page)), 2))
            each_rest = _groups(islice(replies, _REST * len(page)), _REST)
            rest = dict(zip(page, each_rest, strict=True))
            batches, singly = replies
            opened = group_by_job({**_list_batched(batches), **singly})
        else:
            if next(replies):
                # Most jobs were not edited, and all of their ticks ended ok.
                _request_past(pipe, page)
                past = list(_groups(pipe.execute(raise_on_error=False), 2))
            # Only a job with records has counts of older ones.
            recorded = [job_id for job_id, (_, records) in zip(page, past, strict=True) if records]
            _request_rest(pipe, recorded)
            each_rest = _groups(pipe.execute(raise_on_error=False), _REST)
            rest = dict(zip(recorded, each_rest, strict=True))
    rows = [(entry, score, *each) for entry, score, each in zip(found, scores, past, strict=True)]
    return counts, minutes, rows, opened, rest


def _request_present(pipe: Any, page: Sequence[str], days: Sequence[int]) -> None:
    """Request the counts of jobs by day, and their minutes, scores and entries."""
    for day in days:
        pipe.hmget(f"{keys.COUNT_PREFIX}{day}", page)
        pipe.hmget(f"{keys.OLD_COUNT_PREFIX}{day}", page)
    pipe.hmget(keys.MINUTE, page)
    pipe.zmscore(keys.SCHEDULE, list(map(keys.entry_key, page)))
    for job_id in page:
        # What `pipe.hmget` does besides would take a tenth of the time of an audit.
        pipe.execute_command("HMGET", keys.entry_key(job_id), "definition", "since", "paused")


def _request_past(pipe: Any, job_ids: Iterable[str]) -> None:
    """Request the versions and the records of jobs."""
    for job_id in job_ids:
        pipe.lrange(keys.VERSIONS_PREFIX + job_id, 0, -1)
        pipe.zrange(keys.ACCOUNT_PREFIX + job_id, 0, -1, withscores=True)


def _request_rest(pipe: Any, job_ids: Iterable[str]) -> None:
    """Request the data that only few jobs have or need: counts of old records, and the history."""
    for job_id in job_ids:
        pipe.hgetall(keys.FOLDED_PREFIX + job_id)
        request_history(pipe, job_id)


def _groups(replies: Iterable[Any], size: int) -> Iterator[tuple[Any, ...]]:
    """Yield the replies of one job after the other, `size` for each."""
    return zip(*[iter(replies)] * size, strict=True)


def _build_account(
    job_id: str,
    row: Sequence[Any],
    ok: Mapping[int, int],
    old_ok: Mapping[int, int],
    opened: Sequence[tuple[float, str]],
) -> JobAccount:
    entry, score, *past = row
    # A key of another type says nothing.
    lines, records = (() if isinstance(each, Exception) else each for each in past)
    versions, forgotten = read_versions(entry, lines)
    ended = list(parse_each(partial(read_record, versions=versions), records))
    ticks = dict(parse_each(read_open_tick, opened))
    return JobAccount(job_id, versions, ended, ok, ticks, score, old_ok, unknown_before=forgotten)


def _add_rest(account: JobAccount, folded: Any, *past: Any) -> JobAccount:
    """Return the account with the counts of its oldest records and the evidence of its history."""
    counts, by_hand, unknown = read_folded_counts(folded if isinstance(folded, dict) else {})
    return replace(
        account,
        records=account.records + by_hand,
        folded=counts,
        unknown_before=max(account.unknown_before, unknown),
        evidence=read_evidence(read_history(past, account.job_id)),
    )


def group_by_job(opened: Mapping[str, str]) -> OpenTicks:
    """Group open ticks, each with its state, by job."""
    by_job: OpenTicks = {}
    _add_open_ticks(by_job, opened.items())
    return by_job


def _add_open_ticks(by_job: OpenTicks, opened: Iterable[tuple[str, str]]) -> None:
    for name, state in opened:
        if run := RunId.parse(name):
            tick = (run.scheduled_for, state)
            by_job[run.job_id] = (*by_job.get(run.job_id, ()), tick)


def read_job_ids(redis: Redis) -> list[str]:
    """Return the ids of all jobs, including removed ones that are still within the audited time."""
    removed = cast("list[str]", redis.zrange(keys.REMOVED, 0, -1))
    return list(dict.fromkeys([*cast("list[str]", redis.hkeys(keys.JOBS)), *removed]))


def read_open_ticks(redis: Redis) -> OpenTicks:
    """Return the open ticks of all jobs."""
    # A run only ever moves from a batch to the other open runs.
    opened = _list_batched(redis.hgetall(keys.BATCHES))
    opened.update(redis.hscan_iter(keys.OPEN, count=PAGE))
    return group_by_job(opened)


def _list_batched(batches: Any) -> dict[str, str]:
    """Return the runs of batches as stored, each with its state as `cron_tasks:open` has it."""
    return dict.fromkeys(parse_batched(batches), STATE)


def days_between(since: float, until: float) -> range:
    """Return the days since 1970 that the period from `since` to `until` includes."""
    return range(int(since // DAY), int(until // DAY) + 1)
