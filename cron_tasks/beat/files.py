"""Notice edits of the files with the jobs, if CRON_TASKS_REST_URL is `file:///…`."""

import time
from pathlib import Path

from cron_tasks.rest.files import Stamp, stamp_files

#: Seconds between two looks.
EVERY = 1.0


class FileWatch:
    """Compares time, size and inode of each file, at most once a second."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._look_at = 0.0
        # The first check always finds a change, because an edit may have come just before it.
        self._seen: list[Stamp] | None = None

    def has_changed(self) -> bool:
        """Return whether the files have changed since the last check. The first check returns
        True."""
        if time.monotonic() < self._look_at:
            return False
        self._look_at = time.monotonic() + EVERY
        before, self._seen = self._seen, _stamp(self._path)
        return self._seen != before


def _stamp(path: Path) -> list[Stamp]:
    try:
        return stamp_files(path)
    except OSError:
        return []  # The sync that follows reports the problem.
