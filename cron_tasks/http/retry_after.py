"""Read the header Retry-After (RFC 9110, section 10.2.3). Pure."""

from datetime import UTC
from email.utils import parsedate_to_datetime


def read_retry_after(header: str | None, now: float) -> float | None:
    """Return the seconds to wait from `now` on, or None if the header is missing or wrong.

    `now` is in seconds since the epoch, because the header may contain a date.
    """
    if header is None:
        return None
    try:
        if header.strip().isdecimal():
            return float(int(header))
        when = parsedate_to_datetime(header)
        return max(0.0, when.replace(tzinfo=when.tzinfo or UTC).timestamp() - now)
    except (ValueError, OverflowError):
        return None
