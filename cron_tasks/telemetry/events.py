"""All events that are logged: names, levels, meanings and values. Pure.

docs/logs.md shows them. `python -m cron_tasks.telemetry.events` prints the table, and with
`--template` the index template for Elasticsearch.
"""

import json
import sys
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """An event: its name, the levels at which it is logged, its meaning, and its values."""

    name: str
    levels: str
    meaning: str
    values: tuple[str, ...]


def _event(name: str, levels: str, meaning: str, values: str = "") -> Event:
    return Event(name, levels, meaning, tuple(values.split()))


#: The values of events: their type in Elasticsearch, and their meaning.
VALUES: dict[str, tuple[str, str]] = {
    "action": ("keyword", "what a person did, such as `pause`"),
    "added": ("long", "jobs that are new"),
    "address": ("keyword", "address of the reports or of the feed"),
    "cause": ("keyword", "why a report was not accepted"),
    "changed": ("keyword", "jobs that were changed, or `nothing`"),
    "chat": ("keyword", "id of a chat"),
    "closed": ("long", "overdue runs that ended"),
    "count": ("long", "jobs or runs that an action affected"),
    "detail": ("text", "the reason, as a sentence"),
    "duration": ("double", "seconds of the attempt (ECS: `event.duration`)"),
    "entries": ("long", "lines of a digest, by job and reason"),
    "entry": ("keyword", "key of an entry in Redis"),
    "error": ("text", "what went wrong (ECS: `error.message`)"),
    "errors": ("text", "all errors of a row"),
    "failed": ("long", "runs that failed"),
    "hint": ("text", "advice"),
    "hosts": ("keyword", "the first hosts, or types of actions, that have no room"),
    "ids": ("keyword", "the first ids of these jobs or runs"),
    "job_id": ("keyword", "a job"),
    "job_ids": ("keyword", "the first jobs"),
    "jobs": ("long", "how many jobs"),
    "kept": ("keyword", "for how long reports are kept"),
    "keys": ("keyword", "keys in Redis"),
    "left_waiting": ("long", "pending runs whose messages wait in their queue"),
    "message": ("text", "a message, shortened"),
    "missed": ("long", "runs that were missed"),
    "name": ("keyword", "name of a bot"),
    "ok": ("long", "runs that ended ok"),
    "origin": ("keyword", "scheme and host of a URL"),
    "pid": ("long", "a process"),
    "pings": ("long", "how many pings"),
    "place": ("keyword", "place of a row in the list"),
    "port": ("long", "a port"),
    "queue": ("keyword", "a queue"),
    "reason": ("text", "why"),
    "rejected": ("long", "rows that are rejected"),
    "removed": ("long", "jobs that were removed"),
    "run_id": ("keyword", "a run"),
    "runs": ("long", "how many runs"),
    "seconds": ("double", "seconds"),
    "sent_again": ("long", "runs whose message was lost and sent again"),
    "served": ("keyword", "the jobs that are served instead"),
    "since": ("double", "since when, in seconds since 1970"),
    "skipped": ("long", "runs that were skipped"),
    "spans": ("long", "spans of traces that were lost"),
    "status": ("keyword", "how a run ended: `ok`, `failed`, `skipped`, `missed`, `retry`"),
    "task_id": ("keyword", "id of a Celery task"),
    "thread": ("keyword", "name of a thread"),
    "ticks": ("long", "how many ticks"),
    "to": ("keyword", "the new id of the chat"),
    "type": ("keyword", "type of an action"),
    "unchanged": ("long", "jobs that did not change"),
    "waiting": ("long", "messages that a worker has taken and no process has begun"),
    "warning": ("text", "the warning, as a sentence"),
    "was": ("keyword", "the previous state"),
    "who": ("keyword", "the name of a person"),
    "why": ("text", "why"),
    "worker_died": ("long", "notifications whose worker died"),
}
#: Values with names of their own, one for each kind of difference.
OPEN_ENDED = "registry.mended"

