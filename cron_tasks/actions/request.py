"""The request of an `http` action, and the request that follows a redirect."""

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
from cron_tasks.http.hosts import DEFAULT_PORTS, host_of_url, is_host_header
from cron_tasks.jobs.actions import HttpAction
from cron_tasks.jobs.confidential import find_literal_secrets, is_secret_name
from cron_tasks.jobs.placeholders import fill_placeholders, find_secrets, map_texts
from cron_tasks.jobs.run import Run

_ASCII = string.punctuation
_NO_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]")
#: Headers that are not sent to another host after a redirect.
_PRIVATE = frozenset({"authorization", "cookie", "host"})
_REDIRECTED = " (redirected)"


class Origin(NamedTuple):
    """The origin that a request is sent to (RFC 6454)."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """The value of the header Host (RFC 9110, section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Request:
    """A request that can be sent.

    `private` names the headers (in lower case) that only its origin may get. `confidential` means
    that only its origin may get the body. `shown` is the request in messages, without secrets.
    """

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

    @property
    def shown_url(self) -> str | None:
        """The URL without query and secrets. None if a redirect may have put a secret into it."""
        return None if self.shown.endswith(_REDIRECTED) else self.shown.partition(" ")[2]


def make_request(action: HttpAction, run: Run, secrets: Secrets) -> Request:
    """Fill in the placeholders of a request. Raises ActionFailed if a secret is missing."""
    values, read = run.values, secrets.read_value

    def in_url(value: str) -> str:
        return quote(value, safe="")

    def fill_url(secret: Callable[[str], str]) -> str:
        return fill_placeholders(action.url, lambda name: in_url(values[name]), secret)

    origin, target, user = _parse_url(fill_url(lambda name: in_url(read(name))))
    headers = {
        name.lower(): fill_placeholders(text, lambda name: _one_line(values[name]), read)
        for name, text in action.headers.items()
    }
    body, kind = _fill_body(action, lambda text: fill_placeholders(text, values.__getitem__, read))
    fields = {field for field, _ in action.secret_references}
    public = _parse_url(fill_url(lambda _: "***"))[1] if "url" in fields else target
    credentials = user and _basic_credentials(user)
    if credentials:
        secrets.hide(credentials)
    for literal in find_literal_secrets(action.url, action.headers):
        secrets.hide(literal)
    defaults = {
        "user-agent": "cron-tasks",
        "accept": "*/*",
        "idempotency-key": _one_line(run.run_id),
        "content-type": kind,
        "authorization": credentials and f"Basic {credentials}",
    }
    headers = _check_headers({name: text for name, text in defaults.items() if text} | headers)
    private = _PRIVATE.union(
        name.lower()
        for name, text in action.headers.items()
        if is_secret_name(name) or any(find_secrets(text))
    )
    confidential = not fields.isdisjoint({"body", "json"})
    shown = _format_request(action.effective_method, origin, public)
    return Request(
        action.effective_method, origin, target, headers, body, private, confidential, shown
    )


def _check_headers(headers: dict[str, str]) -> dict[str, str]:
    """Return `headers` if they can be sent as they are filled in. Raises ActionFailed."""
    for name, text in headers.items():
        if _NO_HEADER.search(text):
            why = f"the secret in the header {name} is more than one line of Latin-1"
            raise ActionFailed(why, permanent=True)
    if "host" in headers and not is_host_header(headers["host"]):
        why = "its header host is, with its placeholders filled in, not host or host:port"
        raise ActionFailed(why, permanent=True)
    return headers


def _format_request(method: str, origin: Origin, target: str) -> str:
    """Return method and URL for messages, without the query, which often contains tokens."""
    return f"{method} {origin}{target.partition('?')[0]}"


def _fill_body(action: HttpAction, fill: Callable[[str], str]) -> tuple[bytes | None, str | None]:
    """Return the body and its media type, or None for both."""
    if action.body is not None:
        return fill(action.body).encode(), "text/plain; charset=utf-8"
    if action.payload is not None:
        return orjson.dumps(map_texts(action.payload, fill)), "application/json"
    return None, None


class RedirectRefused(Exception):
    """A redirect must not be followed. The text gives the reason."""


def follow_redirect(request: Request, status: int, location: str, secret: bool) -> Request:
    """Return the request for a redirect, with the method that browsers and requests choose.

    `secret` means that the service knows a secret. The service may have put it into `location`, so
    messages do not show where the redirect leads. Raises RedirectRefused.
    """
    # http.client reads headers as Latin-1. A URL in UTF-8 is encoded byte by byte.
    reference = quote(location.encode("latin-1"), safe=_ASCII)
    try:
        origin, target, _ = _parse_url(urljoin(request.url, reference))
    except ValueError:
        raise RedirectRefused("redirected to something that is not an http or https URL") from None
    headers, method, body = request.headers, request.method, request.body
    if status not in (307, 308):
        headers = {name: text for name, text in headers.items() if name != "content-type"}
        body = None
        if method != "HEAD" and (status in (302, 303) or (status, method) == (301, "POST")):
            method = "GET"
    if origin != request.origin and not _is_upgrade(request.origin, origin):
        if body is not None and request.confidential:
            raise RedirectRefused(
                "redirected to another host, which may not get the secrets of its body"
            )
        headers = {name: text for name, text in headers.items() if name not in request.private}
    redirected = f"{request.shown.removesuffix(_REDIRECTED)}{_REDIRECTED}"
    shown = redirected if secret else _format_request(method, origin, target)
    return replace(
        request,
        method=method,
        origin=origin,
        target=target,
        headers=headers,
        body=body,
        shown=shown,
    )


def _is_upgrade(old: Origin, new: Origin) -> bool:
    return old == ("http", new.host, 80) and new[::2] == ("https", 443)


def _parse_url(url: str) -> tuple[Origin, str, str | None]:
    """Split a URL into its origin, its target and its user. Raises ValueError."""
    parts = urlsplit(url)
    host = host_of_url(parts)
    if parts.scheme not in DEFAULT_PORTS or not host or parts.port == 0:
        raise ValueError("not an http or https URL with a host")
    target = quote(parts.path or "/", safe=_ASCII)
    if parts.query:
        target += "?" + quote(parts.query, safe=_ASCII)
    user = parts.netloc.rpartition("@")[0] or None
    return Origin(parts.scheme, host, parts.port or DEFAULT_PORTS[parts.scheme]), target, user


def _basic_credentials(user: str) -> str:
    """Return Basic credentials (RFC 7617) for the `user[:password]` of a URL.

    Without a password, the password is empty and the colon stays, as curl and browsers send it.
    """
    name, _, password = user.partition(":")
    return b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode()


def _one_line(value: str) -> str:
    return quote(value, safe=_ASCII + " ")
