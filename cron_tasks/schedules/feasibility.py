"""Check that a schedule has a fire time, and that finding one is cheap, before it is accepted."""

from dataclasses import replace
from datetime import datetime, timedelta

from cron_tasks.schedules import cron, exclusions, rrule
from cron_tasks.schedules.budget import Budget, TooMuchWork
from cron_tasks.schedules.faults import Fault
from cron_tasks.schedules.schedule import Series
from cron_tasks.schedules.zones import FIRST, LAST, MICROSECOND

#: This many excluded stretches are passed within the budget, however rarely the rule fires.
_FEW = 30
#: The number of trial searches for a schedule, and the period over which they are spread.
_TRIALS = 10
_TRIED_SPAN = timedelta(days=36_525)


def find_faults(series: Series, field: str, budget: Budget) -> list[tuple[str, str]]:
    """Return the fault of a series that never fires, or nothing.

    Raises Fault if it takes too much work to find a fire time.
    """
    try:
        if fault := _check_fires(series, field, budget):
            return [fault]
        _try_out(series, budget)
    except TooMuchWork:
        if series.exclude:
            raise Fault("leaves no fire time, or takes too much work to find one") from None
        raise
    return []


def _check_fires(series: Series, field: str, budget: Budget) -> tuple[str, str] | None:
    """Return the fault of a series that never fires, or None. Raises TooMuchWork."""
    is_framed = (series.start, series.end) != (FIRST, LAST)
    if isinstance(series.rule, cron.Cron) and series.rule.skips_every_time(budget):
        return field, f"never fires: the clock of {series.tz.key} skips each of its times"
    is_certain = not (is_framed or series.exclude or field == "rrule")
    if is_certain or series.find_after(FIRST, budget):
        return None
    if series.start >= series.end:
        return "end_at", "is not later than start_at"
    if series.exclude and replace(series, exclude=None).find_after(FIRST, budget):
        return "exclude", "leaves no fire time"
    return field, "never fires" + " between start_at and end_at" * is_framed


def _try_out(series: Series, budget: Budget) -> None:
    """Search a series for fire times at points where a search may take long. Raises TooMuchWork.

    All trial searches share one budget, so each later search has a margin within its own budget.
    Other series need no trial. The calendar and the clock repeat, which bounds each search.
    """
    exclude = series.exclude
    if exclude and len(exclude.dates) > _FEW:
        _pass_dates(series, exclude, budget)
    is_uneven = isinstance(series.rule, rrule.Recurrence) and series.rule.is_uneven
    is_suspect = is_uneven or (exclude and exclude.daily)
    if is_suspect and (first := series.find_after(FIRST, budget)):
        span = min(series.end - first, _TRIED_SPAN)
        for part in range(_TRIALS):
            when = first + span * (part / _TRIALS)
            (series.find_latest if part % 2 else series.find_after)(when, budget)


def _pass_dates(series: Series, exclude: exclusions.Exclusions, budget: Budget) -> None:
    """Search past each stretch of dates from its beginning, the longest way."""
    found: datetime | None = FIRST
    for start in exclude.date_starts():
        if found is None:
            return
        if found < start:
            found = series.find_after(start - MICROSECOND, budget)
