"""What went wrong with a request, as a cause and its remedy in place of a nested exception."""

import http.client
import ssl
from collections.abc import Iterator, Mapping
from http import HTTPStatus

import urllib3.exceptions as u
from requests import Response, TooManyRedirects

from cron_tasks.http.deadline import NoFinalAnswer

_CHECK_URL = "is the service running, and is CRON_TASKS_REST_URL right?"

#: Kinds of exceptions, from special to general, and what they mean.
_CAUSES: tuple[tuple[type[BaseException], str], ...] = (
    (TooManyRedirects, "it redirects without an end"),
    (u.ProxyError, "the proxy cannot be used; check HTTP_PROXY, HTTPS_PROXY and NO_PROXY"),
    (u.NameResolutionError, "the host has no address; check CRON_TASKS_REST_URL and the DNS"),
    (
        ssl.SSLCertVerificationError,
        "the TLS certificate is not accepted: {detail}; REQUESTS_CA_BUNDLE names authorities",
    ),
    (ssl.SSLError, "TLS failed: {detail}; is https right in CRON_TASKS_REST_URL?"),
    (ConnectionRefusedError, f"the connection was refused; {_CHECK_URL}"),
    (u.ConnectTimeoutError, f"no connection within {{timeout:g}} s; {_CHECK_URL}"),
    (u.ReadTimeoutError, "no data for {timeout:g} s (CRON_TASKS_REST_TIMEOUT)"),
    (NoFinalAnswer, "{detail}"),
    (http.client.RemoteDisconnected, "the service hung up without an answer"),
    (ConnectionResetError, "the service reset the connection"),
    (u.DecodeError, "the body is not compressed as its Content-Encoding says"),
    (http.client.BadStatusLine, "the answer is not HTTP; is CRON_TASKS_REST_URL right?"),
    (u.ProtocolError, "the answer was cut short"),
    (ValueError, "the address is not a URL that can be requested"),
)
#: Settings to look at, by the status of an answer.
LIST_HINTS = {401: "TOKEN", 403: "TOKEN", 404: "JOBS_PATH"}
REPORT_HINTS = {401: "TOKEN", 403: "TOKEN"} | dict.fromkeys((301, 302, 303, 405), "REPORT_PATH")


def transport_cause(error: BaseException, timeout: float) -> str:
    """The cause of a request without a whole answer; it stays the same as long as the fault."""
    chain = list(_chain(error))
    last = chain[-1]
    said = (getattr(last, name, None) for name in ("verify_message", "reason", "strerror"))
    detail = next(filter(None, said), last)
    for kind, text in _CAUSES:
        if any(isinstance(link, kind) for link in chain):
            return text.format(detail=str(detail).replace("_", " ").lower(), timeout=timeout)
    return str(detail)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """`error` and what caused it: urllib3 keeps that in `reason` or in the arguments."""
    link: BaseException | None = error
    while link is not None:
        yield link
        inner = [getattr(link, "reason", None), *link.args, link.__cause__]
        link = next((each for each in inner if isinstance(each, BaseException)), None)


def status_cause(
    response: Response, hints: Mapping[int, str] = LIST_HINTS, wanted: str = "200 and a list"
) -> str:
    """What an answer other than the one that was wanted means."""
    code = response.status_code
    phrases = {status.value: f" {status.phrase}" for status in HTTPStatus}
    answered = f"the service answered {code}{phrases.get(code, '')}"
    if code in (401, 403) and "Authorization" not in response.request.headers:
        return f"{answered} to a request without CRON_TASKS_REST_TOKEN: not set, or not its host"
    if code in hints:
        return f"{answered}; check CRON_TASKS_REST_{hints[code]}"
    return f"{answered} in place of {wanted}" if code < 400 else answered
