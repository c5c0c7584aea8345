"""Choose which jobs `jobs list` shows, and their order. Pure."""

import json
from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from cron_tasks.registry.registry import RegisteredJob
from cron_tasks.text.display import sort_key

#: A job with the record of its last run, if it has one.
Listed = tuple[RegisteredJob, str | None]


def is_found(listed: Listed, text: str) -> bool:
    """Return whether the id or the name of a job contains `text`, in any case."""
    job, wanted = listed[0].job, text.casefold()
    return wanted in job.id.casefold() or wanted in job.name.casefold()


def _by_next(listed: Listed) -> float:
    """Sort by the next fire time, the soonest first. Jobs without one come last."""
    job = listed[0]
    return inf if job.next is None or job.paused or not job.job.enabled else job.next


def _by_last(listed: Listed) -> float:
    """Sort by the end of the last run, the latest first. Jobs that never ran come last."""
    record = listed[1]
    return -json.loads(record)["finished_at"] if record else inf


#: By the name of an order: its key. Jobs with the same key are in the order of their ids.
_KEYS: Mapping[str, Callable[[Listed], Any]] = {
    "id": lambda listed: sort_key(listed[0].job.id),
    "name": lambda listed: listed[0].job.name.casefold(),
    "next": _by_next,
    "last": _by_last,
}
ORDERS = tuple(_KEYS)


def choose_key(order: str) -> Callable[[Listed], Any]:
    """Return the key by which `sorted` puts jobs in one of ORDERS."""
    key = _KEYS[order]
    return lambda listed: (key(listed), sort_key(listed[0].job.id))
