"""A batch: runs of plain jobs with one fire time, which the ledger opens and ends together. Pure.

It is one record in the ledger, and its id is "<moment>#<random>" (in Lua: lua/batch.lua). A member
that is no longer plain leaves it and becomes a pending run like any other. `read_line` reads the
short record of such a run in the history.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import Kind, State
from cron_tasks.schedules.iso8601 import iso_utc

#: The state that a reader of open runs sees for a member of a batch: its first attempt is pending.
STATE = State(Kind.PENDING)


@dataclass(slots=True)
class Departure:
    """Plain jobs that are due at one time, as beat has judged them: the input of `advance_batch`.

    `score` is that time exactly as Redis has it. `moves` are the ids of the jobs by their next due
    time ("" for none), and `options` are the message options of the batch. `templates` are the
    notification templates of jobs that were just read, by job id, each with the job's last edit.
    Most of these jobs are not in the caches of the workers either. `are_new` is whether all of them
    were just read, and none has fired.
    """

    score: str
    moves: Mapping[str, Sequence[str]]
    options: Mapping[str, Any]
    templates: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)
    are_new: bool = False

    @property
    def size(self) -> int:
        return sum(map(len, self.moves.values()))

    def split(self, size: int) -> "Iterator[Departure]":
        """Yield departures of at most `size` jobs each."""
        moves, room = dict[str, Sequence[str]](), size
        for upcoming, job_ids in self.moves.items():
            first = 0
            while first < len(job_ids):
                moves[upcoming] = part = job_ids[first : first + room]
                first, room = first + len(part), room - len(part)
                if room == 0:
                    yield self._take_part(moves)
                    moves, room = {}, size
        if moves:
            yield self._take_part(moves)

    def _take_part(self, moves: Mapping[str, Sequence[str]]) -> "Departure":
        known = self.templates
        templates = known and {
            job_id: known[job_id]
            for job_ids in moves.values()
            for job_id in job_ids
            if job_id in known
        }
        return Departure(self.score, moves, self.options, templates, self.are_new)

    def make_id(self) -> str:
        """Return a new id for a batch of this time."""
        return f"{iso_utc(float(self.score))}#{secrets.token_hex(8)}"


@dataclass(frozen=True, slots=True)
class Batch:
    """An open batch. `edits` is the edit of the registry at which its jobs were judged.

    `seen` is the first line of its record. It changes whenever a member leaves, so an equal line
    means equal members. `queue` is the queue of its message (None: the default one). `members` is
    the list of its jobs in JSON, which is often the same as that of an earlier batch.
    """

    id: str
    seen: str
    edits: int
    fire_time: float
    queue: str | None
    members: str
    job_ids: Sequence[str]

    @classmethod
    def parse(cls, batch_id: str, record: str) -> "Batch":
        seen, _, members = record.partition("\n")
        _, edits, fire_time, queue = seen.split(" ")
        when, job_ids = float(fire_time), _read_members(members)
        return cls(batch_id, seen, int(edits), when, queue or None, members, job_ids)

    @property
    def run_ids(self) -> list[RunId]:
        return [RunId(job_id, self.fire_time) for job_id in self.job_ids]


@lru_cache(maxsize=64)
def _read_members(members: str) -> tuple[str, ...]:
    """Parse the list of jobs of a batch. The same jobs are often due together again."""
    return tuple(orjson.loads(members))


def write_line(fire_time: float, started_at: float, finished_at: float, worker: str) -> bytes:
    """Return the short record of all runs of a batch, which ended ok at the first attempt."""
    return orjson.dumps([iso_utc(fire_time), started_at, finished_at, worker])


def read_line(line: str, job_id: str = "") -> str:
    """Return the whole record of a line of the history, or of the newest runs of all jobs.

    A short record does not name its job. In the history the job is `job_id`. In the list of all
    jobs the job's id follows on a separate line. Any other line is returned as it is.
    """
    if not line.startswith('["'):
        return line
    short, _, own_job = line.partition("\n")
    try:
        return orjson.dumps(_expand(short, own_job or job_id)).decode()
    except (ValueError, TypeError):
        return line  # Another program has written it.


def read_rest(line: bytes) -> dict[str, Any]:
    """Return the whole record of a short one, without a job."""
    return _expand(line.decode(), "")


def _expand(short: str, job_id: str) -> dict[str, Any]:
    moment, started_at, finished_at, worker = _read_short(short)
    return {
        "run_id": f"{job_id}@{moment}",
        "scheduled_for": moment,
        "status": "ok",
        "reason": None,
        "attempt": 1,
        "started_at": started_at,
        "finished_at": finished_at,
        "worker": worker,
        "error": None,
    }


@lru_cache(maxsize=1024)
def _read_short(short: str) -> tuple[Any, ...]:
    """Parse a short record. The result is cached, because all runs of a batch have the same
    record."""
    return tuple(orjson.loads(short))
