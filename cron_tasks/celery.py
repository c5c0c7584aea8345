"""The Celery app: `celery -A cron_tasks worker | beat | flower | call | inspect`.

Celery carries hints, the ledger is the truth (ledger.py); so the settings below keep the broker
simple rather than careful. What stock settings do on Redis was measured; each deviation says why.
"""

import sys
from datetime import timedelta
from typing import Any

import click
import structlog
from celery import Celery
from celery.signals import beat_init, celeryd_init, heartbeat_sent, worker_init
from celery.utils.text import str_to_list

from cron_tasks.broker.transport import EventsTogether, Unacknowledged, default_queue
from cron_tasks.errors import SettingsError
from cron_tasks.jobs import plugins
from cron_tasks.jobs.queues import Queues, Use
from cron_tasks.settings import Settings, load
from cron_tasks.store import names
from cron_tasks.store.client import TIMEOUT
from cron_tasks.store.urls import parse_redis_url
from cron_tasks.telemetry import logs
from cron_tasks.text.display import printable

log = structlog.get_logger("cron_tasks.plugins")

#: Seconds that a leading beat keeps its lock without a sign of life; it extends it every third.
LEADER_TTL = 6


def configuration(settings: Settings) -> dict[str, object]:
    """Celery's configuration from ours."""
    url, transport = _broker(settings.redis_url.get_secret_value())
    return {
        "broker_url": url,
        "broker_transport_options": transport,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # A Redis that turned read-only (failover) must not end the worker.
        "broker_channel_error_retry": True,
        # RedBeat is wrong in any zone with summer time; jobs carry their own zones.
        "timezone": "UTC",
        "enable_utc": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        # Outcomes are in the ledger; a result backend would only grow.
        "task_ignore_result": True,
        "result_expires": None,
        # Nothing is ever unacknowledged (broker.py), and nothing waits inside a worker.
        "task_queues": [default_queue()],
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
        "beat_schedule": {
            names.SYNC_TASK: {
                "task": names.SYNC_TASK,
                "schedule": timedelta(seconds=settings.sync_interval),
                # With no worker there, one waiting sync is enough.
                "options": {"expires": settings.sync_interval},
            }
        },
        # Ours is made in beat.py; RedBeat only shows this one, and warns where it has to guess.
        "redbeat_redis_url": url,
        "redbeat_redis_options": {"socket_timeout": TIMEOUT},
        "redbeat_lock_timeout": LEADER_TTL,
    }


def _broker(url: str) -> tuple[str, dict[str, object]]:
    """kombu's URL and transport options."""
    transport: dict[str, object] = {
        "socket_timeout": 10,
        "socket_connect_timeout": TIMEOUT,
        "socket_keepalive": True,
        "health_check_interval": 10,
        # A retried LPUSH doubles the message (kombu); our sweep sends a lost one again.
        "retry_on_timeout": False,
    }
    if url.startswith("sentinel://"):
        transport["master_name"] = parse_redis_url(url).options["master_name"]
        url = url.partition("?")[0]
    return url, transport


def _load() -> Settings:
    try:
        return load()
    except SettingsError as error:
        sys.exit(str(error))


app = Celery("cron_tasks", amqp=Unacknowledged, include=["cron_tasks.tasks"])
settings = _load()
app.conf.update(configuration(settings))
app.steps["consumer"].add(EventsTogether)
logs.install_for_celery()
if (command := click.get_current_context(silent=True)) and command.invoked_subcommand == "flower":
    from cron_tasks.flower import access

    access.guard()


@celeryd_init.connect
@beat_init.connect
def _need_the_rest_service(**_: object) -> None:
    try:
        settings.require("rest_url")
    except SettingsError as error:
        sys.exit(str(error))


@worker_init.connect
@beat_init.connect
def _tell_of_plug_ins(**_: object) -> None:
    """Log what is wrong with plug-ins once a process, and not before the output of commands."""
    for name, reason in plugins.unusable().items():
        log.error("plugin.unusable", type=printable(name), reason=reason)


@celeryd_init.connect
def _leave_notifications_to_bots(options: dict[str, Any], **_: object) -> None:
    """Refuse a worker that is told (-Q) to read the queue of notifications: it would drop them."""
    notifications = Queues()
    notifications.add([Use(settings.notify_queue, "notify.queue", "CRON_TASKS_NOTIFY_QUEUE")])
    named = [Use(name.strip(), "-Q", "") for name in str_to_list(options.get("queues") or "")]
    for use in named:
        for text in notifications.faults([use]):
            sys.exit(text)


@heartbeat_sent.connect
def alive(**_: object) -> None:
    """Make ALIVE_FILE fresh; its age tells a health check what a ping tells, for no CPU time."""
    if settings.alive_file is not None:
        settings.alive_file.touch()
