"""Lay out tables as lines of text. Pure.

Lines for a terminal fit its width. An id is never cut, so that it can be copied. A program gets one
complete line for each row.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, zip_longest

import click

from cron_tasks.text.display import cell_width, wrap

#: A cell wider than this does not widen its column in a text for programs.
WIDEST = 40
#: Spaces between two columns, and before the second line of a row.
GAP, INDENT = 2, 2

#: Columns that wrap if the terminal is narrow.
_PROSE = frozenset(("name", "schedule", "error", "row", "value", "meaning", "reason"))
#: Columns that are left out, in this order, before prose gets a smaller one of the widths below.
_LESSER = ("worker", "row", "timezone", "attempt", "ended")
_SLIM = (32, 20, 14)
#: The most characters of a cell on a terminal. `next` may hold the reason of a pause.
_LONGEST = dict.fromkeys(_PROSE, 200) | {"name": 60, "schedule": 60, "next": 60}
_COLOURS = {"ok": "green", "failed": "red", "missed": "yellow", "skipped": "yellow"}

Row = Sequence[str]


def lay_out_plain(heading: Row, rows: Iterable[Row]) -> Iterator[str]:
    """Yield a line for the heading and one for each row, for a program or a file."""
    return chain.from_iterable(lay_out_pages(heading, [list(rows)]))


def lay_out_pages(heading: Row, pages: Iterable[Sequence[Row]]) -> Iterator[list[str]]:
    """Yield the lines of each page. The first page sets the widths, and has the heading."""
    widths: list[int] = []
    for page in pages:
        table = page
        if not widths:
            table = [[title.upper() for title in heading], *page]
            columns = zip(*table, strict=True)
            widths = [min(max(map(cell_width, column)), WIDEST) for column in columns]
        yield [_join(row, widths) for row in table]


def lay_out(heading: Row, rows: Iterable[Row], width: int) -> Iterator[str]:
    """Yield the lines of a table for a terminal of this width.

    If the columns do not fit beside the first one, which is an id, each id has a line of its own,
    and the other columns are in the line below. If even that does not fit, the lines are plain.
    """
    table = [[_shorten(*pair) for pair in zip(heading, row, strict=True)] for row in rows]
    below, room = [row[1:] for row in table], width - INDENT
    for slims in (_SLIM[:-1], _SLIM[-1:]):
        if columns := fit_columns(heading, table, width, slims):
            return chain.from_iterable(_lay_out_rows(heading, table, columns, width))
        if columns := fit_columns(heading[1:], below, room, slims):
            others = _lay_out_rows(heading[1:], below, columns, room)
            return _lay_out_below(heading[0], [row[0] for row in table], others)
    return lay_out_plain(heading, table)


def fit_columns(
    heading: Row, rows: Sequence[Row], width: int, slims: Sequence[int] = _SLIM
) -> list[int]:
    """Return the columns that fit into `width` without cutting anything off.

    Prose gets at least one of the widths `slims`, or the width that it needs. Return an empty list
    if not even the most important columns fit.
    """
    widest = _measure(heading, rows)
    for slim in slims:
        needed = widest | {title: min(widest[title], slim) for title in _PROSE & widest.keys()}
        for lesser in ("", *_LESSER):
            if lesser not in heading[:1]:
                needed.pop(lesser, None)
            if needed and sum(needed.values()) + GAP * len(needed) <= width:
                return [column for column, title in enumerate(heading) if title in needed]
    return []


def _measure(heading: Row, rows: Sequence[Row]) -> dict[str, int]:
    columns = zip(heading, *rows, strict=True)
    return {column[0]: max(map(cell_width, column)) for column in columns}


def _shorten(title: str, cell: str) -> str:
    most = _LONGEST.get(title, len(cell))
    return cell if len(cell) <= most else cell[: most - 1] + "…"


def _lay_out_below(title: str, ids: Sequence[str], others: Iterator[list[str]]) -> Iterator[str]:
    for number, lines in enumerate(others):
        yield ids[number - 1] if number else click.style(title, bold=True)
        yield from (" " * INDENT + line for line in lines)


def _lay_out_rows(
    heading: Row, rows: Sequence[Row], columns: Sequence[int], width: int
) -> Iterator[list[str]]:
    """Yield the lines of the heading, and then of each row."""
    widths = _share(heading, rows, columns, width)
    titles = [heading[column] for column in columns]
    yield [click.style(_join(titles, widths), bold=True)]
    for row in rows:
        cells = [wrap(row[column], room) for column, room in zip(columns, widths, strict=True)]
        yield [_join(line, widths, _COLOURS) for line in zip_longest(*cells, fillvalue="")]


def _share(heading: Row, rows: Sequence[Row], columns: Sequence[int], width: int) -> list[int]:
    """Return the widths of the columns. Prose shares what the other columns leave."""
    measured = _measure(heading, rows)
    widest = {heading[column]: measured[heading[column]] for column in columns}
    left = width - GAP * (len(columns) - 1)
    left -= sum(widest[title] for title in widest.keys() - _PROSE)
    prose = sorted(_PROSE & widest.keys(), key=widest.__getitem__)
    for number, title in enumerate(prose):
        widest[title] = min(widest[title], left // (len(prose) - number))
        left -= widest[title]
    return list(widest.values())


def _join(row: Iterable[str], widths: Iterable[int], colours: dict[str, str] | None = None) -> str:
    """Return the cells as one line, each padded to its width."""
    padded = []
    for cell, width in zip(row, widths, strict=True):
        shown = click.style(cell, fg=colours[cell]) if colours and cell in colours else cell
        padded.append(shown + " " * (width - cell_width(cell)))
    return (" " * GAP).join(padded).rstrip()
