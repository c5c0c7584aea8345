"""What commands work on: Redis and the Celery app, as the settings name them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from redis import Redis

from cron_tasks.redis_client import connect
from cron_tasks.settings import load

if TYPE_CHECKING:
    from celery import Celery


def open_redis() -> Redis:
    """Redis as the settings name it. Raises SettingsError."""
    return connect(load().redis_url.get_secret_value())


def celery_app() -> "Celery":
    """The app; imported when it is needed, since that takes a while."""
    from cron_tasks.celery import app

    return app


@contextmanager
def no_log_lines() -> Iterator[None]:
    """Within, nothing is logged: a command says itself what happened, once and in its own form."""
    import structlog

    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        structlog.configure(**before)
