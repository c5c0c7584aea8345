"""Explain failures of the REST service, each with a cause and a remedy."""

import http.client
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import urllib3.exceptions as u
from requests import Response, TooManyRedirects

from cron_tasks.http.failures import CAUSES, Cause, describe_detail, describe_status, find_cause
from cron_tasks.settings import Settings
from cron_tasks.text.display import printable

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
#: The fields in which services give the reason of a refusal: Django REST Framework, Express,
#: Laravel, RFC 9457, RFC 6749, JSON:API, and `msg` of the list in FastAPI's `detail`.
_WORDS = ("detail", "error", "message", "msg", "title", "error_description", "errors")
#: The levels of objects and lists that are searched for the reason.
_WORDS_DEPTH = 4
#: The bytes of an answer that are searched for the reason.
_WORDS_READ = 4096
#: Settings to check, by the status of an answer.
LIST_HINTS = {206: "PAGINATION", 401: "TOKEN", 403: "TOKEN", 404: "JOBS_PATH"}
FEED_HINTS = {401: "TOKEN", 403: "TOKEN"}
JOB_HINTS = {401: "TOKEN", 403: "TOKEN", 405: "JOB_PATH"}
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


def read_words(response: Response) -> str:
    """Return the reason that a service gives in JSON for refusing a request, as one line.

    A body that was read already, or that is not JSON, has no reason.
    """
    if response.status_code < 400:
        return ""
    try:
        body = response.raw.read(_WORDS_READ, decode_content=True)
        document = orjson.loads(body)
    except (OSError, u.HTTPError, ValueError):
        return ""
    return _find_words(document) if isinstance(document, dict) else ""


def _find_words(value: Any, depth: int = 0) -> str:
    """Return the first text in one of the known fields, or in a field with a list of texts.

    Validators name the field: `{"size": ["…"]}` (Django REST Framework), or `loc` (FastAPI).
    """
    if isinstance(value, str):
        return printable(value)
    if depth > _WORDS_DEPTH:
        return ""
    if isinstance(value, list):
        return next(filter(None, (_find_words(each, depth + 1) for each in value[:3])), "")
    if not isinstance(value, dict):
        return ""
    found = (_find_words(value[name], depth + 1) for name in _WORDS if name in value)
    if words := next(filter(None, found), ""):
        place = value.get("loc")
        field = ".".join(map(str, place)) if isinstance(place, list) else ""
        return f"{printable(field)}: {words}" if field else words
    for name, texts in value.items():
        if isinstance(texts, list) and texts and isinstance(texts[0], str):
            return f"{printable(name)}: {printable(texts[0])}"
    return ""


def add_login_hints(hints: Mapping[int, str], settings: Settings) -> Mapping[int, str]:
    """Return the hints with CRON_TASKS_REST_HEADERS for 401 and 403, if that is set."""
    if not settings.rest_headers:
        return hints
    check = "TOKEN and CRON_TASKS_REST_HEADERS" if settings.rest_token else "HEADERS"
    return {**hints, 401: check, 403: check}


def explain_status(
    response: Response, hints: Mapping[int, str] = LIST_HINTS, wanted: str = "200 and a list"
) -> str:
    """Explain an answer with another status than `wanted`, and add the reason that the service
    gives."""
    words = read_words(response)
    return _explain_code(response, hints, wanted) + (
        f"; in its own words: {words}" if words else ""
    )


def _explain_code(response: Response, hints: Mapping[int, str], wanted: str) -> str:
    code = response.status_code
    answered = f"the service answered {describe_status(code)}"
    sent = response.request.headers.get("Authorization", "").partition(" ")[0]
    if code in (401, 403) and not sent and hints.get(code) == "TOKEN":
        why = "it is not set, or this is another host"
        return f"{answered} to a request without CRON_TASKS_REST_TOKEN: {why}"
    if code == 401 and (asked := _asked_scheme(response, sent)):
        return f"{answered} and asks for another scheme: set CRON_TASKS_REST_AUTH_SCHEME={asked}"
    if code < 300 or (code < 400 and code not in hints):
        answered = f"{answered} in place of {wanted}"
    return f"{answered}; check CRON_TASKS_REST_{hints[code]}" if code in hints else answered


def _asked_scheme(response: Response, sent: str) -> str:
    """Return the scheme that the service asks for, if another one was sent, otherwise "".

    WWW-Authenticate may name several (RFC 9110, section 11.6.1).
    """
    header = response.headers.get("WWW-Authenticate", "")
    names = [name.lower() for name in re.findall(r"[\w-]+", header)]
    first = re.match(r"[\w-]+", header)
    return first.group() if first and sent and sent.lower() not in names else ""
