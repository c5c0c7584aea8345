"""The header of a Lua script: its contract with Python, turned into named locals. Pure.

A script begins with comments. Lines that start with `--!` declare its inputs:

    --! keys open deadlines            constants of store/keys: `local open = KEYS[1]`
    --! prefixes history               `HISTORY_PREFIX` of store/keys, as `history_prefix`
    --! given queue                    keys that the caller passes by these names
    --! args now lease                 values that the caller passes: `local now = ARGV[1]`
    --! rows runs(run_id state)        `for n, run_id, state in runs() do`
    --! uses store/wake                scripts whose functions this one calls

A row may end with lists of its own: `rows runs(run_id messages(queue payload))`. They are read by
`for n, run_id, messages in runs() do for _, queue, payload in each_messages(messages) do`. Keys,
prefixes and args of the scripts that are used count as declared.

The readers of rows and lists make no closure for a row, since a storm has ten thousand of them.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

_MARK = "--! "
_WORD = re.compile(r"\w+|[()]")


class HeaderError(Exception):
    """A header is not written as this module's docstring describes."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a script: their single values, then their lists, each with columns."""

    name: str
    columns: tuple[str, ...]
    lists: tuple["Rows", ...] = ()

    def flatten(self, rows: Iterable[Sequence[Any]]) -> list[Any]:
        """Return the values of all rows as the script reads them."""
        if not self.lists:
            return list(chain.from_iterable(rows))
        width, flat = len(self.columns), list[Any]()
        for row in rows:
            flat += row[:width]
            for each in row[width:]:
                flat.append(len(each))
                for inner in each:
                    flat += inner
        return flat


@dataclass(slots=True)
class Header:
    """The declarations of a script and of those that it uses, each name once, in order."""

    keys: list[str] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    args: list[str] = field(default_factory=list)
    rows: Rows | None = None
    uses: list[str] = field(default_factory=list)

    def include(self, other: "Header") -> None:
        """Add the declarations of a used script. Raises HeaderError for rows, which it must not
        have."""
        if other.rows:
            raise HeaderError("only a script that Python calls has rows")
        for kind in ("keys", "prefixes", "given", "args"):
            mine: list[str] = getattr(self, kind)
            mine += [name for name in getattr(other, kind) if name not in mine]

    def check(self) -> None:
        """Raise HeaderError for a name that is declared twice: one local would hide the other."""
        rows = [self.rows.name] if self.rows else []
        names = [*self.keys, *self.given, *(f"{name}_prefix" for name in self.prefixes)]
        names += [*self.args, *rows]
        for name in names:
            if names.count(name) > 1:
                raise HeaderError(f"{name} is declared twice")

    def write_prelude(self) -> str:
        """Return the Lua that turns numbered slots into named locals."""
        lines = [
            # A local is read faster than a global.
            "local redis, ARGV = redis, ARGV",
            *_declare_locals([*self.keys, *self.given], "KEYS"),
            *_declare_locals([*(f"{name}_prefix" for name in self.prefixes), *self.args], "ARGV"),
        ]
        if self.rows:
            lines += _write_readers(self.rows, len(self.prefixes) + len(self.args) + 1)
        return "\n".join(lines)


def read_header(text: str) -> Header:
    """Read the header of a script. Raises HeaderError."""
    header = Header()
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        if not line.startswith(_MARK):
            continue
        kind, _, rest = line.removeprefix(_MARK).partition(" ")
        if kind == "rows" and header.rows is None:
            header.rows = _read_rows(rest)
        elif kind in ("keys", "prefixes", "given", "args", "uses"):
            getattr(header, kind).extend(rest.split())
        else:
            raise HeaderError(f"unknown or repeated line of a header: {line}")
    return header


def _read_rows(text: str) -> Rows:
    words = _WORD.findall(text)
    rows, end = _read_group(words, 0)
    if end != len(words) or any(each.lists for each in rows.lists):
        raise HeaderError(f"rows are written as name(column … list(column …)): {text}")
    return rows


def _read_group(words: Sequence[str], at: int) -> tuple[Rows, int]:
    """Read `name(column … list(column …) …)` from word `at` on. Return the group and its end."""
    name, columns, lists = words[at], list[str](), list[Rows]()
    at += 2
    while at < len(words) and words[at] != ")":
        if words[at + 1 : at + 2] == ["("]:
            inner, at = _read_group(words, at)
            lists.append(inner)
        else:
            columns.append(words[at])
            at += 1
    return Rows(name, tuple(columns), tuple(lists)), at + 1


def _declare_locals(names: Sequence[str], table: str) -> list[str]:
    return [f"local {name} = {table}[{n}]" for n, name in enumerate(names, 1)]


def _write_readers(rows: Rows, first: int) -> list[str]:
    """Return the Lua functions that iterate over the rows from slot `first` on, and their lists."""
    if not rows.lists:
        return _write_reader_of_equal_rows(rows, first)
    steps = []
    for each in rows.lists:
        steps.append(f"local {each.name} = next_row")
        steps.append(f"next_row = next_row + 1 + {len(each.columns)} * ARGV[next_row]")
    returned = ", ".join(["n", _column_slots(rows), *(each.name for each in rows.lists)])
    return [
        f"local function {rows.name}()",
        f"    local next_row, n = {first}, 0",
        "    return function()",
        "        local at = next_row",
        "        if ARGV[at] == nil then return nil end",
        f"        n, next_row = n + 1, at + {len(rows.columns)}",
        *(f"        {step}" for step in steps),
        f"        return {returned}",
        "    end",
        "end",
        *(line for each in rows.lists for line in _write_list_reader(each)),
    ]


def _write_reader_of_equal_rows(rows: Rows, first: int) -> list[str]:
    return [
        f"local function next_of_{rows.name}(_, n)",
        f"    local at = {first} + {len(rows.columns)} * n",
        f"    if ARGV[at] then return n + 1, {_column_slots(rows)} end",
        "end",
        f"local function {rows.name}() return next_of_{rows.name}, nil, 0 end",
    ]


def _write_list_reader(each: Rows) -> list[str]:
    width = len(each.columns)
    return [
        f"local function next_of_{each.name}(last, at)",
        f"    at = at + {width}",
        f"    if at <= last then return at, {_column_slots(each)} end",
        "end",
        f"local function each_{each.name}(start)",
        f"    return next_of_{each.name}, start + {width} * ARGV[start], start + 1 - {width}",
        "end",
    ]


def _column_slots(rows: Rows) -> str:
    """Return the Lua expressions for the columns of the row that begins in slot `at`."""
    return ", ".join(f"ARGV[at + {n}]" if n else "ARGV[at]" for n in range(len(rows.columns)))
