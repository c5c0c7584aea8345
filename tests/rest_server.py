"""A real HTTP server that lists jobs, and misbehaves on demand in the ways real services do.

with RestServer([{"id": 1, ...}]) as rest:
    rest.jobs.append(...)             # served at /api/cronjobs/ with an ETag of the content, and
                                      # each at /api/cronjobs/<id>/
    rest.answer = status(503)         # from now on; None: behave again
    rest.requests                     # [(method, path, headers), ...]
    rest.patches                      # [(job id, body), ...], applied to `jobs`
    rest.answer_patch = status(503)   # as `answer`
    rest.bodies, rest.clients         # what came with each of them, and over which connections
"""

import gzip
import hashlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

JOBS_PATH = "/api/cronjobs/"


class Handler(BaseHTTPRequestHandler):
    """One connection. `reply` sends a complete answer. `wfile` is for faulty ones."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    rest: "RestServer"  # Each server sets it on a separate subclass.

    def do_GET(self) -> None:
        self.rest.requests.append((self.command, self.path, dict(self.headers)))
        self.rest.bodies.append(self.rfile.read(int(self.headers["Content-Length"] or 0)))
        self.rest.clients.add(self.client_address)
        answer = self.rest.answer
        if answer is None or not answer(self):
            self._list_jobs()

    def do_PATCH(self) -> None:
        self.rest.requests.append((self.command, self.path, dict(self.headers)))
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        job_id = unquote(self.path.removeprefix(JOBS_PATH))
        self.rest.patches.append((job_id, body))
        answer = self.rest.answer_patch
        if answer is None or not answer(self):
            self._change_job(job_id, body)

    def _change_job(self, job_id: str, body: Any) -> None:
        for row in self.rest.jobs:
            if str(row["id"]) == job_id:
                row |= body | {"updated_at": len(self.rest.patches)}
                self.reply(200, json.dumps(row).encode())
                return
        self.reply(404, b'{"detail": "Not Found"}')

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _list_jobs(self) -> None:
        path = urlsplit(self.path).path
        if path != JOBS_PATH:
            self._show_job(unquote(path.removeprefix(JOBS_PATH).removesuffix("/")))
            return
        body = json.dumps(self.rest.jobs).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if self.headers["If-None-Match"] == etag:
            self.reply(304, b"", ETag=etag)
        else:
            self.reply(200, body, ETag=etag)

    def _show_job(self, job_id: str) -> None:
        rows = [row for row in self.rest.jobs if str(row["id"]) == job_id]
        if rows:
            self.reply(200, json.dumps(rows[0]).encode())
        else:
            self.reply(404, b'{"detail": "Not Found"}')

    def reply(self, code: int, body: bytes = b"", **headers: str) -> None:
        """Send an answer. `Content_Type="text/html"` becomes the header Content-Type."""
        sent = {"Date": self.date_time_string(), "Content-Type": "application/json"}
        sent["Content-Length"] = str(len(body))
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        self.send_response_only(code)
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def reset(self) -> None:
        """End the connection with a TCP RST."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.rfile.close()
        self.wfile.close()
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing, because `RestServer.requests` has the requests."""


Answer = Callable[[Handler], bool]


class _Server(ThreadingHTTPServer):
    """Knows its open connections, so that all threads end at once."""

    daemon_threads = False  # Otherwise server_close() waits for them.
    request_queue_size = 128

    def __init__(self, handler: type[Handler], port: int) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self._open.discard(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that hangs up early, because tests do that on purpose."""

    def stop(self) -> None:
        self.shutdown()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


