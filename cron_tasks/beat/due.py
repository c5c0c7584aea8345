"""Reads due entries in pages and judges each separately, so that a broken one affects only
itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from redis import Redis

from cron_tasks.beat.known import FEW, KnownJobs
from cron_tasks.beat.rows import Row, make_row, parse_definition, parse_object, read_rows
from cron_tasks.beat.skipped import conclude_skipped
from cron_tasks.jobs.actions import waits_on_loop
from cron_tasks.jobs.job import Job
from cron_tasks.ledger.batch import Departure
from cron_tasks.ledger.counting import count_missed
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
    Missed,
    WithoutSkipped,
    apply_catchup,
    count_fire_times,
    fire_all,
    select_fire_times,
)
from cron_tasks.settings import Settings
from cron_tasks.store.scripts import script

PAGE = 1000
#: Entries in a page if most are known to be plain. Such entries take a fraction of the time.
PLAIN_PAGE = 4000
#: Rows that are judged in one go. Each takes at most some ten milliseconds.
IN_ONE_GO = 50
_due = script("beat/due")


@dataclass(frozen=True, slots=True)
class Page:
    """A page of due entries, and further facts that beat needs.

    `rows` are judged one by one, and `departures` are plain ticks. `edits` is the number of
    the registry's last edit when the page was read. `next_due` and `next_deadline` are times in
    seconds, infinity if there is none. `is_complete` is whether the registry and the sync's own
    entry exist, and `is_sync_coming` whether a sync is wanted or running. `skips` are the ticks
    among the rows that are to be skipped. The page has `size` entries, and ends with `last`. If it
    `is_full`, more may follow. `has_overdue` is whether the deadline of an open run has passed, and
    `has_late` whether a run did not end within its limit.
    """

    rows: list[Row]
    edits: int
    next_due: float
    next_deadline: float
    is_complete: bool
    is_sync_coming: bool
    skips: Skips = field(default_factory=dict)
    departures: Sequence[Departure] = ()
    size: int = 0
    last: str = ""
    is_full: bool = False
    has_overdue: bool = False
    has_late: bool = False


@dataclass(slots=True)
class Judged:
    """A page of rows after they were judged.

    `departures` are plain ticks, which fire in batches. `advances` are the next fire times of the
    other entries, and `ticks` the runs that they open, by run id. `foreign` are an operator's own
    entries.
    """

    edits: int
    departures: Sequence[Departure] = ()
    advances: list[Advance] = field(default_factory=list)
    ticks: dict[str, Due] = field(default_factory=dict)
    foreign: list[Row] = field(default_factory=list)
    broken: list[tuple[Row, Exception]] = field(default_factory=list)


def read_page(redis: Redis, now: float, after: str = "", known: KnownJobs | None = None) -> Page:
    """Read the entries that are due at `now`, the longest overdue first.

    With `after`, the page begins behind that entry, and is empty if that entry is gone. With
    `known` jobs the page is larger, and plain ticks come as departures.
    """
    most = PAGE if known is None else PLAIN_PAGE
    flat, edits, next_due, next_deadline, is_complete, is_coming, to_skip, overdue, late, stored = (
        _due(redis, now=now, page_size=most, last_entry=after, few=FEW)
    )
    due = dict(zip(flat[::2], flat[1::2], strict=True))
    skips = group_by_job(to_skip)
    departures: Sequence[Departure] = ()
    rows = list[Row]()
    if len(due) <= FEW:
        rows = [make_row(*entry, fields) for entry, fields in zip(due.items(), stored, strict=True)]
    elif known is None:
        rows = list(read_rows(redis, due))
    else:
        departures, rows = known.depart(redis, due, edits, now, skips)
    return Page(
        rows=rows,
        edits=edits,
        next_due=float(next_due),
        next_deadline=float(next_deadline),
        is_complete=bool(is_complete),
        is_sync_coming=bool(is_coming),
        skips=skips,
        departures=departures,
        size=len(due),
        last=flat[-2] if flat else "",
        is_full=len(due) == most,
        has_overdue=bool(overdue),
        has_late=bool(late),
    )


def judge_page(
    page: Page, now: float, settings: Settings, between: Callable[[], object] = lambda: None
) -> Judged:
    """Judge each row separately, so that a broken one does not affect the others.

    `between` is called after every few rows, because a page of costly schedules takes seconds.
    """
    judged = Judged(page.edits, page.departures)
    for number, row in enumerate(page.rows, 1):
        if number % IN_ONE_GO == 0:
            between()
        if row.job_id is None:
            judged.foreign.append(row)
            continue
        try:
            advance, fired = judge_row(row, now, settings, page.skips)
        except Exception as error:
            judged.broken.append((row, error))
        else:
            judged.advances.append(advance)
            for tick in fired:
                judged.ticks[tick.run_id] = tick
    return judged


def judge_row(
    row: Row, now: float, settings: Settings, skips: Skips = NO_SKIPS
) -> tuple[Advance, list[Due]]:
    """Return the next fire time of a due row, and the ticks that it fires.

    A tick that is to be skipped neither fires nor is missed, however late it is. Raises ValueError
    (including ScheduleError and BrokenDocument), KeyError or TypeError if the row is broken.
    """
    row.key.encode()  # A key that is not UTF-8 cannot be part of a run id.
    job_id = row.job_id or ""
    document = parse_object(row.job, "job")
    schedule, options = parse_definition(row.definition)
    times = skips.get(job_id, ())
    firing, to_skip = _fire(row, schedule, now, settings.misfire_grace, times)
    action = document.get("action")
    quick, waits = action is None, isinstance(action, dict) and waits_on_loop(str(action["type"]))
    ticks = [Due(RunId(job_id, tick), job_id, options, quick, waits) for tick in firing.ticks]
    last = firing.ticks[-1] if firing.ticks else now
    if firing.missed:
        last = max(firing.ticks, default=firing.missed.last)
    if to_skip:
        last = max(last, to_skip[-1])
    # Several ticks at once are meant to run one after the other.
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
        job, missed = Job.from_document(row.job or ""), firing.missed
        advance.missed_from = missed.first
        advance.missed, advance.message = record_missed(job, missed, now, settings)
        advance.missed_counts = count_missed(missed.reason, _count(schedule, missed, to_skip))
    if to_skip:
        advance.skipped = conclude_skipped(Job.from_document(row.job or ""), to_skip, now, settings)
    return advance, ticks


def _fire(
    row: Row, schedule: Schedule, now: float, grace: float, times: Sequence[float]
) -> tuple[Firing, list[float]]:
    """Return the ticks of a due row as if `times` did not exist, and which of these it skips."""
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


def _count(schedule: Schedule, missed: Missed, to_skip: Sequence[float]) -> int:
    """Return the number of missed fire times. Skipped fire times are counted separately."""
    skipped = sum(missed.first <= tick <= missed.last for tick in to_skip)
    return count_fire_times(schedule, missed.first, missed.last) - skipped
