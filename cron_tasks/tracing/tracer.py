"""Records the spans of runs in this process, and sends them from a thread.

    tracer = find_tracer(settings)
    if tracer is not None:
        tracer.record(span)

Nothing here waits for the collector. The first span of a process makes the pipeline, so that no
thread and no connection is shared with a forked process.
"""

import atexit
import os
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TYPE_CHECKING

import structlog

from cron_tasks.settings import Settings
from cron_tasks.settings.tracing import is_disabled, read_share
from cron_tasks.text.trace_ids import Parent, format_traceparent, root_of
from cron_tasks.tracing.spans import Span

if TYPE_CHECKING:
    from cron_tasks.tracing.export import Pipeline

log = structlog.get_logger("cron_tasks.traces")

#: The most seconds that a process may take at its end to send its last spans.
FLUSH = 2.0


class Tracer:
    """Records spans as the variables `OTEL_*` in `environ` define."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._bound = round(read_share(environ) * 2**64)
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """Start without a pipeline, because the threads of an inherited one are in another
        process."""
        self._pipeline: Pipeline | None = None
        self._is_made = False
        self._lock = threading.Lock()

    def root_of(self, run_id: str) -> Parent:
        """Return the root span of a run."""
        return root_of(run_id, self._bound)

    def traceparent_of(self, run_id: str) -> str:
        """Return the `traceparent` for requests within a run."""
        return format_traceparent(root_of(run_id, self._bound))

    def record(self, span: Span) -> None:
        """Send a span soon, if its trace is sampled."""
        if span.own.is_sampled and (pipeline := self._get_pipeline()):
            pipeline.take(span)

    def activate(self, own: Parent) -> AbstractContextManager[object]:
        """Make a span the current one of OpenTelemetry, for other libraries to continue it."""
        pipeline = self._get_pipeline()
        return pipeline.activate(own) if pipeline else nullcontext()

    def end(self) -> None:
        """Send the remaining spans of this process, within FLUSH seconds. Later spans are not
        sent."""
        if self._pipeline:
            self._pipeline.end(FLUSH)

    def _get_pipeline(self) -> "Pipeline | None":
        """Return the pipeline of this process. None if it cannot be made, which is logged once."""
        if not self._is_made:
            with self._lock:
                if not self._is_made:
                    self._pipeline = _make_pipeline()
                    atexit.register(self.end)
                    self._is_made = True
        return self._pipeline


def _make_pipeline() -> "Pipeline | None":
    try:
        from cron_tasks.tracing.export import Pipeline

        return Pipeline()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        hint = "check the variables OTEL_*; until then this process sends no spans"
        log.error("traces.off", reason=reason, hint=hint)  # noqa: TRY400
        return None


def find_tracer(settings: Settings) -> Tracer | None:
    """Return the tracer of this process, or None if traces are off."""
    return _make_tracer() if settings.otel else None


def end_tracing() -> None:
    """Send the remaining spans, because this process ends. Does nothing if traces are off."""
    if _make_tracer.cache_info().currsize and (tracer := _make_tracer()):
        tracer.end()


@cache
def _make_tracer() -> Tracer | None:
    return None if is_disabled(os.environ) else Tracer(os.environ)
