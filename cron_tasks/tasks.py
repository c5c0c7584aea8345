"""The Celery tasks. They are thin: sync/ and worker/ do the work."""

import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import structlog
from celery import Task
from celery.signals import worker_process_shutdown, worker_shutdown
from redis import Redis

from cron_tasks.broker import presence
from cron_tasks.celery import app, settings
from cron_tasks.errors import UnknownJob
from cron_tasks.ledger.ledger import Ledger
from cron_tasks.ledger.run_id import RunId
from cron_tasks.registry.registry import Registry
from cron_tasks.report.pings import install_pinger
from cron_tasks.report.reporter import Reporter, keep_reporting
from cron_tasks.rest.files import path_of
from cron_tasks.runs.result import Result
from cron_tasks.store import keys
from cron_tasks.store.client import connect
from cron_tasks.sync.follower import Follower, keep_following
from cron_tasks.sync.reconciler import Reconciler
from cron_tasks.telemetry import logs
from cron_tasks.text.display import printable
from cron_tasks.text.output import render_output
from cron_tasks.tracing.tracer import end_tracing, find_tracer
from cron_tasks.worker import inflight, watchdog
from cron_tasks.worker.batches import BatchRunner
from cron_tasks.worker.conclusions import Concluder
from cron_tasks.worker.delegation import Handed, describe_task_error, send_task
from cron_tasks.worker.in_turn import run_in_turn
from cron_tasks.worker.runner import Runner
from cron_tasks.worker.service import Service

log = structlog.get_logger("cron_tasks.tasks")

#: Seconds that a sync may take besides reading. After that, its process is killed.
SYNC_LIMIT = 600

_service = Service()
#: The Runners of this process, and of the process that forked it, by process id.
_runners: list[tuple[int, Runner]] = []


# A plug-in's validator may hang while it holds Python's lock. Without a limit, no later sync would
# begin. The deadline counts twice, because single rows are read first, and then the list if
# necessary.
@app.task(name=keys.SYNC_TASK, time_limit=2 * int(settings.rest_deadline) + SYNC_LIMIT)
def sync_jobs(ids: list[str | int] | str | int | None = None) -> dict[str, Any]:
    """Reconcile the registry with the REST service. Return the changes.

    With `ids`, a list or one id, only the rows with these ids are read, and those that were poked.
    """
    ids = [ids] if isinstance(ids, str | int) else ids
    _report_from(os.getpid())
    _follow_from(os.getpid())
    with _in_service():
        report = Reconciler(_connect_redis(), settings).sync(time.time, ids=ids)
        _service.check()
    return report.as_json() if report else {"state": "another sync does it, or has done it"}


@app.task(name=keys.RUN_TASK, bind=True, throws=(UnknownJob,))
def run_job(self: Task[..., Any], job_id: str | int) -> str:
    """Run the tick that the ID of this message names or, if called by hand, the job right now.

    Raises UnknownJob if called by hand for a job that does not exist.
    """
    job_id = str(job_id)
    runner = _get_runner(self.request.hostname or "")
    run_id = RunId.parse(self.request.id or "")
    if run_id is None or run_id.job_id != job_id:
        try:
            run_id = runner.by_hand(job_id)
        except UnknownJob as error:
            # Celery logs what a task `throws` as INFO, and anything else with a traceback.
            log.error("job.unknown", job_id=printable(job_id, 200), error=str(error))  # noqa: TRY400
            raise
    with _in_service(), logs.bind(job_id=job_id, run_id=run_id):
        return f"{run_id} {runner.run([run_id]).get(run_id, 'was no longer waiting')}"


@app.task(name=keys.CHUNK_TASK, bind=True)
def run_chunk(self: Task[..., Any], run_ids: list[str], quick: bool | None = True) -> str:
    """Run a batch of ticks.

    Quick actions run together (True). Actions that wait are launched together (None, for which a
    worker of the previous version runs them in turn). Others run one after the other (False).
    """
    runs = [run_id for text in run_ids if (run_id := RunId.parse(text))]
    run = _get_runner(self.request.hostname or "").run
    with _in_service():
        alone = partial(_send_alone, self.request)
        results = run_in_turn(runs, run, alone) if quick is False else run(runs)
    failed = list(results.values()).count("failed")
    return f"{len(results)} of {len(run_ids)} ticks run" + (f" ({failed} failed)" if failed else "")


@app.task(name=keys.BATCH_TASK, bind=True)
def run_batch(self: Task[..., Any], batch_id: str) -> str:
    """Run the plain ticks of a batch of the ledger."""
    batches = _get_batches(self.request.hostname or "")
    with _in_service():
        return batches.run(batch_id)