EVENTS = (
    _event(
        "action.by_hand",
        "info",
        "A person used an action on a page of Flower",
        "who action count ids detail",
    ),
    _event(
        "audit.failed", "warning", "The audit for the metrics failed. It is tried again", "error"
    ),
    _event("audit.lost", "error", "Ticks of the last two hours have no end", "ticks hint"),
    _event("beat.beside_raised", "error", "A thread beside beat failed. It continues", "thread"),
    _event("beat.leading", "info", "This beat leads from now on", "was"),
    _event("beat.lock_not_released", "warning", "Another beat leads only 6 s later", "error"),
    _event("beat.lost_lead", "warning", "Another beat leads, or Redis lost the lock"),
    _event("beat.standing_by", "info", "Another beat leads. This one waits", "was"),
    _event("beat.waiting", "error", "Redis or the broker does not answer. Beat waits", "was error"),
    _event("bot.chat_moved", "info", "A Telegram group became a supergroup", "chat to"),
    _event("bot.dead", "error", "A notification is a dead letter", "message reason run_id"),
    _event("bot.may_repeat", "warning", "A notification may come twice", "message run_id"),
    _event("bot.name_taken", "warning", "Another bot has this name", "error"),
    _event(
        "bot.put_off", "warning", "A notification is sent later", "message reason run_id seconds"
    ),
    _event("bot.waiting", "info", "The bot waits for notifications", "queue name"),
    _event("clock.stepped", "warning", "The clock of this machine was stepped", "seconds"),
    _event("digest.told", "info", "The digest of the day was sent, or there was none", "entries"),
    _event("entry.set_aside", "error", "An entry is broken and in quarantine", "entry reason"),
    _event("feed.cursor_gone", "info", "The service no longer knows our cursor", "hint"),
    _event("feed.failing", "warning", "The feed of changes cannot be read", "detail hint"),
    _event("feed.followed", "info", "The feed of changes is followed", "address"),
    _event("feed.left", "info", "The list no longer names a feed", "hint"),
    _event("feed.not_answering", "warning", "The feed did not answer in time", "detail"),
    _event("feed.raised", "error", "Following the feed failed unexpectedly. It continues"),
    _event("feed.recovered", "info", "The feed can be read again", "was"),
    _event("feed.refused", "warning", "The feed that the list names is not followed", "detail"),
    _event(
        "feed.removals_left_to_the_list",
        "warning",
        "The feed would remove too many jobs, so the list is read instead",
        "detail",
    ),
    _event("feed.waiting", "warning", "Redis does not answer the follower of the feed", "error"),
    _event("flights.failed", "error", "The thread of in-flight runs failed. It continues"),
    _event("forecast.failed", "warning", "The ticks of the next day were not counted", "error"),
    _event("heartbeat.failed", "warning", "HEARTBEAT_URL does not answer with 2xx", "reason"),
    _event("heartbeat.sent", "info", "HEARTBEAT_URL is requested again"),
    _event("heartbeat.withheld", "warning", "HEARTBEAT_URL is not requested", "reason"),
    _event("job.rejected", "warning", "A row is rejected", "job_id place errors"),
    _event("job.unknown", "error", "A message asks for a job that does not exist", "job_id error"),
    _event("job.unreadable", "warning", "The stored job cannot be read", "job_id error"),
    _event("job.warning", "warning", "Something in a row has no effect", "job_id warning"),
    _event("jobs.broken_file", "warning", "Demo: the file of jobs is broken", "error served"),
    _event("lease.not_renewed", "warning, error", "A lease could not be renewed in time", "error"),
    _event(
        "loop.interrupted",
        "error",
        "A task of an action ended the event loop. It continues",
        "error",
    ),
    _event("message.dropped", "error", "A message was not valid", "message reason hint"),
    _event("metrics.not_served", "error", "The port for metrics is taken", "port error hint"),
    _event("metrics.served", "info", "Metrics are served", "port"),
    _event("metrics.unread", "warning", "Redis did not answer to a scrape", "error"),
    _event("pages.redis_away", "warning", "Redis does not answer Flower's pages", "error"),
    _event("ping.lost", "warning", "Pings of a job were not sent", "job_id origin reason pings"),
    _event("pings.raised", "error", "The sender of pings failed. It continues"),
    _event("pings.waiting", "warning", "Redis does not answer, so pings wait", "error"),
    _event("plugin.unusable", "error", "A plug-in cannot be loaded", "type reason"),
    _event("poke.failed", "warning", "Demo: a poke did not reach Redis", "error"),
    _event("queue.full", "error", "A queue is full and gets no more messages", "queue why hint"),
    _event("redis.away", "warning", "Redis does not answer the bot", "error"),
    _event(
        "registry.foreign_keys",
        "warning",
        "Keys of another type, or locks without an expiry, were deleted",
        "keys hint",
    ),
    _event(
        "registry.mended",
        "warning",
        "Keys differed from one another and were repaired. There is a number for each kind",
        "hint",
    ),
    _event("registry.missing", "info", "Redis holds no registry. A sync builds it", "hint"),
    _event("report.raised", "error", "Reporting failed unexpectedly"),
    _event("report.refused", "warning", "The service refuses reports", "cause jobs job_ids"),
    _event("report.retried", "info", "Refused reports are sent again", "jobs address"),
    _event("report.service_away", "error", "The service does not accept reports", "cause kept"),
    _event("report.service_back", "info", "The service accepts reports again"),
    _event("report.unknown_job", "warning", "The service knows none of our jobs", "hint"),
    _event("report.waiting", "warning", "Redis does not answer the reporter", "error"),
    _event(
        "run.finished",
        "info, warning",
        "A run ended. Runs of one message that ended ok share the line `runs.finished`",
        "job_id run_id status reason error duration",
    ),
    _event(
        "run.handed_over", "info", "A run was delegated to a Celery task", "job_id run_id task_id"
    ),
    _event(
        "run.killed", "error", "A process was killed, because its run did not end", "run_id pid"
    ),
    _event("run.lease_lost", "warning", "An outcome came after the lease ended", "run_id status"),
    _event("run.not_dead", "error", "A killed process hangs in the kernel", "run_id pid hint"),
    _event("run.not_finished", "error", "An outcome could not be stored", "run_id"),
    _event("run.outcome_ignored", "info", "A task ended that nobody waited for", "run_id why"),
    _event("run.raised", "error", "An action raised an unexpected error", "job_id run_id"),
    _event("runs.finished", "info", "Runs of one message ended", "ok failed skipped missed"),
    _event("survey.failed", "warning", "The health page's audit or checks failed", "error"),
    _event(
        "runs.held_back", "warning", "There is no room for calls. They run later", "ticks hosts"
    ),
    _event("runs.late", "warning", "Runs did not end within expect_within", "runs job_ids"),
    _event(
        "sweep.done",
        "info, warning",
        "Beat handled overdue runs",
        "closed sent_again left_waiting worker_died",
    ),
    _event("sync.busy", "warning", "Too many jobs are due at once", "warning"),
    _event("sync.done", "info", "The registry changed", "added changed removed unchanged rejected"),
    _event("sync.failing", "error", "The list cannot be read", "detail changed"),
    _event("sync.left_out", "warning", "Faulty fields of rows are left out", "warning jobs job_id"),
    _event("sync.no_recipient", "warning", "Notifications name no chat", "warning jobs job_id"),
    _event("sync.overtaken", "warning", "This sync was frozen. It starts again", "reason"),
    _event("sync.queue_unread", "warning, error", "The queue of the sync cannot be read", "error"),
    _event("sync.recovered", "info", "The list can be read again", "was since"),
    _event("sync.refused", "error", "The list is refused", "detail changed"),
    _event("sync.rows_not_read", "info", "Single rows cannot be read", "detail hint"),
    _event("sync.unknown_fields", "warning", "Rows have unknown fields", "warning jobs job_id"),
    _event("task.in_doubt", "warning", "The broker may have a task's message", "task_id error"),
    _event("traces.lost", "warning", "Spans were not sent to the collector", "reason spans hint"),
    _event("traces.off", "error", "Spans cannot be sent as `OTEL_*` asks for", "reason hint"),
    _event("traces.sent", "info", "Spans are sent again. `spans` were lost", "spans"),
    _event("watchdog.failed", "error", "The watchdog failed unexpectedly. It continues"),
    _event("worker.leaves", "error", "A process takes no more runs and ends", "reason pid"),
    _event("worker.stuck", "error", "The pool of a worker takes no messages", "waiting hint"),
)


