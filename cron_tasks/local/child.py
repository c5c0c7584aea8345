"""One part of the system as a supervised child process.

It is started in a session of its own, so that the terminal's Ctrl-C does not reach it, and told to
end by a SIGTERM to its main process alone: a prefork worker whose whole group is signalled loses
the task it runs. What it prints goes to a log file of bounded size and to the narrator.
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
from cron_tasks.local.narrator import Narrator, told

#: Size of a log file in bytes, and how many old ones are kept beside it; a longer line is dropped.
LOG_BYTES, LOGS_KEPT, LONGEST_LINE = 10 << 20, 2, 1 << 18
#: A part that dies so many times in a row, each within STEADY seconds, cannot run. There are
#: FIRST_PAUSE seconds before its second life, and twice as many before each further one.
MOST_DEATHS, STEADY, FIRST_PAUSE = 5, 10.0, 0.2
#: A child itself tells the guard its id before it runs its program, so no instant is unguarded.
_LAUNCH = ["/bin/sh", "-c", 'echo $$ >&0 && exec "$@" </dev/null', "sh"]


@dataclass(frozen=True)
class Part:
    """What to run. `ready` matches the line that says it is; its first group, if any, is where.

    `patience`: seconds it has to end after SIGTERM. `speaks`: it prints lines meant for people.
    """

    name: str
    command: Sequence[str]
    ready: str
    environment: Mapping[str, str]
    patience: float = 5.0
    speaks: bool = False


class Child:
    """Keeps one part running from `start` to `stop`."""

    def __init__(self, part: Part, home: Home, narrator: Narrator) -> None:
        self.part = part
        self.ready = asyncio.Event()
        self._home = home
        self._narrator = narrator
        self._tell = partial(narrator.row, part.name)
        self._tail: deque[str] = deque(maxlen=20)
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    def start(self) -> asyncio.Task[None]:
        """The task ends after `stop`; it raises CronTasksError when there is no use in going on."""
        self._task = asyncio.create_task(self._keep_running())
        return self._task

    async def stop(self) -> None:
        """Have it end, by force when it takes longer than its patience."""
        self._stopping = True
        if self._process is None:
            self._task.cancel()
        else:
            self._process.terminate()
        _, late = await asyncio.wait({self._task}, timeout=self.part.patience)
        if late and self._process is not None:
            self._tell(f"does not end within {self.part.patience:g} s and is killed", "yellow")
            guard.kill(self._process.pid)
            await asyncio.wait({self._task})

    async def _keep_running(self) -> None:
        path = self._home.folder / "logs" / f"{self.part.name}.log"
        deaths = 0
        with closing(RotatingFileHandler(path, "a", LOG_BYTES, LOGS_KEPT, "utf-8")) as self._log:
            while True:
                begun = time.monotonic()
                how = _how(await self._live(begun))
                if self._stopping:
                    return
                steady = self.ready.is_set() and time.monotonic() - begun >= STEADY
                deaths = 1 if steady else deaths + 1
                if deaths == MOST_DEATHS:
                    for line in self._tail:
                        self._tell(told(line))
                    raise CronTasksError(f"{self.part.name} {how}, {deaths} times in a row")
                pause = FIRST_PAUSE * 2 ** (deaths - 1)
                self._tell(f"{how}; starts again in {pause:g} s", "yellow")
                await asyncio.sleep(pause)

    async def _live(self, begun: float) -> int:
        """One life, from start to exit code."""
        self.ready.clear()
        self._tail.clear()
        # The pipe is ours, not asyncio's, which waits for its end; that may never come when a
        # process that a task left to itself holds it open.
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
        guard.kill(pid)  # pool processes of a worker that was killed would stay
        self._home.forget(pid)
        self._process = None
        await asyncio.wait({listening}, timeout=1)  # its last words may be on their way
        listening.cancel()
        return code

    async def _listen(self, descriptor: int, begun: float) -> None:
        async for line in _lines(descriptor):
            plain = click.unstyle(line)
            self._log.handle(logging.makeLogRecord({"msg": plain}))
            self._tail.append(plain)
            self._narrator.line(self.part.name, line, self.ready.is_set(), self.part.speaks)
            if not self.ready.is_set() and (found := re.search(self.part.ready, line)):
                self.ready.set()
                seconds = time.monotonic() - begun
                self._tell("  ".join([f"ready in {seconds:.1f} s", *found.groups()]), "green")


async def _lines(descriptor: int) -> AsyncIterator[str]:
    reader = asyncio.StreamReader(LONGEST_LINE)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb")
    )
    with closing(transport):
        while not reader.at_eof():
            with suppress(ValueError):  # a line that is too long
                if line := await reader.readline():
                    yield line.decode("utf-8", "replace").rstrip("\n")


def _how(code: int) -> str:
    return f"was killed ({signal.Signals(-code).name})" if code < 0 else f"ended (exit {code})"
