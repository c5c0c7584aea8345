"""Start Python programs by a fork of a process that has imported their libraries already.

A `celery` command imports 1,400 modules, which takes a second of CPU time. Here they are imported
once. What is forked is a process in a session of its own, with its arguments, its environment and
its files. It imports `cron_tasks.celery`, which reads the settings, itself. With a folder of
plug-ins (PYTHONPATH), it also imports the modules that look for them.
"""

import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

#: Modules that import most of what commands need. None of them reads settings at its import, or
#: looks for plug-ins.
LIBRARIES = (
    "aiohappyeyeballs",
    "celery.apps.beat",
    "celery.apps.worker",
    "celery.bin.celery",
    "celery.concurrency.prefork",
    "celery.worker.consumer",
    "cron_tasks.jobs.fields",
    "cron_tasks.rest.client",
    "cron_tasks.schedules.parse",
    "cron_tasks.telemetry.logs",
    "httptools",
    "jmespath",
    "kombu.transport.redis",
    "redbeat.schedulers",
    "uvloop",
)
#: Further modules, which look for plug-ins at their import.
OURS = (
    "cron_tasks.actions",
    "cron_tasks.audit.auditing",
    "cron_tasks.beat.sweeper",
    "cron_tasks.bot.telegram",
    "cron_tasks.cli.doctor",
    "cron_tasks.cli.runs",
    "cron_tasks.sync.follower",
    "cron_tasks.worker.batches",
)
#: Variables that no module reads at its import, by their beginnings.
READ_LATE = (
    *("CRON_TASKS_", "PYTEST_", "COLUMNS", "FLOWER_", "REQUESTS_CA_BUNDLE"),
    *("OTEL_BSP_", "OTEL_EXPORTER_", "OTEL_RESOURCE_"),
    *("OTEL_SDK_", "OTEL_SERVICE_", "OTEL_TRACES_"),
)
LARGEST = 1 << 20


class Forked:
    """A program that was started. It has those methods of `subprocess.Popen` that tests use."""

    def __init__(self, preloaded: "Preloaded", pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._preloaded = preloaded

    def poll(self) -> int | None:
        if self.returncode is None:
            status = self._preloaded.ask({"reap": self.pid})
            self.returncode = None if status is None else os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            time.sleep(0.01)
        return code


class Preloaded:
    """The process that forks, started when it is first needed. It has imported `modules`.

    When this process ends, it ends too, and kills what it started. `late` are further variables
    that no module has read at its import, by their beginnings.
    """

    def __init__(self, modules: Sequence[str], *late: str) -> None:
        self._modules = modules
        self._late = (*READ_LATE, *late)
        self._env = self._read_at_import(os.environ)
        self._lock = threading.Lock()
        self._asked = 0

    @cached_property
    def _control(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno()), *self._modules],
                pass_fds=[theirs.fileno()],
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        return ours

    def can_start(self, command: Sequence[str], env: Mapping[str, str]) -> bool:
        """Return whether it is `python -m module` or a script of Python, in a known environment."""
        is_module = list(command[:2]) == [sys.executable, "-m"]
        is_script = command[0] == str(Path(sys.executable).with_name("cron-tasks"))
        return (is_module or is_script) and self._read_at_import(env) == self._env

    def _read_at_import(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that must be the same where modules are imported and used."""
        return {name: value for name, value in env.items() if not name.startswith(self._late)}

    def start(
        self, command: Sequence[str], env: Mapping[str, str], cwd: Path, out: int, err: int
    ) -> Forked:
        """Start such a command. Its output goes to the open files `out` and `err`."""
        request = {"command": list(command), "env": dict(env), "cwd": str(cwd.absolute())}
        return Forked(self, self.ask(request, [out, err]))

    def ask(self, request: dict[str, Any], files: Sequence[int] = ()) -> Any:
        with self._lock:
            self._asked += 1
            message = json.dumps({**request, "number": self._asked}).encode()
            socket.send_fds(self._control, [message], files)
            while True:
                answer = json.loads(self._control.recv(LARGEST))
                if answer["number"] == self._asked:  # A test that timed out left its answer.
                    return answer["is"]

    def end(self) -> None:
        if "_control" in self.__dict__:
            self._control.close()
            self._process.wait()


def serve(control: socket.socket) -> list[str]:
    """Fork for each request. Return only in the new process, with its command."""
    children: set[int] = set()
    while True:
        message, files, _, _ = socket.recv_fds(control, LARGEST, 2)
        if not message:
            for pid in children:
                os.killpg(pid, signal.SIGKILL)
            sys.exit()
        request = json.loads(message)
        answer: int | None
        if "reap" in request:
            pid, status = os.waitpid(request["reap"], os.WNOHANG)
            answer = status if pid else None
            children.discard(pid)
        else:
            has_begun, begins = os.pipe()
            answer = os.fork()
            if not answer:
                become(request, *files)
                for each in (*files, has_begun, begins, control.detach()):
                    os.close(each)
                command: list[str] = request["command"]
                return command
            children.add(answer)
            for each in (*files, begins):
                os.close(each)
            os.read(has_begun, 1)  # Whoever knows the process may signal its group.
            os.close(has_begun)
        control.send(json.dumps({"number": request["number"], "is": answer}).encode())


def become(request: dict[str, Any], out: int, err: int) -> None:
    """Take the session, the output, the environment and the folder of a new process."""
    os.setsid()
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])


def find_modules(folder: str) -> set[str]:
    """Return the names that can be imported from a folder."""
    return {path.stem for path in Path(folder).glob("*") if path.is_dir() or path.suffix == ".py"}


def extend_path(command: list[str]) -> None:
    """Search the folders of PYTHONPATH too. Start anew if one hides a module that is imported."""
    folders = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    added = [each for each in folders if each and each not in sys.path]
    if any(find_modules(each) & {*sys.modules, "sitecustomize"} for each in added):
        os.execve(command[0], command, os.environ)
    sys.path[1:1] = added


def run(command: list[str]) -> None:
    """Run a command as the main program of this process."""
    extend_path(command)
    if command[0] == sys.executable:
        _, _, name, *arguments = command
        sys.argv = [name, *arguments]
        sys.path[0] = str(Path.cwd())
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    else:
        sys.argv = command
        sys.path[0] = str(Path(command[0]).parent)
        runpy.run_path(command[0], run_name="__main__")


def main() -> None:
    _, control, *modules = sys.argv
    for name in modules:
        import_module(name)
    assert "cron_tasks.celery" not in sys.modules, "It reads the settings."
    gc.freeze()  # Otherwise each process looks through all modules at its end, for 0.3 s.
    run(serve(socket.socket(fileno=int(control))))


if __name__ == "__main__":
    main()
