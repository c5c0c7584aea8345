"""Functions that all commands share: printing, opening Redis, and `--json`.

A command computes its result and calls `show` once. Tables and colour are for a person at a
terminal. A program gets a heading and one row a line. Text from outside goes through `printable`
before it gets here. Slow modules are imported where they are used, because `cron-tasks next` has to
answer at once.
"""

import errno
import getpass
import json
import logging
import os
import select
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

import click

from cron_tasks.cli.tables import lay_out, lay_out_pages, lay_out_plain
from cron_tasks.schedules import Schedule, human
from cron_tasks.store.paging import pages
from cron_tasks.text.display import printable

if TYPE_CHECKING:
    from redis import Redis

    from cron_tasks.ledger.ledger import Ledger
    from cron_tasks.registry.registry import Registry

#: Where click keeps, for the command that runs, whether `--json` was given.
_JSON = "cron_tasks.json"
T = TypeVar("T")


def _remember_json(ctx: click.Context, _: click.Parameter, wants_json: bool) -> None:
    ctx.meta[_JSON] = wants_json


#: Adds `--json` to a command, which then prints by `show` and the functions beside it.
json_option = click.option(
    "--json", is_flag=True, expose_value=False, callback=_remember_json, help="Print JSON."
)


def wants_json() -> bool:
    """Return whether the command that runs was given `--json`."""
    return bool(click.get_current_context().meta.get(_JSON))


def shown_zone(zone: str) -> str:
    """Return the zone in which to show times: UTC in JSON, and `zone` to people."""
    return "UTC" if wants_json() else zone


def show(value: Any, print_text: Callable[[], object]) -> None:
    """Print `value` as JSON if `--json` was given. Otherwise call `print_text`."""
    if wants_json():
        print_json(value)
    else:
        print_text()


def show_line(value: Any, text: str) -> None:
    """Print one line of a stream: `value` as JSON on one line with `--json`, otherwise `text`."""
    click.echo(json.dumps(value) if wants_json() else text)


def check_reader() -> None:
    """Raise BrokenPipeError if standard output is a pipe that nobody reads any more.

    A command that waits for news would otherwise notice it only with the next line.
    """
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):  # It is not a file, or is closed.
        return
    if any(event & select.POLLERR for _, event in poll.poll(0)):
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def show_each(
    items: Iterable[T], as_json: Callable[[T], Any], as_text: Callable[[T], str]
) -> list[T]:
    """Print each item as soon as it comes, or with `--json` all as one list. Return the items."""
    found = []
    for item in items:
        found.append(item)
        print_text(as_text(item))
    show([as_json(item) for item in found], lambda: None)
    return found


def print_text(text: str) -> None:
    """Print a text for people, which `--json` leaves out."""
    if not wants_json():
        click.echo(text)


def shorten(text: str, most: int) -> str:
    """Return `text` as one printable line. On a terminal it has at most `most` characters."""
    return printable(text, most if sys.stdout.isatty() else 1000)


def print_json(value: Any) -> None:
    """Print JSON in ASCII, which cannot control a terminal. A list has one element a line."""
    if isinstance(value, list) and value:
        click.echo("[\n " + ",\n ".join(map(json.dumps, value)) + "\n]")
    else:
        click.echo(json.dumps(value, indent=2))


def print_table(heading: Sequence[str], rows: Sequence[Sequence[str]], none: str = "") -> None:
    """Print rows of cells. Without rows print "none", and why it is so.

    An empty cell is shown as "-", so that programs can split the line.
    """
    if not rows:
        return click.echo(f"none: {none}" if none else "none")
    shown = [[cell or "-" for cell in row] for row in rows]
    if sys.stdout.isatty():
        lines = lay_out(heading, shown, shutil.get_terminal_size().columns)
    else:
        lines = lay_out_plain(heading, shown)
    click.echo("\n".join(lines))


