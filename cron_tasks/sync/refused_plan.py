"""The changes of a refused list, as they are stored for the health page. Pure."""

from dataclasses import dataclass

import orjson

from cron_tasks.registry.plan import Changes
from cron_tasks.store.readable import parse_each
from cron_tasks.text.display import printable

#: Jobs of each kind that are stored.
NAMED = 20
#: The maximum length of an id and of a name.
_ID, _NAME = 300, 100


@dataclass(frozen=True, slots=True)
class Planned:
    """One kind of change: the number of jobs, and the first of them as (id, name).

    A job that would be removed has the name "", because the list does not hold it.
    """

    count: int
    first: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RefusedPlan:
    """The changes that a refused list would have made."""

    removed: Planned
    changed: Planned
    added: Planned
    unchanged: int


def dump_plan(changes: Changes) -> str:
    """Return the changes of a refused list as JSON of bounded length."""
    named = {
        kind: [(printable(each.id, _ID), printable(each.job.name, _NAME)) for each in jobs[:NAMED]]
        for kind, jobs in (("changed", changes.changed), ("added", changes.added))
    }
    named["removed"] = [(printable(each, _ID), "") for each in changes.removed[:NAMED]]
    stored = {kind: [len(getattr(changes, kind)), first] for kind, first in named.items()}
    return orjson.dumps(stored | {"unchanged": changes.unchanged}).decode()


def load_plan(text: str) -> RefusedPlan | None:
    """Parse what `dump_plan` returned. Return None for any other text."""
    return next(parse_each(_parse_plan, [text]), None)


def _parse_plan(text: str) -> RefusedPlan:
    stored = orjson.loads(text)
    parts = {
        kind: Planned(stored[kind][0], tuple(map(tuple, stored[kind][1])))
        for kind in ("removed", "changed", "added")
    }
    return RefusedPlan(**parts, unchanged=stored["unchanged"])
