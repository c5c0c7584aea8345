"""The span of a delivery: each try to handle a notification continues the trace of its run."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cron_tasks.text.trace_ids import parse_traceparent
from cron_tasks.tracing.spans import Span, Value, make_child
from cron_tasks.tracing.tracer import Tracer


@contextmanager
def trace_delivery(
    tracer: Tracer, queue: str, message: Mapping[str, Any], tries: int
) -> Iterator[None]:
    """Record the span of the block, if the message has a valid `traceparent`.

    The span is OpenTelemetry's current one during the block, so other libraries continue it. An
    exception sets the status of the span.
    """
    parent = parse_traceparent(str(message.get("traceparent")))
    if parent is None:
        yield
        return
    own, started = make_child(parent), time.time()
    attributes = _describe_delivery(queue, message, tries)
    error: str | None = None
    try:
        with tracer.activate(own):
            yield
    except BaseException as raised:
        error, attributes["error.type"] = "", type(raised).__qualname__
        raise
    finally:
        name = f"process {queue}"
        times = started, time.time()
        tracer.record(Span(name, own, parent.span_id, *times, attributes, error, "consumer"))


def _describe_delivery(queue: str, message: Mapping[str, Any], tries: int) -> dict[str, Value]:
    """Return the attributes of OpenTelemetry's conventions for messaging, and our own."""
    attributes: dict[str, Value] = {
        "messaging.system": "redis",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": queue,
        "cron_tasks.try": tries,
    }
    for name, key in (
        ("messaging.message.id", "id"),
        ("cron_tasks.run.id", "run_id"),
        ("cron_tasks.job.id", "job_id"),
        ("cron_tasks.event", "event"),
    ):
        if isinstance(value := message.get(key), str):
            attributes[name] = value
    return attributes
