"""The service that the registry belongs to. A sync of another service is refused."""

from urllib.parse import urlsplit

from redis import Redis

from cron_tasks.http.hosts import DEFAULT_PORTS
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.text.urls import mask_passwords


def service_of(settings: Settings) -> str:
    """Return the URL of the list in the settings. All spellings of a URL give the same text."""
    if settings.rest_url and settings.rest_url.startswith("file:"):
        return settings.rest_url
    return _normalize_url(settings.rest_url or "", settings.rest_jobs_path)


def explain_refusal(redis: Redis, owner: str | None, ours: str) -> str | None:
    """Return why an installation that reads `ours` must not sync a registry of `owner`, or None.

    A registry that is gone has no owner.
    """
    if owner in (None, ours) or not redis.exists(keys.GENERATION):
        return None
    return (
        f"this Redis holds the jobs of {owner}, but this installation reads {ours}. "
        "Give each installation its own database in CRON_TASKS_REDIS_URL"
    )


def note_rival(redis: Redis, service: str, now: float) -> None:
    """Record that another installation tried to sync, so that the owner's `doctor` names it."""
    redis.hset(keys.SOURCE, mapping={"rival": service, "rival_at": now})


def take_over(redis: Redis, service: str) -> None:
    """Make `service` the owner of the registry, so that its next sync is not refused."""
    redis.hset(keys.SOURCE, "owner", service)


def owner_before(read_as: str) -> str | None:
    """Return the owner of a registry that version 0.1 wrote: `read_as` began with URL and path."""
    url, _, more = read_as.partition(" ")
    return _normalize_url(url, more.partition(" ")[0]) if url.startswith("http") else None


def _normalize_url(url: str, path: str) -> str:
    parts = urlsplit(mask_passwords(url))
    port = "" if parts.port in (None, DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}{path}"
