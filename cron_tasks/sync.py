"""Reconcile the registry with the REST service: read, plan, apply."""

import gc
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal, cast

import structlog
from redis import Redis
from redis.exceptions import LockError

from cron_tasks import names, plugins, secret_files
from cron_tasks.errors import SourceError
from cron_tasks.leases import renewed
from cron_tasks.ledger import Ledger
from cron_tasks.limits import Limits
from cron_tasks.plan import Changes, Policy, plan
from cron_tasks.registry import Registry
from cron_tasks.report import note_rejected
from cron_tasks.settings import Settings, urls
from cron_tasks.source import Source, Validators

log = structlog.get_logger("cron_tasks.sync")

#: Seconds that the lock of a sync which died is still held.
LOCK_TTL = 10.0

State = Literal["ok", "failing", "refused"]


@dataclass(frozen=True, slots=True)
class Report:
    """What a sync did, or would do; in a state other than ok nothing, and `detail` says why."""

    state: State
    changes: Changes
    detail: str = ""
    not_modified: bool = False

    def as_json(self) -> dict[str, Any]:
        changes = self.changes
        return {
            "state": self.state,
            "detail": self.detail,
            "added": [desired.job.id for desired in changes.added],
            "changed": [desired.job.id for desired in changes.changed],
            "removed": changes.removed,
            "unchanged": changes.unchanged,
            "rejected": [{"id": each.id, "errors": each.errors} for each in changes.rejected],
        }


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """What is remembered of the REST service between syncs; times in seconds since the epoch."""

    state: State | None
    detail: str
    since: float | None
    last_attempt: float | None
    last_success: float | None


def limits_of(settings: Settings) -> Limits:
    secrets = frozenset(secret_files.names(settings.secrets_dir))
    return Limits(settings.tasks_allow, settings.http_allow, secrets)


def policy_of(settings: Settings, force: bool = False) -> Policy:
    limits = limits_of(settings)
    zone, share = settings.timezone, settings.shrink_limit
    return Policy(zone, share, force, limits, settings.notify_queue)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """A long list makes many lasting objects and no cycles; looking for some takes a third more."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Reconciler:
    """Syncs one registry with one REST service."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self.redis = redis
        self.registry = Registry(redis, settings.audit_days)
        self.ledger = Ledger(redis, settings)
        self.settings = settings

    def preview(self, force: bool = False) -> Report:
        """What `sync` would do now; changes nothing."""
        report = self._read(force, None)[0]
        deque(report.changes.settle(), 0)
        return report

    def sync(
        self,
        clock: Callable[[], float],
        force: bool = False,
        progress: Callable[[int, int], None] = lambda _done, _all: None,
    ) -> Report | None:
        """Make the registry as the REST service says; None when another sync is at it.

        That one then goes over it once more, so that what changed meanwhile counts.
        `force` overrides the refusal of an empty or collapsing list, once.
        """
        # Said first and looked at last, so that whoever has the lock cannot overlook it.
        self.redis.set(names.SYNC_AGAIN, 1, ex=300)
        lock = self.redis.lock(names.SYNC_LOCK, timeout=LOCK_TTL, thread_local=False)
        report = None
        while self.redis.exists(names.SYNC_AGAIN) and lock.acquire(blocking=False):
            try:
                with renewed(lock.reacquire, LOCK_TTL / 3):
                    self.redis.delete(names.SYNC_AGAIN)
                    report = self._sync_once(clock, force and report is None, progress)
            finally:
                with suppress(LockError):
                    lock.release()
        return report

    def status(self) -> SourceStatus:
        stored = cast("dict[str, str]", self.redis.hgetall(names.SOURCE))
        times = {
            name: float(stored[name]) if name in stored else None
            for name in ("since", "last_attempt", "last_success")
        }
        state = cast("State | None", stored.get("state"))
        return SourceStatus(state=state, detail=stored.get("detail", ""), **times)

    @_no_garbage_collection()
    def _sync_once(
        self, clock: Callable[[], float], force: bool, progress: Callable[[int, int], None]
    ) -> Report:
        report, validators = self._read(force, None if force else self._validators())
        changes = report.changes
        if report.state == "ok" and not report.not_modified:
            total, done = len(changes.candidates) + len(changes.removed), 0

            def count(written: int) -> None:
                nonlocal done
                done += written
                progress(done, total)

            self.registry.apply(changes, clock(), count)
            self.ledger.look_after(set(changes.removed), clock())
            for row in self.registry.record_rejected(changes.rejected):
                log.warning("job.rejected", job_id=row.id, place=row.place, errors=row.errors)
            if self.settings.rest_report_path:
                note_rejected(self.redis, changes.rejected, clock())
        self._remember(report, validators, clock())
        return report

    def _read(self, force: bool, validators: Validators | None) -> tuple[Report, Validators | None]:
        try:
            with Source(self.settings).read(validators) as listing:
                if listing.not_modified:
                    changes = Changes(unchanged=self.registry.count())
                    return Report("ok", changes, not_modified=True), validators
                current = self.registry.fingerprints()
                changes = plan(current, listing, policy_of(self.settings, force))
                validators = listing.validators
        except SourceError as error:
            return Report("failing", Changes(unchanged=self.registry.count()), str(error)), None
        if changes.refusal:
            return Report("refused", changes, changes.refusal), None
        return Report("ok", changes), validators

    def _validators(self) -> Validators | None:
        """Those of the list that the registry holds; None once it was lost or read otherwise."""
        stored = cast("dict[str, str]", self.redis.hgetall(names.SOURCE))
        same = stored.get("read_as") == self._read_as() and self.redis.exists(names.GENERATION)
        if not same or not (stored.get("etag") or stored.get("last_modified")):
            return None
        return Validators(stored.get("etag") or None, stored.get("last_modified") or None)

    def _read_as(self) -> str:
        """What else decides the outcome of a sync; a 304 says nothing about these."""
        s = self.settings
        url = urls.masked(s.rest_url or "")
        types = sorted(plugins.installed())
        judged = f"{s.timezone}{limits_of(s).salt}{types or ''} {s.notify_queue}"
        return f"{url} {s.rest_jobs_path} {s.rest_mapping} {judged} {s.rest_report_path}"

    def _remember(self, report: Report, validators: Validators | None, now: float) -> None:
        before = self.status()
        fields: dict[Any, Any] = {"last_attempt": now, "state": report.state}
        fields["detail"] = report.detail
        if report.state == "ok":
            fields["last_success"] = now
            fields["read_as"] = self._read_as()
            fields["etag"] = (validators and validators.etag) or ""
            fields["last_modified"] = (validators and validators.last_modified) or ""
        if report.state != before.state:
            fields["since"] = now
        self.redis.hset(names.SOURCE, mapping=fields)
        _log(report, before)


def _log(report: Report, before: SourceStatus) -> None:
    """One line per change of state or of the registry; a list that stays as it is says nothing."""
    changes = report.changes
    if report.state == "ok":
        if before.state not in (None, "ok"):
            log.info("sync.recovered", was=before.state, since=before.since)
        if changes:
            log.info(
                "sync.done",
                added=len(changes.added),
                changed=len(changes.changed),
                removed=len(changes.removed),
                unchanged=changes.unchanged,
                rejected=len(changes.rejected),
            )
        for desired in (*changes.added, *changes.changed):
            for warning in desired.job.warnings:
                log.warning("job.warning", job_id=desired.job.id, warning=warning)
    elif (report.state, report.detail) != (before.state, before.detail):
        log.error(f"sync.{report.state}", detail=report.detail, changed="nothing")
