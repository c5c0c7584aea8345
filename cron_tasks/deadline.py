"""Answers that a server cannot stretch.

A socket's timeout begins anew with every byte, in the body as in the headers, so one byte a second
holds a reader for ever. Here each read of the socket gets what is left of the whole time.
"""

import http.client
import io
import socket
import time
from typing import Any


class LimitedResponse(http.client.HTTPResponse):
    """A response whose reading ends at `until` on the monotonic clock, with a TimeoutError."""

    def __init__(self, sock: socket.socket, *args: Any, until: float, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Limited(self.fp.detach(), sock, until))


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

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(min(left(self._until), self._timeout))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()
