"""Values that go into the ledger (ledger.py) and come out of it. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import orjson

from cron_tasks.ledger.day_count import count_one
from cron_tasks.ledger.minutes import Brief
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import Flag, State
from cron_tasks.schedules.durations import DAY

#: The fields of a record that the account keeps, and the maximum length of its error.
_ACCOUNTED = (
    *("run_id", "status", "reason", "attempt", "started_at", "finished_at", "worker", "error"),
    *("other", "until", "tried", "untold"),
)
_ERROR_ACCOUNTED = 120


def shorten_record(record: bytes, by_hand: bool = False) -> bytes:
    """Return the part of a record that the account keeps: no output, and only the last attempt.

    If there were several attempts, `began` is the start of the first one.
    """
    try:
        full = orjson.loads(record)
    except orjson.JSONDecodeError:
        return record
    if not isinstance(full, dict):
        return record
    short = {name: full[name] for name in _ACCOUNTED if name in full}
    if isinstance(short.get("error"), str):
        short["error"] = short["error"][:_ERROR_ACCOUNTED]
    if full.get("attempts"):
        short["began"] = full["attempts"][0]["started_at"]
    if by_hand:
        short["by_hand"] = True
    return orjson.dumps(short)


def split_reason(why: str) -> tuple[str, str | None]:
    """Split a cancel reason, "<reason>|<run id>". The run id is that of the blocking run, or
    None."""
    reason, _, other = why.partition("|")
    return reason, other or None


Status = Literal["ok", "failed", "skipped", "missed", "retry"]


@dataclass(slots=True)
class Message:
    """A notification, and its queue.

    It may have a `condition`: "recovered" sends it for the first success after failures, "5" for
    the first failure and then for every fifth in a row.
    """

    queue: str
    payload: bytes
    condition: str = ""


#: Replaces notifications about a failure or a recovery that are too old. The ledger sends nothing,
#: and counts failures as if the chat did not know of this one.
SUPPRESSED: tuple[Message, ...] = (Message("", b"", "never"),)


@dataclass(slots=True)
class Advance:
    """A due entry: its next score, its RedBeat meta, and the runs that it opens.

    `missed` is the record of its missed fire times, and `message` the notification about them. They
    begin at `missed_from` (seconds since the epoch), or at the score if that is None, and add
    `missed_counts` to the counters. `skipped` are the outcomes of single fire times that a person
    had skipped. With `in_turn` the runs go one after the other, whatever the overlap policy.
    `expect_within` is the time in seconds within which a run should end after its fire time, None
    without a limit.
    """

    key: str
    score: str
    next: float | None
    meta: str
    run_ids: Sequence[RunId] = ()
    job_id: str = ""
    missed: bytes = b""
    message: Message | None = None
    in_turn: bool = False
    skipped: "Sequence[Outcome]" = ()
    missed_from: float | None = None
    expect_within: float | None = None
    missed_counts: str = ""


@dataclass(frozen=True, slots=True)
class Overtaken:
    """The fire times of a job that were due when the job was changed, and had not fired.

    They last from `first` (a score, as text) to `until` (seconds since the epoch). `document` is
    the job before the change, and `line` the record of these fire times in the account. `counted`
    of them are in the counters already.
    """

    job_id: str
    first: str
    until: float
    document: str
    line: str
    counted: int

    @classmethod
    def parse_rows(cls, rows: Sequence[Sequence[str]]) -> "list[Overtaken]":
        """Parse the rows that a script of the registry returns (supersede.lua)."""
        return [
            cls(job_id, first, float(until), document, line, int(counted))
            for job_id, first, until, document, line, counted in rows
        ]


@dataclass(slots=True)
class OpenRun:
    """An open run: its state, the document of its job, and its failed attempts as JSON.

    The document is "" if the job was removed. The failed attempts are "" if there are none.
    """

    run_id: RunId
    state: State
    document: str
    trace: str

    @property
    def attempt(self) -> int:
        """The attempt that is in flight or comes next. The first one is 1."""
        return self.state.attempt

    @property
    def failures(self) -> list[dict[str, Any]]:
        """The failed attempts so far."""
        return orjson.loads(self.trace) if self.trace else []

    @property
    def announced(self) -> dict[str, Any] | None:
        """The recipient of a notification that promised a retry; None if there was none.

        It has the keys `queue`, `chat_id` and `job_name`. The end of the run is sent to it in any
        case.
        """
        told = [each["announced"] for each in self.failures if "announced" in each]
        return told[-1] if told else None

    @property
    def by_hand(self) -> bool:
        """Whether a person asked for the run."""
        return self.state.by_hand

    @property
    def is_rerun(self) -> bool:
        """Whether the run had ended before, and a person asked for a rerun."""
        return Flag.RERUN in self.state.flags


@dataclass(slots=True)
class Claim(OpenRun):
    """A run that a holder has claimed. With a `verdict` it must not begin, and is only concluded.

    The verdict is "<reason>|<run id of the blocking run>".
    """

    verdict: str = ""

    def handed_to(self, task_id: str) -> "Claim":
        """Return the same run with a Celery task as its holder."""
        return replace(self, state=self.state.delegate(task_id))


@dataclass(slots=True)
class Overdue(OpenRun):
    """An open run whose deadline has passed. `unwanted` is the cancel reason, or ""."""

    unwanted: str = ""

    @property
    def stopped(self) -> bool:
        """Whether somebody wants the run to end now.

        A pause, or the removal of its job, only keeps it from beginning again.
        """
        return self.unwanted not in ("", "paused|", "removed|")


@dataclass(slots=True)
class Outcome:
    """The outcome of an attempt: the record for the history, and the notifications.

    The outcome is used only if the run is still in `state`, which it had in the attempt. If the
    status is "retry", the next attempt is due at `retry_at` and the record is the failed attempts
    so far, as JSON. Then `otherwise` returns the outcome in case the retry is not wanted, for a
    cancel reason. `counts` are the additions to the counters, if more is known than the status.
    `pings` are for the job's `heartbeat_url`. An ordinary run of a quick job has a `brief`, which
    replaces the record in the history.
    """

    run_id: RunId
    job_id: str
    state: State
    record: bytes
    messages: Sequence[Message] = field(default=())
    status: Status = "ok"
    retry_at: float | None = None
    otherwise: Callable[[str], "Outcome"] | None = None
    counts: str = ""
    pings: Sequence[bytes] = ()
    brief: Brief | None = None

    @property
    def tag(self) -> tuple[float | str, int | str, int | bytes | str]:
        """How the run is accounted for: a time, a day and a tally (account_for.lua).

        The time is when a retry is due, or the fire time. Only an ok run has a day, and is added to
        the count of that day. Any other run has a short record.
        """
        if self.retry_at is not None:
            return self.retry_at, "", ""
        when, by_hand = self.run_id.scheduled_for, self.state.by_hand
        if self.status != "ok" or by_hand:
            return when, "", shorten_record(self.record, by_hand)
        return "", int(when // DAY), count_one(when)
