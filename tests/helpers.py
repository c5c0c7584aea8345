"""Shared helpers: waiting for a condition, free ports, the errors of wrong settings."""

import os
import random
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from inspect import isawaitable
from itertools import cycle
from typing import Any, TypeVar

import pytest
from redis import Redis

from cron_tasks.actions import find_performer
from cron_tasks.errors import SettingsError
from cron_tasks.jobs.run import Run
from cron_tasks.ledger.batch import read_line
from cron_tasks.ledger.history import (
    read_history,
    read_open_minutes,
    request_history,
    split_runs,
)
from cron_tasks.settings import PREFIX, Settings, load
from cron_tasks.store import keys
from cron_tasks.worker.event_loop import EventLoop

T = TypeVar("T")
#: The schedule of a job that does not fire while tests run, at any time of day.
NEVER_DUE: dict[str, Any] = {"run_at": "2099-01-01T00:00:00Z"}


#: Seconds after which a test gives up. A busy machine takes many times as long as a quiet one.
PATIENCE = 90.0


def wait_until(
    condition: Callable[[], T], description: str = "the condition", timeout: float = PATIENCE
) -> T:
    """Return the first truthy value of `condition`. Fail with `description` after `timeout`
    seconds."""
    deadline = time.monotonic() + timeout
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"gave up after {timeout} s waiting for {description}")
        time.sleep(0.02)


def wait_for_progress(
    count_done: Callable[[], int], count_begun: Callable[[], int], description: str
) -> None:
    """Wait until three more things are done while another one hangs."""
    done_before: dict[int, int] = {}

    def has_gone_on() -> bool:
        done, begun = count_done(), count_begun()
        return done >= done_before.setdefault(begun, done) + 3

    wait_until(has_gone_on, description)


def _own_ports() -> list[int]:
    """Return the ports of this process, in any order. Each process of pytest-xdist has others.

    The kernel gives none of them to a program that asks for any port, or to a connection
    (ip_local_port_range). So a port that is free stays free until a program of ours listens on it,
    which may take seconds.
    """
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 12_000 + number % 20 * 1_000
    return random.sample(range(first, first + 1_000), 1_000)


_ports = cycle(_own_ports())


def free_port() -> int:
    while True:
        port = next(_ports)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def settings_error(monkeypatch: pytest.MonkeyPatch, **given: str) -> str:
    """Return the sentence with which these settings, by their fields, stop a process at its
    start."""
    for name, value in given.items():
        monkeypatch.setenv(PREFIX + name.upper(), value)
    load.cache_clear()
    try:
        with pytest.raises(SettingsError) as caught:
            load()
    finally:
        load.cache_clear()
    return str(caught.value)


@cache
def event_loop() -> EventLoop:
    """The event loop on which the tests of this process perform actions."""
    return EventLoop()


def perform(run: Run, settings: Settings) -> Any:
    """Perform the action of a run, and return its output."""
    output = find_performer(run.job)(run, settings)
    return event_loop().run(output) if isawaitable(output) else output


def ended_runs(redis: Redis, job_id: str | None = None) -> list[dict[str, Any]]:
    """Return a record for each run that has ended, of one job or of all, newest first.

    Runs of a quick job share a record, so each of them has only the data of that record
    (ledger/minutes.py).
    """
    if job_id is None:
        lines = [read_line(line) for line in redis.lrange(keys.RECENT, 0, -1)]
        return list(split_runs(read_open_minutes(redis) + lines))
    with redis.pipeline(transaction=False) as pipe:
        request_history(pipe, job_id)
        return list(split_runs(read_history(pipe.execute(), job_id)))
