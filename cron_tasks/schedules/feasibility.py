"""Trying out a schedule before it is accepted: it has a tick, and finding one is cheap."""

from dataclasses import replace
from datetime import datetime, timedelta

from cron_tasks.schedules import cron, exclusions, rrule
from cron_tasks.schedules.budget import TooMuchWork, Work
from cron_tasks.schedules.faults import Fault
from cron_tasks.schedules.schedule import Series
from cron_tasks.schedules.zones import FIRST, LAST, MICROSECOND

#: So few excluded stretches are passed within the budget, however rarely the rule fires.
_FEW = 30
#: How often, and over how long a time, a schedule is tried out before it is accepted.
_TRIALS = 10
_TRIED = timedelta(days=36_525)


def faults(series: Series, field: str, work: Work) -> list[tuple[str, str]]:
    """The fault of a series that has no tick. Raises Fault if finding one takes too much work."""
    try:
        return _no_tick(series, field, work) or _try_out(series, work)
    except TooMuchWork:
        if series.exclude:
            raise Fault("leaves no tick, or takes too much work to find one") from None
        raise


def _no_tick(series: Series, field: str, work: Work) -> list[tuple[str, str]]:
    """The fault of a series without any tick. Raises TooMuchWork."""
    framed = (series.start, series.end) != (FIRST, LAST)
    if isinstance(series.rule, cron.Cron) and series.rule.skipped(work):
        return [(field, f"never fires: the clock of {series.tz.key} skips each of its times")]
    if not (framed or series.exclude or field == "rrule") or series.after(FIRST, work):
        return []
    if series.start >= series.end:
        return [("end_at", "is not later than start_at")]
    if series.exclude and replace(series, exclude=None).after(FIRST, work):
        return [("exclude", "leaves no tick")]
    return [(field, "never fires" + " between start_at and end_at" * framed)]


def _try_out(series: Series, work: Work) -> list[tuple[str, str]]:
    """Ask a series for fire times where it may take long to find one. Raises TooMuchWork.

    All questions share one budget, so that each later one, with a budget of its own, has a margin.
    Other series need no trial: calendar and clock repeat, and that bounds each of their searches.
    """
    exclude = series.exclude
    if exclude and len(exclude.dates) > _FEW:
        _pass_dates(series, exclude, work)
    uneven = isinstance(series.rule, rrule.Recurrence) and series.rule.uneven
    first = series.after(FIRST, work) if uneven or (exclude and exclude.daily) else None
    if first:
        span = min(series.end - first, _TRIED)
        for part in range(_TRIALS):
            when = first + span * (part / _TRIALS)
            (series.latest if part % 2 else series.after)(when, work)
    return []


def _pass_dates(series: Series, exclude: exclusions.Exclusions, work: Work) -> None:
    """Search past each stretch of dates from its beginning, the longest way."""
    tick: datetime | None = FIRST
    for start in exclude.starts():
        if tick is None:
            return
        if tick < start:
            tick = series.after(start - MICROSECOND, work)
