"""Group failing jobs by the cause of their last failure. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from cron_tasks.text.display import printable, sort_key

#: An error of an HTTP action: `POST http://host/path: answered 503 Service Unavailable`.
_HTTP = re.compile(r"(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (https?://\S+): (.*)", re.DOTALL)
_STATUS = re.compile(r"answered ([1-5]\d\d)\b")
#: The parts that differ between two errors with one cause: ids in hex, UUIDs, quoted texts,
#: numbers.
_VARYING = re.compile(r"\b[0-9a-f]{8,}(?:-[0-9a-f]{4,})*\b|'[^']*'|\"[^\"]*\"|\d+(?:\.\d+)?", re.I)
#: Most characters of a cause.
_SHOWN = 160


@dataclass(frozen=True, slots=True)
class Failure:
    """A failing job: its first failure in a row, its last one (seconds), and the last error."""

    job_id: str
    since: float
    latest: float
    error: str


@dataclass(frozen=True, slots=True)
class Cause:
    """The ids of jobs that fail for one cause, and when the first and the last of them failed."""

    text: str
    job_ids: tuple[str, ...]
    since: float
    latest: float
    example: str


def name_cause(error: str) -> str:
    """Return the cause of an error, which is the same for all errors with that cause.

    The cause of a failed request is its status and its host: `HTTP 503 from host`.
    """
    if match := _HTTP.match(error):
        host, what = urlsplit(match[1]).hostname or match[1], match[2]
        if status := _STATUS.match(what):
            return f"HTTP {status[1]} from {host}"
        return printable(f"{host}: {_VARYING.sub('…', what)}", _SHOWN)
    return printable(_VARYING.sub("…", error), _SHOWN) or "no error was given"


def group_failures(failures: Iterable[Failure]) -> list[Cause]:
    """Return the causes, the one with the most jobs first."""
    groups: dict[str, list[Failure]] = {}
    for each in failures:
        groups.setdefault(name_cause(each.error), []).append(each)
    causes = [_make_cause(text, found) for text, found in groups.items()]
    return sorted(causes, key=lambda cause: (-len(cause.job_ids), cause.text))


def _make_cause(text: str, found: Sequence[Failure]) -> Cause:
    latest = max(found, key=lambda each: each.latest)
    job_ids = tuple(sorted((each.job_id for each in found), key=sort_key))
    since = min(each.since for each in found)
    return Cause(text, job_ids, since, latest.latest, latest.error)
