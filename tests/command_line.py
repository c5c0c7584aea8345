"""Run `cron-tasks` in a separate process, as people do. If a process would only cost time, call the
same group in this process."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from helpers import PATIENCE
from processes import run_process

from cron_tasks.cli import main
from cron_tasks.settings import PREFIX, load

SCRIPT = str(Path(sys.executable).with_name("cron-tasks"))


@dataclass(frozen=True)
class Done:
    stdout: str
    stderr: str


class CommandLine:
    """`cron-tasks …` in `folder`, with only `settings` (names without prefix)."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.settings = settings
        self._started: list[subprocess.Popen[str]] = []

    def env(self, more: Mapping[str, str]) -> dict[str, str]:
        bare = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)}
        settings = {**self.settings, **more}
        return {**bare, "COLUMNS": "200"} | {PREFIX + k: v for k, v in settings.items()}

    def start(self, *arguments: str, **settings: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [SCRIPT, *arguments],
            cwd=self.folder,
            env=self.env(settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def end(self) -> None:
        """Kill the commands that a failed test has left."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def attempt(self, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        """Run to the end, with any exit code."""
        return run_process([SCRIPT, *arguments], self.env(settings), self.folder)

    def run(self, *arguments: str, code: int = 0, **settings: str) -> Done:
        """Run a command to its end. Asserts the exit code `code`, and that there is no
        traceback."""
        done = self.attempt(*arguments, **settings)
        out, err = done.stdout, done.stderr
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{out}\n{err}"
        assert "Traceback" not in err
        return Done(out, err)

    def lines(self, *arguments: str, code: int = 0, **settings: str) -> list[str]:
        return self.run(*arguments, code=code, **settings).stdout.splitlines()

    def json(self, *arguments: str, code: int = 0, **settings: str) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code, **settings).stdout)

    def error(self, *arguments: str, code: int = 1, **settings: str) -> str:
        """Return the output on stderr. Asserts that stdout is empty."""
        done = self.run(*arguments, code=code, **settings)
        assert done.stdout == ""
        return done.stderr

    def complete(self, question: Mapping[str, str]) -> str:
        """Return the program's answer to the completion of a shell."""
        env = {**self.env({}), **question}
        done = subprocess.run([SCRIPT], cwd=self.folder, env=env, capture_output=True, text=True)
        return done.stdout

    def on_terminal(self, *arguments: str, **environment: str) -> str:
        """Return the output on a terminal."""
        ours, theirs = pty.openpty()
        env = {**self.env({}), "TERM": "xterm-256color", **environment}
        with subprocess.Popen(
            [SCRIPT, *arguments],
            cwd=self.folder,
            env=env,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        ) as process:
            os.close(theirs)
            seen = b""
            while chunk := _read(ours):
                seen += chunk
            process.wait(PATIENCE)
        os.close(ours)
        return seen.decode()


class Quick(CommandLine):
    """The same without a process. Not for commands that import the Celery app: within one process
    it keeps the settings of its first import."""

    def run(self, *arguments: str, code: int = 0, **settings: str) -> Done:
        env: dict[str, str | None] = {name: None for name in os.environ if name.startswith(PREFIX)}
        env |= {PREFIX + name: value for name, value in {**self.settings, **settings}.items()}
        load.cache_clear()
        with chdir(self.folder):
            result = CliRunner().invoke(main, arguments, env=env)
        load.cache_clear()
        assert isinstance(result.exception, SystemExit | None), result.exc_info
        assert result.exit_code == code, f"{arguments}: {result.exit_code}\n{result.output}"
        return Done(result.stdout, result.stderr)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # On Linux this means that the other side is closed.
        return b""
