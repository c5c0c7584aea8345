"""Reads the metrics of a worker from its main process."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from prometheus_client import Metric as Family
from prometheus_client.registry import Collector

from cron_tasks.metrics.catalogue import BUILD, WORKER
from cron_tasks.metrics.families import Value, make_family
from cron_tasks.metrics.version import read_version

_PROC = Path("/proc")
_PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")


class WorkerCollector(Collector):
    """Collects the values that the main process of a worker has. `worker` is Celery's consumer."""

    def __init__(self, worker: Any) -> None:
        self.worker = worker

    def describe(self) -> list[Family]:
        """Return nothing, so that registering reads nothing."""
        return []

    def collect(self) -> Iterator[Family]:
        from celery.worker import state

        name, slots = self.worker.hostname, self.worker.pool.num_processes or 1
        values: dict[str, list[Value]] = {
            "slots": [((name,), slots)],
            "slots_busy": [((name,), min(len(state.active_requests), slots))],
            "worker_memory_bytes": [
                ((name, "main"), _read_memory([os.getpid()])),
                ((name, "children"), _read_memory(_list_children())),
            ],
        }
        yield make_family(BUILD, [((read_version(),), 1)])
        yield from (make_family(metric, values[metric.name]) for metric in WORKER)


def _list_children() -> list[int]:
    """Return the processes of the pool, and the one that syncs. Without /proc there are none."""
    found: list[int] = []
    for path in _PROC.glob("self/task/*/children"):
        with suppress(OSError):
            found += map(int, path.read_text().split())
    return found


def _read_memory(pids: list[int]) -> int:
    """Return the resident memory of processes, in bytes. A process that has ended is left out."""
    pages = 0
    for pid in pids:
        with suppress(OSError, IndexError):
            pages += int((_PROC / str(pid) / "statm").read_text().split()[1])
    return pages * _PAGE_SIZE
