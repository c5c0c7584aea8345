"""The state of the REST service between syncs, in the hash `cron_tasks:source`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from redis import Redis

from cron_tasks.registry.fence import Fence
from cron_tasks.rest.pagination import FeedLink
from cron_tasks.rest.validators import Validators
from cron_tasks.store import keys
from cron_tasks.store.scripts import script
from cron_tasks.sync.owner import owner_before

State = Literal["ok", "failing", "refused"]

_store_outcome = script("sync/store_outcome")
_adjust = script("sync/adjust")


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """The outcome of the last sync. Times are in seconds since the epoch.

    `last_read` is the start of the last successful read of the list. `owner` is the service that
    the registry belongs to. `rival` is another service that tried to sync at `rival_at`.
    `feed_fault` is why a feed that the list names is not followed. `refused_plan` are the changes
    of a refused list (refused_plan.py), "" if the last list was not refused.
    """

    state: State | None
    detail: str
    since: float | None
    last_attempt: float | None
    last_success: float | None
    last_read: float | None
    owner: str | None
    rival: str | None
    rival_at: float | None
    feed_fault: str = ""
    refused_plan: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a sync that began at `begun` and ended at `at` (seconds since the epoch).

    `judging` is everything besides the list that affects the outcome (policy.py), and `service` is
    the service of the list. `doubts` are those before the list was read. `validators` are those of
    the list that the registry now holds, or None. `feed` is the feed that the list names, or None
    without news about it. `refused_plan` are the changes of a refused list.
    """

    begun: float
    at: float
    state: State
    detail: str
    service: str
    judging: str
    doubts: str
    validators: Validators | None = None
    feed: FeedLink | None = None
    refused_plan: str = ""


def load_status(redis: Redis) -> SourceStatus:
    """Read the outcome of the last sync."""
    return _read_status(cast("dict[str, str]", redis.hgetall(keys.SOURCE)))


def _read_status(stored: Mapping[str, str]) -> SourceStatus:
    times = {
        name: _read_time(stored.get(name))
        for name in ("since", "last_attempt", "last_success", "last_read", "rival_at")
    }
    return SourceStatus(
        state=cast("State | None", stored.get("state")),
        detail=stored.get("detail", ""),
        owner=stored.get("owner") or owner_before(stored.get("read_as", "")),
        rival=stored.get("rival"),
        feed_fault=stored.get("feed_fault", ""),
        refused_plan=stored.get("refused_plan", ""),
        **times,
    )


def _read_time(text: str | None) -> float | None:
    """Return a time as stored, or None for text that is not a time, which another program wrote."""
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _read_header(text: str | None) -> str | None:
    """Return a header as stored, or None for text that a request cannot send, which another program
    wrote."""
    is_sendable = text and text.isprintable() and all(char <= "\xff" for char in text)
    return text if is_sendable else None


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a sync finds: the hash `cron_tasks:source`, and the registry as it is now.

    `jobs`, `scheduled` and `rejected` are numbers in the registry.
    """

    stored: Mapping[str, str]
    has_generation: bool
    jobs: int
    scheduled: int
    rejected: int

    @property
    def status(self) -> SourceStatus:
        """The outcome of the last sync."""
        return _read_status(self.stored)

    @property
    def doubts(self) -> str:
        """How often something other than a sync changed the registry, "" for never.

        Each of these changes needs a sync that reads the list. A sync that ran meanwhile may not
        have seen the change, so its validators are not used.
        """
        return self.stored.get("doubts", "")

    @property
    def drift(self) -> tuple[bool, bool]:
        """Whether the number of jobs, or of scheduled jobs, differs from that after the last
        sync."""
        jobs, scheduled = self.stored.get("jobs"), self.stored.get("scheduled")
        return jobs not in (None, str(self.jobs)), scheduled not in (None, str(self.scheduled))

    def find_validators(self, judging: str) -> Validators | None:
        """Return the validators of the list that the registry holds.

        `judging` is everything besides the list that affects the outcome now (policy.py).

        They are None if a conditional request could leave the registry wrong: a sync did not
        finish, the same list would be judged differently now, or part of the registry is gone.
        """
        stored = self.stored
        etag, modified = map(_read_header, (stored.get("etag"), stored.get("last_modified")))
        is_same = stored.get("vouched", "") == self.doubts and stored.get("read_as") == judging
        counts = [str(self.jobs), str(self.rejected)]
        is_whole = [stored.get("jobs"), stored.get("rejected")] == counts
        is_whole &= self.has_generation and self.scheduled > 0
        return Validators(etag, modified) if (etag or modified) and is_same and is_whole else None


def load_beginning(redis: Redis) -> Beginning:
    """Read what a sync finds, in one round trip."""
    with redis.pipeline(transaction=False) as pipe:
        pipe.hgetall(keys.SOURCE)
        pipe.exists(keys.GENERATION)
        pipe.hlen(keys.JOBS)
        pipe.zcard(keys.SCHEDULE)
        pipe.hlen(keys.REJECTED)
        stored, generation, *counts = pipe.execute()
    return Beginning(stored, bool(generation), *counts)


def store_outcome(redis: Redis, fence: Fence, ending: Ending, before: SourceStatus) -> None:
    """Store how a sync ended. `before` is the status before it.

    Raises WriteRefused if `fence` no longer holds.
    """
    fields: dict[str, Any] = {"last_attempt": ending.at}
    fields |= {"state": ending.state, "detail": ending.detail, "refused_plan": ending.refused_plan}
    if ending.state != before.state:
        fields["since"] = ending.at
    if ending.state == "ok":
        validators = ending.validators or Validators()
        fields |= {"last_success": ending.at, "last_read": ending.begun}
        fields |= {"read_as": ending.judging, "owner": ending.service}
        fields |= {"etag": validators.etag or "", "last_modified": validators.last_modified or ""}
        fields["vouched"] = ending.doubts
    if feed := ending.feed:
        # The list contains all changes before its cursor.
        fields |= {"feed": feed.address, "feed_fault": feed.fault, "feed_removed": 0}
    built_at = repr(ending.at) if ending.state == "ok" else ""
    _store_outcome(redis, built_at=built_at, fields=list(fields.items()), **fence.values)


def adjust_counts(redis: Redis, fence: Fence, jobs: int, scheduled: int, rejected: int) -> None:
    """Store by how much a sync of single rows changed the numbers that `Beginning.drift` compares.

    Raises WriteRefused if `fence` no longer holds.
    """
    counts = {"jobs": jobs, "scheduled": scheduled, "rejected": rejected}
    _adjust(redis, **counts, **fence.values)
