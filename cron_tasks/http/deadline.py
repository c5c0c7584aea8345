"""HTTP responses with a deadline, which never end up with another request.

Both clients read through this module: http.client (job actions) and urllib3, which requests uses
(the REST service, Telegram).

A socket's timeout starts again with every byte, so a server that sends one byte a second holds a
reader forever. Here each read of the socket gets what is left of the total time.

http.client skips only 100. It takes a 103 (Early Hints) for the response, and the next request over
the connection gets the real one. Here all interim responses are skipped. A connection with bytes
that belong to no request, or with an unclear end of the response, is closed or shut down, so no
pool can reuse it.
"""

import http.client
import io
import socket
import ssl
import time
from contextlib import suppress
from typing import Any

#: Most interim responses before the final one. Services send a 102 every few seconds at most.
MOST_INTERIM = 100
_SWITCHING = 101
#: Responses without a body, whatever their headers say (RFC 9112, section 6.3).
_NO_BODY = frozenset({204, 304})


class NoFinalAnswer(http.client.HTTPException):
    """The server sends something else in place of a final response."""


class LimitedResponse(http.client.HTTPResponse):
    """A final response, whose reading ends at `until` on the monotonic clock with a TimeoutError.

    Interim responses (RFC 9110, section 15.2) are skipped. Raises NoFinalAnswer for 101, which no
    request of ours asks for, and after MOST_INTERIM of the others.
    """

    def __init__(self, sock: socket.socket, *args: Any, until: float, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._to_head = kwargs.get("method") == "HEAD"
        self._raw = _Limited(self.fp.detach(), sock, until)
        self.fp = _Reader(self._raw)

    @property
    def heard(self) -> bool:
        """Return whether any byte of a response has arrived."""
        return self._raw.heard

    def begin(self) -> None:
        """Read the head of the final response (overrides http.client)."""
        super().begin()
        if not self._clearly_framed():
            self.will_close = True

    def close(self) -> None:
        """Close, and keep an unfinished response from the next request (overrides http.client)."""
        # urllib3 parses chunks itself and then closes. If it gives up, it closes the connection.
        if not self.isclosed() and self.chunked is not True:
            self._raw.shut_down()
        super().close()

    def _read_status(self) -> tuple[str, int, str]:
        """Read the status line of the final response (overrides http.client, which skips 100)."""
        for _ in range(MOST_INTERIM + 1):
            found: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            _, status, _ = found
            if status == _SWITCHING:
                raise NoFinalAnswer("the service switched protocols (101) without being asked")
            if not 100 <= status < 200:
                return found
            http.client.parse_headers(self.fp)
        raise NoFinalAnswer(f"the service sent more than {MOST_INTERIM} interim responses")

    def _clearly_framed(self) -> bool:
        """Return whether the end of the response is beyond doubt (RFC 9112, section 6.3).

        A 204, a 304 and a response to HEAD have no body. If their headers announce one, a server
        may send it all the same.
        """
        lengths = self.headers.get_all("Content-Length", [])
        codings = self.headers.get_all("Transfer-Encoding", [])
        if self.status in _NO_BODY or self._to_head:
            return not codings and set(lengths) <= {"0"}
        if codings:
            return self.chunked and len(codings) == 1 and not lengths
        return len(lengths) == 1 and lengths[0].isascii() and lengths[0].isdecimal()


def left(until: float) -> float:
    """Seconds until `until` on the monotonic clock. Raises TimeoutError when there are none."""
    seconds = until - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


class _Limited(io.RawIOBase):
    """Read the bytes of `sock`, at the latest until `until`."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, until: float) -> None:
        self._raw, self._sock, self._until = raw, sock, until
        self._timeout = sock.gettimeout() or 0.0
        self._ended = self.heard = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._ended:
            return 0
        self._sock.settimeout(min(left(self._until), self._timeout))
        count = self._raw.readinto(buffer)
        self.heard = self.heard or bool(count)
        return count

    def end(self) -> bool:
        """Stop reading, and return whether TLS has decrypted bytes that were not read."""
        self._ended = True
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
    """Buffer one response. On close, bytes left in the buffer end the connection."""

    def __init__(self, limited: _Limited) -> None:
        super().__init__(limited)
        self._limited = limited

    def close(self) -> None:
        if not self.closed:
            pending = self._limited.end()
            if pending or self.peek(1):
                self._limited.shut_down()
        super().close()
