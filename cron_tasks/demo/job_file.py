"""Jobs in a JSON file that a person may edit while it is served."""

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

SAMPLE = Path(__file__).with_name("jobs.json")

Row = dict[str, Any]
T = TypeVar("T")


class BrokenFile(ValueError):
    """The file holds no JSON array; the text says where it is wrong."""


class JobFile:
    """The list in `path`, which is made from the sample if there is none.

    `body` is the list as JSON: the last good one while the file cannot be read, None until it was
    read once. Safe to use from any thread.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._stamp: tuple[int, ...] = ()
        self._broken: str | None = None
        self.body: bytes | None = None
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(SAMPLE, path)

    @property
    def rows(self) -> list[Row]:
        rows: list[Row] = json.loads(self.body or b"[]")
        return rows

    def refresh(self) -> bool:
        """Read the file if it was saved since; whether the list is another one now.

        Raises BrokenFile, once for each time that it was saved so.
        """
        with self._lock:
            try:
                stat = self.path.stat()
            except FileNotFoundError:  # an editor is about to put the new one in its place
                return False
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if stamp == self._stamp:
                return False
            self._stamp = stamp
            before = self.body
            self._read()
            return self.body != before

    def change(self, edit: Callable[[list[Row]], T]) -> T:
        """Let `edit` change the rows, and save them. Raises BrokenFile rather than undo a
        person's unfinished edit, and what `edit` raises."""
        with self._lock:
            self.refresh()
            if self._broken:
                raise BrokenFile(self._broken)
            rows = self.rows
            result = edit(rows)
            draft = self.path.with_name(f".{self.path.name}.new")
            try:
                draft.write_bytes(_encoded(rows, indent=2) + b"\n")
                draft.replace(self.path)
            finally:
                draft.unlink(missing_ok=True)
            return result

    def _read(self) -> None:
        try:
            rows = json.loads(self.path.read_text("utf-8"))
            if not isinstance(rows, list):
                raise BrokenFile("it holds no list: jobs are objects between [ and ]")
            self.body = _encoded(rows)
        except (OSError, ValueError) as error:
            self._broken = f"{self.path} cannot be read: {error}"
            raise BrokenFile(self._broken) from None
        self._broken = None


def _encoded(rows: list[Row], indent: int | None = None) -> bytes:
    """JSON; half of a surrogate pair is escaped. Raises ValueError for NaN and Infinity."""
    text = json.dumps(rows, ensure_ascii=False, allow_nan=False, indent=indent)
    return text.encode("utf-8", "backslashreplace")
