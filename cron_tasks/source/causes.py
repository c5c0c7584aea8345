"""What went wrong with a request, as a cause and its remedy in place of a nested exception.

The texts say the same as long as the fault is the same: they are logged when they change.
"""

import http.client
import ssl
from collections.abc import Iterator
from http import HTTPStatus

import requests.exceptions as r
import urllib3.exceptions as u

_CHECK_URL = "is the service running, and is CRON_TASKS_REST_URL right?"

#: Kinds of exceptions, from special to general; the cause; whether another attempt may help.
_CAUSES: tuple[tuple[type[BaseException], str, bool], ...] = (
    (u.ProxyError, "the proxy cannot be used; check HTTP_PROXY, HTTPS_PROXY and NO_PROXY", True),
    (
        u.NameResolutionError,
        "the name of the host cannot be resolved; check CRON_TASKS_REST_URL and the DNS",
        True,
    ),
    (
        ssl.SSLCertVerificationError,
        "the TLS certificate is not accepted: {detail}; "
        "REQUESTS_CA_BUNDLE may name a file with the authority's certificate",
        False,
    ),
    (ssl.SSLError, "TLS failed: {detail}; is https right in CRON_TASKS_REST_URL?", True),
    (ConnectionRefusedError, f"the connection was refused; {_CHECK_URL}", True),
    (u.NewConnectionError, f"there is no connection: {{detail}}; {_CHECK_URL}", True),
    (u.ConnectTimeoutError, f"no connection within {{timeout:g}} s; {_CHECK_URL}", True),
    (u.ReadTimeoutError, "no data for {timeout:g} s (CRON_TASKS_REST_TIMEOUT)", True),
    (http.client.RemoteDisconnected, "the service hung up without an answer", True),
    (ConnectionResetError, "the service reset the connection", True),
    (u.IncompleteRead, "the answer was cut short", True),
    (http.client.IncompleteRead, "the answer was cut short", True),
    (u.InvalidChunkLength, "the answer was cut short", True),
    (u.DecodeError, "the body is not compressed as its Content-Encoding says", False),
    (http.client.HTTPException, "the answer is not HTTP; is CRON_TASKS_REST_URL right?", False),
    (u.ProtocolError, "the connection broke before the answer was complete", True),
    (ValueError, "the address is not a URL that can be requested", False),
    (r.RequestException, "the request failed: {kind}", False),
    (OSError, "{detail}", False),
)


def transport_cause(error: BaseException, timeout: float) -> tuple[str, bool]:
    """The cause of a request without a whole answer, and whether another attempt may help."""
    chain = list(_chain(error))
    for kind, text, again in _CAUSES:
        for link in chain:
            if isinstance(link, kind):
                detail = _detail(chain[-1])
                return text.format(detail=detail, timeout=timeout, kind=type(link).__name__), again
    return f"the request failed: {type(error).__name__}", False


def _chain(error: BaseException) -> Iterator[BaseException]:
    """`error` and what caused it: urllib3 keeps that in `reason` or in the arguments."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        inner = [getattr(link, "reason", None), *link.args, link.__cause__, link.__context__]
        link = next((each for each in inner if isinstance(each, BaseException)), None)


def _detail(error: BaseException) -> str:
    for name in ("verify_message", "reason", "strerror"):
        if text := getattr(error, name, None):
            return str(text).replace("_", " ").lower()
    return str(error) or type(error).__name__


def status_cause(code: int, authorized: bool) -> str:
    """What an answer other than a list means."""
    try:
        answered = f"the service answered {code} {HTTPStatus(code).phrase}"
    except ValueError:
        answered = f"the service answered {code}"
    if code in (401, 403) and authorized:
        return f"{answered}; check CRON_TASKS_REST_TOKEN"
    if code in (401, 403):
        return (
            f"{answered} to a request without a token: CRON_TASKS_REST_TOKEN is not set, "
            "or another host than that of CRON_TASKS_REST_URL asks for it"
        )
    if code == 404:
        return f"{answered}; check CRON_TASKS_REST_JOBS_PATH"
    if code < 400:
        return f"{answered} in place of 200 and a list"
    return answered
