"""Spans, which are made when both ends are known. Pure."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cron_tasks.text.trace_ids import Parent

#: The kinds of OpenTelemetry that we use. A client waits for another service.
Kind = Literal["internal", "client", "consumer"]
Value = str | bool | int | float


@dataclass(slots=True)
class Span:
    """A span of a run. `own` has its ids, and `parent_id` is 0 for the root of a trace.

    Times are in seconds since the epoch. With an `error`, which may be "", the status is error.
    """

    name: str
    own: Parent
    parent_id: int
    start: float
    end: float
    attributes: Mapping[str, Value] = field(default_factory=dict)
    error: str | None = None
    kind: Kind = "internal"


def make_child(parent: Parent) -> Parent:
    """Return new ids for a span within a trace."""
    return parent._replace(span_id=random.getrandbits(64) or 1)
