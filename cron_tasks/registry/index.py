"""The index `cron_tasks:jobs`, by job id: the fingerprint of a row, and a letter. Pure.

The letter shows what `doctor` needs to know about most jobs, so that it does not read a million
documents. An earlier version stored the fingerprint alone.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

#: The fields of a document with which a job may need more than the default queues.
SPECIAL_FIELDS = ('"action":', '"notify":', '"queue":', '"enabled":', '"extra":')
#: The letters: such a job, another one without a chat of its own, and one with a chat.
SPECIAL, WITHOUT_CHAT, WITH_CHAT = "s", "n", "c"
_SPECIAL_FIELDS = tuple(name.encode() for name in SPECIAL_FIELDS)


def format_value(fingerprint: str, document: bytes) -> str:
    """Return the value of a job with this document."""
    if any(map(document.__contains__, _SPECIAL_FIELDS)):
        return fingerprint + SPECIAL
    return fingerprint + (WITH_CHAT if b'"chat_id":' in document else WITHOUT_CHAT)


def has_fingerprint(value: str | None, fingerprint: str) -> bool:
    """Return whether a job has this fingerprint. The value is None if the job is not known."""
    return value is not None and value.startswith(fingerprint)


class Index(Protocol):
    """The values of the registered jobs."""

    def __len__(self) -> int: ...

    def look_up(self, job_ids: Sequence[str]) -> Sequence[str | None]:
        """Return the value of each of these jobs, or None."""

    def find_others(self, found: int, job_ids: AbstractSet[str]) -> list[str]:
        """Return the registered jobs that are not in `job_ids`, of which `found` are registered."""


class HeldIndex:
    """The values of a few jobs, in memory."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def look_up(self, job_ids: Sequence[str]) -> Sequence[str | None]:
        return [self._values.get(job_id) for job_id in job_ids]

    def find_others(self, found: int, job_ids: AbstractSet[str]) -> list[str]:
        if found == len(self._values):
            return []
        return [job_id for job_id in self._values if job_id not in job_ids]
