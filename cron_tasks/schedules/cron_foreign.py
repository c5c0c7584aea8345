"""Recognize schedules in the syntax of other schedulers, and suggest a translation. Pure.

systemd.time(7) defines OnCalendar, the documentation of Quartz its CronTrigger, and that of Amazon
EventBridge `cron(…)` and `rate(…)`. The caller decides which expressions are valid here, so that no
suggestion is refused itself.
"""

import re
from collections.abc import Callable

IsValid = Callable[[str], bool]

_SYSTEMD = re.compile(r"\*-|-\*|\d-\d\d?-|:|\.\.|~")
_SYSTEMD_WORDS = {"minutely": "* * * * *"} | {
    word: f"@{word}" for word in ("hourly", "daily", "weekly", "monthly", "yearly", "annually")
}
_DAY = "(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*"
#: Weekdays, any date, and a time of day: the form of most OnCalendar texts.
_COMMON = re.compile(
    rf"(?:(?P<days>{_DAY}(?:(?:\.\.|,){_DAY})*)\s+)?(?:\*-\*-(?P<day>\*|\d\d?)\s+)?"
    r"(?P<hour>\*|\d\d?):(?P<minute>\d\d?)(?::00?)?",
    re.IGNORECASE,
)
_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ].*)?")
_AWS = re.compile(r"(cron|rate)\((.*)\)", re.IGNORECASE)
_RATE = re.compile(r"([1-9][0-9]{0,3}) (minute|hour|day)s?", re.IGNORECASE)
_FIVE_FIELDS = "five fields, such as '0 9 * * MON-FRI'"


def suggest_syntax(expression: str, is_valid: IsValid) -> str:
    """Return a suggestion as the end of a sentence, or an empty string."""
    text = expression.strip()
    if _TIME.fullmatch(text):
        return "; the time of a job that runs once is its `run_at`"
    if instead := _SYSTEMD_WORDS.get(text.lower()):
        return f"; write '{instead}'"
    parts = text.split()
    if len(parts) == 7:
        return (
            "; the seventh field of Quartz is the year: leave it out (`start_at` and `end_at` "
            f"bound a job to years){_weekday_hint(parts[5])}"
        )
    if len(parts) < 5 and _SYSTEMD.search(text):
        instead = _translate_systemd(text)
        form = f"'{instead}'" if instead and is_valid(instead) else _FIVE_FIELDS
        return f"; this is OnCalendar of systemd: write {form}"
    without_year = " ".join(parts[:5])
    if len(parts) == 6 and parts[5] == "*" and "?" in parts[4] and is_valid(without_year):
        return f"; if the last field is a year, write '{without_year}'"
    return ""


def explain_amazon(expression: str, is_valid: IsValid) -> str | None:
    """Return what to write in place of `cron(…)` or `rate(…)`, or None for any other text."""
    found = _AWS.fullmatch(expression.strip())
    if not found:
        return None
    if found[1].lower() == "rate":
        rate = _RATE.fullmatch(" ".join(found[2].split()))
        instead = f"`every: {rate[1]}{rate[2][0].lower()}`" if rate else "`every`"
        return f"is a rate of Amazon EventBridge; use {instead}"
    parts = found[2].split()
    inner = " ".join(parts[:5])
    if not is_valid(inner):
        return f"is of Amazon EventBridge; write {_FIVE_FIELDS}"
    year = " and the year" if len(parts) == 6 else ""
    hint = _weekday_hint(parts[4])
    return f"is of Amazon EventBridge; without cron(…){year} it is '{inner}'{hint}"


def _weekday_hint(weekday: str) -> str:
    """Return a hint for weekdays that are numbers. Quartz and Amazon count from 1, for Sunday."""
    if not re.search("[1-7]", re.sub("[#/].*", "", weekday)):
        return ""
    return "; write weekdays as names, because 1 is Monday here and Sunday there"


def _translate_systemd(text: str) -> str | None:
    """Return the cron expression of a common OnCalendar text, or None."""
    found = _COMMON.fullmatch(text)
    if not found:
        return None
    days = re.sub(_DAY, lambda day: day[0][:3].upper(), found["days"] or "*", flags=re.IGNORECASE)
    hour = found["hour"] if found["hour"] == "*" else int(found["hour"])
    day = found["day"] or "*"
    day = day if day == "*" else str(int(day))
    if "*" not in (day, days):
        return None  # In systemd both have to match, in cron either one.
    return f"{int(found['minute'])} {hour} {day} * {days.replace('..', '-')}"
