"""Run the sync beside the pool of a worker, so that it needs no run slot.

A worker whose slots are all busy reads no more messages. The sync would wait for a free slot, and
could not switch off the very job that keeps the workers busy. So each worker has one more process,
which only syncs, and a thread that reads the queue of the sync and hands its messages over, one at
a time. Neither the pool nor the main loop of the worker takes part.

The process is a separate Celery pool. So the sync stays a task: Celery's time limit kills a process
that hangs, a lost process is replaced, and Flower shows its events. It is the pool with threads,
because a kombu event loop has room for only one asynchronous pool (`Hub.consolidate_callback`).
"""

import threading
from contextlib import suppress
from typing import Any

import structlog
from celery.bootsteps import StartStopStep
from celery.worker.request import Request
from kombu import Consumer
from kombu.exceptions import ChannelError, OperationalError
from redis.exceptions import RedisError

from cron_tasks.broker.sync_pool import OneProcessPool
from cron_tasks.broker.transport import UNREADABLE_ERRORS, make_worker_queue
from cron_tasks.store.keys import SYNC_QUEUE, SYNC_TASK
from cron_tasks.text.display import short_repr

log = structlog.get_logger("cron_tasks.broker")

#: Seconds for which the thread waits for a message before it checks whether the worker ends.
LOOK_EVERY = 1.0
#: Seconds until a sync counts as lost whose process is gone. Its result may still be in the pipe.
LOST_AFTER = 1.0
#: The errors of a broker that is away, and of a message that transport.py has dropped.
AWAY = (RedisError, OSError, ChannelError, OperationalError)


class SyncBeside(StartStopStep):
    """Reads the queue of the sync in each worker that reads the default queue.

    With `-Q`, a worker syncs if it names the default queue or that of the sync. Pools of greenlets
    (`-P gevent`) cannot fork, so there the sync takes a slot.
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        queues = worker.app.amqp.queues
        wanted = {SYNC_QUEUE, worker.app.conf.task_default_queue}
        self.enabled = not wanted.isdisjoint(queues.consume_from)
        if self.enabled and worker.pool_cls.is_green:
            queues.select_add(make_worker_queue(SYNC_QUEUE))
            self.enabled = False
        elif self.enabled:
            queues.deselect(SYNC_QUEUE)
        self._closing = threading.Event()
        self._is_connected = True

    def create(self, worker: Any) -> None:
        self._pool = OneProcessPool(
            1,
            app=worker.app,
            initargs=(worker.app, worker.hostname),
            maxtasksperchild=worker.max_tasks_per_child,
            max_memory_per_child=worker.max_memory_per_child,
            lost_worker_timeout=LOST_AFTER,
            threads=True,
            putlocks=False,
            forking_enable=worker.pool_start_method == "fork",
        )

    def start(self, worker: Any) -> None:
        self._pool.start()
        threading.Thread(target=self._read, args=[worker], name="sync", daemon=True).start()

    def close(self, _: Any) -> None:
        self._closing.set()

    def stop(self, _: Any) -> None:
        """End the process once its sync has ended (warm shutdown)."""
        self._pool.stop()

    def terminate(self, _: Any) -> None:
        self._pool.terminate()

    def _read(self, worker: Any) -> None:
        """Run the messages of the queue until the worker ends. Wait for a broker that is away."""
        while not self._closing.is_set():
            try:
                with (
                    worker.app.connection_for_read() as connection,
                    worker.app.connection_for_write() as events,
                    worker.app.events.Dispatcher(
                        events, hostname=worker.hostname, enabled=bool(worker.task_events)
                    ) as dispatcher,
                ):
                    self._drain(worker, connection, dispatcher)
            except AWAY as error:
                if self._is_connected:
                    log.warning("sync.queue_unread", error=str(error))
                self._is_connected = False
            except Exception:
                # Without this thread, this worker would no longer sync.
                log.exception("sync.queue_unread")
            self._closing.wait(LOOK_EVERY)

    def _drain(self, worker: Any, connection: Any, dispatcher: Any) -> None:
        def run(message: Any) -> None:
            request = _make_request(message, worker, dispatcher, connection.connection_errors)
            if request is None or request.revoked():
                return
            try:
                result = request.execute_using_pool(self._pool)
            except UNREADABLE_ERRORS as error:
                _log_dropped(message, f"{type(error).__name__}: {error}")
                return
            if result:  # A pool that ends accepts no more.
                result.wait()

        queue = make_worker_queue(SYNC_QUEUE)
        with Consumer(connection, [queue], on_message=run, accept=["json"], no_ack=True):
            while not self._closing.is_set():
                with suppress(TimeoutError):
                    connection.drain_events(timeout=LOOK_EVERY)
                self._is_connected = True


def _make_request(message: Any, worker: Any, dispatcher: Any, errors: Any) -> Request | None:
    """Return a requested sync, or log why the message is dropped."""
    if message.headers.get("task") != SYNC_TASK:
        _log_dropped(message, f"it does not call {SYNC_TASK}")
        return None
    try:
        request = Request(
            message,
            app=worker.app,
            hostname=worker.hostname,
            eventer=dispatcher,
            connection_errors=errors,
            task=worker.app.tasks[SYNC_TASK],
        )
    except UNREADABLE_ERRORS as error:
        _log_dropped(message, f"{type(error).__name__}: {error}")
        return None
    request.send_event(
        "task-received", name=request.name, args=request.argsrepr, kwargs=request.kwargsrepr
    )
    return request


def _log_dropped(message: Any, reason: str) -> None:
    hint = f"no other task may be sent to the queue {SYNC_QUEUE}"
    log.error("message.dropped", message=short_repr(message, 200), reason=reason, hint=hint)
