"""Options and their values: times, and names with a suggestion for a wrong one."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from cron_tasks.schedules.human import format_local, parse_moment
from cron_tasks.text.display import short_repr
from cron_tasks.text.suggestions import suggest_nearest

#: The forms of a TIME, for `--help`.
TIMES = "TIME is ISO 8601, 09:00, yesterday, or a span ago: 30s, 5m, 2h, 1d, 1h30m."
F = TypeVar("F", bound=Callable[..., Any])


class Name(click.Choice[str]):
    """One of some names, in any case. For another one the nearest name is suggested."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__([*names], case_sensitive=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            hint = suggest_nearest(str(value), self.choices)
            self.fail(error.message.rstrip(".") + hint, param, ctx)


def read_moment(text: str, zone: str, option: str) -> datetime:
    """Return the time that a person means by `text`, as `human.parse_moment` reads it.

    A time without an offset is in `zone`. Raises click.BadParameter, which names the `option`.
    """
    try:
        return parse_moment(text, zone, datetime.now(UTC))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=f"'{option}'") from None


def read_past(text: str, zone: str, option: str) -> datetime:
    """Return the time as `read_moment` does. Raise click.BadParameter if it is in the future."""
    moment = read_moment(text, zone, option)
    if moment > datetime.now(UTC):
        future = f"{short_repr(text)} is {format_local(moment, zone)}, which is in the future"
        raise click.BadParameter(future, param_hint=f"'{option}'")
    return moment


def time_option(name: str, *names: str, text: str, **options: Any) -> Callable[[F], F]:
    """Return an option that takes a TIME. `text` is the first part of its help.

    Its value is a text that is a TIME. `read_moment` reads it once the zone is known.
    """
    about = f"{text} {TIMES}"
    return click.option(name, *names, metavar="TIME", callback=_check, help=about, **options)


def _check(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    """Refuse text that is not a TIME in any zone, before Redis is asked."""
    try:
        if text is not None:
            parse_moment(text, "UTC", datetime.now(UTC))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return text
