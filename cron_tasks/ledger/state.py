"""The state of an open run. Pure.

It is stored as "<kind>|<attempt>|<flags>|<holder>" (in Lua: lua/state.lua), and each script changes
a run only if its state is still the text that was seen. transitions.py lists how states change.
"""

from collections.abc import Iterable
from enum import Enum
from functools import lru_cache
from typing import Any

#: The holder of a delegated run is this and the id of its Celery task.
_TASK = "task:"


class Kind(Enum):
    """The wait of an open run, or who has it."""

    #: Its message is on the way to a worker. The deadline is when the message may be lost.
    PENDING = "pending"
    #: It waits for a time: its next attempt, or its turn. The deadline is that time.
    WAITING = "waiting"
    #: It waits for the end of the run of its job that is going, which gives it the place.
    QUEUED = "queued"
    #: A worker has it. The deadline is the end of the worker's lease.
    RUNNING = "running"
    #: A Celery task does it. The deadline is the job's timeout, since nobody renews a lease.
    DELEGATED = "delegated"


class Flag(Enum):
    """A mark of a special run. No run with a flag is ever too late."""

    #: A person asked for it.
    BY_HAND = "h"
    #: It had ended, and a person asked for it once more.
    RERUN = "r"
    #: It was queued behind another run of its job.
    WAS_QUEUED = "q"
    #: It makes up for a fire time at which nothing ran, or belongs to a backfill. Such runs of a
    #: job go one after the other, whatever the overlap policy.
    IN_TURN = "c"


_KINDS = {"p": Kind.PENDING, "w": Kind.WAITING, "q": Kind.QUEUED, "r": Kind.RUNNING}
_LETTERS = {kind: letter for letter, kind in _KINDS.items()} | {Kind.DELEGATED: "r"}


class State(str):
    """The state of an open run, as the stored text that knows its parts.

    `attempt` is the attempt that is going or comes next, from 1 on. `holder` is the claim that has
    a running run ("<worker>#<number>") or the task that does a delegated one ("task:<id>"). Of a
    pending run it is how often its message was sent again, if it was.
    """

    __slots__ = ("attempt", "by_hand", "flags", "holder", "is_manual", "kind")
    kind: Kind
    attempt: int
    flags: frozenset[Flag]
    holder: str
    #: Whether a person asked for the run.
    by_hand: bool
    #: Whether the run belongs to no fire time of the schedule: a person asked for it, and it is not
    #: one that had ended.
    is_manual: bool

    def __new__(
        cls, kind: Kind, attempt: int = 1, flags: Iterable[Flag] = (), holder: str = ""
    ) -> "State":
        letters = "".join(flag.value for flag in flags)
        return cls.parse(f"{_LETTERS[kind]}|{attempt}|{letters}|{holder}")

    @staticmethod
    @lru_cache(maxsize=1024)
    def parse(text: str) -> "State":
        """Read a stored state. It is kept, since all runs of a batch have the same.

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
        """Return the state of this run once a Celery task does it."""
        kind_attempt_flags = self.split("|", 3)[:3]
        return State.parse("|".join([*kind_attempt_flags, _TASK + task_id]))

    @property
    def task_id(self) -> str | None:
        """The Celery task that does the run; None if none does."""
        return self.holder.removeprefix(_TASK) if self.kind is Kind.DELEGATED else None

    @property
    def sent_again(self) -> int:
        """How often the message of this pending run was sent again."""
        return int(self.holder or 0) if self.kind is Kind.PENDING else 0

    @property
    def in_flight(self) -> bool:
        """Whether somebody does the run: a worker, or a Celery task."""
        return self.kind in (Kind.RUNNING, Kind.DELEGATED)

    @property
    def may_be_late(self) -> bool:
        """Whether the run may begin however late it is: a further attempt, or one with a flag."""
        return self.attempt > 1 or bool(self.flags)

    @property
    def worker(self) -> str | None:
        """The worker that runs it; None if none does."""
        return self.holder.rpartition("#")[0] or None if self.kind is Kind.RUNNING else None

    def __reduce__(self) -> tuple[Any, ...]:
        return State.parse, (str(self),)
