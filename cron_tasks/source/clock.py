"""A limit of time that no server can stretch.

A socket's timeout begins anew with every byte, in the body as in the headers, so one byte a second
holds a reader for ever. Here the connection in use is shut down when the time is up, from a thread.
Only the resolver of names is beyond its reach; it has timeouts of its own.
"""

import socket
import time
from contextlib import suppress
from threading import Timer
from typing import Any, Self

from requests.adapters import HTTPAdapter


class Clock:
    """Seconds that pass only inside `with`, so that work on what was read does not use them up."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._until = 0.0
        self._timer: Timer | None = None
        self._socket: socket.socket | None = None
        self._rang = False

    def __enter__(self) -> Self:
        self._until = time.monotonic() + self._left
        self._timer = Timer(max(self._left, 0), self._expire)
        self._timer.daemon = True
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._timer is not None
        self._timer.cancel()
        self._timer.join()
        self._left = self.left()
        self._socket = None

    def left(self) -> float:
        return self._until - time.monotonic()

    @property
    def expired(self) -> bool:
        return self._rang or self.left() <= 0

    def watch(self, connection: socket.socket) -> None:
        """From now on `connection` is what ends when the time is up."""
        self._socket = connection
        if self._rang:
            self._shut_down()

    def _expire(self) -> None:
        self._rang = True
        self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                # Not SSLSocket.shutdown(): it drops the TLS state under the thread that reads.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class ClockedAdapter(HTTPAdapter):
    """requests' adapter, whose connections a Clock can end."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        super().__init__()

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if "ConnectionCls" not in vars(pool):
            pool.ConnectionCls = _clocked(pool.ConnectionCls, self._clock)
        return pool


def _clocked(plain: Any, clock: Clock) -> Any:
    class Clocked(plain):  # type: ignore[misc]
        def getresponse(self) -> Any:
            clock.watch(self.sock)
            return super().getresponse()

    return Clocked
