"""What goes into the ledger (ledger.py) and comes out of it; no Redis here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import orjson

from cron_tasks.ledger.run_id import parse_run_id
from cron_tasks.schedules.durations import DAY

#: The holder of a run that a Celery task does begins with this (in Lua, too).
TASK = "task:"
#: One tick in the count of a day's ok ticks; below it is the sum of their checksums.
ONE_TICK = 10**13
#: Above the milliseconds of a day, and so low that those of 86,400 ticks stay below ONE_TICK. For
#: this prime, x to the power of _EXPONENT is another number for every x.
_PRIME = 86_400_047
_EXPONENT = 17
_INVERSE = pow(_EXPONENT, -1, _PRIME - 1)
#: What the account keeps of a record, and how many characters of an error.
_ACCOUNTED = (
    *("run_id", "status", "reason", "attempt", "started_at", "finished_at", "worker", "error"),
    *("other", "until", "tried", "untold"),
)
_ERROR_ACCOUNTED = 120


@lru_cache(maxsize=65536)
def checksum(milliseconds: int) -> int:
    """What a tick adds to the checksum of its day.

    Sums of times agree easily by chance (two ticks lost, the two between them doubled); those of
    these numbers do not.
    """
    return pow(milliseconds, _EXPONENT, _PRIME)


def milliseconds_of(checksum: int) -> int:
    """Return the milliseconds in the day that have this checksum."""
    return pow(checksum, _INVERSE, _PRIME)


def milliseconds(tick: float) -> int:
    """Return how many milliseconds after midnight (UTC) a tick is."""
    return int(tick % DAY * 1000 + 0.5)


def counted(tick: float) -> int:
    """Return what an ok tick adds to the count of its day."""
    return ONE_TICK + checksum(milliseconds(tick))


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


Status = Literal["ok", "failed", "skipped", "missed", "retry"]


class _State(NamedTuple):
    """What an open tick's state says (ledger.py)."""

    letter: str
    attempt: int
    flags: str
    holder: str


@lru_cache(maxsize=1024)
def _read(state: str) -> _State:
    """Kept, since all ticks of a chunk have the same."""
    letter, attempt, flags, holder = state.split("|", 3)
    return _State(letter, int(attempt), flags, holder)


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
    run_ids: Sequence[str] = ()
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
class Open:
    """An open tick: its state, its job's document ("" when the job is gone), and its failed
    attempts as JSON ("" for none)."""

    run_id: str
    state: str
    document: str
    trace: str

    @property
    def attempt(self) -> int:
        """The attempt that is going or comes next; 1 is the first."""
        return _read(self.state).attempt

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
    def may_be_late(self) -> bool:
        """Whether it begins late by right: a further attempt, asked for by hand, or queued."""
        state = _read(self.state)
        return state.attempt > 1 or state.flags != ""

    @property
    def by_hand(self) -> bool:
        """Whether a person asked for this run."""
        return "h" in _read(self.state).flags

    @property
    def repeated(self) -> bool:
        """Whether this run had ended before and is done again by hand."""
        return "r" in _read(self.state).flags

    @property
    def task_id(self) -> str | None:
        """The Celery task that the run was handed over to."""
        holder = _read(self.state).holder
        return holder.removeprefix(TASK) if holder.startswith(TASK) else None

    @property
    def worker(self) -> str | None:
        """The worker that runs it."""
        return None if self.task_id else _read(self.state).holder.rpartition("#")[0] or None


@dataclass(slots=True)
class Claim(Open):
    """A tick that is ours: to run or, when there is a `verdict`, only to be concluded.

    The verdict is "<reason>|<run id of the other run>".
    """

    verdict: str = ""

    def handed_to(self, task_id: str) -> "Claim":
        """The same, held by a Celery task."""
        return replace(self, state="|".join([*self.state.split("|", 3)[:3], TASK + task_id]))


@dataclass(slots=True)
class Overdue(Open):
    """An open tick whose deadline has passed; `unwanted` says why it should end: "<reason>|…"."""

    unwanted: str = ""

    @property
    def sent_again(self) -> int:
        """How often the message of this pending tick was sent again."""
        state = _read(self.state)
        return int(state.holder or 0) if state.letter == "p" else 0

    @property
    def running(self) -> bool:
        return self.state.startswith("r")

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

    run_id: str
    job_id: str
    state: str
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
        _, when = parse_run_id(self.run_id) or ("", 0.0)
        by_hand = "h" in _read(self.state).flags
        if self.status != "ok" or by_hand:
            return when, "", accounted(self.record, by_hand)
        return "", int(when // DAY), counted(when)
