"""Check the workers and their queues."""

from cron_tasks.health.system import PATIENCE, Result, System
from cron_tasks.text.english import number_of


def check_workers(_: System) -> Result:
    from cron_tasks.celery import app

    queues_by_worker = app.control.inspect(timeout=PATIENCE).active_queues() or {}
    if not queues_by_worker:
        return Result(False, "No worker is running")
    consumed = {queue["name"] for queues in queues_by_worker.values() for queue in queues}
    default, count = app.conf.task_default_queue, len(queues_by_worker)
    running = f"{number_of(count, 'worker')} {'is' if count == 1 else 'are'} running"
    queues = ", ".join(sorted(consumed)) or "none"
    if default not in consumed:
        return Result(False, f"{running}, but none consumes {default}; queues: {queues}")
    return Result(True, f"{running}; queues: {queues}")
