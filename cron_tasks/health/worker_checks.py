"""Check the workers and their queues."""

from cron_tasks.broker.depth import QUEUE_FULL, age_of_oldest, read_backlogs
from cron_tasks.health.system import Result, System
from cron_tasks.schedules.human import format_duration
from cron_tasks.store import keys
from cron_tasks.text.display import printable
from cron_tasks.text.english import number_of
from cron_tasks.vitals.judgement import LATE
from cron_tasks.vitals.signs import read_signs


def check_workers(system: System) -> Result:
    ours = [worker for worker in system.workers if worker.is_ours]
    if not ours:
        return _explain_absence(system)
    consumed = system.queues_of_our_workers
    default, count = system.settings.default_queue, len(ours)
    running = f"{number_of(count, 'worker')} {'is' if count == 1 else 'are'} running"
    queues = ", ".join(sorted(consumed)) or "none"
    if default not in consumed:
        return Result(False, f"{running}, but none consumes {default}; queues: {queues}")
    return Result(True, f"{running}; queues: {queues}")


def _explain_absence(system: System) -> Result:
    """Return that no worker answers, and which one gave a sign of life last."""
    detail, start = "No worker of cron_tasks answers", "`celery -A cron_tasks worker`"
    workers = [sign for sign in read_signs(system.redis) if sign.part == "worker"]
    if not workers:
        return Result(False, detail, f"Start one with {start}")
    last = max(workers, key=lambda sign: sign.at)
    where, silent = printable(last.host, 100), format_duration(system.now - last.at)
    detail += f". The last one, on {where} (process {last.pid}), has been silent for {silent}"
    return Result(
        False, detail, f"If that process hangs, `kill -9` ends it. Start one with {start}"
    )


def check_job_queues(system: System) -> Result:
    """Find queues of jobs that none of our workers consumes, so that these jobs never run."""
    unread = system.needs.run_queues.keys() - system.queues_of_our_workers
    if not unread:
        return Result(True, "Each job's queue has a worker")
    texts = (f"{each} of {system.needs.run_queues[each]}" for each in sorted(unread))
    start = f"Start a worker with `celery -A cron_tasks worker -Q {','.join(sorted(unread))}`"
    return Result(False, "No worker consumes " + "; ".join(texts), start)


def check_task_queues(system: System) -> Result:
    """Find queues of `task` actions that no worker of any app consumes."""
    consumed = {queue for worker in system.workers for queue in worker.queues}
    unread = sorted(system.needs.task_queues.keys() - consumed)
    if not unread:
        return Result(True, "Each queue of a task has a worker")
    texts = (f"{each}, the tasks of {system.needs.task_queues[each]}" for each in unread)
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
        age = age_of_oldest(backlog, system.now, system.settings.sync_interval)
        if backlog.length:
            since = f", the oldest for {format_duration(age)}" if age is not None else ""
            texts.append(f"{number_of(backlog.length, 'message')} in {name}{since}")
            is_stuck = name not in consumed or backlog.length > QUEUE_FULL
            is_well &= not is_stuck and (age or 0.0) <= LATE
    return Result(is_well, "; ".join(texts) or "No messages waiting")
