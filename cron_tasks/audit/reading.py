"""Reading the accounts of jobs from Redis, in pages."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

import orjson
from redis import Redis

from cron_tasks.audit.days import Evidence
from cron_tasks.audit.model import Account, Folded, Version
from cron_tasks.errors import ScheduleError
from cron_tasks.ledger.day_count import DAY, DayCount
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import State
from cron_tasks.registry import entries
from cron_tasks.store import names
from cron_tasks.store.paging import pages

#: Accounts read in one go.
PAGE = 500
#: The version before kept so many versions of a job, and did not tell when it dropped one.
OLD_MOST = 999


def read(
    redis: Redis,
    job_ids: Iterable[str],
    days: Sequence[int],
    opened: Mapping[str, str] | None = None,
) -> Iterator[Account]:
    """The accounts of these jobs for some days since 1970; a fixed number of round trips a page.

    `opened` is what `cron_tasks:open` holds. Without it each page is read in one transaction, the
    open ticks and the histories with it, so that what an account says was so at one instant.
    """
    for page in pages(job_ids, PAGE):
        with redis.pipeline(transaction=opened is None) as pipe:
            for day in days:
                pipe.hmget(f"{names.COUNT_PREFIX}{day}", page)
                pipe.hmget(f"{names.OLD_COUNT_PREFIX}{day}", page)
            for job_id in page:
                key = names.entry_key(job_id)
                pipe.hmget(key, "definition", "since", "paused")
                pipe.zscore(names.SCHEDULE, key)
                pipe.lrange(names.VERSIONS_PREFIX + job_id, 0, -1)
                pipe.zrange(names.ACCOUNT_PREFIX + job_id, 0, -1, withscores=True)
            if opened is None:
                pipe.hgetall(names.OPEN)
                _ask_for_rest(pipe, page)
            replies = pipe.execute(raise_on_error=False)
            first = 2 * len(days)
            counts, rows = replies[:first], replies[first : first + 4 * len(page)]
            rest = dict(zip(page, _pairs(replies[first + 4 * len(page) + 1 :]), strict=False))
            if opened is None:
                by_job = _by_job(replies[first + 4 * len(page)])
            else:
                by_job = _by_job(opened)
                # Only beside records are there counts of older ones.
                long = [job_id for n, job_id in enumerate(page) if rows[4 * n + 3]]
                _ask_for_rest(pipe, long)
                rest = dict(zip(long, _pairs(pipe.execute(raise_on_error=False)), strict=True))
        for n, job_id in enumerate(page):
            ok, old_ok = (
                {day: int(row[n]) for day, row in zip(days, half, strict=True) if row[n]}
                for half in (counts[::2], counts[1::2])
            )
            row = rows[4 * n : 4 * n + 4]
            found = _account(job_id, row, ok, old_ok, by_job.get(job_id, {}))
            yield _with_rest(found, *rest[job_id]) if job_id in rest else found


def _ask_for_rest(pipe: Any, job_ids: Iterable[str]) -> None:
    """Ask for what only few jobs have or need: counts of old records, and the history."""
    for job_id in job_ids:
        pipe.hgetall(names.FOLDED_PREFIX + job_id)
        pipe.lrange(names.HISTORY_PREFIX + job_id, 0, -1)


def _pairs(replies: Sequence[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(replies[::2], replies[1::2], strict=True)


def _account(
    job_id: str,
    row: Sequence[Any],
    ok: Mapping[int, int],
    old_ok: Mapping[int, int],
    opened: Mapping[float, State],
) -> Account:
    entry, score, lines, records = row
    versions, forgotten = _versions(entry, lines)
    ended = [_record(line, first, versions) for line, first in records]
    return Account(job_id, versions, ended, ok, opened, score, old_ok, unknown_before=forgotten)


def _with_rest(account: Account, folded: Any, past: Any) -> Account:
    """The account with what is left of its oldest records, and with what its history shows."""
    counts, by_hand, unknown = _folded(folded if isinstance(folded, dict) else {})
    return replace(
        account,
        records=account.records + by_hand,
        folded=counts,
        unknown_before=max(account.unknown_before, unknown),
        evidence=evidence(past if isinstance(past, list) else []),
    )


def _by_job(opened: Mapping[str, str]) -> dict[str, dict[float, State]]:
    by_job: dict[str, dict[float, State]] = {}
    for name, state in opened.items():
        if run := RunId.parse(name):
            by_job.setdefault(run.job_id, {})[run.scheduled_for] = State.parse(state)
    return by_job


def _folded(
    fields: Mapping[str, str],
) -> tuple[Folded, list[tuple[float, float, dict[str, Any]]], float]:
    """The counts by the hour, the runs by hand, and until when stretches were dropped."""
    counts, by_hand, unknown = dict[tuple[int, str, str | None], DayCount](), [], 0.0
    for name, value in fields.items():
        if name == "until":
            unknown = datetime.fromisoformat(value).timestamp()
        elif name.startswith("@"):
            when, (status, reason, *twice) = float(name[1:]), value.split(":")
            ended = {"status": status, "reason": reason or None, "twice": bool(twice)}
            by_hand.append((when, when, ended))
        else:
            hour, status, reason = name.split(":", 2)
            counts[int(hour), status, reason or None] = DayCount.unpack(int(value))
    return counts, by_hand, unknown


def evidence(lines: Sequence[str]) -> Evidence:
    """What a job's history shows, newest first."""
    ok, ended, since = Counter[float](), set[float](), float("inf")
    for record in map(orjson.loads, lines):
        run = RunId.parse(record["run_id"])
        if "until" in record or run is None:
            continue
        ended.add(run.scheduled_for)
        since = record["finished_at"]
        ok[run.scheduled_for] += record["status"] == "ok"
    return Evidence(ok, frozenset(ended), since)


