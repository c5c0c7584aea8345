"""The Celery tasks: thin; sync.py and runner.py do the work."""

import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

from celery import Task
from redis import Redis

from cron_tasks.broker import presence
from cron_tasks.celery import app, settings
from cron_tasks.errors import UnknownJob
from cron_tasks.ledger.ledger import Ledger
from cron_tasks.ledger.run_id import RunId
from cron_tasks.registry.registry import Registry
from cron_tasks.report.reporter import Reporter, keep_reporting
from cron_tasks.runs.outcomes import Result
from cron_tasks.store import names
from cron_tasks.store.client import connect
from cron_tasks.sync.reconciler import Reconciler
from cron_tasks.text.output import render_output
from cron_tasks.worker import inflight, watchdog
from cron_tasks.worker.batch import one_by_one
from cron_tasks.worker.conclusions import Concluder
from cron_tasks.worker.delegation import Handed, error_of, send
from cron_tasks.worker.runner import Runner
from cron_tasks.worker.service import Service

#: Seconds that a sync may take once the list is read, before its process is killed.
SYNC_LIMIT = 600

_service = Service()


# A plug-in's validator may hang while it holds Python's lock; without a limit each sync that
# follows would hang in a further process, until none is left.
@app.task(name=names.SYNC_TASK, time_limit=int(settings.rest_deadline) + SYNC_LIMIT)
def sync_jobs() -> dict[str, Any]:
    """Reconcile the registry with the REST service; what it did."""
    _report_from(os.getpid())
    with _in_service():
        report = Reconciler(_redis(), settings).sync(time.time)
        _service.check()
    return report.as_json() if report else {"state": "another sync is at it"}


@app.task(name=names.RUN_TASK, bind=True, throws=(UnknownJob,))
def run_job(self: Task[..., Any], job_id: str | int) -> str:
    """Run the tick that this message's id names, or, called by hand, the job right now.

    Raises UnknownJob when called by hand for a job that does not exist.
    """
    job_id = str(job_id)
    runner = _runner(self.request.hostname or "")
    run_id = RunId.parse(self.request.id or "")
    if run_id is None or run_id.job_id != job_id:
        run_id = runner.by_hand(job_id)
    with _in_service():
        return f"{run_id} {runner.run([run_id]).get(run_id, 'was no longer waiting')}"


@app.task(name=names.CHUNK_TASK, bind=True)
def run_chunk(self: Task[..., Any], run_ids: list[str], quick: bool = True) -> str:
    """Run many ticks: those of quick actions in one go, others one after the other."""
    runs = [run_id for text in run_ids if (run_id := RunId.parse(text))]
    run = _runner(self.request.hostname or "").run
    with _in_service():
        alone = partial(_send_alone, self.request)
        results = run(runs) if quick else one_by_one(runs, run, alone)
    return f"{len(results)} of {len(run_ids)} ticks run"


@contextmanager
def _in_service() -> Iterator[None]:
    """End a process of a pool that is of no more use, after its message; Celery replaces it."""
    try:
        yield
    except Exception:
        _service.check()
        raise
    finally:
        if _service.reason and inflight.in_pool():
            _service.end()


def _send_alone(request: Any, run_id: RunId) -> None:
    """Send a run of a batch by itself, by the way that the batch came."""
    came = request.delivery_info
    way = {"queue": came["routing_key"], "priority": came["priority"]}
    app.send_task(names.RUN_TASK, [run_id.job_id], task_id=run_id, **way)


@app.task(name=names.DONE_TASK, bind=True)
def task_done(self: Task[..., Any], output: Any, handed: dict[str, Any]) -> str:
    """Conclude a run whose task returned `output`."""
    return _end(handed, Result("ok", output=render_output(output)), self.request.origin)


# An app that has this task, too, calls it in the process in which the other failed, with that one's
# request and exception; any other sends that one's id alone. With `bind` all would do that.
@app.task(name=names.FAILED_TASK)
def task_failed(
    failed: Any, error: BaseException | None = None, *_: Any, handed: dict[str, Any]
) -> str:
    """Conclude a run whose task failed."""
    if error is None:
        worker, error_text = task_failed.request.origin, error_of(failed, None)
    else:
        worker, error_text = failed.hostname, error_of(failed.id, error)
    return _end(handed, Result("failed", error=error_text), worker)


def _end(handed: dict[str, Any], result: Result, worker: str | None) -> str:
    return f"{handed['run_id']} {_runner('').end(Handed(**handed), result, worker)}"


@cache
def _redis() -> Redis:
    return connect(settings.redis_url.get_secret_value())


def _concluder() -> Concluder:
    """For the thread that watches: forked processes must not share its connection."""
    redis = connect(settings.redis_url.get_secret_value(), timeout=1.0, retries=0)
    return Concluder(Ledger(redis, settings), settings, time.time)


presence.install(_redis())
watchdog.install(_concluder)


@cache
def _report_from(_pid: int) -> None:
    """Report from a thread of this process as long as it lives.

    As a task, reporting would hold a slot for as long as a slow service likes, and wait behind
    every run that is queued.
    """
    if settings.rest_report_path:
        reporter = Reporter(_redis(), settings)
        threading.Thread(
            target=keep_reporting, args=[reporter], name="reports", daemon=True
        ).start()


def _runner(hostname: str) -> Runner:
    _report_from(os.getpid())
    return _process_runner(os.getpid(), hostname)


@cache
def _process_runner(pid: int, hostname: str) -> Runner:
    """One for each process: the holder of its leases must not outlive it."""
    redis = _redis()
    ledger = Ledger(redis, settings)
    worker = f"{hostname}/{pid}/{secrets.token_hex(3)}"
    to_app, slot = partial(send, app), inflight.slot()
    return Runner(ledger, Registry(redis), settings, worker, time.time, to_app, slot, _service)
