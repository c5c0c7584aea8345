"""Where `up` keeps its data, used by one `up` at a time, and the guard that outlives it."""

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cron_tasks.errors import CronTasksError
from cron_tasks.stack import guard


@dataclass(frozen=True, slots=True)
class Home:
    """The data folder, and the pipe to the guard (guard.py says what goes into it)."""

    folder: Path
    temporary: bool
    pipe: int

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def valkey(self) -> Path:
        return self.folder / "valkey"

    @property
    def scratch(self) -> Path:
        """For temporary files of the parts: a pool that is killed leaves some."""
        return self.folder / "tmp"

    def forget(self, pid: int) -> None:
        """Tell the guard that this child is gone."""
        os.write(self.pipe, b"-%d\n" % pid)


@contextmanager
def home(data: Path | None) -> Iterator[Home]:
    """The folder `data`, or a temporary one that is deleted in the end.

    Raises CronTasksError when another `up` uses it or it cannot be made.
    """
    if data is not None:
        try:
            data.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror
            raise CronTasksError(f"{data} cannot be the data folder: {reason}") from None
    folder = data.resolve() if data else Path(tempfile.mkdtemp(prefix="cron-tasks-"))
    lock = os.open(folder, os.O_RDONLY)
    # The guard keeps the read end alone alive; so does this process, lest a guard that somebody
    # killed take along, by SIGPIPE, each child that starts.
    read, write = os.pipe()
    try:
        _lock(lock, folder)
        place = Home(folder, data is None, write)
        for part in (place.logs, place.valkey, place.scratch):
            part.mkdir(exist_ok=True)
        guarding = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", guard.__file__, place.scratch if data else folder],
            stdin=read,
            pass_fds=[lock],
            start_new_session=True,
            cwd="/",
        )
        try:
            yield place
        finally:
            os.close(write)
            guarding.wait()
    finally:
        os.close(read)
        os.close(lock)


def _lock(descriptor: int, folder: Path) -> None:
    """Two Valkeys would ruin one another's files. The guard holds the lock too, until all ended."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CronTasksError(
            f"{folder} is in use by another `cron-tasks up`: end that one, or give another --data"
        ) from None
