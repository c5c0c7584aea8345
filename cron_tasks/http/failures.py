"""Explain why an HTTP request failed, instead of showing a nested exception.

The causes here are exceptions of the standard library. A client adds its own causes before and
after them. Timeouts are among those, because each client limits something else.
"""

import http.client
import socket
import ssl
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import NamedTuple

from cron_tasks.http.addresses import AddressRefused
from cron_tasks.http.deadline import NoFinalAnswer


class Cause(NamedTuple):
    """The meaning of an exception. `text` may contain `{detail}` and `{timeout}` (in seconds).

    `may_pass` is true if another attempt can help.
    """

    kind: type[BaseException]
    text: str
    may_pass: bool = True

    def explain(self, detail: str, timeout: float) -> str:
        """Return the cause as part of a sentence."""
        return self.text.format(detail=detail, timeout=timeout)


#: From special to general.
CAUSES = (
    Cause(AddressRefused, "{detail}, which CRON_TASKS_HTTP_ALLOW does not allow", may_pass=False),
    Cause(socket.gaierror, "the host has no address: {detail}"),
    Cause(
        ssl.SSLCertVerificationError,
        "the TLS certificate is not accepted: {detail}",
        may_pass=False,
    ),
    Cause(ssl.SSLError, "TLS failed: {detail}"),
    Cause(ConnectionRefusedError, "the connection was refused"),
    Cause(http.client.RemoteDisconnected, "the service closed the connection without an answer"),
    Cause(ConnectionResetError, "the service reset the connection"),
    Cause(ConnectionError, "the connection was lost"),
    Cause(NoFinalAnswer, "{detail}"),
    Cause(http.client.IncompleteRead, "the answer was cut short"),
    Cause(http.client.HTTPException, "the answer is not HTTP"),
)

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


def find_cause(errors: Sequence[BaseException], causes: Iterable[Cause] = CAUSES) -> Cause | None:
    """Return the first of `causes` that one of `errors` is an instance of, or None."""
    for cause in causes:
        if any(isinstance(error, cause.kind) for error in errors):
            return cause
    return None


def describe_detail(error: BaseException) -> str:
    """Return the most readable text of an exception. OpenSSL writes `WRONG_VERSION_NUMBER`."""
    texts = (getattr(error, name, None) for name in ("verify_message", "reason", "strerror"))
    text = str(next(filter(None, texts), error))
    return text.lower().replace("_", " ") if text.isupper() else text


def describe_status(code: int) -> str:
    """Return a status with its phrase, such as `404 Not Found`."""
    return f"{code} {_PHRASES[code]}" if code in _PHRASES else str(code)
