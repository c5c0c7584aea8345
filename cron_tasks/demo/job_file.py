"""The demo's list of jobs: a JSON file that people and the REST service edit."""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from fastapi import HTTPException

from cron_tasks.jobs.row import row_id as identity

log = structlog.get_logger("cron_tasks.demo.rest")

SAMPLE = Path(__file__).with_name("jobs.json")


class JobFile:
    """The list of jobs in a JSON file, which is created from the sample if there is none.

    `changed` is called each time the file was saved, with the ids of the jobs that were added,
    changed or removed. It gets None if that is not known: at the start, and if a row that changed
    has no id. While the file is broken, `fault` is the reason, and `rows` is the last good list.
    """

    def __init__(self, path: Path, changed: Callable[[list[str] | None], None]) -> None:
        self.path = path
        self.rows: list[Any] = []
        self.fault: str | None = None
        #: Reports about jobs, by id. They are not in the file, because people edit that.
        self.reports: dict[str, dict[str, Any]] = {}
        self._text: bytes | None = None
        self._changed = changed
        if not path.exists():
            shutil.copyfile(SAMPLE, path)
        self.refresh()

    async def watch(self) -> None:
        """Read the file whenever it was saved."""
        while True:
            await asyncio.sleep(0.2)
            self.refresh()

    def refresh(self) -> None:
        """Read the file if it was saved since the last time."""
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:  # An editor is about to put the new file in its place.
            return
        if text == self._text:
            return
        is_first, self._text, self.fault = self._text is None, text, None
        try:
            rows = json.loads(text)
        except ValueError as error:
            self.fault = f"{self.path} cannot be read: {error}"
        else:
            if not isinstance(rows, list):
                self.fault = f"{self.path} is not a list: jobs are objects between [ and ]"
        if self.fault:
            log.warning("jobs.broken_file", error=self.fault, served="the last good list")
        else:
            before, self.rows = self.rows, rows
            self._changed(None if is_first else list_changed(before, rows))

    def save(self, rows: list[Any]) -> None:
        """Replace the list. Raises a 409 while the file is broken, to keep a person's edit."""
        if self.fault:
            raise HTTPException(409, self.fault)
        text = json.dumps(rows, ensure_ascii=False, indent=2)
        draft = self.path.with_name(f".{self.path.name}.new")
        draft.write_bytes(text.encode("utf-8", "backslashreplace") + b"\n")
        draft.replace(self.path)
        self.refresh()

    def rows_with_reports(self) -> list[Any]:
        """Return the rows, each with the last report about its job."""
        return [
            row | self.reports.get(identity(row) or "", {}) if isinstance(row, dict) else row
            for row in self.rows
        ]

    def rows_by_id(self) -> dict[str, Any]:
        """Return the rows that have an id, by id. If two rows have the same id, the first one is
        used."""
        return _by_id(self.rows_with_reports())

    def find(self, given: str) -> tuple[int, str]:
        """Return the position of a job in `rows`, and its id. A slash may follow the id given.

        Raises a 404 if there is none.
        """
        self.refresh()
        for job_id in (given, given.removesuffix("/")):
            for position, row in enumerate(self.rows):
                if identity(row) == job_id:
                    return position, job_id
        raise HTTPException(404, f"No job has the ID {given}")


def list_changed(before: list[Any], after: list[Any]) -> list[str] | None:
    """Return the ids of the jobs that differ, or None if a row without an id does."""
    old, new = _by_id(before), _by_id(after)
    if _without_id(before) != _without_id(after):
        return None
    return [each for each in {**old, **new} if old.get(each) != new.get(each)]


def _by_id(rows: list[Any]) -> dict[str, Any]:
    return {job_id: row for row in reversed(rows) if (job_id := identity(row)) is not None}


def _without_id(rows: list[Any]) -> list[Any]:
    return [row for row in rows if identity(row) is None]
