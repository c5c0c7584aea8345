"""`http`: one request, whose answer's status says whether the run went well."""

import http.client
import socket
import ssl
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, cast

from cron_tasks.actions.connections import Answer, exchange
from cron_tasks.actions.request import Misled, following, request_of
from cron_tasks.actions.secrets import Secrets
from cron_tasks.errors import ActionFailed
from cron_tasks.http.deadline import NoFinalAnswer
from cron_tasks.http.dialing import AddressRefused
from cron_tasks.jobs.actions import HttpAction
from cron_tasks.jobs.run import Run
from cron_tasks.settings import Settings
from cron_tasks.text.output import MAX_OUTPUT_BYTES, trim_output

MOST_REDIRECTS = 5
#: Bytes of an answer that are read, unless what is kept and a secret that it ends in take more.
READ = 16_384
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Answers that another attempt may change; so may all from 500 on.
_PASSING = frozenset({408, 425, 429})
#: What exceptions mean, from special to general, and whether another attempt can help.
_CAUSES: tuple[tuple[type[BaseException], str, bool], ...] = (
    (Misled, "{detail}", False),
    (AddressRefused, "{detail}, which CRON_TASKS_HTTP_ALLOW does not allow", False),
    (TimeoutError, "no whole answer within {timeout:g} s", True),
    (socket.gaierror, "the host has no address: {detail}", True),
    (ssl.SSLCertVerificationError, "the TLS certificate is not accepted: {detail}", False),
    (ssl.SSLError, "TLS failed: {detail}", True),
    (ConnectionRefusedError, "the connection was refused", True),
    (http.client.RemoteDisconnected, "the service hung up without an answer", True),
    (ConnectionError, "the connection was lost", True),
    (NoFinalAnswer, "{detail}", True),
    (http.client.IncompleteRead, "the answer was cut short", True),
    (http.client.HTTPException, "the answer is not HTTP", True),
    (OSError, "{detail}", True),
    (ValueError, "{detail}", False),
)
#: What the history has in place of a response body.
NOT_KEPT = "<not kept: the request carried a secret>"
REPEATED = "<not kept: it repeats a secret of the request in another spelling>"


def perform(run: Run, settings: Settings) -> str | None:
    """Send the request of a run, and follow where it is redirected; the start of the answer.

    Raises ActionFailed, which holds that too, when the answer is not the expected one.
    """
    action, secrets = cast("HttpAction", run.job.action), Secrets(settings.secrets_dir)
    until = time.monotonic() + run.job.timeout
    request = request_of(action, run, secrets)
    most = max(READ, MAX_OUTPUT_BYTES + secrets.longest)
    expected = action.expect_status

    def failed(cause: str, **more: Any) -> ActionFailed:
        return ActionFailed(f"{request.shown}: {cause}", **more)

    for hop in range(MOST_REDIRECTS + 1):
        try:
            answer = exchange(request, settings.http_allow, until, most)
            location = answer.headers["Location"]
            if answer.status in expected or answer.status not in _REDIRECTS or not location:
                break
            request = following(request, answer.status, location, bool(secrets))
        except Exception as error:
            cause, passing = _cause(error, run.job.timeout, bool(secrets), hop > 0)
            if cause is None:
                raise
            raise failed(cause, permanent=not passing) from None
    else:
        raise failed(f"redirected more than {MOST_REDIRECTS} times", permanent=True)
    kept = _kept(answer, secrets, most, settings.keep_answers)
    if answer.status in expected or (not expected and 200 <= answer.status < 300):
        return kept
    passing = answer.status in _PASSING or answer.status >= 500
    wait = retry_after(answer.headers["Retry-After"], time.time()) if passing else None
    raise failed(_answered(answer, expected), permanent=not passing, retry_after=wait, output=kept)


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds to wait for (RFC 9110, section 10.2.3); None where the header says nothing."""
    if header is None:
        return None
    try:
        if header.strip().isdecimal():
            return float(int(header))
        when = parsedate_to_datetime(header)
        return max(0.0, when.replace(tzinfo=when.tzinfo or UTC).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _cause(
    error: Exception, timeout: float, secret: bool, redirected: bool
) -> tuple[str | None, bool]:
    """Return what went wrong (None if unknown), and whether another attempt can help.

    After a secret was sent, the text of an exception is used only if it cannot quote the service.
    """
    found = next((cause for cause in _CAUSES if isinstance(error, cause[0])), None)
    if found is None:
        return (f"it failed with {type(error).__name__}", True) if secret else (None, True)
    said = (getattr(error, name, None) for name in ("verify_message", "reason", "strerror"))
    detail = next(filter(None, said), error)
    # The text of a certificate error quotes the host, which a redirect may have chosen.
    if secret and isinstance(error, ValueError) and (redirected or not isinstance(error, OSError)):
        detail = type(error).__name__
    if isinstance(error, TimeoutError) and error.errno:  # the system's, before our time was up
        return str(detail), True
    _, text, passing = found
    return text.format(detail=str(detail).replace("_", " "), timeout=timeout), passing


def _answered(answer: Answer, expected: tuple[int, ...]) -> str:
    phrases = {status.value: f" {status.phrase}" for status in HTTPStatus}
    wanted = f", not {' or '.join(map(str, expected))}" if expected else ""
    return f"answered {answer.status}{phrases.get(answer.status, '')}{wanted}"


def _kept(answer: Answer, secrets: Secrets, most: int, keep: bool) -> str | None:
    """Return what the history keeps of the response body.

    A service may repeat a secret in more encodings than anybody can list. So after a secret was
    sent, the body is kept only if the operator asks for it (`keep`).
    """
    if not answer.body:
        return None
    if secrets and not keep:
        return NOT_KEPT
    encoding = answer.headers["Content-Encoding"]
    if encoding is not None:  # unasked for; no secret would be found in it
        return trim_output(f"(a body in {encoding}, which is not kept)")
    plain = answer.body.decode("utf-8", "replace")
    try:
        text = answer.body.decode(answer.headers.get_content_charset("utf-8"), "replace")
    except (LookupError, UnicodeError):
        text = plain
    # The end may be the beginning of a secret, which nothing would mask.
    safe = len(text) if len(answer.body) < most else max(0, len(text) - secrets.longest)
    if secrets and (
        secrets.is_in(secrets.masked(text)) or (plain != text and secrets.is_in(plain))
    ):
        return REPEATED
    return trim_output(secrets.masked(text, min(MAX_OUTPUT_BYTES, safe)))
