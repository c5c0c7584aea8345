"""Keep the data folder and the passwords in it private to the user who runs `up`."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cron_tasks.errors import CronTasksError

#: The names that `up` creates in a data folder, besides the passwords.
OURS = ("jobs.json", "logs", "valkey")


@contextmanager
def private_files() -> Iterator[None]:
    """Let this process, and those that it starts, create files that only this user may read."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def make_private(folder: Path) -> None:
    """Create `folder`, or remove the access of others to it and to the files of `up` in it.

    Raises CronTasksError if the folder belongs to another user, or if others share it. Changing its
    mode would then break more than `up`. Raises OSError if the folder cannot be created.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.geteuid():
        raise CronTasksError(
            f"{folder} belongs to another user. Choose a --data folder of your own"
        )
    found = set(os.listdir(folder))
    if status.st_mode & 0o077 and (status.st_mode & stat.S_ISVTX or _holds_others(found)):
        raise CronTasksError(
            f"Other users can access {folder}, which holds files that `up` did not create. "
            f"Choose another --data folder, or run `chmod 700 {folder}`"
        )
    for path in (folder, *(folder / name for name in OURS if name in found)):
        _restrict(path)


def ensure_password(path: Path) -> str:
    """Return the password in the file `path`. Create one of 16 letters and digits if there is none.

    The file is replaced as a whole, so that a crash does not leave half of it.
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


def _holds_others(found: set[str]) -> bool:
    return bool(found) and found.isdisjoint(OURS)


def _restrict(path: Path) -> None:
    """Remove the access of group and others, in one of our folders to everything in it."""
    for each in (path, *path.rglob("*")) if path.name in OURS else (path,):
        if not each.is_symlink():
            each.chmod(each.stat().st_mode & 0o700)