def show_pages(
    heading: Sequence[str],
    rows: Iterable[T],
    as_json: Callable[[T], Any],
    as_cells: Callable[[T], Sequence[str]],
    none: str = "",
) -> None:
    """Print rows as they come, in pages: as a table, or with `--json` as one list.

    Several pages are plain, with columns as wide as the first page needs. `none` is as in
    `print_table`.
    """
    if wants_json():
        _print_json_pages(as_json(row) for row in rows)
        return
    left = pages([cell or "-" for cell in as_cells(row)] for row in rows)
    first, second = next(left, []), next(left, None)
    if second is None:
        print_table(heading, first, none)
        return
    for lines in lay_out_pages(heading, chain((first, second), left)):
        click.echo("\n".join(lines))


def _print_json_pages(values: Iterable[Any]) -> None:
    """Print a list of values as `print_json` does, a page at a time."""
    start = "[\n "
    for page in pages(values):
        click.echo(start + ",\n ".join(map(json.dumps, page)), nl=False)
        start = ",\n "
    click.echo("[]" if start[0] == "[" else "\n]")


def print_facts(facts: Mapping[str, Any]) -> None:
    """Print one name and value a line. None and () are left out."""
    for name, value in facts.items():
        if value not in (None, ()):
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            click.echo(f"{name:<18} {printable(text, 1000)}")


def list_ticks(
    schedule: Schedule, start: datetime, most: int, skipped: Collection[float] = ()
) -> list[datetime]:
    """Return the ticks from `start` on, until `most` of them are not among the `skipped` ones."""
    ticks, run = list[datetime](), 0
    for tick in schedule.between(start, datetime.max.replace(tzinfo=UTC)):
        ticks.append(tick)
        run += tick.timestamp() not in skipped
        if run == most:
            break
    return ticks


def drop_skips(ticks: Iterable[datetime], skipped: Collection[float]) -> list[datetime]:
    """Return the ticks that are not skipped."""
    return [tick for tick in ticks if tick.timestamp() not in skipped]


def print_ticks(
    ticks: Sequence[datetime], zone: str, now: datetime, skipped: Collection[float] = ()
) -> None:
    """Print ticks with their offset in `zone`, weekday and distance. Mark the `skipped` ones."""
    rows = []
    for tick in ticks:
        at, away = (
            tick.astimezone(ZoneInfo(zone)),
            human.format_distance((tick - now).total_seconds()),
        )
        mark = ", skipped" if tick.timestamp() in skipped else ""
        rows.append((at.isoformat(), f"{at:%a}", away + mark))
    print_table(("next", "day", "away"), rows)


@contextmanager
def show_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Provide `update(done, total)`, which moves a bar on a terminal."""
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        yield lambda _done, _of: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def open_redis() -> "Redis":
    """Connect to the Redis of the settings. Raises SettingsError."""
    from cron_tasks.settings import load
    from cron_tasks.store.client import connect

    return connect(load().redis_url.get_secret_value())


def open_registry(redis: "Redis") -> "Registry":
    """Return the registry in `redis`, which keeps versions of jobs as long as the settings say."""
    from cron_tasks.registry.registry import Registry
    from cron_tasks.settings import load

    return Registry(redis, load().audit_days)


def open_ledger(redis: "Redis") -> "Ledger":
    """Return the ledger in `redis`, with the limits of the settings."""
    from cron_tasks.ledger.ledger import Ledger
    from cron_tasks.settings import load

    return Ledger(redis, load())


def record_action(redis: "Redis", what: str, of: str, detail: str = "") -> None:
    """Record in the trail of manual actions that this command did `what` to a job or run."""
    from cron_tasks.runs import trail

    trail.record_action(redis, _user_name(), "command line", what, [of], detail)


def _user_name() -> str:
    """Return the name of the person at this terminal. A user of a container may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


@contextmanager
def silence_logs() -> Iterator[None]:
    """Log nothing, because the command itself reports what happens, once and in its own form."""
    import structlog

    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        structlog.configure(**before)
