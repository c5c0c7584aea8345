"""`cron-tasks jobs list --follow`: the jobs, and then each change of one."""

from collections.abc import Callable, Iterator
from typing import Any, NoReturn, cast

import click
from redis import Redis

from cron_tasks.cli import console
from cron_tasks.cli.following import ask_patiently
from cron_tasks.jobs.job import Job
from cron_tasks.registry.registry import Registry
from cron_tasks.registry.writer import NOTED
from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.store import keys
from cron_tasks.text.display import printable

#: Milliseconds for which one call waits for a change.
WAIT = 1000
#: Changes that one call reads.
PAGE = 1000
#: Before the first entry of a stream.
BEGINNING = "0-0"

Entry = tuple[str, dict[str, str]]


class Stream:
    """The stream of changes, read from its present end on."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._last = BEGINNING

    def seek_end(self) -> None:
        newest = cast("list[Entry]", self._redis.xrevrange(keys.CHANGES, count=1))
        self._last = newest[0][0] if newest else BEGINNING

    def read(self) -> list[Entry] | None:
        """Return the next changes, after a moment at the latest.

        Return None if some were trimmed that this reader has not seen.
        """
        streams = cast(
            "list[tuple[str, list[Entry]]]",
            self._redis.xread({keys.CHANGES: self._last}, count=PAGE, block=WAIT),
        )
        if not streams:
            return []
        entries = streams[0][1]
        if self._has_missed(entries[0][1]):
            return None
        self._last = entries[-1][0]
        return entries

    def _has_missed(self, first: dict[str, str]) -> bool:
        """Return whether entries before the first new one were trimmed."""
        if self._last == BEGINNING:  # The stream was empty.
            return "gap" in first or self._redis.xlen(keys.CHANGES) >= NOTED
        # As long as an entry up to the last one is there, none after it was trimmed.
        return not self._redis.xrange(keys.CHANGES, max=self._last, count=1)


def watch(
    redis: Redis, list_jobs: Callable[[], dict[str, str]], matches: Callable[[Job | None], bool]
) -> NoReturn:
    """List the jobs, then print a line for each change, until Ctrl-C.

    `list_jobs` prints the list, and returns the names of the jobs by their ids. `matches` returns
    whether to print a change of a job that is not in the list. It gets None for a removed job. If
    changes were missed, the jobs are listed again.
    """
    stream = Stream(redis)
    while True:
        # Read before the list, so that no change falls between the two.
        ask_patiently(stream.seek_end)
        names = ask_patiently(list_jobs)
        for entries in _read_on(stream):
            for entry_id, fields in entries:
                _print_change(redis, entry_id, fields, names, matches)
        click.echo("Changes were missed, because the stream was trimmed. New list:", err=True)


def _read_on(stream: Stream) -> Iterator[list[Entry]]:
    """Yield changes until some were missed."""
    while (entries := ask_patiently(stream.read)) is not None:
        console.check_reader()
        yield entries


def _print_change(
    redis: Redis,
    entry_id: str,
    fields: dict[str, str],
    names: dict[str, str],
    matches: Callable[[Job | None], bool],
) -> None:
    job_id, what = fields.get("id", ""), fields.get("what", "")
    job = ask_patiently(lambda: _find_job(redis, job_id))
    if job_id not in names and not matches(job):
        return
    if job:
        names[job_id] = job.name
    at = iso_utc(int(entry_id.split("-")[0]) / 1000)
    known = names.get(job_id)
    if what == "removed":
        names.pop(job_id, None)
    edit = fields.get("edit", "")
    shown: dict[str, Any] = {"time": at, "what": what, "id": job_id, "name": known}
    shown["edit"] = int(edit) if edit.isdecimal() else None
    text = f"{at[:19]}Z  {what:<8}  {printable(job_id) or '-'}  {printable(known or '-', 60)}"
    console.show_line(shown, text)


def _find_job(redis: Redis, job_id: str) -> Job | None:
    """Return the job as it is now, or None if it is gone or cannot be read."""
    return next((found.job for found in Registry(redis).read_jobs([job_id], lambda *_: None)), None)