@contextmanager
def _in_service() -> Iterator[None]:
    """End a pool process that is no longer usable, after its message. Celery replaces it."""
    try:
        yield
    except Exception:
        _service.check()
        raise
    finally:
        if _service.reason and inflight.in_pool():
            _land_flights()
            _service.end()


def _send_alone(request: Any, run_id: RunId) -> None:
    """Send a run of a batch separately, to the queue and with the priority of the batch."""
    delivery = request.delivery_info
    routing = {"queue": delivery["routing_key"], "priority": delivery["priority"]}
    app.send_task(keys.RUN_TASK, [run_id.job_id], task_id=run_id, **routing)


@app.task(name=keys.DONE_TASK, bind=True)
def task_done(self: Task[..., Any], output: Any, handed: dict[str, Any]) -> str:
    """Conclude a run whose delegated task returned `output`."""
    return _conclude_run(handed, Result("ok", output=render_output(output)), self.request.origin)


# An app that also has this task calls it in the process of the failed task, with the request and
# the exception of that task. Any other app only sends the task's ID. With `bind`, every app would
# only send the ID.
@app.task(name=keys.FAILED_TASK)
def task_failed(
    failed: Any, error: BaseException | None = None, *_: Any, handed: dict[str, Any]
) -> str:
    """Conclude a run whose delegated task failed."""
    if error is None:
        worker, error_text = task_failed.request.origin, describe_task_error(failed, None)
    else:
        worker, error_text = failed.hostname, describe_task_error(failed.id, error)
    return _conclude_run(handed, Result("failed", error=error_text), worker)


def _conclude_run(handed: dict[str, Any], result: Result, worker: str | None) -> str:
    with logs.bind(run_id=handed["run_id"]):
        return f"{handed['run_id']} {_get_runner('').end(Handed(**handed), result, worker)}"


@cache
def _connect_redis() -> Redis:
    return connect(settings.redis_url.get_secret_value())


def _make_concluder() -> Concluder:
    """Make a Concluder for the watchdog, with a connection that forked processes do not share."""
    redis = connect(settings.redis_url.get_secret_value(), timeout=1.0, retries=0)
    return Concluder(Ledger(redis, settings), settings, time.time)


presence.announce_from_signals(_connect_redis())
watchdog.install_watchdog(_make_concluder)
install_pinger(lambda: connect(settings.redis_url.get_secret_value()), settings)


@cache
def _report_from(_pid: int) -> None:
    """Report from a thread for as long as this process lives.

    As a task, reporting would occupy a worker's slot while a slow service answers, and would be
    delayed by every run in the queue.
    """
    if settings.rest_report_path:
        reporter = Reporter(_connect_redis(), settings)
        threading.Thread(
            target=keep_reporting, args=[reporter], name="reports", daemon=True
        ).start()


@cache
def _follow_from(_pid: int) -> None:
    """Follow the feed of changes from a thread for as long as this process lives.

    Beat requests a sync if there is a feed and no process follows it.
    """
    if path_of(settings) is None:
        follower = Follower(_connect_redis(), settings, time.time)
        threading.Thread(target=keep_following, args=[follower], name="feed", daemon=True).start()


def _get_runner(hostname: str) -> Runner:
    _report_from(os.getpid())
    return _process_runner(os.getpid(), hostname)


def _get_batches(hostname: str) -> BatchRunner:
    _report_from(os.getpid())
    return _process_batches(os.getpid(), hostname)


@cache
def _process_batches(pid: int, hostname: str) -> BatchRunner:
    """Make one for each process, like `_process_runner`."""
    return BatchRunner(_process_runner(pid, hostname), _connect_redis())


@cache
def _process_runner(pid: int, hostname: str) -> Runner:
    """Make one Runner for each process, because the holder of its leases must not outlive it."""
    redis = _connect_redis()
    ledger = Ledger(redis, settings)
    worker = f"{hostname}/{pid}/{secrets.token_hex(3)}"
    to_app = partial(send_task, app, tracer=find_tracer(settings))
    slot = inflight.find_slot()
    runner = Runner(ledger, Registry(redis), settings, worker, time.time, to_app, slot, _service)
    _runners.append((pid, runner))
    return runner


# At a warm shutdown, and when Celery replaces a process of the pool. No further messages come then.
@worker_process_shutdown.connect
@worker_shutdown.connect
def _land_flights(**_: Any) -> None:
    """Wait until no run of this process is in flight, and send the remaining spans."""
    for pid, runner in _runners:
        if pid == os.getpid():
            runner.flights.drain()
    end_tracing()
