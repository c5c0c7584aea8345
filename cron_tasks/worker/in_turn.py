"""Performs runs that share a message one after the other, as long as none takes long."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from threading import Thread

from kombu.exceptions import OperationalError

from cron_tasks.ledger.run_id import RunId
from cron_tasks.store.leases import LOOK_EVERY, keep_calling

#: If a run takes longer than this many seconds, the following ones are sent to any free slot.
HOLD = 2.0
#: The same if all together take this long, because a worker that stops waits for its message.
MOST = 5.0


def run_in_turn(
    ticks: Sequence[RunId],
    run: Callable[[Sequence[RunId]], dict[str, str]],
    send_alone: Callable[[RunId], None],
) -> dict[str, str]:
    """Run `ticks` in turn. Return the outcomes of those that were not sent elsewhere, by run id."""
    results, waiting = dict[str, str](), deque(ticks)
    begun = first = time.monotonic()

    def look() -> None:
        if waiting and time.monotonic() > min(begun + HOLD, first + MOST):
            # This thread also renews leases, and a slow broker must not delay it.
            Thread(target=_send_rest, args=(waiting, send_alone), daemon=True).start()

    with keep_calling(look, LOOK_EVERY):
        while tick := _take_next(waiting):
            begun = time.monotonic()
            results |= run([tick])
    return results


def _send_rest(waiting: deque[RunId], send_alone: Callable[[RunId], None]) -> None:
    while tick := _take_next(waiting):
        try:
            send_alone(tick)
        except OperationalError:
            return  # The sweep sends the lost message again. The other ticks run here.


def _take_next(waiting: deque[RunId]) -> RunId | None:
    try:
        return waiting.popleft()
    except IndexError:
        return None
