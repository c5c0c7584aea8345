"""Supervise one part of the system as a child process.

The part runs in a separate session, so that the terminal's Ctrl-C does not reach it. To stop it,
only its main process gets a SIGTERM, because a prefork worker whose whole group is signalled loses
the task it runs. Its output goes to a log file of bounded size and to the narrator.
"""

import asyncio
import logging
import os
import re
import signal
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from logging.handlers import RotatingFileHandler

import click

from cron_tasks.errors import CronTasksError
from cron_tasks.local import guard
from cron_tasks.local.home import Home
from cron_tasks.local.narrator import Narrator, format_line

#: The size of a log file in bytes, and the number of old files that are kept. A longer line is
#: dropped.
LOG_BYTES, LOGS_KEPT, LONGEST_LINE = 10 << 20, 2, 1 << 18
#: The number of deaths in a row, each within STEADY seconds, after which a part is given up. It is
#: started again after FIRST_PAUSE seconds, and after twice as long each further time.
MOST_DEATHS, STEADY, FIRST_PAUSE = 5, 10.0, 0.2
#: The child itself sends its id to the guard before it runs its program, so that it is always
#: guarded.
_LAUNCH = ["/bin/sh", "-c", 'echo $$ >&0 && exec "$@" </dev/null', "sh"]


@dataclass(frozen=True)
class Part:
    """The command of a part, and how to recognise that it is ready.

    - `ready`: a pattern that matches the line printed once the part is ready. A first group, if
      any, matches the address to show.
    - `patience`: seconds that the part has to end after SIGTERM.
    - `prints_for_people`: whether its lines are shown as they are.
    """

    name: str
    command: Sequence[str]
    ready: str
    environment: Mapping[str, str]
    patience: float = 5.0
    prints_for_people: bool = False


class Child:
    """One part, which is kept running from `start` to `stop`."""

    def __init__(self, part: Part, home: Home, narrator: Narrator) -> None:
        self.part = part
        self.ready = asyncio.Event()
        self._home = home
        self._narrator = narrator
        self._show = partial(narrator.show_row, part.name)
        self._tail: deque[str] = deque(maxlen=20)
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    def start(self) -> asyncio.Task[None]:
        """Return the task that keeps the part running until `stop`.

        The task raises CronTasksError if the part cannot run.
        """
        self._task = asyncio.create_task(self._keep_running())
        return self._task

    async def stop(self) -> None:
        """Stop the part, by force if it takes longer than its patience."""
        self._stopping = True
        if self._process is None:
            self._task.cancel()
        else:
            self._process.terminate()
        _, late = await asyncio.wait({self._task}, timeout=self.part.patience)
        if late and self._process is not None:
            self._show(f"did not end within {self.part.patience:g} s, so it is killed", "yellow")
            guard.kill(self._process.pid)
            await asyncio.wait({self._task})

    async def _keep_running(self) -> None:
        path = self._home.folder / "logs" / f"{self.part.name}.log"
        deaths = 0
        with closing(RotatingFileHandler(path, "a", LOG_BYTES, LOGS_KEPT, "utf-8")) as self._log:
            while True:
                begun = time.monotonic()
                how = _describe_exit(await self._live(begun))
                if self._stopping:
                    return
                is_steady = self.ready.is_set() and time.monotonic() - begun >= STEADY
                deaths = 1 if is_steady else deaths + 1
                if deaths == MOST_DEATHS:
                    for line in self._tail:
                        self._show(format_line(line))
                    raise CronTasksError(f"{self.part.name} {how}, {deaths} times in a row")
                pause = FIRST_PAUSE * 2 ** (deaths - 1)
                self._show(f"{how}; starts again in {pause:g} s", "yellow")
                await asyncio.sleep(pause)

    async def _live(self, begun: float) -> int:
        """Run the part once, and return its exit code."""
        self.ready.clear()
        self._tail.clear()
        # We made the pipe, because asyncio waits until its own is closed. That may never happen: a
        # process that a task left behind can hold it open.
        read, write = os.pipe()
        with os.fdopen(write, "wb"):
            self._process = await asyncio.create_subprocess_exec(
                *_LAUNCH,
                *self.part.command,
                stdin=self._home.pipe,
                stdout=write,
                stderr=write,
                env={**os.environ, **self.part.environment},
                start_new_session=True,
            )
        pid = self._process.pid
        listening = asyncio.create_task(self._listen(read, begun))
        code = await self._process.wait()
        guard.kill(pid)  # the pool processes of a killed worker would stay
        self._home.forget(pid)
        self._process = None
        await asyncio.wait({listening}, timeout=1)  # its last lines may be on their way
        listening.cancel()
        return code

    async def _listen(self, descriptor: int, begun: float) -> None:
        async for line in _read_lines(descriptor):
            plain = click.unstyle(line)
            self._log.handle(logging.makeLogRecord({"msg": plain}))
            self._tail.append(plain)
            is_ready, is_for_people = self.ready.is_set(), self.part.prints_for_people
            self._narrator.show_line(self.part.name, line, is_ready, is_for_people)
            if not is_ready and (found := re.search(self.part.ready, line)):
                self.ready.set()
                seconds = time.monotonic() - begun
                self._show("  ".join([f"ready in {seconds:.1f} s", *found.groups()]), "green")


async def _read_lines(descriptor: int) -> AsyncIterator[str]:
    reader = asyncio.StreamReader(LONGEST_LINE)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb")
    )
    with closing(transport):
        while not reader.at_eof():
            with suppress(ValueError):  # a line that is too long
                if line := await reader.readline():
                    yield line.decode("utf-8", "replace").rstrip("\n")


def _describe_exit(code: int) -> str:
    return f"was killed ({signal.Signals(-code).name})" if code < 0 else f"ended (exit {code})"
