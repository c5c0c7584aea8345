"""Ask the workers for their queues and tasks."""

from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from cron_tasks.store import keys

#: Seconds to wait for a worker that has given a sign of life.
PATIENCE = 2.0
#: Seconds to wait for the next answer of unknown workers, such as those of other apps.
SURPRISE = 0.2


class Worker(NamedTuple):
    """A Celery worker on our broker. `is_ours` is whether it has our tasks."""

    name: str
    queues: frozenset[str]
    is_ours: bool


def ask_workers(present: Sequence[str], needed: Callable[[], Collection[str]]) -> list[Worker]:
    """Return all workers on the broker. `present` are the names of our workers that are alive.

    Celery cannot know how many workers will answer a broadcast, so it waits until no answer has
    come for a while. The workers that are present are asked by name, which ends with the last
    answer. So a healthy system answers quickly, and a slow worker still gets its time. If none is
    present, or nobody consumes one of the queues that `needed` returns, all workers are asked with
    a longer wait.
    """
    if present:
        workers = _ask_once(present, SURPRISE)
        if set(needed()) <= {queue for worker in workers for queue in worker.queues}:
            return workers
    return _ask_once(present, PATIENCE)


def _ask_once(present: Sequence[str], surprise: float) -> list[Worker]:
    from cron_tasks.celery import app

    inspect = app.control.inspect
    with ThreadPoolExecutor(3, "ask") as threads:
        queues = threads.submit(inspect(timeout=surprise).active_queues)
        tasks = threads.submit(inspect(timeout=surprise).registered)
        by_name = inspect(list(present), timeout=PATIENCE)
        ours = threads.submit(by_name.active_queues) if present else None
        consumed: dict[str, Any] = dict(queues.result() or {})
        consumed |= (ours.result() or {}) if ours else {}
        registered: dict[str, Any] = tasks.result() or {}
    return [
        Worker(
            name,
            frozenset(queue["name"] for queue in found or ()),
            name in present or _has_our_tasks(registered.get(name)),
        )
        for name, found in sorted(consumed.items())
    ]


def _has_our_tasks(tasks: Iterable[str] | None) -> bool:
    """Return whether our task is registered. Assume so for a worker that did not answer."""
    # Celery shows a task with a rate limit as `name [rate_limit=…]`.
    return tasks is None or keys.RUN_TASK in {task.partition(" ")[0] for task in tasks}
