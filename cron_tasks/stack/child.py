"""One part of the system as a supervised child process.

It is started in a session of its own, so that the terminal's Ctrl-C does not reach it, and told to
end by a SIGTERM to its main process alone: a prefork worker whose whole group is signalled loses
the task it runs. What it prints goes to a log file of bounded size and to whoever listens.
"""

import asyncio
import os
import re
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from typing import Protocol

import click

from cron_tasks.errors import CronTasksError
from cron_tasks.stack.folder import Home

#: Size of a log file in bytes, and how many old ones are kept beside it.
LOG_BYTES, LOGS_KEPT = 10 << 20, 2
#: A line beyond this many bytes is cut in two.
LONGEST_LINE = 1 << 16
#: A part that dies so many times in a row, each within STEADY seconds of being ready, cannot run.
MOST_DEATHS, STEADY = 5, 10.0
#: Seconds before the second life, doubled before each further one.
FIRST_PAUSE = 0.2
#: Seconds for what a dead part printed last to arrive.
LAST_WORDS = 1.0
#: The child itself tells the guard its id before it runs its program, so no instant is unguarded.
_LAUNCH = ["/bin/sh", "-c", 'echo "+$$" >&0 && exec "$@" </dev/null', "sh"]


@dataclass(frozen=True)
class Part:
    """What to run. `ready` matches the line that says it is; its first group, if any, is where.

    `command` is asked anew for each life. `patience` is the seconds it has to end after SIGTERM.
    `speaks`: what it prints beside log lines is meant for people.
    """

    name: str
    command: Callable[[], Sequence[str]]
    ready: re.Pattern[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    patience: float = 5.0
    speaks: bool = False


class Audience(Protocol):
    """Is told what becomes of a part."""

    def line(self, part: Part, text: str, ready: bool) -> None: ...
    def ready(self, part: Part, seconds: float, where: str | None) -> None: ...
    def died(self, part: Part, how: str, last: str, pause: float) -> None: ...
    def hangs(self, part: Part) -> None: ...


class CannotRun(CronTasksError):
    """A part died again and again; `tail` is what it printed last."""

    def __init__(self, part: Part, how: str, tail: Sequence[str]) -> None:
        super().__init__(f"{part.name} {how}, {MOST_DEATHS} times in a row")
        self.tail = tail


class Child:
    """Keeps one part running from `start` to `stop`."""

    def __init__(self, part: Part, home: Home, audience: Audience) -> None:
        self.part = part
        self.ready = asyncio.Event()
        self._home = home
        self._audience = audience
        self._tail: deque[str] = deque(maxlen=20)
        self._process: asyncio.subprocess.Process | None = None
        self._begun = self._ready_at = 0.0
        self._stopping = False

    def start(self) -> asyncio.Task[None]:
        """The task ends after `stop`; it raises CannotRun when there is no use in starting anew."""
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
        if late:
            self._audience.hangs(self.part)
            self.kill()
            await asyncio.wait({self._task})

    def kill(self) -> None:
        """End it at once, with all its children."""
        self._stopping = True
        if self._process is not None:
            _kill_group(self._process.pid)

    async def _keep_running(self) -> None:
        path = self._home.logs / f"{self.part.name}.log"
        with closing(RotatingFileHandler(path, backupCount=LOGS_KEPT, encoding="utf-8")) as log:
            self._log = log
            await self._live_on()

    async def _live_on(self) -> None:
        deaths = 0
        while True:
            how = _how(await self._live())
            if self._stopping:
                return
            steady = self.ready.is_set() and time.monotonic() - self._ready_at >= STEADY
            deaths = 1 if steady else deaths + 1
            if deaths == MOST_DEATHS:
                raise CannotRun(self.part, how, self._tail)
            pause = FIRST_PAUSE * 2 ** (deaths - 1)
            last = next((line for line in reversed(self._tail) if line.strip()), "")
            self._audience.died(self.part, how, last, pause)
            await asyncio.sleep(pause)

    async def _live(self) -> int:
        """One life, from start to exit code."""
        self.ready.clear()
        self._tail.clear()
        self._begun = time.monotonic()
        read, write = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *_LAUNCH,
                *self.part.command(),
                stdin=self._home.pipe,
                stdout=write,
                stderr=write,
                env={**os.environ, **self.part.environment},
                start_new_session=True,
            )
        finally:
            os.close(write)
        pumping = asyncio.create_task(self._pump(read))
        code = await self._process.wait()
        # Pool processes of a worker that was killed would stay.
        _kill_group(self._process.pid)
        self._home.forget(self._process.pid)
        self._process = None
        # A process that a task made and left to itself may hold the pipe open for ever.
        await asyncio.wait({pumping}, timeout=LAST_WORDS)
        pumping.cancel()
        return code

    async def _pump(self, descriptor: int) -> None:
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb")
        )
        rest = b""
        with closing(transport):
            while chunk := await reader.read(LONGEST_LINE):
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) >= LONGEST_LINE:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    self._take(line.decode("utf-8", "replace"))
        if rest:
            self._take(rest.decode("utf-8", "replace"))

    def _take(self, line: str) -> None:
        plain = click.unstyle(line)
        self._write(plain)
        self._tail.append(plain)
        self._audience.line(self.part, line, self.ready.is_set())
        if not self.ready.is_set() and (found := self.part.ready.search(line)):
            self.ready.set()
            self._ready_at = time.monotonic()
            where = found[1] if found.re.groups else None
            self._audience.ready(self.part, self._ready_at - self._begun, where)

    def _write(self, line: str) -> None:
        with suppress(OSError):  # a full disk must not end what can go on without a log
            if stream := self._log.stream:
                stream.write(line + "\n")
                stream.flush()
                if stream.tell() > LOG_BYTES:
                    self._log.doRollover()


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _how(code: int) -> str:
    return f"was killed ({signal.Signals(-code).name})" if code < 0 else f"ended (exit {code})"
