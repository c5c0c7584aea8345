"""Explain failures of the REST service, each with a cause and a remedy."""

import http.client
import socket
import ssl
from collections.abc import Iterator, Mapping

import urllib3.exceptions as u
from requests import Response, TooManyRedirects

from cron_tasks.http.failures import CAUSES, Cause, describe_detail, describe_status, find_cause

_CHECK_URL = "is the service running, and is CRON_TASKS_REST_URL right?"

#: The meaning of the exceptions of requests and urllib3, and of those that they wrap.
_CAUSES = (
    Cause(TooManyRedirects, "it redirects without an end"),
    Cause(u.ProxyError, "the proxy cannot be used; check HTTP_PROXY, HTTPS_PROXY and NO_PROXY"),
    Cause(u.DecodeError, "the body is not compressed as its Content-Encoding says"),
    *CAUSES,
    # A refused connection is a NewConnectionError, which urllib3 derives from this one.
    Cause(u.ConnectTimeoutError, "no connection within {timeout:g} s"),
    Cause(u.ReadTimeoutError, "no data for {timeout:g} s (CRON_TASKS_REST_TIMEOUT)"),
    Cause(u.ProtocolError, "the answer was cut short"),
    Cause(ValueError, "the address is not a URL that can be requested"),
)
#: The remedies, by the kind of cause.
_REMEDIES: Mapping[type[BaseException], str] = {
    socket.gaierror: "check CRON_TASKS_REST_URL and the DNS",
    ssl.SSLCertVerificationError: "REQUESTS_CA_BUNDLE names trusted authorities",
    ssl.SSLError: "is https right in CRON_TASKS_REST_URL?",
    ConnectionRefusedError: _CHECK_URL,
    u.ConnectTimeoutError: _CHECK_URL,
    http.client.HTTPException: "is CRON_TASKS_REST_URL right?",
}
#: Settings to check, by the status of an answer.
LIST_HINTS = {401: "TOKEN", 403: "TOKEN", 404: "JOBS_PATH"}
REPORT_HINTS = {401: "TOKEN", 403: "TOKEN"} | dict.fromkeys((301, 302, 303, 405), "REPORT_PATH")


def explain_failure(error: BaseException, timeout: float) -> str:
    """Explain a request without a complete answer. The text changes only with the fault.

    `timeout` is CRON_TASKS_REST_TIMEOUT, in seconds.
    """
    chain = list(_unwrap(error))
    detail = describe_detail(chain[-1])
    cause = find_cause(chain, _CAUSES)
    if cause is None:
        return detail
    remedy = _REMEDIES.get(cause.kind)
    return cause.explain(detail, timeout) + (f"; {remedy}" if remedy else "")


def _unwrap(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and what caused it. urllib3 keeps that in `reason` or in the arguments."""
    link: BaseException | None = error
    while link is not None:
        yield link
        inner = [getattr(link, "reason", None), *link.args, link.__cause__]
        link = next((each for each in inner if isinstance(each, BaseException)), None)


def explain_status(
    response: Response, hints: Mapping[int, str] = LIST_HINTS, wanted: str = "200 and a list"
) -> str:
    """Explain an answer with another status than `wanted`."""
    code = response.status_code
    answered = f"the service answered {describe_status(code)}"
    if code in (401, 403) and "Authorization" not in response.request.headers:
        why = "it is not set, or this is another host"
        return f"{answered} to a request without CRON_TASKS_REST_TOKEN: {why}"
    if code in hints:
        return f"{answered}; check CRON_TASKS_REST_{hints[code]}"
    return f"{answered} in place of {wanted}" if code < 400 else answered
