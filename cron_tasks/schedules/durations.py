"""Durations in seconds: units, and how people write them. Pure."""

import re

from cron_tasks.schedules.faults import Fault
from cron_tasks.text.display import short_repr

MINUTE, HOUR, DAY = 60, 3_600, 86_400
WEEK = 7 * DAY
#: The longest year.
YEAR = 366 * DAY

_NUMBER = r"([0-9]{1,12}(?:[.][0-9]+)?)"
#: ISO 8601, such as `PT1H30M` and `P1W`.
_ISO_8601 = re.compile(
    f"P(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T|$)(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?"
)
#: The forms that people write, also after `@every`: `1h30m`, `40d`, `5 min`, `10 minutes`.
_UNITS = re.compile(
    rf"(?:{_NUMBER} ?W(?:EEKS?)?)?\s*(?:{_NUMBER} ?D(?:AYS?)?)?\s*(?:{_NUMBER} ?H(?:OURS?)?)?\s*"
    rf"(?:{_NUMBER} ?M(?:IN(?:UTE)?S?)?)?\s*(?:{_NUMBER} ?S(?:EC(?:OND)?S?)?)?"
)
_DECIMAL_COMMA = re.compile(",(?![0-9]{3}(?![0-9]))")


def read_duration(value: object) -> float:
    """Return the seconds of a number, an ISO 8601 duration, or a text such as `1h30m`.

    The result may be of any size, and NaN. Raises Fault.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    text = value if isinstance(value, str) else ""
    if re.fullmatch(_NUMBER, number := _normalize(text)):
        return float(number)
    if (seconds := read_span(text)) is not None:
        return seconds
    raise Fault(
        f"{short_repr(value)} is neither seconds nor an ISO 8601 duration such as PT5M"
        " (years and months have no fixed length)"
    )


def read_span(text: str) -> float | None:
    """Return the seconds of a text with units, such as `1h30m`, `5 min` or `PT90M`, or None.

    `m` is minutes, because months have no fixed length. A number without a unit is not a span.
    """
    text = _normalize(text)
    match = _ISO_8601.fullmatch(text) or _UNITS.fullmatch(text)
    if match is None or not any(match.groups()):
        return None
    weeks, days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return (((weeks * 7 + days) * 24 + hours) * 60 + minutes) * 60 + seconds


def _normalize(text: str) -> str:
    """Return a text in its one spelling. A comma before three digits may separate thousands."""
    return _DECIMAL_COMMA.sub(".", text.strip().upper())
