"""How commands print: tables and colour for a person at a terminal, else plain text for programs.

Plain text has one row a line, its columns aligned, and nothing but the data and a heading. What
comes from outside has gone through `printable` before it gets here.
"""

import json
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

#: A longer table is plain on a terminal too: rich lays out some 2,000 rows a second.
RICH_ROWS = 1000
#: Beyond this width a cell no longer widens its column.
WIDEST = 40
#: Lines written in one go.
_PAGE = 1000

#: Columns that give way when the terminal is narrow.
_PROSE = frozenset(("name", "schedule", "error", "row", "value", "meaning", "reason"))
_COLOURS = {"ok": "green", "failed": "red", "missed": "yellow", "skipped": "yellow"}

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def print_json(value: Any) -> None:
    """Print JSON, a list with one element a line; no text in it can steer a terminal."""
    if isinstance(value, list) and value:
        print_lines(_bracketed(value))
    else:
        click.echo(_safe(json.dumps(value, ensure_ascii=False, indent=2)))


def _bracketed(items: Sequence[Any]) -> Iterator[str]:
    yield "["
    for number, item in enumerate(items, 1):
        comma = "," if number < len(items) else ""
        yield f" {_safe(json.dumps(item, ensure_ascii=False))}{comma}"
    yield "]"


def _safe(text: str) -> str:
    return re.sub(r"[^\n -~]", _escaped, text)


def _escaped(char: re.Match[str]) -> str:
    return char[0] if char[0].isprintable() else json.dumps(char[0])[1:-1]


def print_lines(lines: Iterable[str]) -> None:
    page: list[str] = []
    for line in lines:
        page.append(line)
        if len(page) == _PAGE:
            click.echo("\n".join(page))
            page.clear()
    if page:
        click.echo("\n".join(page))


def print_table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of cells; an empty cell is shown as "-", so that a column stays a column."""
    shown = [[cell or "-" for cell in row] for row in rows]
    if sys.stdout.isatty() and len(shown) <= RICH_ROWS:
        _print_rich(heading, shown)
    else:
        print_lines(_aligned([[title.upper() for title in heading], *shown]))


def _print_rich(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for title in heading:
        table.add_column(title, no_wrap=title not in _PROSE, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in row))
    Console(highlight=False).print(table)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [min(max(map(_width, column)), WIDEST) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        )
        yield "  ".join(cells).rstrip()


def _width(text: str) -> int:
    """Columns that a terminal needs: two for most East Asian characters, none for accents."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))


@contextmanager
def progress(what: str, long: bool = True) -> Iterator[Callable[[int, int], None]]:
    """Yields `update(done, of)`, which moves a bar at a terminal if this is going to take long."""
    if not (long and sys.stdout.isatty() and sys.stderr.isatty()):
        yield lambda _done, _of: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
