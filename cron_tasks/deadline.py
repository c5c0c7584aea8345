"""HTTP answers that a server can neither stretch, nor let slip into the next exchange.

Both clients read through this: http.client (jobs), and urllib3 below requests (the REST service,
Telegram).

A socket's timeout begins again with every byte, so one byte a second holds a reader for ever. Here
each read of the socket gets what is left of the whole time.

http.client takes 103 (Early Hints) for the answer, and whoever uses the connection next gets the
real one. Here interim answers are skipped, and a connection whose next answer could be mistaken is
closed or shut down, so that no pool can use it again.
"""

import http.client
import io
import socket
import ssl
import time
from contextlib import suppress
from typing import Any

#: Interim answers before the final one. Services send a 102 every few seconds at most.
MOST_INTERIM = 100
_SWITCHING = 101
#: Answers without a body, whatever their headers say (RFC 9112, section 6.3).
_NO_BODY = frozenset({204, 304})


class NoFinalAnswer(http.client.HTTPException):
    """The server goes on with something else than an answer to the request."""


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
        """Whether a single byte of an answer arrived."""
        return self._raw.heard

    def begin(self) -> None:
        """Read the head of the final response (overrides http.client)."""
        super().begin()
        if not self._clearly_framed():
            self.will_close = True

    def close(self) -> None:
        """Close; the rest of an unfinished response must not meet another request (overrides)."""
        if not self.isclosed():
            self._raw.shut_down()
        super().close()

    def _read_status(self) -> tuple[str, int, str]:
        """Read the status line of the final response (overrides http.client, which skips 100)."""
        for _ in range(MOST_INTERIM + 1):
            found: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            _, status, _ = found
            if status == _SWITCHING:
                raise NoFinalAnswer("the service switches the protocol (101), unasked")
            if not 100 <= status < 200:
                return found
            http.client.parse_headers(self.fp)
        raise NoFinalAnswer(f"the service sent more than {MOST_INTERIM} interim answers")

    def _clearly_framed(self) -> bool:
        """Whether everybody would find the same end of the response (RFC 9112, section 6.3).

        After one without a body by definition, that its headers give a body must not be believed
        either: servers do send it.
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
    """The bytes of `sock`, each read of which ends at `until` at the latest."""

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
        """Read no more; return whether TLS has decrypted more than was read."""
        self._ended = True
        return isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0

    def shut_down(self) -> None:
        """Have a pool that has the connection find it ended."""
        # TLS through a TLS proxy of urllib3 has no shutdown().
        with suppress(OSError, AttributeError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Reader(io.BufferedReader):
    """The bytes of one response. Those that follow it belong to nobody."""

    def __init__(self, limited: _Limited) -> None:
        super().__init__(limited)
        self._limited = limited

    def close(self) -> None:
        if not self.closed:
            pending = self._limited.end()
            if pending or self.peek(1):
                self._limited.shut_down()
        super().close()
