"""A collector of traces: accepts OTLP over HTTP as protobuf, and keeps every span."""

import gzip
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from helpers import wait_until
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

STATUSES = {0: "unset", 1: "ok", 2: "error"}
KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}


@dataclass(frozen=True)
class Seen:
    """A span as received. Ids are in hex, times in seconds, and the `parent` of a root is ""."""

    name: str
    kind: str
    trace: str
    id: str
    parent: str
    start: float
    end: float
    attributes: Mapping[str, Any]
    status: str
    error: str
    resource: Mapping[str, Any]


class OtlpSink:
    """Serves `/v1/traces` on a free port. `spans` are in the order in which they came.

    While `status` is not 200, it refuses requests. While `is_stuck`, it accepts requests and does
    not answer.
    """

    def __init__(self, port: int = 0) -> None:
        self.spans: list[Seen] = []
        self.requests = 0
        self.headers: list[Mapping[str, str]] = []
        self.status, self.body, self.is_stuck = 200, b"", False
        self._lock = threading.Lock()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sink.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05], daemon=True)
        self._thread.start()

    @property
    def env(self) -> dict[str, str]:
        """The environment of a program that sends its spans here at once."""
        return {
            "CRON_TASKS_OTEL": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.is_stuck = False
        self._server.shutdown()
        self._server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        data = handler.rfile.read(int(handler.headers["Content-Length"]))
        with self._lock:
            self.requests += 1
            self.headers.append(dict(handler.headers))
        while self.is_stuck:
            time.sleep(0.05)
        if self.status == 200:
            self._take(handler, data)
        handler.send_response(self.status)
        handler.send_header("Content-Length", str(len(self.body)))
        handler.end_headers()
        handler.wfile.write(self.body)

    def _take(self, handler: BaseHTTPRequestHandler, data: bytes) -> None:
        assert handler.path == "/v1/traces"
        assert handler.headers["Content-Type"] == "application/x-protobuf"
        if handler.headers["Content-Encoding"] == "gzip":
            data = gzip.decompress(data)
        with self._lock:
            self.spans.extend(read_spans(data))

    def of(self, trace: str, name: str = "") -> list[Seen]:
        """Return the spans of a trace, by their start. With `name`, only those of that name."""
        with self._lock:
            found = [each for each in self.spans if each.trace == trace]
        return sorted(
            (each for each in found if name in ("", each.name)), key=lambda each: each.start
        )

    def wait_for(self, trace: str, *names: str) -> list[Seen]:
        """Wait until a trace has these spans, and return its spans."""

        def has_all() -> bool:
            found = [each.name for each in self.of(trace)]
            return all(found.count(name) >= names.count(name) for name in names)

        wait_until(has_all, f"{names} in the trace {trace}")
        return self.of(trace)


def read_spans(data: bytes) -> Iterator[Seen]:
    """Return the spans of a request."""
    for group in ExportTraceServiceRequest.FromString(data).resource_spans:
        resource = _read(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                yield _read_span(span, resource)


def _read_span(span: Any, resource: Mapping[str, Any]) -> Seen:
    return Seen(
        name=span.name,
        kind=KINDS[span.kind],
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        start=span.start_time_unix_nano / 1e9,
        end=span.end_time_unix_nano / 1e9,
        attributes=_read(span.attributes),
        status=STATUSES[span.status.code],
        error=span.status.message,
        resource=resource,
    )


def _read(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
