"""Open the folder with the data of `up`, and start the guard that outlives `up`."""

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
    """The folders of one `up`.

    - `folder`: the data.
    - `scratch`: deleted at the end. It holds the temporary files of the parts, and is `folder` too
      unless the data is to be kept.
    - `pipe`: a file descriptor that leads to the guard.
    """

    folder: Path
    scratch: Path
    pipe: int

    def password(self, name: str) -> str:
        """Return the password of this name, which is stored with the data."""
        return private.ensure_password(self.folder / name)

    def forget(self, pid: int) -> None:
        """Report to the guard that this child is gone."""
        os.write(self.pipe, b"-%d\n" % pid)


@contextmanager
def open_home(data: Path | None) -> Iterator[Home]:
    """Provide the folder `data`, or a temporary one. Only this user can read what is in it.

    Raises CronTasksError if another `up` or another user has the folder. Raises OSError if it
    cannot be created.
    """
    data = data and data.resolve()
    locks = [_lock_folder(data)] if data else []
    scratch = Path(tempfile.mkdtemp(prefix="cron-tasks-"))
    read, write = os.pipe()
    guarding = subprocess.Popen(  # noqa: S603
        [sys.executable, "-I", "-S", guard.__file__, scratch],
        stdin=read,
        pass_fds=locks,  # The folder is in use until all started processes have ended.
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


def _lock_folder(folder: Path) -> int:
    """Lock the folder, because two Valkeys would destroy each other's files."""
    private.make_private(folder)
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CronTasksError(
            f"{folder} is in use by another `cron-tasks up`. Stop it, or choose another --data"
        ) from None
    return lock
