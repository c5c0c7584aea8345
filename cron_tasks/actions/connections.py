"""HTTP connections to checked addresses, which are kept for the next request.

This uses http.client instead of requests for three reasons. An address has to be checked where it
is connected to, or the name may resolve to another one by then (DNS rebinding). The whole exchange
has one deadline. Hundreds of requests a second should cost little. The environment has no influence
(no proxy, no .netrc). The deadline does not cover the resolution of host names, which has timeouts
of its own.
"""

import http.client
import os
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any

from cron_tasks.actions.request import Origin, Request
from cron_tasks.http.deadline import LimitedResponse, seconds_left
from cron_tasks.http.dialing import open_connection

#: Seconds that an idle connection is kept. Servers close theirs after 2 s (gunicorn) or more.
IDLE = 1.0
MOST_IDLE = 256
#: Seconds after a response in which bytes that do not belong to it may still be in transit.
SETTLE = 0.001
#: Bytes sent at once. The deadline is checked before each piece.
PIECE = 16_384
#: Methods that may be sent again when a kept connection turns out closed (RFC 9110, 9.2.2).
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
#: The errors of a request on a connection that the server has closed.
_CONNECTION_CLOSED = (
    ConnectionError,
    http.client.BadStatusLine,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
)
#: Connections are interchangeable if they have the same origin and the same rules.
_Key = tuple[Origin, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Answer:
    """A response and the beginning of its body."""

    status: int
    reason: str
    headers: http.client.HTTPMessage
    body: bytes


def send_request(request: Request, rules: tuple[str, ...], until: float, most: int) -> Answer:
    """Send a request, and return its answer with up to `most` bytes of the body.

    `rules` are those of CRON_TASKS_HTTP_ALLOW. Raises AddressRefused for an address that they do
    not allow, OSError (TimeoutError at `until` on the monotonic clock), http.client's
    HTTPException, or ValueError for a request that cannot be sent.
    """
    key = (request.origin, rules)
    if kept := _idle.take(key):
        try:
            return _send_over(key, kept, request, until, most)
        except _CONNECTION_CLOSED:
            # Servers close idle connections. If no byte of a response has arrived, the request was
            # most likely not read. If it was, the same Idempotency-Key lets the server notice.
            if kept.has_heard and request.method not in _IDEMPOTENT:
                raise
    return _send_over(key, _Connection(*key), request, until, most)


def _send_over(
    key: _Key, connection: "_Connection", request: Request, until: float, most: int
) -> Answer:
    """Send a request over `connection`, and keep the connection afterwards if possible."""
    with ExitStack() as cleanup:
        cleanup.callback(connection.close)
        response = cleanup.enter_context(connection.send_and_receive(request, until))
        start = response.read(most)
        if response.length and len(start) < most:
            raise http.client.IncompleteRead(b"", response.length)
        if response.isclosed() and connection.sock is not None:
            cleanup.pop_all()
            _idle.put(key, connection)
    return Answer(response.status, response.reason, response.headers, start)


class _Connection(http.client.HTTPConnection):
    def __init__(self, origin: Origin, rules: Sequence[str]) -> None:
        super().__init__(origin.host, origin.port)
        self._tls = origin.scheme == "https"
        self.default_port = 443 if self._tls else 80
        self._rules = rules
        self._until = 0.0
        self._response: LimitedResponse | None = None

    @property
    def has_heard(self) -> bool:
        """Return whether any byte of the last response has arrived."""
        return self._response is not None and self._response.has_begun

    def _make_response(self, *args: Any, **kwargs: Any) -> LimitedResponse:
        self._response = LimitedResponse(*args, until=self._until, **kwargs)
        return self._response

    #: Overrides http.client's class.
    response_class: Any = _make_response

    def send_and_receive(self, request: Request, until: float) -> http.client.HTTPResponse:
        self._until, self._response = until, None
        self.request(request.method, request.target, request.body, request.headers)
        self.sock.settimeout(seconds_left(until))
        return self.getresponse()

    def connect(self) -> None:
        sock = open_connection(self.host, self.port, self._rules, self._until)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(seconds_left(self._until))
            if self._tls:
                # The host of the URL, not the Host header. Names in certificates have no final dot.
                name = self.host.removesuffix(".")
                sock = _tls_context().wrap_socket(sock, server_hostname=name)
            self.sock = sock
        except BaseException:
            sock.close()
            raise

    def send(self, data: Any) -> None:
        """Send in pieces, because TLS may otherwise take the whole timeout for each record."""
        if self.sock is None:
            self.connect()
        for start in range(0, len(data), PIECE):
            self.sock.settimeout(seconds_left(self._until))
            super().send(data[start : start + PIECE])

    @property
    def is_unusable(self) -> bool:
        """Return whether an idle connection is closed, or has bytes that belong to no request."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(0))


@cache
def _tls_context() -> ssl.SSLContext:
    """Return a context that trusts the same authorities as the REST client."""
    # Many workers never need this import.
    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    authorities = os.environ.get("REQUESTS_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH
    folder = os.path.isdir(authorities)
    context = ssl.create_default_context(
        cafile=None if folder else authorities, capath=authorities if folder else None
    )
    context.set_alpn_protocols(["http/1.1"])
    return context


class _Idle:
    """The idle connections, the longest idle first."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Leave the connections to the process from which this one was forked."""
        self._kept: deque[tuple[_Key, float, _Connection]] = deque()
        self._lock = Lock()

    def take(self, key: _Key) -> _Connection | None:
        with self._lock:
            found = next((each for each in reversed(self._kept) if each[0] == key), None)
            if found is None:
                return None
            self._kept.remove(found)
        _, since, connection = found
        idle = time.monotonic() - since
        if idle < SETTLE:
            time.sleep(SETTLE - idle)
        if idle < IDLE and not connection.is_unusable:
            return connection
        connection.close()
        return self.take(key)

    def put(self, key: _Key, connection: _Connection) -> None:
        now = time.monotonic()
        with self._lock:
            self._kept.append((key, now, connection))
            while len(self._kept) > MOST_IDLE or self._kept[0][1] < now - IDLE:
                self._kept.popleft()[2].close()


_idle = _Idle()
os.register_at_fork(after_in_child=_idle.forget)
