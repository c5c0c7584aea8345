"""Writes the changes of a sync into the registry, a thousand jobs to a call."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import MappingProxyType

from redis import Redis

from cron_tasks.ledger.records import Overtaken
from cron_tasks.registry import entries, index, steps
from cron_tasks.registry.fence import Fence
from cron_tasks.registry.first_due import first_due, group_by_read_time
from cron_tasks.registry.plan import Changes, Desired
from cron_tasks.store.paging import pages

#: A row of `put`: job id, value in the index, definition, document, next tick, its fire time
#: without jitter, and the time after which it was computed.
Row = tuple[str, str, str, bytes, str, str, str]
#: Changes that the stream of changes keeps (note_change.lua).
NOTED = 10_000
#: The most pages that are sent and not yet written. With two, Redis never waits for the next one.
SENT_AT_ONCE = 2
#: Called with ticks that a change overtakes, and the reason for which they are missed.
OnOvertaken = Callable[[list[Overtaken], str], object]


class Writer:
    """Writes into the registry of one Redis for as long as `fence` holds.

    `audited` is the number of seconds that the audit looks back. `on_overtaken` is called with the
    overtaken ticks of each page.
    """

    def __init__(
        self,
        redis: Redis,
        audited: int,
        fence: Fence,
        on_overtaken: OnOvertaken = lambda *_: None,
    ) -> None:
        self.redis = redis
        self._audited = audited
        self._fence = fence
        self._on_overtaken = on_overtaken

    def write(
        self,
        changes: Changes,
        clock: Callable[[], float],
        last_read: float | None = None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Write a complete plan. An edit fires strictly after it is written.

        The exception is a job whose only tick lies after `last_read`, when the list was last read
        with success (seconds since the epoch). It is due at once, as a late tick. `progress` is
        called with the number of jobs in each page. Raises WriteRefused if the fence no longer
        holds, and ValueError if the plan has candidates left.
        """
        if changes.candidates:
            raise ValueError("the plan has candidates that were not judged")
        # The stream of changes keeps only the last changes of a long list.
        left = len(changes.added) + len(changes.changed) + len(changes.removed)
        # While Redis writes one page, the next one is sent, and the one after that is prepared.
        with ThreadPoolExecutor(SENT_AT_ONCE) as writer:
            sent: deque[Future[None]] = deque()
            for page in pages(changes.desired):
                left -= len(page)
                is_noted = left < NOTED
                for jobs, since in group_by_read_time(page, clock(), last_read):
                    rows = _make_rows(jobs, since)
                    # The stream of changes has to be in order.
                    while len(sent) >= (1 if is_noted else SENT_AT_ONCE):
                        sent.popleft().result()
                    sent.append(writer.submit(self._put, jobs, rows, since, is_noted))
                progress(len(page))
            for written in sent:
                written.result()
        for job_ids in pages(changes.removed):
            left -= len(job_ids)
            self._remove(job_ids, clock(), left < NOTED)
            progress(len(job_ids))

    def _put(self, page: Sequence[Desired], rows: list[Row], now: float, is_noted: bool) -> None:
        """Write a page. If a job has fired meanwhile, its next tick is after that one.

        With `is_noted`, the stream of changes gets each job, otherwise one of them.
        """
        jobs = {desired.id: desired for desired in page}
        change = steps.describe_change(now, "edited", self._audited)
        stamp = entries.format_time(now)
        while rows:
            values = {"stamp": stamp, "listed": rows, "noted": is_noted}
            stale, overtaken = steps.put(self.redis, **values, **change, **self._fence.values)
            if overtaken:
                self._on_overtaken(Overtaken.parse_rows(overtaken), "edited")
            fired = {job_id: float(last) for job_id, last in stale}
            rows = _make_rows([jobs[job_id] for job_id in fired], now, fired)

    def _remove(self, job_ids: Sequence[str], now: float, is_noted: bool) -> None:
        change = steps.describe_change(now, "removed", self._audited)
        gone = [(job_id,) for job_id in job_ids]
        values = {"gone": gone, "noted": is_noted}
        overtaken = steps.remove(self.redis, **values, **change, **self._fence.values)
        if overtaken:
            self._on_overtaken(Overtaken.parse_rows(overtaken), "removed")


def _make_rows(
    page: Sequence[Desired], now: float, fired: Mapping[str, float] = MappingProxyType({})
) -> list[Row]:
    """Return the rows of `put`. `fired` has, by job id, the time after which the job is due."""
    rows: list[Row] = []
    for desired in page:
        job_id, after, computed_after = desired.id, now, ""
        if job_id in fired:
            after = max(now, fired[job_id])
            computed_after = repr(after)
        timing, upcoming, nominal = first_due(desired.schedule, desired.enabled, after)
        definition = entries.format_definition(job_id, timing, desired.options)
        due = upcoming, nominal, computed_after
        indexed = index.format_value(desired.fingerprint, desired.document)
        rows.append((job_id, indexed, definition, desired.document, *due))
    return rows