class RestServer:
    """The service on 127.0.0.1 and a free port, between `with` and its end."""

    def __init__(
        self, jobs: Iterable[Any] = (), port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.jobs: list[Any] = list(jobs)
        self.answer: Answer | None = None
        self.answer_patch: Answer | None = None
        self.patches: list[tuple[str, Any]] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        self.clients: set[tuple[str, int]] = set()
        self.stopping, self.written = threading.Event(), threading.Event()
        self._server = _Server(type("BoundHandler", (Handler,), {"rest": self}), port)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def port(self) -> int:
        port: int = self._server.server_address[1]
        return port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.stopping.set()
        self._server.stop()
        self._thread.join()


def first(times: int, answer: Answer) -> Answer:
    """Misbehave for the first `times` requests, then behave."""
    left = iter(range(times))
    return lambda handler: next(left, None) is not None and answer(handler)


def reply(code: int, body: bytes = b"", **headers: str) -> Answer:
    """Return any well-formed answer, e.g. `reply(200, b"[]", Last_Modified=...)`."""

    def answer(handler: Handler) -> bool:
        handler.reply(code, body, **headers)
        return True

    return answer


def status(code: int, retry_after: str | None = None) -> Answer:
    """Return an error status, e.g. 503 with `Retry-After: 1`."""
    headers = {} if retry_after is None else {"Retry_After": retry_after}
    return reply(code, b'{"detail": "no"}', **headers)


def html() -> Answer:
    """Return a login page in place of the list."""
    return reply(200, b"<!DOCTYPE html><title>Sign in</title>", Content_Type="text/html")


def redirect(location: str, code: int = 302) -> Answer:
    """Redirect every request, possibly to another server."""
    return reply(code, b"", Location=location)


def _page_of(handler: Handler) -> int:
    return int(parse_qs(urlsplit(handler.path).query).get("page", ["1"])[0])


def envelope(
    pages: Sequence[Sequence[Any]], key: str = "results", absolute: bool = False, **extra: Any
) -> Answer:
    """Return pages of `{key: [...], "next": URL or null}` at `?page=N`. `extra` goes in each
    object."""

    def answer(handler: Handler) -> bool:
        number = _page_of(handler)
        base = handler.rest.url + JOBS_PATH if absolute else ""
        following = f"{base}?page={number + 1}" if number < len(pages) else None
        body = {**extra, "next": following, key: pages[number - 1]}
        handler.reply(200, json.dumps(body).encode(), ETag=f'"page{number}"')
        return True

    return answer


def linked(pages: Sequence[Sequence[Any]]) -> Answer:
    """Return plain arrays at `?page=N`, joined by `Link: <...>; rel="next"`."""

    def answer(handler: Handler) -> bool:
        number = _page_of(handler)
        link = f'<{JOBS_PATH}?page=1>; rel="first"'
        if number < len(pages):
            link += f', <{JOBS_PATH}?page={number + 1}>; rel="next"'
        handler.reply(200, json.dumps(pages[number - 1]).encode(), Link=link)
        return True

    return answer


def truncated(body: bytes, keep: int, chunked: bool = False) -> Answer:
    """Announce the whole `body`, by length or in chunks, send `keep` bytes and hang up."""

    def answer(handler: Handler) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        if chunked:
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            handler.wfile.write(b"%x\r\n%s\r\n" % (keep, body[:keep]))
        else:
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body[:keep])
        handler.close_connection = True
        return True

    return answer


def drip(data: bytes, pause: float, headers: bool = False) -> Answer:
    """Send `data` byte by byte, over and over, `pause` seconds apart, without an end.

    With `headers` the bytes are part of a header line, so that the body never begins.
    """

    def answer(handler: Handler) -> bool:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        if headers:
            handler.wfile.write(b"X-Slow: ")
        else:
            handler.wfile.write(b"Content-Type: application/json\r\nConnection: close\r\n\r\n")
        handler.close_connection = True
        position = 0
        while not handler.rest.stopping.wait(pause):
            handler.wfile.write(data[position % len(data) :][:1])
            position += 1
        return True

    return answer


def silent() -> Answer:
    """Accept the request and never answer."""

    def answer(handler: Handler) -> bool:
        handler.close_connection = True
        return handler.rest.stopping.wait()

    return answer


def huge(size: int, compressed: bool = False) -> Answer:
    """Return a valid list of `size` bytes of JSON. With `compressed`, a gzip bomb."""
    body = b"[" + b" " * (size - 2) + b"]"
    if compressed:
        return reply(200, gzip.compress(body), Content_Encoding="gzip")
    return reply(200, body)


def reset() -> Answer:
    """Read the request, then reset the connection."""

    def answer(handler: Handler) -> bool:
        handler.reset()
        return True

    return answer


def interim(codes: Iterable[int], answer: Answer, pause: float = 0.0) -> Answer:
    """Send interim answers with these statuses, `pause` seconds apart, and then `answer`."""

    def send(handler: Handler) -> bool:
        for code in codes:
            handler.wfile.write(b"HTTP/1.1 %d Wait\r\nLink: </style.css>\r\n\r\n" % code)
            handler.rest.stopping.wait(pause)
        return answer(handler)

    return send


def raw(*pieces: bytes) -> Answer:
    """Send these bytes, each in a separate segment, and keep the connection open.

    `RestServer.written` is set when all are sent.
    """

    def answer(handler: Handler) -> bool:
        with suppress(OSError):  # The client may have refused the bytes already.
            for piece in pieces:
                handler.wfile.write(piece)
        handler.rest.written.set()
        return True

    return answer
