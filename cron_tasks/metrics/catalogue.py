"""All metrics: names, kinds, labels and meanings. docs/monitoring.md shows this table. Pure.

Print the table with `python -m cron_tasks.metrics.catalogue`.
"""

from dataclasses import dataclass
from typing import Literal

PREFIX = "cron_tasks_"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric, without the prefix of its name. No label holds the id of a job."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str

    @property
    def full_name(self) -> str:
        return PREFIX + self.name


def _counter(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(name, "counter", labels, meaning)


def _gauge(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(name, "gauge", labels, meaning)


def _histogram(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(name, "histogram", labels, meaning)


#: Fields of `cron_tasks:metrics`, written by the scripts that end runs (ledger/counting.py).
COUNTED = (
    _counter(
        "ticks_total",
        "Ticks that ended, by `outcome` (`ok`, `failed`, `skipped`, `missed`) and `reason`. A "
        "rerun of a tick counts once more. A stretch of missed ticks counts all, up to 10,000",
        "outcome",
        "reason",
    ),
    _counter(
        "manual_runs_total",
        "Runs that a person started (`jobs run`) and that ended. They belong to no tick",
        "outcome",
        "reason",
    ),
    _counter(
        "attempts_total",
        "Attempts that ended, by `outcome`: `ok`, `failed`, `skipped` (cancelled or replaced "
        "meanwhile), `lost` (the worker of a notification died)",
        "action",
        "outcome",
    ),
    _histogram("tick_lag_seconds", "From the fire time of a tick to its first start"),
    _histogram(
        "notification_lag_seconds", "From the fire time of a tick to the notification of its end"
    ),
    _histogram("run_duration_seconds", "How long an attempt took", "action"),
    _counter("notifications_total", "Notifications put into a queue", "queue"),
    _counter(
        "notifications_suppressed_total",
        "Notifications that were not sent because they were too old (`notify.stale_after`)",
    ),
    _counter("leases_lost_total", "Runs whose worker died, or hung, in an attempt"),
    _counter(
        "sweeps_total",
        "Overdue runs that beat looked after, by `done`: `closed`, `sent_again`, `worker_died`",
        "done",
    ),
    _counter("leader_changes_total", "How many times a beat began to lead"),
)
#: Metrics that each beat and Flower read from other keys of Redis.
READ = (
    _counter(
        "notifications_dropped_total",
        "Notifications that were dropped because their queue held `CRON_TASKS_NOTIFY_MAX`",
        "queue",
    ),
    _gauge("redis_up", "Whether Redis answers. If it is 0, there are no other metrics"),
    _gauge(
        "due_oldest_age_seconds",
        "Age of the oldest tick that is due and has not fired, 0 if there is none",
    ),
    _gauge("open_ticks", "Open runs by state", "state"),
    _gauge(
        "jobs",
        "Jobs by `state`: `scheduled`, `unscheduled` (paused, disabled or over), `set_aside` (in "
        "quarantine), `rejected` (rows of the list)",
        "state",
    ),
    _gauge("jobs_failing", "Jobs whose last run failed"),
    _gauge("leader", "Whether a beat leads"),
    _gauge("beats", "Beats that gave a sign of life within 15 s: the leader and those standing by"),
    _gauge("workers", "Workers that gave a sign of life within 15 s"),
    _gauge(
        "sync_success_timestamp_seconds", "When the list was last synced, in seconds since 1970"
    ),
    _gauge(
        "sync_state",
        "1 for the state of the last sync: `ok`, `failing` or `refused`. `refused` is also 1 for "
        "ten minutes after an installation that reads another service tried to sync",
        "state",
    ),
    _gauge(
        "edit_lag_seconds",
        "For how long the newest request for a sync has waited, or its sync has run. 0 if no "
        "sync is wanted",
    ),
    _gauge(
        "queue_messages",
        "Messages that wait, by `kind`: `runs` and `sync` (for workers), `notifications` "
        "(for bots)",
        "queue",
        "kind",
    ),
    _gauge(
        "queue_oldest_age_seconds",
        "Age of the oldest message: since its run was due, or since it was written",
        "queue",
        "kind",
    ),
    _gauge(
        "ticks_lost",
        "Ticks of the last two hours that have no end, by an audit every five minutes",
    ),
)
#: Metrics of the main process of a worker.
WORKER = (
    _gauge("slots", "Runs that the worker performs at the same time", "worker"),
    _gauge("slots_busy", "Slots that perform a run", "worker"),
    _gauge(
        "worker_memory_bytes",
        "Resident memory, by `process`: `main`, or `children` (all of them)",
        "worker",
        "process",
    ),
)
#: Metrics of each process.
BUILD = _gauge("build_info", "1, with the version", "version")
ALL = (*COUNTED, *READ, *WORKER, BUILD)


def render_markdown() -> str:
    """Return the table of docs/monitoring.md."""
    lines = ["| metric | kind | labels | meaning | from |", "|---|---|---|---|---|"]
    for metrics, where in ((COUNTED, "beat, Flower"), (READ, "beat, Flower"), (WORKER, "worker")):
        lines += [_row(metric, where) for metric in metrics]
    return "\n".join([*lines, _row(BUILD, "all")]) + "\n"


def _row(metric: Metric, where: str) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "-"
    return f"| `{metric.full_name}` | {metric.kind} | {labels} | {metric.meaning} | {where} |"


if __name__ == "__main__":
    print(render_markdown(), end="")
