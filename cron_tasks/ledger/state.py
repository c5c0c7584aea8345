"""The state of an open run. Pure.

It is stored as "<kind>|<attempt>|<flags>|<holder>" (in Lua: lua/state.lua). Each script changes a
run only if its state is still the text that the caller saw. transitions.py lists how states change.
"""

from collections.abc import Iterable
from enum import Enum
from functools import lru_cache
from typing import Any

#: The holder of a delegated run: this prefix and the id of its Celery task.
_TASK = "task:"


class Kind(Enum):
    """The kind of an open run: what it waits for, or who runs it."""

    #: Pending: its message is on the way to a worker. The deadline is when the message may be lost.
    PENDING = "pending"
    #: Waiting for a time: its next attempt, or its turn. The deadline is that time.
    WAITING = "waiting"
    #: Queued until the in-flight run of its job ends and gives it the place.
    QUEUED = "queued"
    #: Running on a worker. The deadline is the end of the worker's lease.
    RUNNING = "running"
    #: Delegated to a Celery task. The deadline is the job's timeout, because nobody renews a lease.
    DELEGATED = "delegated"


class Flag(Enum):
    """A mark of a special run. A run with a flag is never too late."""

    #: Manual: a person asked for it.
    BY_HAND = "h"
    #: Rerun: it had ended before, and a person asked for it again.
    RERUN = "r"
    #: It was queued behind another run of its job.
    WAS_QUEUED = "q"
    #: Catch-up: it replaces a fire time at which nothing ran, or belongs to a backfill. Such runs
    #: of a job go one after the other, whatever the overlap policy.
    IN_TURN = "c"


_KINDS = {"p": Kind.PENDING, "w": Kind.WAITING, "q": Kind.QUEUED, "r": Kind.RUNNING}
_LETTERS = {kind: letter for letter, kind in _KINDS.items()} | {Kind.DELEGATED: "r"}


class State(str):
    """The state of an open run, as the stored text with attributes.

    `attempt` is the attempt that is in flight or comes next, from 1 on. `holder` is the claim of a
    running run ("<worker>#<number>") or the task of a delegated one ("task:<id>"). For a pending
    run it is the number of times that its message was sent again, if any.
    """

    __slots__ = ("attempt", "by_hand", "flags", "holder", "is_manual", "kind")
    kind: Kind
    attempt: int
    flags: frozenset[Flag]
    holder: str
    #: Whether a person asked for the run.
    by_hand: bool
    #: Whether the run has no fire time in the schedule: a person asked for it, and it is not a
    #: rerun.
    is_manual: bool

    def __new__(
        cls, kind: Kind, attempt: int = 1, flags: Iterable[Flag] = (), holder: str = ""
    ) -> "State":
        letters = "".join(flag.value for flag in flags)
        return cls.parse(f"{_LETTERS[kind]}|{attempt}|{letters}|{holder}")

    @staticmethod
    @lru_cache(maxsize=1024)
    def parse(text: str) -> "State":
        """Parse a stored state. The result is cached, because all runs of a batch have the same
        state.

        A flag that this version does not know is left out of `flags`. Raises ValueError.
        """
        letter, attempt, flags, holder = text.split("|", 3)
        if letter not in _KINDS:
            raise ValueError(f"{text!r} is not the state of a run")
        state = str.__new__(State, text)
        state.kind = _KINDS[letter]
        if state.kind is Kind.RUNNING and holder.startswith(_TASK):
            state.kind = Kind.DELEGATED
        state.attempt = int(attempt)
        state.flags = frozenset(flag for flag in Flag if flag.value in flags)
        state.by_hand = Flag.BY_HAND in state.flags
        state.is_manual = state.by_hand and Flag.RERUN not in state.flags
        state.holder = holder
        return state

    def delegate(self, task_id: str) -> "State":
        """Return the state of this run when a Celery task holds it."""
        kind_attempt_flags = self.split("|", 3)[:3]
        return State.parse("|".join([*kind_attempt_flags, _TASK + task_id]))

    @property
    def task_id(self) -> str | None:
        """The Celery task that holds the run. None if none does."""
        return self.holder.removeprefix(_TASK) if self.kind is Kind.DELEGATED else None

    @property
    def sent_again(self) -> int:
        """The number of times that the message of this pending run was sent again."""
        return int(self.holder or 0) if self.kind is Kind.PENDING else 0

    @property
    def in_flight(self) -> bool:
        """Whether a worker or a Celery task is performing the run."""
        return self.kind in (Kind.RUNNING, Kind.DELEGATED)

    @property
    def may_be_late(self) -> bool:
        """Whether the run may begin however late it is: a further attempt, or a run with a flag."""
        return self.attempt > 1 or bool(self.flags)

    @property
    def worker(self) -> str | None:
        """The worker that runs it. None if none does."""
        return self.holder.rpartition("#")[0] or None if self.kind is Kind.RUNNING else None

    def __reduce__(self) -> tuple[Any, ...]:
        return State.parse, (str(self),)