def render_markdown() -> str:
    """Return the tables of docs/logs.md."""
    lines = ["| event | level | meaning | values |", "|---|---|---|---|"]
    for each in EVENTS:
        values = ", ".join(f"`{value}`" for value in each.values) or "-"
        lines.append(f"| `{each.name}` | {each.levels} | {each.meaning} | {values} |")
    lines += ["", "| value | type | meaning |", "|---|---|---|"]
    lines += [f"| `{name}` | {kind} | {text} |" for name, (kind, text) in VALUES.items()]
    return "\n".join(lines) + "\n"


def make_index_template() -> dict[str, Any]:
    """Return the index template for Elasticsearch: ECS fields, and the values of our events.

    Other values, such as those that plug-ins log, are kept and not indexed. So are values with one
    of our names that are too long or not a number. So no value can be of the wrong type, and their
    number has no limit.
    """
    keyword: dict[str, Any] = {"type": "keyword", "ignore_above": 1024}
    text = {"type": "text"}
    numbers = {kind: {"type": kind, "ignore_malformed": True} for kind in ("long", "double")}
    kinds = {"keyword": keyword, "text": text, **numbers}
    own = {name: kinds[kind] for name, (kind, _) in VALUES.items() if name != "error"}
    fields = {
        "@timestamp": {"type": "date"},
        "message": text,
        "log": _object(level=keyword, logger=keyword),
        "ecs": _object(version=keyword),
        "event": _object(
            action=keyword, dataset=keyword, outcome=keyword, duration={"type": "long"}
        ),
        "error": _object(type=keyword, message=text, stack_trace={"type": "wildcard"}),
        "service": _object(name=keyword, type=keyword, version=keyword),
        "host": _object(name=keyword),
        "process": _object(pid={"type": "long"}),
        "trace": _object(id=keyword),
        "cron_tasks": {"dynamic": False, "properties": own},
    }
    mappings = {"dynamic": True, "date_detection": False, "properties": fields}
    return {
        "index_patterns": ["cron_tasks-*"],
        "priority": 200,
        "template": {"mappings": mappings},
        "_meta": {"description": "Logs of cron_tasks with CRON_TASKS_LOG_FORMAT=ecs"},
    }


def _object(**properties: Any) -> dict[str, Any]:
    return {"properties": properties}


if __name__ == "__main__":
    if sys.argv[1:] == ["--template"]:
        print(json.dumps(make_index_template(), indent=2))
    else:
        print(render_markdown(), end="")
