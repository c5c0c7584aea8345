"""Rows of the list that are rejected: stored for display, and for the reports to the service."""

from collections.abc import Sequence
from typing import Any, cast

import orjson
from redis import Redis

from cron_tasks.jobs.confidential import mask_job
from cron_tasks.jobs.rejected import Rejected
from cron_tasks.registry.fence import Fence, replace_hash
from cron_tasks.store import keys
from cron_tasks.store.paging import pages
from cron_tasks.store.readable import parse_each
from cron_tasks.store.scripts import script
from cron_tasks.text.display import printable
from cron_tasks.text.stored_json import to_storable

_store = script("registry/store_rejected")

#: The most bytes of a rejected row that are stored for display.
ROW_SHOWN = 4096
#: The most characters of the errors of a row in a report.
ERROR_SHOWN = 2000


def store_rejected(redis: Redis, rejected: Sequence[Rejected], fence: Fence) -> list[Rejected]:
    """Replace the list of rejected rows, and return the new ones.

    Writes nothing if the list has not changed. Raises WriteRefused if `fence` no longer holds.
    """
    listed = {row.place: _to_json(row) for row in rejected}
    stored = cast("dict[str, str]", redis.hgetall(keys.REJECTED))
    if listed == stored:
        return []
    # A row that has only moved within the list is not a change for followers.
    before = set(parse_each(lambda text: _fault_of(orjson.loads(text)), stored.values()))
    rows = []
    for place, text in listed.items():
        row = orjson.loads(text)
        rows.append((place, text, row["id"] or "", "" if _fault_of(row) in before else "new"))
    # Without rows there is one empty page, which empties the hash.
    for number, page in enumerate(list(pages(rows)) or [[]]):
        _store(redis, clear=number == 0, listed=page, **fence.values)
    return [row for row in rejected if stored.get(row.place) != listed[row.place]]


def _fault_of(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["id"], *row["errors"]


def read_rejected(redis: Redis) -> list[Rejected]:
    """Return the rows that validation rejected, then the entries that beat quarantined."""
    quarantined = cast("dict[str, str]", redis.hgetall(keys.SET_ASIDE)).items()
    return [
        *read_rejected_rows(redis),
        *(
            Rejected(keys.job_id_of(key), f"entry {key}", (reason,), None)
            for key, reason in quarantined
        ),
    ]


def read_rejected_rows(redis: Redis) -> list[Rejected]:
    """Return the rows that validation rejected."""
    rows = cast("dict[str, str]", redis.hgetall(keys.REJECTED)).values()
    return list(parse_each(_parse_rejected, rows))


def _parse_rejected(text: str) -> Rejected:
    """Parse a rejected row. Raises an error for what another program has written."""
    row = orjson.loads(text)
    errors, job_id, place = tuple(row["errors"]), row["id"], row["place"]
    if not all(isinstance(each, str) for each in (*errors, place, job_id or "")):
        raise ValueError("not a rejected row")
    return Rejected(job_id, place, errors, row["row"])


def store_errors_to_report(
    redis: Redis, rejected: Sequence[Rejected], now: float, fence: Fence
) -> None:
    """Store the errors of each rejected row that has a job id.

    A job is reported again when its errors appear, change or disappear. Raises WriteRefused if
    `fence` no longer holds.
    """
    by_job: dict[str, list[str]] = {}
    for row in rejected:
        if row.id is not None:
            by_job.setdefault(row.id, []).extend(row.errors)
    errors = {job_id: printable("; ".join(each), ERROR_SHOWN) for job_id, each in by_job.items()}
    stored = cast("dict[str, str]", redis.hgetall(keys.REPORTED_ERRORS))
    news = [job_id for job_id in stored | errors if stored.get(job_id) != errors.get(job_id)]
    if not news:
        return
    # The reports are requested twice: before the errors are stored, so that a crash in between
    # loses no report, and afterwards, because a report that is sent in between has the old errors.
    due = dict.fromkeys(news, now)
    redis.zadd(keys.REPORTS, due)
    replace_hash(redis, keys.REPORTED_ERRORS, errors, fence)
    redis.zadd(keys.REPORTS, due)


def _to_json(rejected: Rejected) -> str:
    row = mask_job(rejected.row) if isinstance(rejected.row, dict) else rejected.row
    stored = {"id": rejected.id, "place": rejected.place, "errors": rejected.errors}
    return orjson.dumps(stored | {"row": to_storable(row, ROW_SHOWN)}).decode()
