"""Log lines as documents of the Elastic Common Schema, version 8.11.

Fields that are not in ECS are under `cron_tasks`.
"""

import os
import socket
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Any

from cron_tasks.telemetry.events import VALUES

ECS_VERSION = "8.11.0"
SERVICE = "cron_tasks"
_NANOSECONDS = 1_000_000_000
#: A limit in seconds: Elasticsearch accepts their nanoseconds as a whole number.
_LONGEST = 9_000_000_000
#: `event.outcome` by the status of a run. A skipped or missed run is neither.
_OUTCOMES = {"ok": "success", "failed": "failure"}


def to_document(event: Mapping[str, Any], error: Mapping[str, str]) -> dict[str, Any]:
    """Return a line as an ECS document.

    `event` is the line in the format `json`, and `error` the type and message of its exception.
    """
    own = dict(event)
    name, logger = str(own.pop("event", "")), str(own.pop("logger", ""))
    document: dict[str, Any] = {
        "@timestamp": own.pop("timestamp", ""),
        "log": {"level": own.pop("level", ""), "logger": logger},
        "message": name,
        "ecs": {"version": ECS_VERSION},
        "event": {"dataset": f"{SERVICE}.log"},
        "service": _describe_service(),
        "host": {"name": _host_name()},
        "process": {"pid": os.getpid()},
    }
    if logger.startswith("cron_tasks"):
        document["event"]["action"] = name
    if trace_id := own.pop("trace_id", None):
        document["trace"] = {"id": trace_id}
    if (status := own.get("status")) is not None:
        document["event"]["outcome"] = _OUTCOMES.get(str(status), "unknown")
    if isinstance(own.get("duration"), int | float) and abs(own["duration"]) < _LONGEST:
        document["event"]["duration"] = round(own.pop("duration") * _NANOSECONDS)
    fault: dict[str, Any] = dict(error)
    if (text := own.pop("error", None)) is not None:
        fault["message"] = str(text)
    if traceback := own.pop("exception", None):
        fault["stack_trace"] = traceback
    if fault:
        document["error"] = fault
    if own:
        document["cron_tasks"] = {name: _fit(name, value) for name, value in own.items()}
    return document


def _fit(name: str, value: Any) -> Any:
    """Return a value as text if it is an object and its name is that of a value of our events.

    Elasticsearch refuses a document with an object where it expects a text or a number.
    """
    parts = value if isinstance(value, list) else [value]
    has_object = any(isinstance(each, Mapping | list) for each in parts)
    return str(value) if has_object and name in VALUES else value


@cache
def _describe_service() -> dict[str, str]:
    return {"name": SERVICE, "type": SERVICE, "version": version("cron-tasks")}


@cache
def _host_name() -> str:
    return socket.gethostname()
