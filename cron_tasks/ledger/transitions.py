"""The table of state changes of a run, one row for each. Pure.

`step` is a method of `Ledger` and the script of that name. Each script changes a run only if its
state is still the one that the caller saw, so no crash and no second caller can split or repeat a
step. `renew`, `stop` and `overdue` change no state. tests/test_transitions.py makes each row
happen, and runs the scripts at random to check that they make no other change.
"""

from dataclasses import dataclass
from typing import Final, Literal

from cron_tasks.ledger.state import Kind

PENDING, WAITING, QUEUED = Kind.PENDING, Kind.WAITING, Kind.QUEUED
RUNNING, DELEGATED = Kind.RUNNING, Kind.DELEGATED
#: A member of a batch (batch.py). It has no separate state, and counts as pending for its readers.
BATCHED: Final = "batched"


@dataclass(frozen=True, slots=True)
class Transition:
    """A change from one kind of state to another. None is a run that is not open."""

    before: Kind | Literal["batched"] | None
    step: str
    after: Kind | Literal["batched"] | None
    when: str


TRANSITIONS = (
    Transition(None, "advance", PENDING, "its fire time has come"),
    Transition(None, "advance_batch", BATCHED, "its fire time has come, and it is plain"),
    Transition(None, "open", PENDING, "a person asked for it, or a backfill"),
    Transition(
        BATCHED, "conclude", None, "its batch reached a worker, which wrote its notification"
    ),
    Transition(
        BATCHED, "conclude", PENDING, "its job was edited, paused or removed, or had failed"
    ),
    Transition(
        BATCHED, "take_out", PENDING, "it is late, its message was lost, or it is wanted alone"
    ),
    Transition(PENDING, "claim", RUNNING, "its message reached a worker, and it may begin"),
    Transition(PENDING, "claim", QUEUED, "another run of its job is going"),
    Transition(PENDING, "claim", WAITING, "an earlier run of its job has to begin first"),
    Transition(RUNNING, "claim", QUEUED, "the claim was repeated; meanwhile its turn changed"),
    Transition(RUNNING, "claim", WAITING, "the claim was repeated; meanwhile its turn changed"),
    Transition(RUNNING, "hand_over", DELEGATED, "its action is a Celery task"),
    Transition(RUNNING, "finish", None, "its attempt ended, and no other one follows"),
    Transition(RUNNING, "finish", WAITING, "its attempt failed, and another one follows"),
    Transition(DELEGATED, "finish", None, "its task ended, or took too long"),
    Transition(DELEGATED, "finish", WAITING, "its task failed, and another attempt follows"),
    Transition(PENDING, "finish", None, "it was too late, cancelled, or its job was removed"),
    Transition(WAITING, "finish", None, "it was cancelled, or its job was paused or removed"),
    Transition(QUEUED, "finish", None, "it was cancelled or replaced, or its job was removed"),
    Transition(QUEUED, "finish", WAITING, "the run that it was queued behind ended"),
    Transition(PENDING, "hand_back", PENDING, "its message was lost, and is sent again"),
    Transition(WAITING, "hand_back", PENDING, "its time has come, and its message is sent"),
    Transition(QUEUED, "hand_back", PENDING, "it was queued for long: its claim looks again"),
    Transition(RUNNING, "hand_back", PENDING, "its worker died, or did not begin it"),
)
