"""Serves metrics: at METRICS_PORT of a beat and of a worker, and as text for Flower."""

import threading
from collections.abc import Callable
from typing import Any

import structlog
from celery.signals import beat_init, worker_ready

from cron_tasks.settings import Settings
from cron_tasks.store.client import connect

log = structlog.get_logger("cron_tasks.metrics")

#: Seconds that a scrape waits for Redis.
PATIENCE = 2.0


def serve_from_signals(settings: Settings) -> None:
    """Serve metrics if this process becomes a beat or a worker, and METRICS_PORT is set.

    prometheus_client is imported only then.
    """
    if not settings.metrics_port:
        return

    def serve_beat(**_: Any) -> None:
        from cron_tasks.metrics.lost import keep_auditing

        _serve(settings, make_redis_collector(settings))
        threading.Thread(
            target=keep_auditing, args=[_connect(settings)], name="audit", daemon=True
        ).start()

    def serve_worker(sender: Any, **_: Any) -> None:
        from cron_tasks.metrics.worker import WorkerCollector

        _serve(settings, WorkerCollector(sender))

    beat_init.connect(serve_beat, weak=False)
    worker_ready.connect(serve_worker, weak=False)


def make_redis_collector(settings: Settings) -> Any:
    """Return the collector of a beat and of Flower."""
    from cron_tasks.metrics.collector import RedisCollector

    return RedisCollector(_connect(settings), settings)


def make_renderer(settings: Settings) -> Callable[[], bytes]:
    """Return a function that renders our metrics as text."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(make_redis_collector(settings))
    return lambda: generate_latest(registry)


def _connect(settings: Settings) -> Any:
    return connect(settings.redis_url.get_secret_value(), timeout=PATIENCE, retries=0)


def _serve(settings: Settings, collector: Any) -> None:
    """Serve a collector from a thread. If the port is taken, the process works without metrics."""
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry()
    registry.register(collector)
    port = settings.metrics_port
    try:
        start_http_server(port, registry=registry)
    except OSError as error:
        hint = "give each beat and worker on a machine its own CRON_TASKS_METRICS_PORT"
        log.error("metrics.not_served", port=port, error=str(error), hint=hint)  # noqa: TRY400
    else:
        log.info("metrics.served", port=port)
