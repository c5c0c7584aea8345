"""Protect Flower: it requires a login, or it only listens on this machine.

By default, Flower 2.2 listens on every interface without authentication. Here it does not start
like that (inside.py asks `find_fault`).
"""

import socket
from functools import cached_property
from ipaddress import ip_address
from typing import Any, Protocol

from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerRequest,
    ResponseStartLine,
)
from tornado.routing import Router

_MEND = "--basic-auth=me:secret or FLOWER_BASIC_AUTH"


class Options(Protocol):
    """The options of Flower that decide who can reach it, from any source."""

    basic_auth: list[str] | None
    auth: str
    auth_provider: str | None
    address: str
    port: int
    unix_socket: str
    xheaders: bool


def find_fault(options: Options) -> str | None:
    """Return why Flower must not start with these options and how to fix that, or None."""
    if not all(_is_login(each) for each in options.basic_auth or ()):
        return (
            f"Flower's login is not of the form user:password: set {_MEND}; "
            "separate several logins by commas"
        )
    if has_login(options) or _is_local(options):
        return None
    where = options.address or "every interface"
    unused = " (--auth and --auth-provider only work together)" if _half_oauth(options) else ""
    return (
        f"Flower would listen on {where}, port {options.port}, without a login{unused}: "
        f"give it one ({_MEND}), or bind it to this machine (--address=127.0.0.1)"
    )


def has_login(options: Options) -> bool:
    """Return whether Flower requires a login, with basic authentication or a provider."""
    return bool(options.basic_auth or (options.auth and options.auth_provider))


def is_loopback(address: str) -> bool:
    """Return whether `address`, a name or an IP address, can only be reached from this machine.

    An empty address means every interface.
    """
    try:
        found = socket.getaddrinfo(address, None, type=socket.SOCK_STREAM) if address else []
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(_is_loopback_ip(str(each[4][0])) for each in found)


class HostCheck(Router):
    """Refuses requests to a Flower on loopback whose Host is not a name of this machine.

    Without this, any page open in a browser on this machine could read and control Flower through
    a host name that resolves to 127.0.0.1 (DNS rebinding). A reverse proxy may pass on its own host
    name. So the check is off with --xheaders, which means that there is a proxy, if Flower also
    requires a login. Flower's static files are served under any name.
    """

    def __init__(self, options: Options) -> None:
        self._options = options

    def find_handler(self, request: HTTPServerRequest, **_: Any) -> HTTPMessageDelegate | None:
        """Return a handler that refuses the request, or None to leave it to Flower's handlers."""
        if not self._is_active or self._is_ours(request.host_name.strip("[]")):
            return None
        assert request.connection is not None
        return _Refusal(request.connection)

    @cached_property
    def _is_active(self) -> bool:
        behind_proxy = self._options.xheaders and has_login(self._options)
        local = not self._options.unix_socket and is_loopback(self._options.address)
        return local and not behind_proxy

    def _is_ours(self, host: str) -> bool:
        return host in ("localhost", self._options.address.lower()) or _is_loopback_ip(host)


class _Refusal(HTTPMessageDelegate):
    """Responds with 403."""

    _TEXT = (
        b"This Flower only accepts requests to localhost or to its own address. "
        b"Behind a reverse proxy, set a login and --xheaders.\n"
    )

    def __init__(self, connection: HTTPConnection) -> None:
        self._connection = connection

    def finish(self) -> None:
        headers = {"Content-Type": "text/plain", "Content-Length": str(len(self._TEXT))}
        line = ResponseStartLine("HTTP/1.1", 403, "Forbidden")
        self._connection.write_headers(line, HTTPHeaders(headers), self._TEXT)
        self._connection.finish()


def _is_login(text: str) -> bool:
    user, _, password = text.partition(":")
    return bool(user.strip() and password.strip())


def _half_oauth(options: Options) -> bool:
    return bool(options.auth) != bool(options.auth_provider)


def _is_local(options: Options) -> bool:
    return bool(options.unix_socket) or is_loopback(options.address)


def _is_loopback_ip(text: str) -> bool:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
