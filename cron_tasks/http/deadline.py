"""Read HTTP responses within a deadline, and never as the response to another request.

urllib3, which requests uses (the REST service, Telegram), reads through this module. The client of
job actions has its own reader (actions/answers.py), with the same limits.

A socket's timeout starts again with every byte, so a server that sends one byte a second holds a
reader forever. Here each read of the socket gets the rest of the total time.

http.client skips only the status 100. It treats a 103 (Early Hints) as the response, and the next
request over the connection gets the real one. Here all interim responses are skipped. A connection
with bytes that belong to no request, or with an unclear end of the response, is closed or shut
down, so no pool can reuse it.
"""

import http.client
import io
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

#: Most interim responses before the final one. Services send a 102 every few seconds at most.
MAX_INTERIM = 100
_SWITCHING = 101
#: Responses without a body, whatever their headers say (RFC 9112, section 6.3).
_NO_BODY = frozenset({204, 304})


class NoFinalAnswer(http.client.HTTPException):
    """The server sends something else in place of a final response."""


class LimitedResponse(http.client.HTTPResponse):
    """A final response. Reading it raises TimeoutError at `until` on the monotonic clock.

    Interim responses (RFC 9110, section 15.2) are skipped. Raises NoFinalAnswer for 101,
    which our requests never ask for, and after MAX_INTERIM of the others.
    """

    def __init__(self, sock: socket.socket, *args: Any, until: float, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._is_to_head = kwargs.get("method") == "HEAD"
        self._raw = _Limited(self.fp.detach(), sock, until)
        self.fp = _Reader(self._raw)

    def begin(self) -> None:
        """Read the head of the final response (overrides http.client)."""
        super().begin()
        lengths = self.headers.get_all("Content-Length", [])
        codings = self.headers.get_all("Transfer-Encoding", [])
        if not is_clearly_framed(self.status, self._is_to_head, lengths, codings):
            self.will_close = True

    def close(self) -> None:
        """Close, so that no other request reads an unfinished response (overrides http.client)."""
        # urllib3 parses chunks itself and then closes. If it gives up, it closes the connection.
        if not self.isclosed() and self.chunked is not True:
            self._raw.shut_down()
        super().close()

    def _read_status(self) -> tuple[str, int, str]:
        """Read the status line of the final response (overrides http.client, which skips 100)."""
        for _ in range(MAX_INTERIM + 1):
            response: Any = super()
            found: tuple[str, int, str] = response._read_status()
            _, status, _ = found
            if status == _SWITCHING:
                raise NoFinalAnswer("the service switched protocols (101) without being asked")
            if not 100 <= status < 200:
                return found
            http.client.parse_headers(self.fp)
        raise NoFinalAnswer(f"the service sent more than {MAX_INTERIM} interim responses")


def is_clearly_framed(
    status: int, is_to_head: bool, lengths: Sequence[str], codings: Sequence[str]
) -> bool:
    """Return whether the end of a response is certain (RFC 9112, section 6.3).

    `lengths` and `codings` are its Content-Length and Transfer-Encoding. A 204, a 304 and a
    response to HEAD have no body. If their headers announce one, a server may send one
    nevertheless.
    """
    if status in _NO_BODY or is_to_head:
        return not codings and set(lengths) <= {"0"}
    if codings:
        return [each.strip().lower() for each in codings] == ["chunked"] and not lengths
    return len(lengths) == 1 and lengths[0].isascii() and lengths[0].isdecimal()


def seconds_left(until: float) -> float:
    """Return the seconds to `until` on the monotonic clock. Raises TimeoutError if none is left."""
    seconds = until - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


class _Limited(io.RawIOBase):
    """Read the bytes of `sock` until `until` at the latest."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, until: float) -> None:
        self._raw, self._sock, self._until = raw, sock, until
        self._timeout = sock.gettimeout() or 0.0
        self._has_ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._has_ended:
            return 0
        self._sock.settimeout(min(seconds_left(self._until), self._timeout))
        return self._raw.readinto(buffer)

    def end_reading(self) -> bool:
        """Stop reading. Return whether TLS has decrypted bytes that were not read."""
        self._has_ended = True
        return isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0

    def shut_down(self) -> None:
        """End the connection, so that a pool that holds it finds it closed."""
        # The class that urllib3 uses for TLS through a TLS proxy has no shutdown().
        with suppress(OSError, AttributeError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Reader(io.BufferedReader):
    """Buffer one response. On close, bytes that are left in the buffer end the connection."""

    def __init__(self, limited: _Limited) -> None:
        super().__init__(limited)
        self._limited = limited

    def close(self) -> None:
        if not self.closed:
            pending = self._limited.end_reading()
            if pending or self.peek(1):
                self._limited.shut_down()
        super().close()
