"""Due entries as stored, and the parsing of their parts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, cast

import orjson
from redis import Redis

from cron_tasks.registry import entries
from cron_tasks.schedules import Schedule
from cron_tasks.store import keys
from cron_tasks.store.paging import pages
from cron_tasks.store.scripts import Script, script

_OPTIONS = {"queue": str, "priority": int}
_read: Script[list[Any]] = script("beat/entries")


@dataclass(slots=True)
class Row:
    """A due entry as stored. The score is text, exactly as Redis has it.

    `edit` is the number of its last edit, and `fired` the run that it last fired (None: none yet).
    If it `is_unchanged` since the edit that the reader knew, the other fields were not read.
    """

    key: str
    score: str
    definition: str | None
    meta: str | None
    job: str | None
    edit: str | None = None
    fired: str | None = None
    is_unchanged: bool = False

    @property
    def job_id(self) -> str | None:
        return keys.job_id_of(self.key)


def read_rows(
    redis: Redis, due: Mapping[str, str], known: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Row]:
    """Yield the entries of `due`, a mapping to their scores. `known` has edits that the reader
    knows."""
    for page in pages(due.items()):
        # Another program may have written a key that is not UTF-8.
        asked = [(key.encode(errors="surrogateescape"), known.get(key, "")) for key, _ in page]
        found = _read(redis, entries=asked)
        for (key, score), fields in zip(page, found, strict=True):
            if fields == 0:
                yield Row(key, score, None, None, None, known[key], is_unchanged=True)
            else:
                yield make_row(key, score, fields)


def make_row(key: str, score: str, fields: Sequence[str | None]) -> Row:
    """Return a due entry with its fields as read (read_stored.lua)."""
    definition, meta, job, edit, fired = fields or (None,) * 5
    return Row(key, score, definition, meta, job, edit, fired)


def parse_object(text: str | None, field: str) -> dict[str, Any]:
    """Parse the JSON object in a field of an entry. Raises ValueError."""
    value = orjson.loads(text or "null")
    if not isinstance(value, dict):
        raise ValueError(f"its field {field} holds no JSON object")  # noqa: TRY004
    return value


def parse_definition(definition: str | None) -> tuple[Schedule, dict[str, Any]]:
    """Return the schedule and the options of a definition. Raises ValueError.

    Many jobs have the same text from the options on, so that part is parsed once. The part before
    it belongs to one job.
    """
    return _parse_tail("{" + "".join((definition or "").partition('"options": ')[1:]))


@lru_cache(maxsize=16384)
def _parse_tail(definition: str) -> tuple[Schedule, dict[str, Any]]:
    fields = parse_object(definition, "definition")
    return entries.read_schedule(fields), _check_options(fields.get("options") or {})


def _check_options(options: Any) -> dict[str, Any]:
    """Return the options of an entry's message. Raises ValueError for options that we do not
    write."""
    known = isinstance(options, dict) and all(
        isinstance(value, _OPTIONS.get(name, ())) for name, value in options.items()
    )
    if not known:
        raise ValueError("its options are not a `queue` and a `priority`")
    return cast("dict[str, Any]", options)