def job_ids(redis: Redis) -> list[str]:
    """All jobs, those among them that were removed not longer ago than is audited."""
    removed = cast("list[str]", redis.zrange(names.REMOVED, 0, -1))
    return list(dict.fromkeys([*cast("list[str]", redis.hkeys(names.JOBS)), *removed]))


def _versions(entry: Any, past: Sequence[str]) -> tuple[list[Version], float]:
    """Oldest first, and until when counted those that were dropped; 0 for none.

    What cannot be read expects nothing: beat has set it aside.
    """
    lines = [orjson.loads(line) for line in reversed(past)]
    forgotten = max((line["forgotten"] for line in lines if "forgotten" in line), default=0.0)
    if len(lines) >= OLD_MOST and not forgotten:
        forgotten = lines[0]["since"]
    lines = [line for line in lines if "forgotten" not in line]
    if not isinstance(entry, Exception) and entry[0] and entry[1]:
        try:
            line = orjson.loads(entry[0])
            line |= {"since": float(entry[1]), "until": float("inf")}
            line["paused"] = orjson.loads(entry[2] or "null")
            lines.append(line)
        except (ValueError, TypeError):
            pass
    return [version for line in lines if (version := _version(line))], forgotten


def _version(line: Mapping[str, Any]) -> Version | None:
    why = "" if line["enabled"] else "disabled"
    if line.get("paused"):
        why = f"paused: {line['paused']['reason']}"
    try:
        schedule = None if why else entries.read_schedule(line)
    except ScheduleError:
        return None
    return Version(line["since"], line["until"], schedule, why)


def _record(
    line: str, first: float, versions: Iterable[Version]
) -> tuple[float, float, dict[str, Any]]:
    """The first and the last tick of a record; one without an end lasts until the next edit."""
    record: dict[str, Any] = orjson.loads(line)
    last = first
    if "until" in record:
        last = datetime.fromisoformat(record["until"]).timestamp()
    elif "run_id" not in record:
        last = next((v.until for v in versions if v.since < first <= v.until), first)
    return first, last, record


def read_open(redis: Redis) -> dict[str, str]:
    return cast("dict[str, str]", redis.hgetall(names.OPEN))


def days_of(since: float, until: float) -> range:
    """The days since 1970 that the time touches."""
    return range(int(since // DAY), int(until // DAY) + 1)
