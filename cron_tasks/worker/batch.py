"""Ticks that share a message and run one after the other, for as long as none takes long."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from threading import Thread

from kombu.exceptions import OperationalError

from cron_tasks.ledger.run_id import RunId
from cron_tasks.store.leases import LOOK_EVERY, renewed

#: A run that takes longer than this many seconds has those behind it sent to any free slot,
HOLD = 2.0
#: and so have all together, since a worker that is told to stop waits for them.
MOST = 5.0


def run_in_turn(
    ticks: Sequence[RunId],
    run: Callable[[Sequence[RunId]], dict[str, str]],
    send_alone: Callable[[RunId], None],
) -> dict[str, str]:
    """Run `ticks` in turn; what became by run id of those that were not sent on."""
    results, waiting = dict[str, str](), deque(ticks)
    begun = first = time.monotonic()

    def look() -> None:
        if waiting and time.monotonic() > min(begun + HOLD, first + MOST):
            # Leases are renewed by the thread that looks: a slow broker must not hold it up.
            Thread(target=_send_rest, args=(waiting, send_alone), daemon=True).start()

    with renewed(look, LOOK_EVERY):
        while tick := _take_next(waiting):
            begun = time.monotonic()
            results |= run([tick])
    return results


def _send_rest(waiting: deque[RunId], send_alone: Callable[[RunId], None]) -> None:
    while tick := _take_next(waiting):
        try:
            send_alone(tick)
        except OperationalError:
            return  # A hint that got lost, which the sweep sends again; the others run here.


def _take_next(waiting: deque[RunId]) -> RunId | None:
    try:
        return waiting.popleft()
    except IndexError:
        return None
