"""An HTTP/1.1 client on an event loop, which keeps connections for the next request.

No client library meets all requirements of jobs (docs/performance.md compares them): the connected
address is the checked one, an answer never reaches another request, and thousands of requests a
second cost little. httptools parses answers. The environment has no influence: no proxy, no .netrc.
"""

import asyncio
import http.client
import ssl
from weakref import WeakKeyDictionary

from cron_tasks.actions.answers import Answer, AnswerReader
from cron_tasks.actions.connection import Connection
from cron_tasks.actions.dialing import Dialer
from cron_tasks.actions.idle import IdleConnections, most_idle
from cron_tasks.actions.request import Origin, Request
from cron_tasks.http.deadline import seconds_left
from cron_tasks.http.tls import tls_context

#: Methods that may be sent again when a kept connection turns out closed (RFC 9110, 9.2.2).
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
#: Methods whose requests state that they have no body (RFC 9110, section 8.6).
_WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})
#: The errors of a request on a connection that the server has closed.
_CONNECTION_CLOSED = (
    ConnectionError,
    http.client.BadStatusLine,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
)


class Client:
    """Sends requests on the running event loop. `rules` are those of CRON_TASKS_HTTP_ALLOW."""

    def __init__(self, rules: tuple[str, ...]) -> None:
        self._dialer = Dialer(rules)
        self._idle: IdleConnections[Origin, Connection] = IdleConnections(most_idle())

    async def send(self, request: Request, until: float, most: int) -> Answer:
        """Send a request, and return its answer with up to `most` bytes of the body.

        Raises AddressRefused for an address that the rules do not allow, OSError (TimeoutError at
        `until` on the monotonic clock), http.client's HTTPException, or ValueError for a request
        that cannot be sent.
        """
        data = format_request(request)
        async with asyncio.timeout(seconds_left(until)):
            if kept := await self._idle.take(request.origin):
                try:
                    return await self._send_over(kept, request, data, most)
                except _CONNECTION_CLOSED:
                    # Servers close idle connections. If no byte of an answer has arrived, the
                    # request was most likely not read. If it was, the same Idempotency-Key lets
                    # the server notice.
                    if kept.has_heard and request.method not in _IDEMPOTENT:
                        raise
            connection = await self._connect(request.origin, seconds_left(until))
            return await self._send_over(connection, request, data, most)

    async def _send_over(
        self, connection: Connection, request: Request, data: bytes, most: int
    ) -> Answer:
        """Send a request over `connection`, and keep the connection afterwards if possible."""
        try:
            answer = await connection.send(data, AnswerReader(request.method, most))
        except BaseException:
            connection.close()
            raise
        if connection.is_reusable:
            self._idle.put(request.origin, connection)
        else:
            connection.close()
        return answer

    async def _connect(self, origin: Origin, seconds: float) -> Connection:
        loop = asyncio.get_running_loop()
        tls = tls_context() if origin.scheme == "https" else None
        sock = await self._dialer.connect(origin.host, origin.port)
        if tls is None:
            return (await loop.create_connection(Connection, sock=sock))[1]
        _, connection = await loop.create_connection(
            Connection,
            sock=sock,
            ssl=tls,
            # The host of the URL, not the Host header. Names in certificates have no final dot.
            server_hostname=origin.host.removesuffix("."),
            ssl_handshake_timeout=seconds + 1,  # The deadline comes first.
        )
        return connection


#: The clients of each event loop, by their rules.
_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, ...], Client]]
_clients = WeakKeyDictionary()


def find_client(rules: tuple[str, ...]) -> Client:
    """Return the client of the running event loop for these rules."""
    clients = _clients.setdefault(asyncio.get_running_loop(), {})
    if rules not in clients:
        clients[rules] = Client(rules)
    return clients[rules]


def format_request(request: Request) -> bytes:
    """Return a request as it is sent."""
    headers = request.headers
    lines = [f"{request.method} {request.target} HTTP/1.1"]
    if "host" not in headers:
        lines.append(f"Host: {request.origin.authority}")
    lines.append("Accept-Encoding: identity")
    if request.body is not None or request.method in _WITH_LENGTH:
        lines.append(f"Content-Length: {len(request.body or b'')}")
    lines += [f"{name}: {text}" for name, text in headers.items()]
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1") + (request.body or b"")
