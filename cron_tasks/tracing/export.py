"""Sends spans to a collector with the SDK of OpenTelemetry. Only this module imports it.

Most of our spans are made when they have ended, with derived ids. So they are made as
`ReadableSpan`, which takes a tenth of the time of the SDK's tracer.
"""

import logging
import os
import re
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib.metadata import version

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    use_span,
)

from cron_tasks.text.display import printable
from cron_tasks.text.trace_ids import Parent
from cron_tasks.tracing.spans import Kind, Span

log = structlog.get_logger("cron_tasks.traces")

#: The default of OTEL_BSP_MAX_QUEUE_SIZE. A span takes about a kilobyte, and a batch of plain runs
#: makes thousands at once.
MOST_WAITING = 16_384
#: Seconds between two log lines about lost spans.
QUIET = 600.0
#: The messages that the SDK logs about exports.
_LOGGERS = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.sdk._shared_internal",
)
_URL = re.compile(r"(with url: )\S+")
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSET = Status(StatusCode.UNSET)
_KINDS: dict[Kind, SpanKind] = {
    "internal": SpanKind.INTERNAL,
    "client": SpanKind.CLIENT,
    "consumer": SpanKind.CONSUMER,
}


class Pipeline:
    """The way of spans from this process to the collector: a queue, and threads that empty it."""

    def __init__(self) -> None:
        self._resource = _describe_process()
        self._scope = InstrumentationScope("cron_tasks", version("cron-tasks"))
        watch = Watch()
        size = None if os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE") else MOST_WAITING
        self._exporter = WatchedExporter(watch)
        self._processor = BatchSpanProcessor(self._exporter, max_queue_size=size)
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            logger.propagate = False
            logger.handlers = [watch]
        self._is_ending, self._has_ended = threading.Event(), threading.Event()
        # A thread can no longer be started while Python exits.
        threading.Thread(target=self._wait_for_end, name="traces", daemon=True).start()

    def take(self, span: Span) -> None:
        """Put a span into the queue. If the queue is full, the oldest span is dropped."""
        own, parent = _context(span.own), None
        if span.parent_id:
            parent = SpanContext(span.own.trace_id, span.parent_id, True, _SAMPLED)
        status = _UNSET if span.error is None else Status(StatusCode.ERROR, span.error or None)
        self._processor.on_end(
            ReadableSpan(
                span.name,
                own,
                parent,
                self._resource,
                span.attributes,
                kind=_KINDS[span.kind],
                status=status,
                start_time=int(span.start * 1e9),
                end_time=int(max(span.start, span.end) * 1e9),
                instrumentation_scope=self._scope,
            )
        )

    def activate(self, own: Parent) -> AbstractContextManager[object]:
        """Make a span the current one of this context."""
        return use_span(NonRecordingSpan(_context(own)))

    def end(self, seconds: float) -> None:
        """Send the spans in the queue, for at most this many seconds."""
        self._exporter.give_up_at = time.monotonic() + seconds
        self._is_ending.set()
        self._has_ended.wait(seconds)

    def _wait_for_end(self) -> None:
        self._is_ending.wait()
        self._processor.shutdown()
        self._has_ended.set()


class Watch(logging.Handler):
    """Turns the messages of the SDK about exports into one line when they fail, and one when they
    work again."""

    def __init__(self) -> None:
        super().__init__()
        self.reason = ""
        self.lost = 0
        self._quiet_until = 0.0
        self._has_logged = False

    def emit(self, record: logging.LogRecord) -> None:
        text = _URL.sub(r"\1…", record.getMessage())
        if text.startswith("Queue full"):
            self.note_lost(1, "more spans are recorded than the collector takes")
        else:
            self.reason = printable(text, 300)

    def note_lost(self, spans: int, reason: str) -> None:
        """Count spans that were not sent, and log this from time to time."""
        self.lost += spans
        if (now := time.monotonic()) >= self._quiet_until:
            self._quiet_until, self._has_logged = now + QUIET, True
            hint = "runs are not delayed; check the collector, and OTEL_EXPORTER_OTLP_ENDPOINT"
            log.warning("traces.lost", reason=reason, spans=self.lost, hint=hint)

    def note_sent(self) -> None:
        """Log that spans are sent again, if a loss was logged."""
        if self._has_logged:
            log.info("traces.sent", spans=self.lost)
        self.lost, self._has_logged = 0, False


class WatchedExporter(SpanExporter):
    """The exporter of the SDK. `give_up_at` is when it may send no more (monotonic clock)."""

    def __init__(self, watch: Watch) -> None:
        self._exporter, self._watch = OTLPSpanExporter(), watch
        self.give_up_at = float("inf")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if time.monotonic() > self.give_up_at:
            return SpanExportResult.FAILURE
        self._watch.reason = "the collector did not take them"
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._watch.note_sent()
        else:
            self._watch.note_lost(len(spans), self._watch.reason)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _context(own: Parent) -> SpanContext:
    flags = _SAMPLED if own.is_sampled else TraceFlags(TraceFlags.DEFAULT)
    return SpanContext(own.trace_id, own.span_id, False, flags)


def _describe_process() -> Resource:
    """Return the attributes of all spans of this process. OTEL_RESOURCE_ATTRIBUTES takes
    precedence."""
    ours: dict[str, str | int] = {
        "service.name": "cron_tasks",
        "service.version": version("cron-tasks"),
        "host.name": socket.gethostname(),
        "process.pid": os.getpid(),
    }
    given = OTELResourceDetector().detect().attributes
    return Resource.create({name: value for name, value in ours.items() if name not in given})
