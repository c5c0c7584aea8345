"""Asks an action to end that takes too long, or whose run was cancelled."""

import ctypes
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from cron_tasks.errors import Stopped
from cron_tasks.store.leases import LOOK_EVERY, keep_calling

#: Seconds that an action has to end after it was asked to.
GRACE = 10.0
#: Seconds from asking an action to end until its process is killed: the grace period and two
#: checks.
HARD = GRACE + 2 * LOOK_EVERY


class Interruptible:
    """An action that runs in the thread that made this."""

    def __init__(self, look: Callable[[], bool], give_up: Callable[[], object]) -> None:
        self.thread = threading.get_ident()
        self.in_main = threading.current_thread() is threading.main_thread()
        self.going = True
        self.asked_at: float | None = None
        self._look = look
        self._give_up = give_up
        self._ending = threading.Lock()

    @property
    def asked(self) -> bool:
        """Whether the action was asked to end, even if it ignored that."""
        return self.asked_at is not None

    def watch(self) -> None:
        """Watch the action. Called every second, in another thread."""
        ending = self.asked or self._look()
        with self._ending:
            if not (self.going and ending):
                return
            if self.asked_at is None:
                self.asked_at = time.monotonic()
                self._interrupt()
                return
            if time.monotonic() < self.asked_at + GRACE:
                return
        self._give_up()

    def end(self) -> None:
        self.going = False
        with self._ending:
            if self.asked and not self.in_main:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread), None)

    def _interrupt(self) -> None:
        if self.in_main:
            signal.pthread_kill(self.thread, signal.SIGUSR2)
        else:
            # The exception comes at the thread's next line of Python, and never in a greenlet.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self.thread), ctypes.py_object(Stopped)
            )


_in_main: Interruptible | None = None


def _raise(_signal: int, _frame: FrameType | None) -> None:
    if _in_main and _in_main.going and _in_main.asked:
        raise Stopped


@contextmanager
def interruptible(
    look: Callable[[], bool], give_up: Callable[[], object]
) -> Iterator[Interruptible]:
    """Run an action in which Stopped is raised once `look` returns that it has to end.

    `look` is called every second, in another thread. If the action is still running GRACE seconds
    after it was asked to end, `give_up` is called every second until it ends.
    """
    global _in_main
    action = Interruptible(look, give_up)
    if action.in_main:
        signal.signal(signal.SIGUSR2, _raise)
        _in_main = action
    with keep_calling(action.watch, LOOK_EVERY):
        try:
            yield action
        finally:
            action.end()
