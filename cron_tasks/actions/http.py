"""The action `http`: one request. The status of its answer decides whether the run is ok."""

import time
from typing import Any, cast

from cron_tasks.actions.answers import Answer
from cron_tasks.actions.client import find_client
from cron_tasks.actions.request import RedirectRefused, follow_redirect, make_request
from cron_tasks.actions.secrets import Secrets
from cron_tasks.actions.traced import send_traced
from cron_tasks.errors import ActionFailed
from cron_tasks.http.failures import CAUSES, Cause, describe_detail, describe_status, find_cause
from cron_tasks.http.retry_after import read_retry_after
from cron_tasks.jobs.actions import HttpAction
from cron_tasks.jobs.run import Run
from cron_tasks.settings import Settings
from cron_tasks.text.output import MAX_OUTPUT_BYTES, trim_output

MOST_REDIRECTS = 5
#: Bytes of an answer that are read, unless the kept output and the longest secret need more.
READ = 16_384
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Statuses below 500 for which another attempt may help. It may for all from 500 on.
_TEMPORARY = frozenset({408, 425, 429})
#: The meaning of exceptions, from special to general.
_CAUSES = (
    Cause(RedirectRefused, "{detail}", may_pass=False),
    *CAUSES,
    Cause(TimeoutError, "no whole answer within {timeout:g} s"),
    Cause(OSError, "{detail}"),
    Cause(ValueError, "{detail}", may_pass=False),
)
#: The history has these texts in place of a response body.
NOT_KEPT = "<not kept: the request carried a secret>"
REPEATED = "<not kept: it repeats a secret of the request in another spelling>"


async def perform_request(run: Run, settings: Settings) -> str | None:
    """Send the request of a run and follow redirects. Return the beginning of the answer.

    Raises ActionFailed, which has that beginning too, if the answer is not an expected one.
    """
    action, secrets = cast("HttpAction", run.job.action), Secrets(settings.secrets_dir)
    until = time.monotonic() + run.job.timeout
    request = make_request(action, run, secrets)
    most = max(READ, MAX_OUTPUT_BYTES + secrets.longest)
    expected, client = action.expect_status, find_client(settings.http_allow)

    def make_error(cause: str, **more: Any) -> ActionFailed:
        return ActionFailed(f"{request.shown}: {cause}", **more)

    for hop in range(MOST_REDIRECTS + 1):
        try:
            if run.traceparent:
                answer = await send_traced(client, request, until, most, run, settings, hop)
            else:
                answer = await client.send(request, until, most)
            location = answer.headers.get("location")
            if answer.status in expected or answer.status not in _REDIRECTS or not location:
                break
            request = follow_redirect(request, answer.status, location, bool(secrets))
        except Exception as error:
            cause, temporary = _find_cause(error, run.job.timeout, bool(secrets), hop > 0)
            if cause is None:
                raise
            raise make_error(cause, permanent=not temporary) from None
    else:
        raise make_error(f"redirected more than {MOST_REDIRECTS} times", permanent=True)
    kept = _choose_output(answer, secrets, most, settings.keep_answers)
    if answer.status in expected or (not expected and 200 <= answer.status < 300):
        return kept
    temporary = answer.status in _TEMPORARY or answer.status >= 500
    wait = read_retry_after(answer.headers.get("retry-after"), time.time()) if temporary else None
    raise make_error(
        _describe_answer(answer, expected), permanent=not temporary, retry_after=wait, output=kept
    )


def _find_cause(
    error: Exception, timeout: float, secret: bool, redirected: bool
) -> tuple[str | None, bool]:
    """Return the cause of an error (None if unknown), and whether another attempt may help.

    After a secret was sent, the text of an exception is used only if it cannot quote the service.
    """
    found = find_cause((error,), _CAUSES)
    if found is None:
        return (f"it failed with {type(error).__name__}", True) if secret else (None, True)
    detail = describe_detail(error)
    # The text of a certificate error quotes the host, which a redirect may have chosen.
    if secret and isinstance(error, ValueError) and (redirected or not isinstance(error, OSError)):
        detail = type(error).__name__
    if isinstance(error, TimeoutError) and error.errno:  # It came before our deadline.
        return detail, True
    return found.explain(detail, timeout), found.may_pass


def _describe_answer(answer: Answer, expected: tuple[int, ...]) -> str:
    wanted = f", not {' or '.join(map(str, expected))}" if expected else ""
    return f"answered {describe_status(answer.status)}{wanted}"


def _choose_output(answer: Answer, secrets: Secrets, most: int, keep: bool) -> str | None:
    """Return the part of the response body for the history.

    A service may repeat a secret in more encodings than anybody can list. So after a secret was
    read and sent, the body is kept only if the operator asks for it (`keep`). A secret that the job
    itself contains is masked.
    """
    if not answer.body:
        return None
    if secrets.were_read and not keep:
        return NOT_KEPT
    if answer.coding:  # The operator did not ask for it, and a secret cannot be ruled out.
        return trim_output(f"(a body in {answer.coding[:40]}, which is not kept)")
    plain = answer.body.decode("utf-8", "replace")
    try:
        text = answer.body.decode(answer.charset, "replace")
    except (LookupError, UnicodeError):
        text = plain
    # The text may end with the beginning of a secret, which nothing would mask.
    safe = len(text) if len(answer.body) < most else max(0, len(text) - secrets.longest)
    if secrets and (
        secrets.occurs_in(secrets.mask_text(text)) or (plain != text and secrets.occurs_in(plain))
    ):
        return REPEATED
    return trim_output(secrets.mask_text(text, min(MAX_OUTPUT_BYTES, safe)))
