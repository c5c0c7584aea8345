"""Validate the rows of a long list in which most rows differ only in id and name. Pure.

100,000 rows usually have a few hundred schedules and settings among them. Validating each row by
itself would take most of the time of a first sync.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from cron_tasks.jobs.job import Job
from cron_tasks.jobs.rejected import Rejected
from cron_tasks.jobs.row import REMARKS

#: The longest valid name.
LONGEST_NAME = 1000
#: The most patterns that are remembered. A list with more has few rows that are alike.
PATTERNS_KEPT = 16_384
_OWN = frozenset({"id", "name"}) | REMARKS
#: Characters in place of an id and a name, which JSON escapes and so never contains as they are.
_ID, _NAME = b"\0", b"\1"


class Valid(NamedTuple):
    """A valid row: its document, and a job that is the same except for `id` and `name`.

    `remark` is the result of `remark_on` for such jobs.
    """

    job: Job
    document: bytes
    remark: Any


class Alike:
    """Validates rows with `validate(row, place)`, and rows that are alike only twice.

    `remark_on(job)` returns something to note about a job, whatever its id and name, or None.
    """

    def __init__(
        self,
        validate: Callable[[Any, str], Job | Rejected],
        remark_on: Callable[[Job], Any] = lambda _job: None,
    ) -> None:
        self._validate = validate
        self._remark_on = remark_on
        self._patterns: dict[bytes, _Pattern | None] = {}

    def read_row(self, row: Any, job_id: str | None, place: str) -> Valid | Rejected:
        """Return the job of a row, or why it is rejected. `job_id` is the `row_id` of the row."""
        common = _find_common(row) if job_id is not None else None
        pattern = self._patterns.get(common) if common is not None else None
        if pattern is not None and job_id is not None:
            try:
                document = pattern.make_document(job_id, row["name"])
            except TypeError:
                pass  # The name has half of a surrogate pair.
            else:
                return Valid(pattern.job, document, pattern.remark)
        job = self._validate(row, place)
        if isinstance(job, Rejected):
            return job
        found = Valid(job, job.to_document(), self._remark_on(job))
        if common is not None:
            self._remember(common, found)
        return found

    def _remember(self, common: bytes, found: Valid) -> None:
        """Remember the second row with the same key as a pattern. Most keys occur either once or
        often."""
        if len(self._patterns) >= PATTERNS_KEPT:
            self._patterns.clear()
        is_second = common in self._patterns
        self._patterns[common] = _Pattern(found.job, found.remark) if is_second else None


class _Pattern:
    """A valid job, and its document without id and name."""

    def __init__(self, job: Job, remark: Any) -> None:
        self.job, self.remark = job, remark
        own = {"id": orjson.Fragment(_ID), "name": orjson.Fragment(_NAME)}
        self._head, rest = job.to_document(own).split(_ID)
        self._middle, self._tail = rest.split(_NAME)

    def make_document(self, job_id: str, name: str) -> bytes:
        """Return the document of a job with another id and name. Raises TypeError if they cannot be
        encoded."""
        own = orjson.dumps(job_id), orjson.dumps(name)
        return b"%b%b%b%b%b" % (self._head, own[0], self._middle, own[1], self._tail)


def _find_common(row: Any) -> bytes | None:
    """Return everything in a row besides id and name, as a key.

    Return None if the row has to be validated separately: it is not a plain object, the name may be
    wrong, the schedule depends on the id, or JSON cannot distinguish its values (NaN, null).
    """
    if type(row) is not dict or "jitter" in row:
        return None
    name = row.get("name")
    if type(name) is not str or not 0 < len(name) <= LONGEST_NAME:
        return None
    rest = {key: each for key, each in row.items() if each is not None and key not in _OWN}
    try:
        common = orjson.dumps(rest)
    except TypeError:
        return None
    return None if b"null" in common else common
