"""Read the list of jobs from files, if `CRON_TASKS_REST_URL` is `file:///…`.

A file is JSON (`.json`) or YAML (`.yaml`, `.yml`), in any of the shapes of a page of the REST
service. A folder stands for all of its files, in the order of their names.
"""

import io
import json
import os
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from stat import S_ISREG
from typing import IO, Any
from urllib.parse import unquote, urlsplit

import yaml

from cron_tasks.errors import SourceError
from cron_tasks.rest.mapping import Shape
from cron_tasks.rest.page import Incomplete, Page
from cron_tasks.rest.pagination import FeedLink, check_complete
from cron_tasks.rest.rows import Document, Malformed, NoArray
from cron_tasks.settings import Settings
from cron_tasks.text.display import printable, short_repr

#: The state of a file: its time, size and inode.
Stamp = tuple[str, int, int, int]
_YAML = (".yaml", ".yml")
_SUFFIXES = (".json", *_YAML)
_EXPECTED = "a file is a list of jobs, or has one under `jobs` (docs/files.md)"


#: The loader in C, if PyYAML was built with it, because it is ten times as fast.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):  # type: ignore[misc]
    """Reads the plain values of YAML 1.2, like JSON.

    In YAML 1.1, `on:` is true, `22:00` is 1320, and a date is not a text. PyYAML keeps the last of
    two equal keys, so the jobs under a first `jobs:` would be lost.
    """

    yaml_implicit_resolvers: Any = {}  # noqa: RUF012

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        known = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if name in known:
                fault = f"the key {short_repr(name)} stands twice in an object"
                raise yaml.MarkedYAMLError(problem=fault, problem_mark=key.start_mark)
            known.add(name)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", "<<", "<"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(?:[0-9]*\.[0-9]+|[0-9]+\.?(?=[.eE]))(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), list(_first)
    )


def path_of(settings: Settings) -> Path | None:
    """Return the file or folder with the jobs, or None if they come from a REST service."""
    url = settings.rest_url or ""
    return Path(unquote(urlsplit(url).path)) if url.startswith("file:") else None


def list_files(path: Path) -> list[Path]:
    """Return the files with jobs, in the order of their names. Raises OSError."""
    if not path.is_dir():
        return [path]
    names = sorted(os.listdir(path))
    return [path / name for name in names if name.lower().endswith(_SUFFIXES) and name[0] != "."]


def stamp_files(path: Path) -> list[Stamp]:
    """Return a value that changes when a file is written, added or removed. Raises OSError."""
    stats = [(each.name, each.stat()) for each in list_files(path)]
    return [(name, stat.st_mtime_ns, stat.st_size, stat.st_ino) for name, stat in stats]


class FileListing:
    """The rows of one read of the files. It has the interface of listing.Listing."""

    not_modified = False
    validators = None
    feed = FeedLink()

    def __init__(self, settings: Settings, path: Path, shape: Shape) -> None:
        self._settings = settings
        self._path = path
        self._shape = shape

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Yield each row once, with its place: `("row 17", {…})` or `("plants.yaml, row 3", {…})`.

        Raises SourceError if the files cannot be read completely. The rows until then are not the
        list.
        """
        finds, current = self._shape.start_list(), self._path
        try:
            before = stamp_files(self._path)
            self._check_size(before)
            for current in list_files(self._path):
                place = "row" if current == self._path else f"{printable(current.name)}, row"
                with _open_document(current, self._settings.rest_max_bytes) as body:
                    document, count = Document(body), 0
                    for count, row in enumerate(self._shape.find_rows(document), 1):
                        yield f"{place} {count}", self._shape.map_row(row, finds)
                    self._check_whole(document, count)
            current = self._path
            self._check_unchanged(before)
        except NoArray as error:
            raise self._make_error(current, f"it {error.finding}; {_EXPECTED}") from None
        except (Malformed, Incomplete) as error:
            raise self._make_error(current, f"it {error}") from None
        except OSError as error:
            current = Path(error.filename or current)
            raise self._make_error(current, error.strerror or str(error)) from None
        if fault := finds.explain_fault():
            raise self._make_error(self._path, fault)

    def _check_unchanged(self, before: list[Stamp]) -> None:
        if stamp_files(self._path) != before:
            raise Malformed("changed while it was read: the next sync reads it again")

    def _check_size(self, stamps: list[Stamp]) -> None:
        most: int = self._settings.rest_max_bytes
        if sum(size for _, _, size, _ in stamps) > most:
            raise Malformed(f"is larger than {most} bytes (CRON_TASKS_REST_MAX_BYTES)")

    def _check_whole(self, document: Document, count: int) -> None:
        """Refuse the saved answer of a service that has more pages. Raises Malformed,
        Incomplete."""
        if self._shape.find_next(document.envelope):
            raise Malformed("names a next page, but a file holds all of its jobs")
        check_complete(Page("", count, 0, self._shape.find_beside(document.envelope), {}))

    def _make_error(self, path: Path, cause: str) -> SourceError:
        return SourceError(f"cannot read the jobs from {printable(str(path))}: {cause}")


def _open_document(path: Path, most: int) -> IO[bytes]:
    """Open a file as JSON of about `most` bytes at most. Raises Malformed, OSError."""
    if not S_ISREG(path.stat().st_mode):  # A named pipe would be waited for without an end.
        raise Malformed("is not a regular file")
    if path.suffix.lower() not in _YAML:
        return path.open("rb")
    try:
        value = yaml.load(path.read_bytes(), _Loader)  # noqa: S506  # It is a SafeLoader.
        if _count_nodes(value, {}) > most:
            raise Malformed("becomes too large by its aliases (CRON_TASKS_REST_MAX_BYTES)")
        return io.BytesIO(json.dumps(value, default=str).encode())
    except yaml.MarkedYAMLError as error:
        raise Malformed(f"is not YAML: {_explain_yaml(error)}") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise Malformed(f"is not YAML of plain values: {printable(str(error))}") from None


def _explain_yaml(error: yaml.MarkedYAMLError) -> str:
    context, problem = error.context or "", error.problem or str(error)
    if problem.startswith("but "):  # It continues the context.
        problem = f"{context} {problem}"
    mark = error.problem_mark
    where = f" in line {mark.line + 1}" if mark else ""
    is_indicator = "alias" in f"{context} {problem}" or "cannot start any token" in problem
    hint = "; a value such as `*/5 * * * *` or `@daily` has to be in quotes" if is_indicator else ""
    return printable(problem) + where + hint


def _count_nodes(value: Any, known: dict[int, int]) -> int:
    """Return the number of values, and of characters of texts, in the JSON of `value` with aliases
    written out.

    `known` holds the counts of objects and arrays by their identity. Each alias is the same object
    as its anchor, so each object is counted once. Raises ValueError for an object within itself.
    """
    if isinstance(value, str):
        return len(value) + 1
    if not isinstance(value, dict | list):
        return 1
    count = known.get(id(value))
    if count is None:
        known[id(value)] = -1
        members = chain(value, value.values()) if isinstance(value, dict) else value
        count = known[id(value)] = 1 + sum(_count_nodes(each, known) for each in members)
    if count < 0:
        raise ValueError("an alias stands within its own anchor")
    return count
