"""The state of the REST service between syncs, in the hash `cron_tasks:source`."""

from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from redis import Redis

from cron_tasks.actions import secrets
from cron_tasks.http.hosts import DEFAULT_PORTS
from cron_tasks.jobs import plugins
from cron_tasks.jobs.actions import MODELS
from cron_tasks.jobs.fingerprint import FORMAT
from cron_tasks.jobs.permissions import Permissions
from cron_tasks.registry.fence import Fence
from cron_tasks.rest.listing import Validators
from cron_tasks.rest.pagination import FeedLink
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.store.scripts import script
from cron_tasks.text.urls import mask_passwords

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


def load_permissions(settings: Settings) -> Permissions:
    """Return the permissions of jobs: the settings, and the secrets that exist now."""
    known = frozenset(secrets.list_secrets(settings.secrets_dir))
    return Permissions(settings.tasks_allow, settings.http_allow, known)


def service_of(settings: Settings) -> str:
    """Return the URL of the list in the settings. All spellings of a URL give the same text."""
    if settings.rest_url and settings.rest_url.startswith("file:"):
        return settings.rest_url
    return _normalize_url(settings.rest_url or "", settings.rest_jobs_path)


def _normalize_url(url: str, path: str) -> str:
    parts = urlsplit(mask_passwords(url))
    port = "" if parts.port in (None, DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}{path}"


def load_status(redis: Redis) -> SourceStatus:
    """Read the outcome of the last sync."""
    stored = cast("dict[str, str]", redis.hgetall(keys.SOURCE))
    times = {
        name: float(stored[name]) if stored.get(name) else None
        for name in ("since", "last_attempt", "last_success", "last_read", "rival_at")
    }
    return SourceStatus(
        state=cast("State | None", stored.get("state")),
        detail=stored.get("detail", ""),
        owner=stored.get("owner") or _owner_before(stored.get("read_as", "")),
        rival=stored.get("rival"),
        feed_fault=stored.get("feed_fault", ""),
        refused_plan=stored.get("refused_plan", ""),
        **times,
    )


def _owner_before(read_as: str) -> str | None:
    """Return the owner of a registry that version 0.1 wrote: `read_as` began with URL and path."""
    url, _, more = read_as.partition(" ")
    return _normalize_url(url, more.partition(" ")[0]) if url.startswith("http") else None


def load_validators(redis: Redis, settings: Settings) -> tuple[Validators | None, str]:
    """Return the validators of the list that the registry holds, and its doubts.

    The validators are None if a conditional request could leave the registry wrong: a sync did not
    finish, the same list would be judged differently now, or part of the registry is gone. The
    doubts are how often something other than a sync changed the registry ("" for never). Each of
    these changes needs a sync that reads the list. A sync that ran meanwhile may not have seen the
    change, so its validators are not used.
    """
    with redis.pipeline(transaction=False) as pipe:
        pipe.hgetall(keys.SOURCE)
        pipe.exists(keys.GENERATION)
        pipe.exists(keys.SCHEDULE)
        pipe.hlen(keys.JOBS)
        pipe.hlen(keys.REJECTED)
        stored, generation, schedule, jobs, rejected = pipe.execute()
    etag, modified = stored.get("etag") or None, stored.get("last_modified") or None
    doubts = stored.get("doubts", "")
    whole = [stored.get("jobs"), stored.get("rejected")] == [str(jobs), str(rejected)]
    is_same = stored.get("vouched", "") == doubts and stored.get("read_as") == _read_as(settings)
    if (etag or modified) and is_same and generation and schedule and whole:
        return Validators(etag, modified), doubts
    return None, doubts


def find_drift(redis: Redis) -> tuple[bool, bool]:
    """Return whether the number of jobs, or of scheduled jobs, differs from that after the last
    sync."""
    with redis.pipeline(transaction=False) as pipe:
        pipe.hmget(keys.SOURCE, "jobs", "scheduled")
        pipe.hlen(keys.JOBS)
        pipe.zcard(keys.SCHEDULE)
        (jobs, scheduled), *now = pipe.execute()
    return jobs not in (None, str(now[0])), scheduled not in (None, str(now[1]))


def store_outcome(
    redis: Redis,
    settings: Settings,
    fence: Fence,
    now: float,
    last_read: float | None,
    status: tuple[State, str],
    validators: Validators | None,
    doubts: str,
    before: SourceStatus,
    feed: FeedLink | None = None,
    refused_plan: str = "",
) -> None:
    """Store the outcome of a sync that ends at `now`.

    `last_read` is the start of its read, if the read succeeded. `doubts` are those before the list
    was read, and `before` is the status before the sync. `feed` is the feed that the list names, or
    None if there is no news about it. `refused_plan` are the changes of a refused list. Raises
    WriteRefused if `fence` no longer holds.
    """
    state, detail = status
    fields: dict[str, Any] = {"last_attempt": now, "state": state, "detail": detail}
    fields["refused_plan"] = refused_plan
    if state != before.state:
        fields["since"] = now
    if state == "ok":
        fields |= {"last_success": now, "last_read": last_read or now}
        fields |= {"read_as": _read_as(settings), "owner": service_of(settings)}
        fields["etag"] = (validators and validators.etag) or ""
        fields["last_modified"] = (validators and validators.last_modified) or ""
        fields["vouched"] = doubts
    if feed:
        # The list contains all changes before its cursor.
        fields |= {"feed": feed.address, "feed_fault": feed.fault, "feed_removed": 0}
    built_at = repr(now) if state == "ok" else ""
    _store_outcome(redis, built_at=built_at, fields=list(fields.items()), **fence.values)


def adjust_counts(redis: Redis, fence: Fence, jobs: int, scheduled: int, rejected: int) -> None:
    """Store by how much a sync of single rows changed the numbers that `find_drift` compares.

    Raises WriteRefused if `fence` no longer holds.
    """
    counts = {"jobs": jobs, "scheduled": scheduled, "rejected": rejected}
    _adjust(redis, **counts, **fence.values)


def note_rival(redis: Redis, settings: Settings, now: float) -> None:
    """Record that another installation tried to sync, so that the owner's `doctor` names it."""
    redis.hset(keys.SOURCE, mapping={"rival": service_of(settings), "rival_at": now})


def take_over(redis: Redis, service: str) -> None:
    """Make `service` the owner of the registry, so that its next sync is not refused."""
    redis.hset(keys.SOURCE, "owner", service)


def _read_as(settings: Settings) -> str:
    """Return everything besides the list that affects the outcome of a sync.

    If it has changed, a 304 does not mean that the registry is up to date.
    """
    judged = [
        settings.timezone,
        settings.notify_queue,
        settings.default_queue,
        load_permissions(settings).fingerprint_salt,
        sorted(plugins.load_models()),
        [model.__name__ for model in MODELS],
        FORMAT.decode(),
        _package_version(),
    ]
    asked = [service_of(settings), settings.rest_mapping, settings.rest_report_path]
    return f"{asked} {judged}"


@cache
def _package_version() -> str:
    return version("cron-tasks")
