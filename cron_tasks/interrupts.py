"""Ending an action that takes too long, or that nobody wants any more: softly, then hard."""

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from cron_tasks.leases import renewed

#: Seconds between two looks at whether an action should end.
LOOK_EVERY = 1.0
#: Seconds that an action has to end after it was asked to.
GRACE = 10.0
_IMPORTED_BY = os.getpid()


class Stopped(BaseException):
    """Raised inside an action that has to end; actions that catch every Exception let it pass."""


class _Action:
    """An action that goes on in the thread that made this."""

    def __init__(self, look: Callable[[], bool], give_up: Callable[[], object]) -> None:
        self.thread = threading.get_ident()
        self.in_main = threading.current_thread() is threading.main_thread()
        self.going = True
        self.asked_at: float | None = None
        self._look = look
        self._give_up = give_up
        self._ending = threading.Lock()

    def watch(self) -> None:
        """Called in another thread, again and again."""
        ending = self._look()
        with self._ending:
            if not self.going:
                return
            if self.asked_at is None:
                if ending:
                    self.asked_at = time.monotonic()
                    self._interrupt()
                return
            if time.monotonic() < self.asked_at + GRACE:
                return
            self.going = False
        self._give_up()
        if os.getpid() != _IMPORTED_BY:
            # A process of the pool, which Celery replaces; a worker of threads has to live with it.
            os.kill(os.getpid(), signal.SIGKILL)

    def end(self) -> None:
        self.going = False
        with self._ending:
            if self.asked_at is not None and not self.in_main:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread), None)

    def _interrupt(self) -> None:
        if self.in_main:
            signal.pthread_kill(self.thread, signal.SIGUSR2)
        else:
            # Not before the thread's next line of Python, and never in a greenlet.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self.thread), ctypes.py_object(Stopped)
            )


_in_main: _Action | None = None


def _raise(_signal: int, _frame: FrameType | None) -> None:
    if _in_main and _in_main.going and _in_main.asked_at is not None:
        raise Stopped


@contextmanager
def interruptible(look: Callable[[], bool], give_up: Callable[[], object]) -> Iterator[None]:
    """Run an action that ends with Stopped once `look` says so.

    `look` is called every second, in another thread. An action that goes on for GRACE seconds more
    is given up: `give_up()` is called, and a process of a pool then dies.
    """
    global _in_main
    action = _Action(look, give_up)
    if action.in_main:
        signal.signal(signal.SIGUSR2, _raise)
        _in_main = action
    try:
        with renewed(action.watch, LOOK_EVERY):
            yield
    finally:
        action.end()
