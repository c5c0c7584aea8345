"""Ping a URL of a monitoring service, such as a check of Healthchecks.

The path of such a URL is a secret, so texts from here contain only its origin. A ping is small and
rare. It opens a separate connection, to the same address that was checked, and follows no redirect.
Proxies and .netrc have no influence.
"""

import http.client
import time
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from cron_tasks.http.addresses import explain_refusal, is_host_allowed
from cron_tasks.http.deadline import LimitedResponse, seconds_left
from cron_tasks.http.dialing import SocketAddress, connect_to_first, find_addresses
from cron_tasks.http.failures import CAUSES, Cause, describe_detail, describe_status, find_cause
from cron_tasks.http.hosts import DEFAULT_PORTS, host_of_url, to_ascii_host
from cron_tasks.http.tls import tls_context

#: Seconds that a ping may take. The resolution of the host's name has timeouts of its own.
TIMEOUT = 10.0
_ASCII = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


class PingRefused(Exception):
    """The settings do not allow the host of a ping. The text explains why."""


_CAUSES = (
    Cause(PingRefused, "{detail}, which CRON_TASKS_HTTP_ALLOW does not allow"),
    *CAUSES,
    Cause(TimeoutError, "no answer within {timeout:g} s"),
    Cause(OSError, "{detail}"),
    Cause(ValueError, "its URL cannot be used"),
)


def add_to_path(url: str, suffix: str, query: str) -> str:
    """Return `url` with `suffix` at the end of its path, and with a further query."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/") + suffix
    queries = "&".join(filter(None, (parts.query, query)))
    return urlunsplit((parts.scheme, parts.netloc, path, queries, ""))


def origin_of(url: str) -> str:
    """Return scheme and host of a URL, which may be shown."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def send_ping(
    url: str, method: str, rules: Sequence[str] = ("*",), timeout: float = TIMEOUT
) -> str | None:
    """Send one request. Return None if it was answered with 2xx, otherwise the reason. Never
    raises.

    `rules` are those of CRON_TASKS_HTTP_ALLOW.
    """
    try:
        status = _request(url, method, tuple(rules), time.monotonic() + timeout)
    except Exception as error:
        found = find_cause((error,), _CAUSES)
        detail = found and found.explain(describe_detail(error), timeout)
        return detail or type(error).__name__
    return None if 200 <= status < 300 else f"answered {describe_status(status)}"


def _request(url: str, method: str, rules: tuple[str, ...], until: float) -> int:
    parts = urlsplit(url)
    host = to_ascii_host(host_of_url(parts)) if "[" not in parts.netloc else host_of_url(parts)
    target = quote(parts.path or "/", safe=_ASCII)
    if parts.query:
        target += "?" + quote(parts.query, safe=_ASCII)
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    connection = _Connection(host, port, parts.scheme == "https", rules, until)
    try:
        length = {"Content-Length": "0"} if method == "POST" else {}
        connection.request(method, target, headers={"User-Agent": "cron-tasks"} | length)
        return connection.getresponse().status
    finally:
        connection.close()


class _Connection(http.client.HTTPConnection):
    """A connection to an address that `rules` allow, which ends at `until` (monotonic)."""

    def __init__(self, host: str, port: int, tls: bool, rules: Sequence[str], until: float) -> None:
        super().__init__(host, port)
        self.default_port = 443 if tls else 80
        self._tls, self._rules, self._until = tls, rules, until

    def _make_response(self, *args: Any, **kwargs: Any) -> LimitedResponse:
        return LimitedResponse(*args, until=self._until, **kwargs)

    #: Overrides http.client's class.
    response_class: Any = _make_response

    def connect(self) -> None:
        allowed = _find_allowed(self.host, self.port, self._rules)
        sock = connect_to_first(allowed, self._until)
        try:
            sock.settimeout(seconds_left(self._until))
            if self._tls:
                name = self.host.removesuffix(".")
                sock = tls_context().wrap_socket(sock, server_hostname=name)
            sock.settimeout(seconds_left(self._until))
            self.sock = sock
        except BaseException:
            sock.close()
            raise


def _find_allowed(host: str, port: int, rules: Sequence[str]) -> list[SocketAddress]:
    """Return the allowed addresses of a host. Raises PingRefused if there is none."""
    found = find_addresses(host, port)
    if is_host_allowed(host, rules):
        return found
    reasons = [explain_refusal(ip_address(each.where[0]), rules) for each in found]
    allowed = [each for each, why in zip(found, reasons, strict=True) if why is None]
    if not allowed:
        raise PingRefused(reasons[0])
    return allowed
