"""A `celery` process that dies at a named instant: `python -m chaos.victim INSTANT NTH celery …`.

The process runs the product's code. Only a call of the step is watched, and at the NTH one the
whole process group gets SIGKILL, before or after the step.
"""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from celery.__main__ import main

from cron_tasks.beat.publisher import Publisher
from cron_tasks.ledger.ledger import Ledger
from cron_tasks.worker.runner import Runner


def _anything(args: Any, _result: Any) -> bool:
    """Return whether a step did something. A sweep without runs, or a page without ticks, is not
    counted."""
    return bool(args[-1])


def _slow_run(args: Any, _result: Any) -> bool:
    return any(outcome.run_id.startswith("http") for outcome in args[-1])


def _to_be_retried(args: Any, _result: Any) -> bool:
    return any(outcome.status == "retry" for outcome in args[-1])


def _retry_due(args: Any, _result: Any) -> bool:
    return any(state.startswith("w") for _, state in args[2])


def _queued(args: Any, result: Any) -> bool:
    waits = "queue", "replace"
    return not result and any(job.endswith(waits) for _, job in args[-1])


def _another_queued(args: Any, _result: Any) -> bool:
    ledger, *_, outcomes = args
    queued = ledger.redis.hvals("cron_tasks:queued")
    return any(run.startswith(f"{outcome.job_id}@") for outcome in outcomes for run in queued)


@dataclass(frozen=True)
class Instant:
    """A step before or after which a process dies. Only after it there is a result."""

    owner: type
    method: str
    moment: str
    worth: Callable[[Any, Any], bool] = _anything


INSTANTS = {
    "before advance": Instant(Ledger, "advance", "before"),
    "between advance and publish": Instant(Ledger, "advance", "after"),
    "after publish": Instant(Publisher, "send_ticks", "after"),
    "between a batch and its publish": Instant(Ledger, "advance_batch", "after"),
    "between a retry's turn and its publish": Instant(Ledger, "hand_back", "after", _retry_due),
    "between publish and claim": Instant(Ledger, "claim", "before"),
    "between claim and act": Instant(Ledger, "claim", "after"),
    "between act and finish": Instant(Ledger, "finish", "before"),
    "after finish": Instant(Ledger, "finish", "after"),
    "before a batch is concluded": Instant(Ledger, "conclude", "before"),
    "after a batch is concluded": Instant(Ledger, "conclude", "after"),
    "between act and finish of a slow run": Instant(Ledger, "finish", "before", _slow_run),
    "after finish with retry": Instant(Ledger, "finish", "after", _to_be_retried),
    "after it queued a run": Instant(Ledger, "claim", "after", _queued),
    "before it makes room for a queued run": Instant(Ledger, "finish", "before", _another_queued),
    "between hand-over and send": Instant(Ledger, "hand_over", "after"),
    "between a task's end and its run's": Instant(Runner, "end", "before"),
}
BEAT_INSTANTS = tuple(INSTANTS)[:5]
WORKER_INSTANTS = tuple(INSTANTS)[5:]
#: The rare instants.
RARE = ("between a retry's turn and its publish", *tuple(INSTANTS)[11:])


def die() -> None:
    os.killpg(0, signal.SIGKILL)


def watch(instant: Instant, nth: int) -> None:
    step: Callable[..., Any] = getattr(instant.owner, instant.method)
    calls = 0

    def counted(args: Any, result: Any) -> None:
        nonlocal calls
        calls += instant.worth(args, result)
        if calls == nth:
            die()

    def watched(*args: Any, **kwargs: Any) -> Any:
        if instant.moment == "before":
            counted(args, None)
        result = step(*args, **kwargs)
        if instant.moment == "after":
            counted(args, result)
        return result

    setattr(instant.owner, instant.method, watched)


if __name__ == "__main__":
    watch(INSTANTS[sys.argv[1]], int(sys.argv[2]))
    sys.argv = sys.argv[3:]
    main()
