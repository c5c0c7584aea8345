"""Check every part of a running system. Each check has advice for the problem that it finds."""

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress

from redis.exceptions import (
    AuthenticationError,
    ConnectionError,
    NoPermissionError,
    RedisError,
    TimeoutError,
)

from cron_tasks.errors import SettingsError
from cron_tasks.health import beat_checks, bot_checks, redis_checks, service_checks, worker_checks
from cron_tasks.health.failures import describe_failure
from cron_tasks.health.system import PATIENCE, Check, Finding, System
from cron_tasks.settings import load
from cron_tasks.store import keys
from cron_tasks.store.client import connect


def run_checks() -> Iterator[Finding]:
    """Yield a finding for each check, as soon as it is made.

    Wrong settings end the checks. Without Redis only the REST service is checked.
    """
    try:
        settings = load()
    except SettingsError as error:
        for line in str(error).splitlines():
            yield Finding("settings", "fail", line)
        return
    for warning in settings.warnings:
        yield Finding("settings", "warn", warning, "Correct its name, or remove it")
    if not settings.warnings:
        yield Finding("settings", "ok", "All settings are valid")
    with connect(settings.redis_url.get_secret_value(), timeout=PATIENCE, retries=0) as redis:
        system = System(settings, redis, time.time())
        for name in CHECKS:
            if system.is_reachable or name == "rest service":
                yield run_check(name, system)
            if name == "redis" and system.is_reachable:
                with suppress(RedisError):  # The check of the workers reports it.
                    system.begin_survey()


def run_check(name: str, system: System) -> Finding:
    """Run one check. If its probe fails, so does the check.

    If the probe finds that Redis does not answer, `system.is_reachable` becomes False.
    """
    probe, wrong, mend = CHECKS[name]
    try:
        result = probe(system)
    except Exception as error:
        if (text := describe_failure(error)) is None:
            raise
        if isinstance(error, ConnectionError | TimeoutError):
            system.is_reachable = False
            is_refused = isinstance(error, AuthenticationError)
            mend = "Correct the password" if is_refused else "Start Redis"
            mend += ". The checks that need it were skipped"
        elif isinstance(error, NoPermissionError):
            mend = "Grant this right to the user with `ACL SETUSER` in Redis"
        return Finding(name, "fail", text, mend)
    if result.is_ok:
        return Finding(name, "ok", result.detail)
    return Finding(name, wrong, result.detail, result.mend or mend)


_REST_DEADLINE = service_checks.REST_PATIENCE["rest_deadline"]
_REASONS = "`cron-tasks jobs rejected` shows the reasons"
_ASK_BEAT = "Beat processes them. Check that it is running, and read its log"
CHECKS: Mapping[str, Check] = {
    "redis": Check(
        redis_checks.check_redis, "fail", "Use the primary of a Redis 6.2 or newer, or of a Valkey"
    ),
    "redis eviction": Check(
        redis_checks.check_eviction, "fail", "Run `CONFIG SET maxmemory-policy noeviction` in Redis"
    ),
    "redis persistence": Check(
        redis_checks.check_persistence, "warn", "Run `CONFIG SET appendonly yes` in Redis"
    ),
    "redis memory": Check(
        redis_checks.check_memory,
        "warn",
        "Set it in the configuration of Redis, and with `CONFIG SET`. "
        "It affects jobs that are written afterwards",
    ),
    "clock": Check(redis_checks.check_clock, "warn", "Synchronise the clocks by NTP"),
    "rest service": Check(
        service_checks.check_rest_service,
        "fail",
        f"The service did not return its list within {_REST_DEADLINE:g} s. "
        "Current jobs stay unchanged",
    ),
    "last sync": Check(
        service_checks.check_last_sync,
        "fail",
        "Beat requests each sync and a worker runs it. Check that both are running",
    ),
    "feed": Check(
        service_checks.check_feed,
        "warn",
        "Edits still apply by pokes and with each read of the list. Read the log of the workers. "
        "A proxy has to let a request wait for 30 s",
    ),
    "rows": Check(service_checks.check_rows, "warn", _REASONS),
    "jobs": Check(
        beat_checks.check_jobs, "warn", "`cron-tasks runs --status failed` lists the runs"
    ),
    "owner": Check(
        service_checks.check_owner,
        "fail",
        "Give each installation its own database in CRON_TASKS_REDIS_URL. "
        "To take this one over, run `cron-tasks sync --force`",
    ),
    "registry": Check(
        service_checks.check_registry,
        "fail",
        "The leading beat repairs this within seconds, or minutes if there are very many jobs. "
        "`cron-tasks sync` repairs jobs at once",
    ),
    "beat": Check(
        beat_checks.check_beat,
        "fail",
        "Start one with `celery -A cron_tasks beat`, or read its log",
    ),
    "schedule": Check(beat_checks.check_schedule, "fail", _ASK_BEAT),
    "open ticks": Check(beat_checks.check_open_ticks, "fail", _ASK_BEAT),
    "entries": Check(
        service_checks.check_entries,
        "fail",
        f"{_REASONS}. `cron-tasks sync` writes these entries again",
    ),
    "queue": Check(
        bot_checks.check_queue,
        "warn",
        "Check that the bot is reading. Beyond CRON_TASKS_NOTIFY_MAX the oldest are dropped. "
        f"`DEL {keys.DROPPED}` resets the number of dropped notifications",
    ),
    "messages": Check(
        bot_checks.check_messages,
        "warn",
        "Their queue is a Redis key of another type. Rename that key. "
        f"`LRANGE {keys.UNDELIVERABLE} 0 9` shows the messages",
    ),
    "workers": Check(
        worker_checks.check_workers, "fail", "Start one with `celery -A cron_tasks worker`"
    ),
    "redis rights": Check(
        redis_checks.check_rights,
        "fail",
        "Grant them to this user with `ACL SETUSER` in Redis. Our keys begin with cron_tasks, "
        "redbeat:, _kombu. and unacked, and with the names of the queues",
    ),
    "job queues": Check(worker_checks.check_job_queues, "fail", ""),
    "task queues": Check(
        worker_checks.check_task_queues,
        "warn",
        "Start a worker of the app that has these tasks, or correct `queue` of the jobs. "
        "A worker without remote control is not seen",
    ),
    "foreign workers": Check(
        worker_checks.check_foreign_workers,
        "fail",
        "It discards the messages of our runs. Stop it, or give its app or ours another queue "
        "(CRON_TASKS_DEFAULT_QUEUE)",
    ),
    "waiting messages": Check(
        worker_checks.check_waiting,
        "warn",
        "Start workers for these queues. "
        "`cron-tasks runs --status running` shows what occupies them",
    ),
    "dead letters": Check(
        bot_checks.check_dead_letters,
        "warn",
        "The bot could not handle them. `LRANGE <list> 0 9` shows each with its reason. "
        "They are kept for 7 days",
    ),
    "recipients": Check(
        bot_checks.check_recipients,
        "warn",
        "Give the jobs a `chat_id`, or set CRON_TASKS_CHAT_ID",
    ),
    "reports": Check(
        bot_checks.check_reports,
        "warn",
        "The service refuses them or is away. Correct CRON_TASKS_REST_REPORT_PATH, or the service. "
        "The workers log the cause as `report.service_away` or `report.refused`",
    ),
}
