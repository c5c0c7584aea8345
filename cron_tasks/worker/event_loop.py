"""An asyncio event loop in a thread of this process, on which actions wait."""

import asyncio
import gc
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog
import uvloop
from kombu.utils.compat import detect_environment

from cron_tasks.errors import describe_error

log = structlog.get_logger("cron_tasks.runs")

T = TypeVar("T")


class EventLoop:
    """An event loop that runs as soon as it is made, for as long as this process lives."""

    def __init__(self) -> None:
        _collect_less_often()
        self._loop = _make_loop()
        self._thread = threading.Thread(target=self._run, name="actions", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        """Run the loop. Continue after a task of an action has stopped it or raised SystemExit."""
        while True:
            try:
                self._loop.run_forever()
            except BaseException as error:
                log.exception("loop.interrupted", error=describe_error(error))

    def call(self, function: Callable[..., object], *args: Any) -> None:
        """Schedule a function on the loop. Any thread may call this."""
        self._loop.call_soon_threadsafe(function, *args)

    def start(self, coroutine: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Start a coroutine. Called on the loop."""
        return self._loop.create_task(coroutine)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine, and wait for its end in the thread that calls this."""
        ending = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return ending.result()
        finally:
            ending.cancel()


def _make_loop() -> asyncio.AbstractEventLoop:
    """Return a loop. In a pool of greenlets, uvloop would block all of them."""
    if detect_environment() == "default":
        return uvloop.new_event_loop()
    return asyncio.new_event_loop()


def _collect_less_often() -> None:
    """Make Python's garbage collector run less often.

    Thousands of runs in flight are as many objects that each collection would visit. That took a
    third of the time of a run. Objects that exist already are excluded.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
