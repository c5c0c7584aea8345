"""Reconcile the registry with the REST service: read, plan, apply."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import structlog
from redis import Redis

from cron_tasks.errors import SourceError, WriteRefused
from cron_tasks.jobs.rejected import Rejected
from cron_tasks.ledger.ledger import Ledger
from cron_tasks.ledger.records import Overtaken
from cron_tasks.registry.fence import Fence, sync_lock
from cron_tasks.registry.plan import Changes
from cron_tasks.registry.registry import Registry
from cron_tasks.registry.rejections import (
    read_rejected_rows,
    store_errors_to_report,
    store_rejected,
)
from cron_tasks.registry.report_requests import forget_refused, request_reports
from cron_tasks.registry.wanted import (
    ALL,
    is_anything_wanted,
    select_rows,
    settle_wanted,
    take_wanted,
    want_rows,
)
from cron_tasks.registry.writer import Writer
from cron_tasks.repair.comparison import Comparison
from cron_tasks.rest.single import read_jobs
from cron_tasks.rest.validators import Validators
from cron_tasks.runs.overtaken import list_overtaken
from cron_tasks.settings import Settings
from cron_tasks.sync.garbage import pause_garbage_collection
from cron_tasks.sync.load import warn_of_planned, warn_of_registered
from cron_tasks.sync.meanwhile import note_written, read_list_beside_rows
from cron_tasks.sync.outcome import Report, log_changes, log_report
from cron_tasks.sync.owner import explain_refusal, note_rival, service_of
from cron_tasks.sync.policy import describe_judging, make_policy
from cron_tasks.sync.refused_plan import dump_plan
from cron_tasks.sync.rows import count_scheduled, plan_rows
from cron_tasks.sync.state import (
    Beginning,
    Ending,
    SourceStatus,
    adjust_counts,
    load_beginning,
    load_status,
    store_outcome,
)
from cron_tasks.sync.whole_list import ListRead, read_list

log = structlog.get_logger("cron_tasks.sync")

#: Seconds within which a new job is reported, even if the sync that added it does not end.
REPORTED_WITHIN = 60.0


class Reconciler:
    """Syncs one registry with one REST service."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self.redis = redis
        self.registry = Registry(redis, settings.audit_days)
        self.ledger = Ledger(redis, settings)
        self.settings = settings
        self.service = service_of(settings)

    def preview(self, force: bool = False) -> Report:
        """Return what `sync` would do now, without changing anything."""
        if refusal := self._refusal_of_another(self.status(), force):
            return self._refuse(refusal)
        report = read_list(self.registry, self.settings, force, None).report
        zone = self.settings.timezone
        warnings = warn_of_planned(self.redis, report.changes, zone, time.time())
        return replace(report, warnings=warnings.sentences)

    def sync(
        self,
        clock: Callable[[], float],
        force: bool = False,
        progress: Callable[[int, int], None] = lambda _done, _all: None,
        ids: Sequence[Any] | None = None,
    ) -> Report | None:
        """Make the registry equal to the list of the REST service.

        With `ids`, only these jobs are synced, and those that the service has poked. If single rows
        are not enough, the whole list is read. Return None if there is nothing to do, or if another
        sync is running. That sync repeats, so rows that are requested meanwhile are read. `force`
        accepts once a list that is empty or has shrunk, and takes over a registry that belongs to
        another service. `progress` gets the number of changes that are written, and of all changes.
        """
        # The request is stored before trying the lock, and read after each sync, so the holder
        # cannot miss it.
        want_rows(self.redis, [ALL] if ids is None else map(str, ids))
        report = None
        while True:
            with sync_lock(self.redis) as fence:
                # Nothing is wanted if another sync has read it meanwhile.
                if fence is None or not (wanted := take_wanted(self.redis)):
                    return report
                try:
                    # Rows come first, because the list takes longer.
                    rows = select_rows(wanted - {ALL})
                    changed = self.sync_rows(rows, clock, fence, progress) if rows else None
                    if changed is None or ALL in wanted:
                        forced = force and report is None
                        changed = self._sync_once(clock, forced, progress, fence)
                    report = changed
                    if report.is_of_another:
                        return report  # The owner still has to read what is wanted.
                    settle_wanted(self.redis, fence)
                except WriteRefused as refused:
                    # This process was frozen, or Redis was emptied. Its data may be outdated.
                    log.warning("sync.overtaken", reason=str(refused))
                    want_rows(self.redis, wanted)
            if not is_anything_wanted(self.redis):
                return report

    def status(self) -> SourceStatus:
        return load_status(self.redis)

    def sync_rows(
        self,
        ids: Sequence[str],
        clock: Callable[[], float],
        fence: Fence,
        progress: Callable[[int, int], None] = lambda _done, _all: None,
        sent: Sequence[tuple[str, Any]] | None = None,
        may_remove: Callable[[int], bool] = lambda _: False,
    ) -> Report | None:
        """Read single rows and write the changes. Return None if the list has to be read.

        A missing row removes nothing, because removals have limits that only the list can check.
        For the feed, `sent` are its rows, and the other ids are removed if `may_remove` accepts
        their number.
        """
        before = self.status()
        if not fence.generation or self._refusal_of_another(before, False):
            return None
        try:
            rows = read_jobs(self.settings, ids) if sent is None else sent
        except SourceError as error:
            log.info("sync.rows_not_read", detail=str(error), hint="the list is read")
            return None
        changes = plan_rows(self.registry, ids, rows, make_policy(self.settings))
        if changes is None or (changes.removed and not may_remove(len(changes.removed))):
            return None
        note_written(ids)
        rejected = read_rejected_rows(self.redis)
        others = [each for each in rejected if each.id not in ids]
        scheduled = count_scheduled(self.redis, ids)
        self._apply_changes(changes, clock, before.last_read, progress, fence, others)
        new = len(others) + len(changes.rejected) - len(rejected)
        scheduled = count_scheduled(self.redis, ids) - scheduled
        if changes or changes.rejected or new:
            jobs = len(changes.added) - len(changes.removed)
            adjust_counts(self.redis, fence, jobs, scheduled, new)
        log_changes(changes)
        return Report("ok", changes)

    @pause_garbage_collection()
    def _sync_once(
        self,
        clock: Callable[[], float],
        force: bool,
        progress: Callable[[int, int], None],
        fence: Fence,
    ) -> Report:
        """Read the list, plan the changes, and write them while this process holds the lock."""
        begun, beginning = clock(), load_beginning(self.redis)
        before = beginning.status
        if refusal := self._refusal_of_another(before, force):
            note_rival(self.redis, self.service, begun)
            if before.rival != self.service:
                log.error("sync.refused", detail=refusal, changed="nothing")
            return self._refuse(refusal)
        repaired = self._repair_registry(beginning, clock)
        beginning = repaired or beginning
        judging = describe_judging(self.settings)
        known = None if repaired or force else beginning.find_validators(judging)
        read = self._read_list(force, known, clock, fence)
        report = read.report
        if report.state == "ok" and not report.not_modified:
            # A registry that is built for the first time, or again, runs no late one-offs.
            last_read = before.last_read if fence.generation else None
            self._apply_changes(report.changes, clock, last_read, progress, fence)
            if report.changes:
                warnings = warn_of_registered(self.redis, self.settings.timezone, clock())
                report = replace(report, warnings=warnings.sentences)
        ending = Ending(
            begun=begun,
            at=clock(),
            state=report.state,
            detail=report.detail,
            service=self.service,
            judging=judging,
            doubts=beginning.doubts,
            validators=read.validators,
            feed=read.feed,
            refused_plan=dump_plan(report.changes) if report.state == "refused" else "",
        )
        store_outcome(self.redis, fence, ending, before)
        if read.feed and read.feed.fault not in ("", before.feed_fault):
            log.warning("feed.refused", detail=read.feed.fault)
        log_report(report, before)
        return report

    def _read_list(
        self,
        force: bool,
        known: Validators | None,
        clock: Callable[[], float],
        fence: Fence,
    ) -> ListRead:
        """Read the list, and meanwhile sync the rows that are poked."""
        with read_list_beside_rows(
            self.redis, fence, lambda ids: self.sync_rows(ids, clock, fence)
        ) as reading:
            read = read_list(self.registry, self.settings, force, known)
        if reading.written:
            # The rows of the list may be older, and the registry no longer equals the list of these
            # validators.
            read.report.changes.leave_out(reading.written)
            read = replace(read, validators=None)
        return replace(read, feed=None) if reading.is_feed_ahead else read

    def _refusal_of_another(self, before: SourceStatus, force: bool) -> str | None:
        """Return why this installation must not sync: the registry belongs to another service."""
        return None if force else explain_refusal(self.redis, before.owner, self.service)

    def _refuse(self, refusal: str) -> Report:
        unchanged = Changes(unchanged=self.registry.count())
        return Report("refused", unchanged, refusal, is_of_another=True)

    def _repair_registry(
        self, beginning: Beginning, clock: Callable[[], float]
    ) -> Beginning | None:
        """Repair the registry if it differs from the state after the last sync. Return what the
        sync finds then, or None if nothing differed."""
        jobs, scheduled = beginning.drift
        if not jobs and not scheduled:
            return None
        found = Comparison(self.redis, self.settings, clock).mend(all_keys=jobs)
        return load_beginning(self.redis) if found.counts else None

    def _apply_changes(
        self,
        changes: Changes,
        clock: Callable[[], float],
        last_read: float | None,
        progress: Callable[[int, int], None],
        fence: Fence,
        others: Sequence[Rejected] = (),
    ) -> None:
        """Write the changes, and notify about the ticks that they overtook.

        `others` are rejected rows that this sync has not read. They stay rejected.
        """
        total, done = len(changes.added) + len(changes.changed) + len(changes.removed), 0

        def count_written(written: int) -> None:
            nonlocal done
            done += written
            progress(done, total)

        def notify_of_overtaken(ticks: list[Overtaken], reason: str) -> None:
            list_overtaken(self.ledger, self.settings, ticks, reason, clock())

        added = [desired.id for desired in changes.added]
        if reporting := bool(self.settings.rest_report_path):
            # In case this process ends before the jobs are written and reported below.
            request_reports(self.redis, added, clock() + REPORTED_WITHIN)
        writer = Writer(self.redis, self.registry.audited, fence, notify_of_overtaken)
        writer.write(changes, clock, last_read, count_written)
        self.ledger.let_go(set(changes.removed))
        rejected = [*others, *changes.rejected]
        for row in store_rejected(self.redis, rejected, fence):
            log.warning("job.rejected", job_id=row.id, place=row.place, errors=row.errors)
        forget_refused(self.redis, changes.removed)
        if reporting:
            # The service learns the first fire time of a new job.
            request_reports(self.redis, added, clock())
            store_errors_to_report(self.redis, rejected, clock(), fence)
