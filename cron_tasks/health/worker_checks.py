"""Check the workers and their queues."""

from contextlib import suppress
from datetime import datetime
from typing import Any

import orjson

from cron_tasks.broker.depth import QUEUE_FULL, Backlog, read_backlogs
from cron_tasks.health.needs import name_jobs
from cron_tasks.health.system import Result, System
from cron_tasks.ledger.run_id import RunId
from cron_tasks.schedules.human import format_duration
from cron_tasks.store import keys
from cron_tasks.text.display import printable
from cron_tasks.text.english import number_of
from cron_tasks.vitals.judgement import LATE


def check_workers(system: System) -> Result:
    ours = [worker for worker in system.workers if worker.is_ours]
    if not ours:
        return Result(False, "No worker is running")
    consumed = system.queues_of_our_workers
    default, count = system.settings.default_queue, len(ours)
    running = f"{number_of(count, 'worker')} {'is' if count == 1 else 'are'} running"
    queues = ", ".join(sorted(consumed)) or "none"
    if default not in consumed:
        return Result(False, f"{running}, but none consumes {default}; queues: {queues}")
    return Result(True, f"{running}; queues: {queues}")


def check_job_queues(system: System) -> Result:
    """Find queues of jobs that none of our workers consumes, so that these jobs never run."""
    unread = system.needs.run_queues.keys() - system.queues_of_our_workers
    if not unread:
        return Result(True, "Each job's queue has a worker")
    texts = (f"{each} of {name_jobs(system.needs.run_queues[each])}" for each in sorted(unread))
    start = f"Start a worker with `celery -A cron_tasks worker -Q {','.join(sorted(unread))}`"
    return Result(False, "No worker consumes " + "; ".join(texts), start)


def check_task_queues(system: System) -> Result:
    """Find queues of the tasks that jobs call that no worker of any app consumes."""
    consumed = {queue for worker in system.workers for queue in worker.queues}
    unread = sorted(system.needs.task_queues.keys() - consumed)
    if not unread:
        return Result(True, "Each queue of a task has a worker")
    texts = (f"{each}, the tasks of {name_jobs(system.needs.task_queues[each])}" for each in unread)
    return Result(False, "No worker consumes " + "; ".join(texts))


def check_foreign_workers(system: System) -> Result:
    """Find workers of other apps that take messages of our runs, and discard them."""
    our_queues = {system.settings.default_queue, *system.needs.run_queues}
    texts = [
        f"{printable(worker.name, 100)} consumes {', '.join(sorted(taken))} but lacks our tasks"
        for worker in system.workers
        if not worker.is_ours and (taken := worker.queues & our_queues)
    ]
    return Result(not texts, "; ".join(texts) or "No foreign worker consumes our queues")


def check_waiting(system: System) -> Result:
    """Count the messages in each queue that workers consume or jobs use."""
    consumed = {queue for worker in system.workers for queue in worker.queues}
    if system.settings.default_queue in consumed:
        consumed.add(keys.SYNC_QUEUE)  # by the same workers, beside their pool
    names = consumed | {keys.SYNC_QUEUE} | system.needs.worker_queues(system.settings)
    is_well, texts = True, []
    for name, backlog in sorted(read_backlogs(system.redis, names).items()):
        age = _age_of_oldest(backlog, system)
        if backlog.length:
            since = f", the oldest for {format_duration(age)}" if age is not None else ""
            texts.append(f"{number_of(backlog.length, 'message')} in {name}{since}")
            is_stuck = name not in consumed or backlog.length > QUEUE_FULL
            is_well &= not is_stuck and (age or 0.0) <= LATE
    return Result(is_well, "; ".join(texts) or "No messages waiting")


def _age_of_oldest(backlog: Backlog, system: System) -> float | None:
    """Return the seconds since the oldest message was due, None if no message shows its time."""
    every = system.settings.sync_interval
    times = [at for text in backlog.oldest if (at := _time_of(text, every)) is not None]
    return max(system.now - min(times), 0.0) if times else None


def _time_of(text: str, sync_interval: float) -> float | None:
    """Return when a message was due, in seconds since the epoch.

    Celery's messages hold no time of their own. Ours name a run, and thereby its fire time, or
    expire `sync_interval` after they were sent.
    """
    with suppress(ValueError, LookupError, TypeError, AttributeError):
        headers: dict[str, Any] = orjson.loads(text)["headers"]
        match headers["task"]:
            case keys.RUN_TASK:
                run_id = RunId.parse(headers["id"])
            case keys.CHUNK_TASK:
                run_id = RunId.parse(headers["argsrepr"].rpartition(" ")[2].rstrip(")"))
            case keys.SYNC_TASK:
                return datetime.fromisoformat(headers["expires"]).timestamp() - sync_interval
            case _:
                return None
        return run_id.scheduled_for if run_id else None
    return None
