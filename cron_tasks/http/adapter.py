"""The transport of every requests.Session.

It tries the addresses of a host side by side, and reads only final responses, within a deadline.
"""

import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from cron_tasks.http.deadline import LimitedResponse
from cron_tasks.http.dialing import open_connection


class LimitedAdapter(HTTPAdapter):
    """Read responses as LimitedResponse, over connections of open_connection.

    `until` returns the time on the monotonic clock by which a response has to be read, in seconds.
    It is called at the start of each response.
    """

    def __init__(self, until: Callable[[], float], **options: Any) -> None:
        def response(*args: Any, **kwargs: Any) -> LimitedResponse:
            return LimitedResponse(*args, until=until(), **kwargs)

        self._response_class = staticmethod(response)
        super().__init__(**options)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if "ConnectionCls" not in vars(pool):
            base = pool.ConnectionCls
            own: dict[str, Any] = {"response_class": self._response_class}
            # A connection through a SOCKS proxy has its own way to connect.
            if base._new_conn is HTTPConnection._new_conn:
                own["_new_conn"] = _connect
            pool.ConnectionCls = type("Connection", (base,), own)
        return pool


def _connect(connection: HTTPConnection) -> socket.socket:
    """Return a new socket of `connection` (overrides urllib3, which tries one address at a time).

    Raises the errors of urllib3 for a name that does not resolve, a timeout and a refusal.
    """
    host, seconds = connection._dns_host, connection.timeout
    assert isinstance(seconds, int | float), "each request has a timeout"
    try:
        sock = open_connection(host, connection.port, ("*",), time.monotonic() + seconds)
    except socket.gaierror as error:
        raise NameResolutionError(connection.host, connection, error) from error
    except TimeoutError as error:
        reason = f"Connection to {connection.host} timed out. (connect timeout={seconds})"
        raise ConnectTimeoutError(connection, reason) from error
    except OSError as error:
        reason = f"Failed to establish a new connection: {error}"
        raise NewConnectionError(connection, reason) from error
    sock.settimeout(seconds)
    for option in connection.socket_options or ():
        sock.setsockopt(*option)
    sys.audit("http.client.connect", connection, connection.host, connection.port)
    return sock
