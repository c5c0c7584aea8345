"""What goes into the ledger (ledger.py) and comes out of it; no Redis here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import orjson

from cron_tasks.ledger.day_count import count_one
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import Flag, State
from cron_tasks.schedules.durations import DAY

#: What the account keeps of a record, and how many characters of an error.
_ACCOUNTED = (
    *("run_id", "status", "reason", "attempt", "started_at", "finished_at", "worker", "error"),
    *("other", "until", "tried", "untold"),
)
_ERROR_ACCOUNTED = 120


def accounted(record: bytes, by_hand: bool = False) -> bytes:
    """Return what the account keeps of a record: no output, and only the last attempt.

    `began` is when the first attempt began, if there were several.
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
    """Split why a run should end, "<reason>|<run id of the other run>", of which the second part
    may be empty."""
    reason, _, other = why.partition("|")
    return reason, other or None


Status = Literal["ok", "failed", "skipped", "missed", "retry"]


@dataclass(slots=True)
class Message:
    """A notification and the queue that it goes to.

    With `only` it is told on a condition: "recovered" of the first success after failures, "5" of
    the first failure and then of every fifth in a row.
    """

    queue: str
    payload: bytes
    only: str = ""


#: In the place of messages about a failure or a recovery that were too old to be told: the ledger
#: tells nothing, and goes on as if the bot knew nothing of it.
KEPT_BACK = Message("", b"", "never")


@dataclass(slots=True)
class Advance:
    """One due entry: its next score, RedBeat meta, and the ticks that it puts into the ledger.

    `missed` is the record of the ticks that it passes over, and `told` the message about them.
    `skipped` are the ends of single ticks that somebody had skipped. With `in_turn` the ticks run
    one after the other, whatever the overlap policy.
    """

    key: str
    score: str
    next: float | None
    meta: str
    run_ids: Sequence[RunId] = ()
    job_id: str = ""
    missed: bytes = b""
    told: Message | None = None
    in_turn: bool = False
    skipped: "Sequence[Outcome]" = ()


@dataclass(frozen=True, slots=True)
class Overtaken:
    """The ticks of a job from `first` (a score, as text) up to `until` (seconds), which were due
    when a change of it came.

    `document` is that of the job as it was, `line` what the account says of the ticks.
    """

    job_id: str
    first: str
    until: float
    document: str
    line: str

    @classmethod
    def read(cls, answer: Sequence[str]) -> "list[Overtaken]":
        """Read what a script of the registry answers: five texts for each job."""
        rows = zip(*(answer[n::5] for n in range(5)), strict=True)
        return [cls(job, first, float(until), *rest) for job, first, until, *rest in rows]


@dataclass(slots=True)
class OpenRun:
    """An open tick: its state, its job's document ("" when the job is gone), and its failed
    attempts as JSON ("" for none)."""

    run_id: RunId
    state: State
    document: str
    trace: str

    @property
    def attempt(self) -> int:
        """The attempt that is going or comes next; 1 is the first."""
        return self.state.attempt

    @property
    def failures(self) -> list[dict[str, Any]]:
        """Its failed attempts so far."""
        return orjson.loads(self.trace) if self.trace else []

    @property
    def announced(self) -> dict[str, Any] | None:
        """Who was told that it will be tried again; None if nobody was.

        `queue`, `chat_id` and `job_name` of the message, with which its end is told in any case.
        """
        told = [each["announced"] for each in self.failures if "announced" in each]
        return told[-1] if told else None

    @property
    def by_hand(self) -> bool:
        """Whether a person asked for this run."""
        return Flag.BY_HAND in self.state.flags

    @property
    def is_rerun(self) -> bool:
        """Whether this run had ended before and is done again by hand."""
        return Flag.RERUN in self.state.flags


@dataclass(slots=True)
class Claim(OpenRun):
    """A tick that is ours: to run or, when there is a `verdict`, only to be concluded.

    The verdict is "<reason>|<run id of the other run>".
    """

    verdict: str = ""

    def handed_to(self, task_id: str) -> "Claim":
        """The same, held by a Celery task."""
        return replace(self, state=self.state.delegate(task_id))


@dataclass(slots=True)
class Overdue(OpenRun):
    """An open tick whose deadline has passed; `unwanted` says why it should end: "<reason>|…"."""

    unwanted: str = ""

    @property
    def stopped(self) -> bool:
        """Whether somebody wants it to end now; a pause, or that its job was removed, only keeps it
        from beginning again."""
        return self.unwanted not in ("", "paused|", "removed|")


@dataclass(slots=True)
class Outcome:
    """How an attempt ended: its record for the history, and what to tell.

    `state` is the state the tick was left in; one that has moved on since is left alone. A retry
    is due at `retry_at`, and its record is the trace: all failed attempts so far. `otherwise` gives
    how the run ends if the retry is unwanted, by the reason ("<reason>|<other run>").
    """

    run_id: RunId
    job_id: str
    state: State
    record: bytes
    messages: Sequence[Message] = field(default=())
    status: Status = "ok"
    retry_at: float | None = None
    otherwise: Callable[[str], "Outcome"] | None = None

    @property
    def tag(self) -> tuple[float | str, int | str, int | bytes | str]:
        """How the run is accounted for: a time, a day and a tally (account_for.lua).

        The time is when a retry is due, or the fire time. Only an ok run has a day, whose count it
        adds to; any other has a short record.
        """
        if self.retry_at is not None:
            return self.retry_at, "", ""
        when, by_hand = self.run_id.scheduled_for, Flag.BY_HAND in self.state.flags
        if self.status != "ok" or by_hand:
            return when, "", accounted(self.record, by_hand)
        return "", int(when // DAY), count_one(when)
