"""The terminal, written to by a thread, so that one that is paused (Ctrl-S) stops nothing else."""

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, Full, Queue

import click

#: Lines that wait for a paused terminal; what comes beyond them is in the logs only.
MOST_WAITING = 1000
#: Seconds that the last lines have to be written.
PATIENCE = 2.0


class Screen:
    """Lines for a person; styles are removed where there is no terminal to show them."""

    def __init__(self, gone: Callable[[], None]) -> None:
        """`gone` is called, by the thread, once nobody can read any more."""
        self.coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._gone = gone
        self._waiting: Queue[str | None] = Queue(MOST_WAITING)
        # A file of its own: the interpreter cannot end while a thread is stuck in sys.stdout.
        self._out = os.fdopen(
            os.dup(sys.stdout.fileno()),
            "w",
            encoding=sys.stdout.encoding,
            errors="backslashreplace",
        )
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def show(self, text: str = "") -> None:
        if self._waiting.full():
            with suppress(Empty):  # the newest lines are the interesting ones
                self._waiting.get_nowait()
        with suppress(Full):
            self._waiting.put_nowait(text)

    def close(self) -> None:
        """Write what waits, unless the terminal takes no more."""
        with suppress(Full):
            self._waiting.put(None, timeout=PATIENCE)
        self._thread.join(PATIENCE)

    def _write(self) -> None:
        try:
            while (text := self._waiting.get()) is not None:
                self._out.write((text if self.coloured else click.unstyle(text)) + "\n")
                if self._waiting.empty():
                    self._out.flush()
            self._out.flush()
        except OSError:
            with suppress(OSError):
                self._out.close()
            self._gone()
