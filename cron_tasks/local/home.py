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
from cron_tasks.local import guard, private


@dataclass(frozen=True, slots=True)
class Home:
    """`folder` holds the data; `scratch` is deleted at the end: the temporary files of the parts,
    and the data too unless somebody wants it kept. `pipe` leads to the guard."""

    folder: Path
    scratch: Path
    pipe: int

    def secret(self, name: str) -> str:
        """Return the password of that name, which lives as long as the data."""
        return private.secret(self.folder / name)

    def forget(self, pid: int) -> None:
        """Tell the guard that this child is gone."""
        os.write(self.pipe, b"-%d\n" % pid)


@contextmanager
def home(data: Path | None) -> Iterator[Home]:
    """Provide the folder `data`, or a temporary one; nobody but this user can read what is in it.

    Raises CronTasksError when another `up` or another user has it, OSError when it cannot be made.
    """
    data = data and data.resolve()
    locks = [_lock(data)] if data else []
    scratch = Path(tempfile.mkdtemp(prefix="cron-tasks-"))
    read, write = os.pipe()
    guarding = subprocess.Popen(  # noqa: S603
        [sys.executable, "-I", "-S", guard.__file__, scratch],
        stdin=read,
        pass_fds=locks,  # the folder is in use until all that was started has ended
        start_new_session=True,
        cwd="/",
    )
    try:
        place = Home(data or scratch, scratch, write)
        with private.private_files():
            (place.folder / "logs").mkdir(exist_ok=True)
            yield place
    finally:
        for descriptor in (read, write, *locks):
            os.close(descriptor)
        guarding.wait()


def _lock(folder: Path) -> int:
    """Two Valkeys would ruin one another's files."""
    private.make_private(folder)
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CronTasksError(
            f"{folder} is in use by another `cron-tasks up`: end that one, or give another --data"
        ) from None
    return lock
