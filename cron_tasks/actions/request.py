"""The request of an `http` action, and what becomes of it on a redirect."""

import re
import string
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple
from urllib.parse import quote, unquote, urljoin, urlsplit

import orjson

from cron_tasks.actions.secrets import Secrets
from cron_tasks.errors import ActionFailed
from cron_tasks.http.hosts import host_of_url, is_host_header
from cron_tasks.jobs.actions import HttpAction
from cron_tasks.jobs.placeholders import filled, mapped, secrets_in
from cron_tasks.jobs.run import Run

_PORTS = {"http": 80, "https": 443}
_ASCII = string.punctuation
_NO_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]")
#: Headers that no other host than the one they were meant for gets.
_PRIVATE = frozenset({"authorization", "cookie", "host"})
_REDIRECTED = " (redirected)"


class Origin(NamedTuple):
    """Where a request goes (RFC 6454)."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        colon_port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{colon_port}"


@dataclass(frozen=True, slots=True)
class Request:
    """`private` are the headers (lower case) that only its origin gets; `confidential` says that
    the body, too, is for nobody else. `shown` is how messages name it, without secrets."""

    method: str
    origin: Origin
    target: str
    headers: dict[str, str]
    body: bytes | None
    private: frozenset[str]
    confidential: bool
    shown: str

    @property
    def url(self) -> str:
        return f"{self.origin}{self.target}"


def request_of(action: HttpAction, run: Run, secrets: Secrets) -> Request:
    """The request with its placeholders filled in. Raises ActionFailed when a secret is missing."""
    values, read = run.values, secrets.read

    def in_url(value: str) -> str:
        return quote(value, safe="")

    def url(secret: Callable[[str], str]) -> str:
        return filled(action.url, lambda name: in_url(values[name]), secret)

    origin, target, user = _located(url(lambda name: in_url(read(name))))
    headers = {
        name.lower(): filled(text, lambda name: _one_line(values[name]), read)
        for name, text in action.headers.items()
    }
    body, kind = _content(action, lambda text: filled(text, values.__getitem__, read))
    fields = {field for field, _ in action.secrets}
    public = _located(url(lambda _: "***"))[1] if "url" in fields else target
    credentials = user and _basic(user)
    if credentials and "url" in fields:
        secrets.hide(credentials)
    defaults = {
        "user-agent": "cron-tasks",
        "accept": "*/*",
        "idempotency-key": _one_line(run.run_id),
        "content-type": kind,
        "authorization": credentials and f"Basic {credentials}",
    }
    headers = _sendable({name: text for name, text in defaults.items() if text} | headers)
    with_secrets = (name for name, text in action.headers.items() if any(secrets_in(text)))
    private = _PRIVATE.union(map(str.lower, with_secrets))
    confidential = not fields.isdisjoint({"body", "json"})
    shown = _shown(action.verb, origin, public)
    return Request(action.verb, origin, target, headers, body, private, confidential, shown)


def _sendable(headers: dict[str, str]) -> dict[str, str]:
    """Return `headers` if they can be sent as they are filled in. Raises ActionFailed."""
    for name, text in headers.items():
        if _NO_HEADER.search(text):
            why = f"the secret in the header {name} is more than one line of Latin-1"
            raise ActionFailed(why, permanent=True)
    if "host" in headers and not is_host_header(headers["host"]):
        why = "its header host is, with its placeholders filled in, not host or host:port"
        raise ActionFailed(why, permanent=True)
    return headers


def _shown(method: str, origin: Origin, target: str) -> str:
    """Return method and URL for messages, without the query, which often contains tokens."""
    return f"{method} {origin}{target.partition('?')[0]}"


def _content(action: HttpAction, fill: Callable[[str], str]) -> tuple[bytes | None, str | None]:
    """The body and its media type."""
    if action.body is not None:
        return fill(action.body).encode(), "text/plain; charset=utf-8"
    if action.payload is not None:
        return orjson.dumps(mapped(action.payload, fill)), "application/json"
    return None, None


class Misled(Exception):
    """A redirect must not be followed. The text says why."""


def following(request: Request, status: int, location: str, secret: bool) -> Request:
    """Return the request for a redirect, with the method that browsers and requests choose.

    `secret` says that the service knows a secret. It may have put it into `location`, so messages
    do not show where the redirect leads. Raises Misled.
    """
    # http.client reads headers as Latin-1; an address in UTF-8 is meant byte by byte.
    reference = quote(location.encode("latin-1"), safe=_ASCII)
    try:
        origin, target, _ = _located(urljoin(request.url, reference))
    except ValueError:
        raise Misled("redirected to what is no http or https URL") from None
    headers, method, body = request.headers, request.method, request.body
    if status not in (307, 308):
        headers = {name: text for name, text in headers.items() if name != "content-type"}
        body = None
        if method != "HEAD" and (status in (302, 303) or (status, method) == (301, "POST")):
            method = "GET"
    if origin != request.origin and not _upgrade(request.origin, origin):
        if body is not None and request.confidential:
            raise Misled("redirected to another host, which may not get the secrets of its body")
        headers = {name: text for name, text in headers.items() if name not in request.private}
    redirected = f"{request.shown.removesuffix(_REDIRECTED)}{_REDIRECTED}"
    shown = redirected if secret else _shown(method, origin, target)
    return replace(
        request,
        method=method,
        origin=origin,
        target=target,
        headers=headers,
        body=body,
        shown=shown,
    )


def _upgrade(old: Origin, new: Origin) -> bool:
    return old == ("http", new.host, 80) and new[::2] == ("https", 443)


def _located(url: str) -> tuple[Origin, str, str | None]:
    """Where a URL leads, what to ask for there, and as whom. Raises ValueError."""
    parts = urlsplit(url)
    host = host_of_url(parts)
    if parts.scheme not in _PORTS or not host:
        raise ValueError("no http or https URL with a host")
    target = quote(parts.path or "/", safe=_ASCII)
    if parts.query:
        target += "?" + quote(parts.query, safe=_ASCII)
    user = parts.netloc.rpartition("@")[0] or None
    return Origin(parts.scheme, host, parts.port or _PORTS[parts.scheme]), target, user


def _basic(user: str) -> str:
    """Return Basic credentials (RFC 7617) for the `user[:password]` of a URL.

    Without a password, the password is empty and the colon stays, as curl and browsers send it.
    """
    name, _, password = user.partition(":")
    return b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode()


def _one_line(value: str) -> str:
    return quote(value, safe=_ASCII + " ")
