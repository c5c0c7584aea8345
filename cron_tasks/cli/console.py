"""What the commands share: how they print, what they open, and trouble as one sentence.

Tables and colour are for a person at a terminal; a program gets a heading and one row a line. Text
from outside goes through `printable` before it gets here. Whatever takes long to import is imported
where it is used, since `cron-tasks next` has to answer at once.
"""

import errno
import json
import logging
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from cron_tasks.errors import CronTasksError
from cron_tasks.schedules import Schedule, human
from cron_tasks.text.display import printable

if TYPE_CHECKING:
    from redis import Redis

    from cron_tasks.ledger.ledger import Ledger
    from cron_tasks.registry.registry import Registry

#: A longer table is plain on a terminal too: rich lays out some 2,000 rows a second.
RICH_ROWS = 1000
#: Beyond this width a cell no longer widens its column.
WIDEST = 40

#: Columns that give way when the terminal is narrow; the columns that it goes without, in this
#: order, before prose gets less than the first of these widths, or the second if it has to be.
_PROSE = frozenset(("name", "schedule", "error", "row", "value", "meaning", "reason"))
_LESSER = ("worker", "row", "timezone", "ended")
_SLIM = (32, 14)
_COLOURS = {"ok": "green", "failed": "red", "missed": "yellow", "skipped": "yellow"}

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def print_json(value: Any) -> None:
    """Print JSON in ASCII, which steers no terminal; a list with one element a line."""
    if isinstance(value, list) and value:
        click.echo("[\n " + ",\n ".join(map(json.dumps, value)) + "\n]")
    else:
        click.echo(json.dumps(value, indent=2))


def print_table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of cells; an empty cell is shown as "-", so that a column stays a column."""
    shown = [[cell or "-" for cell in row] for row in rows]
    if sys.stdout.isatty() and len(shown) <= RICH_ROWS and _print_rich(heading, shown):
        return
    shown.insert(0, [title.upper() for title in heading])
    widths = [min(max(map(len, column)), WIDEST) for column in zip(*shown, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in shown)
    click.echo("\n".join(lines))


def print_facts(facts: Mapping[str, Any]) -> None:
    """Print one name and value a line; None and () say nothing."""
    for name, value in facts.items():
        if value not in (None, ()):
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            click.echo(f"{name:<18} {printable(text, 1000)}")


def _print_rich(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Print a table, unless the terminal is so narrow that something would be cut off."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    columns = fitting(heading, rows, console.width)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(heading[column], no_wrap=heading[column] not in _PROSE, overflow="fold")
    for row in rows:
        cells = (row[column] for column in columns)
        table.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in cells))
    if columns:
        console.print(table)
    return bool(columns)


def fitting(heading: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """The columns that a terminal of `width` has room for; none where even the most needed have
    not."""
    from rich.cells import cell_len

    columns = zip(heading, *rows, strict=True)
    widest = {column[0]: max(map(cell_len, column)) for column in columns}
    for slim in _SLIM:
        needed = widest | {title: min(widest[title], slim) for title in _PROSE & widest.keys()}
        for lesser in ("", *_LESSER):
            needed.pop(lesser, None)
            if sum(needed.values()) + 2 * len(needed) <= width:
                return [column for column, title in enumerate(heading) if title in needed]
    return []


def upcoming(
    schedule: Schedule, start: datetime, most: int, skipped: Collection[float] = ()
) -> list[datetime]:
    """Return the ticks from `start` on until `most` of them will run; `skipped` ones do not."""
    ticks, run = list[datetime](), 0
    for tick in schedule.between(start, datetime.max.replace(tzinfo=UTC)):
        ticks.append(tick)
        run += tick.timestamp() not in skipped
        if run == most:
            break
    return ticks


def kept(ticks: Iterable[datetime], skipped: Collection[float]) -> list[datetime]:
    """Return the ticks that are not skipped."""
    return [tick for tick in ticks if tick.timestamp() not in skipped]


def print_ticks(
    ticks: Sequence[datetime], zone: str, now: datetime, skipped: Collection[float] = ()
) -> None:
    """Print ticks with offset in `zone`, weekday and distance, and mark those `skipped`."""
    rows = []
    for tick in ticks:
        at, away = (
            tick.astimezone(ZoneInfo(zone)),
            human.format_distance((tick - now).total_seconds()),
        )
        mark = ", skipped" if tick.timestamp() in skipped else ""
        rows.append((at.isoformat(), f"{at:%a}", away + mark))
    print_table(("next", "day", "away"), rows)


def moment(text: str, zone: str, option: str) -> datetime:
    """The time that a person means by `2h` (ago), `PT2H` or an ISO 8601 time."""
    try:
        return human.parse_moment(text, zone, datetime.now(UTC))
    except ValueError as error:
        spans = "no span such as 30s, 15min, 2h or 1d"
        raise click.BadParameter(f"{error}, and {spans}", param_hint=f"'{option}'") from None


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yields `update(done, of)`, which moves a bar at a terminal."""
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        yield lambda _done, _of: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def open_redis() -> "Redis":
    """Redis as the settings name it. Raises SettingsError."""
    from cron_tasks.settings import load
    from cron_tasks.store.client import connect

    return connect(load().redis_url.get_secret_value())


def open_registry(redis: "Redis") -> "Registry":
    from cron_tasks.registry.registry import Registry
    from cron_tasks.settings import load

    return Registry(redis, load().audit_days)


def open_ledger(redis: "Redis") -> "Ledger":
    """The ledger in `redis`, with its limits as the settings say."""
    from cron_tasks.ledger.ledger import Ledger
    from cron_tasks.settings import load

    return Ledger(redis, load())


@contextmanager
def no_log_lines() -> Iterator[None]:
    """Within, nothing is logged: a command says itself what happened, once and in its own form."""
    import structlog

    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        structlog.configure(**before)


def sentence(error: Exception) -> str | None:
    """What to tell a person of an error; None of one that is a fault of this program."""
    if isinstance(error, CronTasksError):
        return str(error)
    if isinstance(error, OSError):
        # A reader that has seen enough, such as `head`: click ends quietly.
        return None if error.errno == errno.EPIPE else str(error)
    # By name, since an import of either takes longer than most commands.
    if {kind.__module__.partition(".")[0] for kind in type(error).__mro__} & {"redis", "kombu"}:
        from cron_tasks.settings import load

        cause = printable(str(error)).rstrip(".") or type(error).__name__
        return f"Redis at {load().masked_redis_url}: {cause}; check CRON_TASKS_REDIS_URL"
    return None
