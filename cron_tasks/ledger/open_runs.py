"""Read one open run, whether it is in a batch or not."""

from collections.abc import Sequence

from redis import Redis

from cron_tasks.ledger.batches import read_batched
from cron_tasks.ledger.readable import parse_each
from cron_tasks.ledger.records import Overdue
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import State
from cron_tasks.store import keys


def parse_open(field: Sequence[str]) -> tuple[RunId, State]:
    """Parse a run in `cron_tasks:open`, and its state. Raises ValueError."""
    run_id, state = field
    return RunId.stored(run_id), State.parse(state)


def parse_overdue(row: Sequence[str]) -> Overdue:
    """Parse a row of the script `overdue`. Raises ValueError."""
    return Overdue(*parse_open(row[:2]), *row[2:])


def read_open_run(redis: Redis, run_id: RunId) -> Overdue | None:
    """Return an open run as it is now, with its cancel reason.

    None if it is not open, or if another program has written its state.
    """
    with redis.pipeline(transaction=False) as pipe:
        pipe.hget(keys.OPEN, run_id)
        pipe.hget(keys.entry_key(run_id.job_id), "job")
        pipe.hget(keys.ATTEMPTS, run_id)
        pipe.hget(keys.STOP, run_id)
        state, document, trace, unwanted = pipe.execute(raise_on_error=False)
    if isinstance(state, Exception):
        raise state
    document = document if isinstance(document, str) else ""
    # It may leave its batch between the two reads.
    batched = read_batched(redis, run_id.job_id) if state is None else {}
    state = state or batched.get(run_id) or redis.hget(keys.OPEN, run_id)
    if not state:
        return None
    row: Sequence[str] = (run_id, str(state), document, trace or "", unwanted or "")
    return next(parse_each(parse_overdue, [row]), None)
