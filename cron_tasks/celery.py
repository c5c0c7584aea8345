"""The Celery app: `celery -A cron_tasks worker | beat | flower | call | inspect`.

Celery's messages are only hints, and the ledger is the source of truth (ledger/). So the settings
below make the broker simple, and not careful. The effect of the default settings on Redis was
measured, and each deviation has its reason.
"""

import sys
from dataclasses import replace
from datetime import timedelta
from typing import Any

import click
import structlog
from celery import Celery
from celery.signals import beat_init, celeryd_init, heartbeat_sent, worker_init
from celery.utils.imports import symbol_by_name
from celery.utils.text import str_to_list

from cron_tasks.broker.transport import EventsTogether, Unacknowledged, make_worker_queue
from cron_tasks.errors import SettingsError
from cron_tasks.jobs import plugins
from cron_tasks.jobs.queues import QueuesInUse, QueueUse
from cron_tasks.metrics import serving
from cron_tasks.settings import Settings, load
from cron_tasks.store import keys
from cron_tasks.store.client import TIMEOUT
from cron_tasks.store.urls import parse_redis_url
from cron_tasks.telemetry import logs
from cron_tasks.text.display import printable

log = structlog.get_logger("cron_tasks.plugins")

#: Seconds that a leading beat keeps its lock without a sign of life. It extends the lock at least
#: twice in that time.
LEADER_TTL = 6


def make_configuration(settings: Settings) -> dict[str, object]:
    """Return Celery's configuration."""
    url = settings.redis_url.get_secret_value()
    broker_url, transport = _broker_options(url)
    redbeat_url, redbeat_options = _redbeat_options(url)
    return {
        "broker_url": broker_url,
        "broker_transport_options": transport,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # A Redis that has become read-only (failover) must not end the worker.
        "broker_channel_error_retry": True,
        # RedBeat is wrong in any zone with daylight saving time. Jobs have their own zones.
        "timezone": "UTC",
        "enable_utc": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        # Outcomes are in the ledger. A result backend would only grow.
        "task_ignore_result": True,
        "result_expires": None,
        # No message is ever unacknowledged (broker/transport.py) or prefetched by a worker.
        "task_queues": [make_worker_queue(settings.default_queue)],
        "task_default_queue": settings.default_queue,
        "task_routes": {keys.SYNC_TASK: {"queue": keys.SYNC_QUEUE}},
        "task_acks_late": False,
        "worker_disable_prefetch": True,
        "worker_prefetch_multiplier": 1,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_max_tasks_per_child": 10_000,
        "worker_max_memory_per_child": 400_000,
        "worker_soft_shutdown_timeout": 25,
        "worker_send_task_events": True,
        "task_send_sent_event": True,
        "beat_scheduler": "cron_tasks.beat:Scheduler",
        "beat_max_loop_interval": 2,
        "beat_enable_remote_control": True,
        "beat_schedule": {keys.SYNC_TASK: _schedule_sync(settings.sync_interval)},
        # beat/ makes its own client. RedBeat only shows this URL, and warns if it has to guess.
        "redbeat_redis_url": redbeat_url,
        "redbeat_redis_options": redbeat_options,
        "redbeat_lock_timeout": LEADER_TTL,
    }


def _schedule_sync(interval: float) -> dict[str, object]:
    return {
        "task": keys.SYNC_TASK,
        "schedule": timedelta(seconds=interval),
        # While no worker is running, one sync in the queue is enough.
        "options": {"expires": interval},
    }


def _broker_options(url: str) -> tuple[str, dict[str, object]]:
    """Return kombu's URL and transport options."""
    transport: dict[str, object] = {
        "socket_timeout": 10,
        "socket_connect_timeout": TIMEOUT,
        "socket_keepalive": True,
        "health_check_interval": 10,
        # A retried LPUSH duplicates the message (kombu). Our sweep sends a lost message again.
        "retry_on_timeout": False,
    }
    parts = parse_redis_url(url)
    if parts.scheme == "sentinel":
        transport["master_name"] = parts.options["master_name"]
    return parts.for_kombu, transport


def _redbeat_options(url: str) -> tuple[str, dict[str, object]]:
    """Return RedBeat's URL and options.

    The login is among the options. Celery shows its configuration (`inspect conf`, `report`,
    Flower), and masks an option named `password`, but not this URL.
    """
    parts = parse_redis_url(url)
    login = {"username": parts.username, "password": parts.password}
    options: dict[str, object] = {"socket_timeout": TIMEOUT}
    options |= {name: each for name, each in login.items() if each}
    bare = replace(parts, credentials="")
    return str(bare) if parts.scheme == "unix" else bare.for_kombu, options


def _load_settings() -> Settings:
    try:
        return load()
    except SettingsError as error:
        sys.exit(str(error))


app = Celery("cron_tasks", amqp=Unacknowledged, include=["cron_tasks.tasks"])
settings = _load_settings()
app.conf.update(make_configuration(settings))
app.steps["consumer"].add(EventsTogether)
app.steps["worker"].add("cron_tasks.broker.beside:SyncBeside")
logs.install_for_celery()
serving.serve_from_signals(settings)
if (command := click.get_current_context(silent=True)) and command.invoked_subcommand == "flower":
    # By name, since the pages are built on the app and on all that it uses.
    symbol_by_name("cron_tasks.pages.install:install_into_flower")(settings)


@celeryd_init.connect
@beat_init.connect
def _require_rest_url(**_: object) -> None:
    try:
        settings.require("rest_url")
    except SettingsError as error:
        sys.exit(str(error))


@worker_init.connect
@beat_init.connect
def _log_unusable_plugins(**_: object) -> None:
    """Log unusable plug-ins once in each process, and not before the output of commands."""
    for name, reason in plugins.unusable_reasons().items():
        log.error("plugin.unusable", type=printable(name), reason=reason)


@celeryd_init.connect
def _leave_notifications_to_bots(options: dict[str, Any], **_: object) -> None:
    """Refuse to start a worker that would read the notification queue, because it would drop the
    notifications."""
    notifications = QueuesInUse()
    notifications.add([QueueUse(settings.notify_queue, "notify.queue", "CRON_TASKS_NOTIFY_QUEUE")])
    queues = str_to_list(options.get("queues") or "")
    named = [QueueUse(name.strip(), "-Q", "") for name in queues]
    if not queues:
        named = [QueueUse(settings.default_queue, "CRON_TASKS_DEFAULT_QUEUE", "")]
    for use in named:
        for text in notifications.find_collisions([use]):
            sys.exit(text)


@heartbeat_sent.connect
def touch_alive_file(**_: object) -> None:
    """Touch ALIVE_FILE. A health check can use its age like a ping, without any CPU time."""
    if settings.alive_file is not None:
        settings.alive_file.touch()
