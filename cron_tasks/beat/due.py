"""Reads due entries in pages and judges each by itself, so that a broken one harms only itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast

import orjson
from redis import Redis

from cron_tasks.beat.skipped import conclude_skipped
from cron_tasks.jobs.job import Job
from cron_tasks.ledger.records import Advance
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.tick import Due
from cron_tasks.registry import entries
from cron_tasks.registry.skips import NO_SKIPS, Skips, first_not_skipped, group_by_job
from cron_tasks.runs.outcomes import record_missed
from cron_tasks.schedules import Schedule
from cron_tasks.schedules.catchup import (
    FireTimes,
    Firing,
    WithoutSkipped,
    apply_catchup,
    fire_all,
    select_fire_times,
)
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.store.scripts import script

PAGE = 1000
#: Rows that are judged in one go. Each takes some ten milliseconds at the most.
FEW = 50
_OPTIONS = {"queue": str, "priority": int}
_due = script("beat/due")


@dataclass(slots=True)
class Row:
    """A due entry as stored. The score is text, exactly as Redis has it."""

    key: str
    score: str
    definition: str | None
    meta: str | None
    job: str | None

    @property
    def job_id(self) -> str | None:
        return keys.job_id_of(self.key)


@dataclass(frozen=True, slots=True)
class Page:
    """Up to PAGE due rows, and what beat needs to know with them.

    `edits` is the number of edits of the registry at that time. `next_due` and `next_deadline` are
    times in seconds, infinity where there is none. `is_complete` says whether there are a registry
    and the sync's own entry. `skips` are the ticks among the rows that are to be skipped.
    """

    rows: list[Row]
    edits: int
    next_due: float
    next_deadline: float
    is_complete: bool
    skips: Skips = field(default_factory=dict)


@dataclass(slots=True)
class Batch:
    """A page of rows after they were judged.

    `advances` are how entries move on, and `ticks` what this fires, by run id. `foreign` are an
    operator's own entries.
    """

    edits: int
    advances: list[Advance] = field(default_factory=list)
    ticks: dict[str, Due] = field(default_factory=dict)
    foreign: list[Row] = field(default_factory=list)
    broken: list[tuple[Row, Exception]] = field(default_factory=list)


def read_page(redis: Redis, now: float, after: str = "") -> Page:
    """Read what is due at `now`, the longest overdue first, in one round trip.

    With `after` the page begins behind that entry. It is empty where the entry is gone.
    """
    due, entries, edits, next_due, next_deadline, is_complete, skips = _due(
        redis, now=now, page_size=PAGE, last_entry=after
    )
    nothing = None, None, None
    rows = [
        Row(key, score, *(entry or nothing))
        for key, score, entry in zip(due[::2], due[1::2], entries, strict=True)
    ]
    times = float(next_due), float(next_deadline)
    return Page(rows, edits, *times, bool(is_complete), group_by_job(skips))


def judge_page(
    page: Page, now: float, settings: Settings, between: Callable[[], object] = lambda: None
) -> Batch:
    """Judge each row by itself, so that a broken one harms no other.

    `between` is called after every few rows, since a page of costly schedules takes seconds.
    """
    batch = Batch(page.edits)
    for number, row in enumerate(page.rows, 1):
        if number % FEW == 0:
            between()
        if row.job_id is None:
            batch.foreign.append(row)
            continue
        try:
            advance, fired = judge_row(row, now, settings, page.skips)
        except Exception as error:
            batch.broken.append((row, error))
        else:
            batch.advances.append(advance)
            for tick in fired:
                batch.ticks[tick.run_id] = tick
    return batch


def judge_row(
    row: Row, now: float, settings: Settings, skips: Skips = NO_SKIPS
) -> tuple[Advance, list[Due]]:
    """Return how a due row of ours moves on, and the ticks that this fires.

    A tick that is to be skipped neither fires nor is missed, however late it is.
    Raises ValueError (ScheduleError, BrokenDocument among them), KeyError or TypeError when the
    row is broken.
    """
    row.key.encode()  # a key that is not UTF-8 cannot be part of a run id
    job_id = row.job_id or ""
    document = _parse_object(row.job, "job")
    # Many jobs share what follows their options, so it is parsed once. What precedes it is about
    # this job alone.
    schedule, options = _parse_definition(
        "{" + "".join((row.definition or "").partition('"options": ')[1:])
    )
    times = skips.get(job_id, ())
    firing, to_skip = _fire(row, schedule, now, settings.misfire_grace, times)
    quick = "action" not in document
    ticks = [Due(RunId(job_id, tick), job_id, options, quick) for tick in firing.ticks]
    last = firing.ticks[-1] if firing.ticks else now
    if firing.missed:
        last = max(firing.ticks, default=firing.missed.last)
    if to_skip:
        last = max(last, to_skip[-1])
    # Several ticks at once were meant to run one after the other.
    in_turn = len(ticks) > 1 and not quick and document.get("overlap") != "allow"
    advance = Advance(
        key=row.key,
        score=row.score,
        next=firing.next,
        meta=entries.format_meta(last, entries.parse_run_count(row.meta) + len(ticks)),
        run_ids=[tick.run_id for tick in ticks],
        job_id=job_id,
        in_turn=in_turn,
        expect_within=document.get("expect_within"),
    )
    if firing.missed:
        job = Job.from_document(row.job or "")
        advance.missed_from = firing.missed.first
        advance.missed, advance.message = record_missed(job, firing.missed, now, settings)
    if to_skip:
        advance.skipped = conclude_skipped(Job.from_document(row.job or ""), to_skip, now, settings)
    return advance, ticks


def _fire(
    row: Row, schedule: Schedule, now: float, grace: float, times: Sequence[float]
) -> tuple[Firing, list[float]]:
    """Return what a due row fires as if `times` did not exist, and which of them it skips."""
    due: float | None = float(row.score)
    kept: FireTimes = schedule
    to_skip: list[float] = []
    if times:
        to_skip = select_fire_times(schedule, times, float(row.score), now)
        kept, due = (
            WithoutSkipped(schedule, frozenset(to_skip)),
            first_not_skipped(schedule, due, to_skip),
        )
    if due is None or now - due <= grace:
        firing = fire_all(kept, due, now)
    else:
        firing = apply_catchup(kept, due, now, Job.from_document(row.job or "").catchup, grace)
    return firing, [tick for tick in to_skip if firing.next is None or tick < firing.next]


def _parse_object(text: str | None, field: str) -> dict[str, Any]:
    value = orjson.loads(text or "null")
    if not isinstance(value, dict):
        raise ValueError(f"its field {field} holds no JSON object")  # noqa: TRY004
    return value


@lru_cache(maxsize=16384)
def _parse_definition(definition: str) -> tuple[Schedule, dict[str, Any]]:
    fields = _parse_object(definition, "definition")
    return entries.read_schedule(fields), _check_options(fields.get("options") or {})


def _check_options(options: Any) -> dict[str, Any]:
    """Return the options of an entry's message. Raises ValueError for any that we do not write."""
    known = isinstance(options, dict) and all(
        isinstance(value, _OPTIONS.get(name, ())) for name, value in options.items()
    )
    if not known:
        raise ValueError("its options are not a `queue` and a `priority`")
    return cast("dict[str, Any]", options)
