"""Handles runs whose deadline has passed: a lost message, a dead worker, a backlog.

A pending run is sent again only if its queue is empty. As long as messages wait there, workers are
slow or gone, and more messages would not help.
"""

from collections.abc import Callable, Sequence

import structlog

from cron_tasks.ledger.counting import count_lost_delivery
from cron_tasks.ledger.ledger import Ledger
from cron_tasks.ledger.records import Overdue
from cron_tasks.ledger.state import Kind
from cron_tasks.ledger.tick import Due
from cron_tasks.runs.overdue import Decisions, decide_overdue
from cron_tasks.settings import Settings

log = structlog.get_logger("cron_tasks.beat")

#: Overdue runs that are handled in one go.
PAGE = 500


def sweep_overdue(
    ledger: Ledger,
    now: float,
    settings: Settings,
    count_waiting: Callable[[str | None], int],
    publish: Callable[[Sequence[Due]], None],
    revoke: Callable[[Sequence[str]], None],
    spares_leases: bool = False,
) -> bool:
    """Handle one page of overdue runs. Return whether there may be more.

    `count_waiting` returns how many messages wait in a queue (None: the default one), `publish`
    sends messages for runs, and `revoke` ends Celery tasks by their ids. If Redis was away,
    `spares_leases` gives the holders of expired leases the time to finish or renew.
    """
    _sweep_batches(ledger, now, settings.misfire_grace, count_waiting)
    page = ledger.overdue(now, PAGE)
    is_full = len(page) == PAGE
    if spares_leases:
        page = _spare_leases(ledger, page, now)
    if not page:
        return is_full
    delegated = _await_outcomes(page, count_waiting, revoke)
    for tick in delegated:
        ledger.renew(tick.state.holder, now, [tick.run_id])
    decisions = decide_overdue([tick for tick in page if tick not in delegated], now, settings)
    queues = {tick.options.get("queue") for tick in decisions.lost}
    idle = {queue for queue in queues if not count_waiting(queue)}
    lost = [tick for tick in decisions.lost if tick.options.get("queue") in idle]
    decisions.close += [end for tick in lost if (end := decisions.discarded.get(tick.run_id))]
    lost = [tick for tick in lost if tick.run_id not in decisions.discarded]
    ledger.finish(now, decisions.close)
    closed = {outcome.run_id for outcome in decisions.close}
    again = {run_id: state for run_id, state in decisions.again if run_id not in closed}
    sent = [(tick.run_id, again.pop(tick.run_id)) for tick in lost if tick.run_id in again]
    ledger.hand_back(now, list(again.items()))
    # Only notifications are delivered again (runs/overdue.py).
    lost_one = count_lost_delivery("notify")
    ledger.hand_back(now, decisions.further_attempt, attempt_more=True, counts=lost_one)
    publish([*decisions.due, *lost])
    # Counted after sending, because a message that could not be sent was not discarded.
    ledger.hand_back(now, sent, sent_again=True)
    _note(ledger, decisions, len(lost))
    return is_full


def _spare_leases(ledger: Ledger, page: Sequence[Overdue], now: float) -> list[Overdue]:
    """Extend expired leases, and return the other overdue runs."""
    held = [tick for tick in page if tick.state.kind is Kind.RUNNING]
    ledger.renew_leases(now, [(tick.run_id, tick.state.holder) for tick in held])
    return [tick for tick in page if tick.state.kind is not Kind.RUNNING]


def _sweep_batches(
    ledger: Ledger, now: float, grace: float, count_waiting: Callable[[str | None], int]
) -> None:
    """Turn overdue batches into single runs, if they are too late or their message was lost."""
    for batch in ledger.overdue_batches(now):
        if now - batch.fire_time > grace or not count_waiting(batch.queue):
            ledger.take_out(batch.run_ids)
        else:
            ledger.wait_for(batch, now)


def _await_outcomes(
    page: Sequence[Overdue],
    count_waiting: Callable[[str | None], int],
    revoke: Callable[[Sequence[str]], None],
) -> list[Overdue]:
    """End the tasks of overdue delegated runs. Return the runs whose outcome may wait in our
    queue."""
    task_ids = [task_id for tick in page if (task_id := tick.state.task_id)]
    if not task_ids:
        return []
    revoke(task_ids)
    if not count_waiting(None):
        return []
    return [tick for tick in page if tick.state.kind is Kind.DELEGATED and not tick.stopped]


def _note(ledger: Ledger, decisions: Decisions, sent_again: int) -> None:
    """Log and count the handled runs. Due retries are not worth a warning."""
    closed = {outcome.run_id for outcome in decisions.close}
    about = {
        "closed": len(decisions.close),
        "sent_again": sent_again,
        "left_waiting": sum(tick.run_id not in closed for tick in decisions.lost) - sent_again,
        "worker_died": len(decisions.further_attempt),
    }
    if any(about.values()):
        write = log.warning if decisions.close or decisions.further_attempt else log.info
        write("sweep.done", **about)
        counted = ("closed", "sent_again", "worker_died")
        ledger.add_to_counters(
            {f"sweeps_total|{done}": about[done] for done in counted if about[done]}
        )
