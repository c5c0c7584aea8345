"""Points in time as text. Pure; times are seconds since the epoch."""

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=65536)
def iso(when: float) -> str:
    """ISO-8601 in UTC with `Z`, with as many decimals as the time has: none, three or six."""
    moment = datetime.fromtimestamp(when, UTC)
    decimals = "milliseconds" if moment.microsecond % 1000 == 0 else "microseconds"
    text = moment.isoformat(timespec=decimals if moment.microsecond else "seconds")
    return text.replace("+00:00", "Z")
