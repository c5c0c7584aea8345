"""Files that only the user who runs `up` may read: the data folder and the passwords in it."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cron_tasks.errors import CronTasksError

#: What `up` keeps in a data folder, besides the passwords.
OURS = ("jobs.json", "logs", "valkey")


@contextmanager
def private_files() -> Iterator[None]:
    """Have this process and those that it starts create files for this user alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def make_private(folder: Path) -> None:
    """Create `folder`, or take away what others may do to it and to what `up` keeps in it.

    Raises CronTasksError if the folder belongs to another user, or if others share it: changing its
    mode would then break more than `up`. Raises OSError if it cannot be created.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.geteuid():
        raise CronTasksError(f"{folder} belongs to another user: give --data a folder of your own")
    found = set(os.listdir(folder))
    if status.st_mode & 0o077 and (status.st_mode & stat.S_ISVTX or _is_foreign(found)):
        raise CronTasksError(
            f"others may use {folder}, and it holds files that are not of `up`: "
            f"give --data a folder of its own, or say `chmod 700 {folder}`"
        )
    for path in (folder, *(folder / name for name in OURS if name in found)):
        _restrict(path)


def secret(path: Path) -> str:
    """The password kept in the file `path`; a new one, of 16 letters and digits, if there is none.

    The file is replaced as a whole, so that a crash leaves no half of it.
    """
    if path.exists():
        _restrict(path)
        if text := path.read_text("ascii").strip():
            return text
    text = secrets.token_hex(8)
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    new.touch(0o600)
    new.write_text(text + "\n", "ascii")
    new.replace(path)
    return text


def _is_foreign(found: set[str]) -> bool:
    return bool(found) and found.isdisjoint(OURS)


def _restrict(path: Path) -> None:
    """Take away the rights of group and others, in a folder those of all that it holds."""
    for each in (path, *path.rglob("*")) if path.name in OURS else (path,):
        if not each.is_symlink():
            each.chmod(each.stat().st_mode & 0o700)
