"""A `celery` process that dies at a named instant: `python -m chaos.victim INSTANT NTH celery …`.

The code that runs is the product's; only a call of the step is watched, and at the NTH one the
whole process group gets SIGKILL, before or after the step.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from celery.__main__ import main

from cron_tasks.ledger import Ledger
from cron_tasks.publisher import Publisher

#: Name of the instant: class and method watched, and whether death comes before or after it.
INSTANTS: dict[str, tuple[type, str, str]] = {
    "before advance": (Ledger, "advance", "before"),
    "between advance and publish": (Ledger, "advance", "after"),
    "after publish": (Publisher, "ticks", "after"),
    "between publish and claim": (Ledger, "claim", "before"),
    "between claim and act": (Ledger, "claim", "after"),
    "between act and finish": (Ledger, "finish", "before"),
    "after finish": (Ledger, "finish", "after"),
}
BEAT_INSTANTS = ("before advance", "between advance and publish", "after publish")
WORKER_INSTANTS = tuple(name for name in INSTANTS if name not in BEAT_INSTANTS)


def die() -> None:
    os.killpg(0, signal.SIGKILL)


def watch(owner: type, method: str, moment: str, nth: int) -> None:
    step: Callable[..., Any] = getattr(owner, method)
    calls = 0

    def watched(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        # A sweep that has nothing to close, or a page without ticks, is no instant worth dying at.
        if args[-1]:
            calls += 1
        if calls == nth and moment == "before":
            die()
        result = step(*args, **kwargs)
        if calls == nth and moment == "after":
            die()
        return result

    setattr(owner, method, watched)


if __name__ == "__main__":
    owner, method, moment = INSTANTS[sys.argv[1]]
    watch(owner, method, moment, int(sys.argv[2]))
    sys.argv = sys.argv[3:]
    main()
