"""Write changes of the feed into the registry, as a sync writes single rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import structlog

from cron_tasks.errors import SourceError, WriteRefused
from cron_tasks.registry.fence import Fence
from cron_tasks.registry.plan import SHRINK_ALLOWANCE
from cron_tasks.registry.wanted import MOST_ROWS, is_anything_wanted, select_rows
from cron_tasks.rest.feed import Change
from cron_tasks.rest.single import read_jobs
from cron_tasks.store import keys
from cron_tasks.sync.feed_state import Position, load_position, store_position
from cron_tasks.sync.meanwhile import lock_for_feed
from cron_tasks.sync.reconciler import Reconciler

log = structlog.get_logger("cron_tasks.sync")

#: The outcome of changes. `busy`: another sync is running. `void`: the position of the feed has
#: changed. `behind`: something else was written, which may be newer. `unchanged`, `changed`: the
#: changes are written.
Outcome = Literal["busy", "void", "behind", "unchanged", "changed"]


@dataclass(frozen=True, slots=True)
class FeedChanges:
    """Changes of jobs, which came after `start` and lead to `address`.

    `edits` is the number of the last edit before they were requested. If the number is
    different now, the changes are `behind`, if they `may_be_behind`. With `needs_list` they are not
    enough.
    """

    start: str
    address: str
    by_id: Mapping[str, Change]
    edits: str | None
    needs_list: bool = False
    may_be_behind: bool = True


def write_changes(
    reconciler: Reconciler, changes: FeedChanges, clock: Callable[[], float]
) -> tuple[Outcome, str | None]:
    """Write changes, and then the position of the feed. Return the outcome and the last edit.

    The lock of the sync keeps others from writing meanwhile. Syncs that were requested meanwhile
    follow afterwards.
    """
    redis = reconciler.redis
    with lock_for_feed(redis) as fence:
        if fence is None:
            return "busy", None
        position = load_position(redis)
        if position.address != changes.start:
            return "void", None
        if changes.by_id and changes.may_be_behind and position.edits != changes.edits:
            return "behind", position.edits
        try:
            removed = _apply_changes(reconciler, changes, fence, position, clock)
            if changes.needs_list or removed is None:
                redis.lpush(keys.POKE, "*")
            store_position(redis, fence, changes.address, removed or 0)
        except WriteRefused as refused:
            log.warning("sync.overtaken", reason=str(refused))
            return "void", None
        edits = load_position(redis).edits
    if is_anything_wanted(redis):
        reconciler.sync(clock, ids=[])
    return "unchanged" if edits == position.edits else "changed", edits


def _apply_changes(
    reconciler: Reconciler,
    changes: FeedChanges,
    fence: Fence,
    position: Position,
    clock: Callable[[], float],
) -> int | None:
    """Return the number of removed jobs, or None if the list has to be read instead."""
    if not changes.by_id:
        return 0
    rows = _collect_rows(reconciler, changes.by_id)
    if rows is None:
        return None

    def may_remove(count: int) -> bool:
        known, gone = reconciler.registry.count() + position.removed, count + position.removed
        if gone <= SHRINK_ALLOWANCE or gone <= reconciler.settings.shrink_limit * known:
            return True
        detail = f"the feed would remove {gone} of {known} jobs since the list was read"
        log.warning("feed.removals_left_to_the_list", detail=detail)
        return False

    report = reconciler.sync_rows(
        list(changes.by_id), clock, fence, sent=rows, may_remove=may_remove
    )
    return None if report is None else len(report.changes.removed)


def _collect_rows(
    reconciler: Reconciler, changes: Mapping[str, Change]
) -> Sequence[tuple[str, Any]] | None:
    """Return the rows of all changes but removals, or None if the list has to be read."""
    bare = [job_id for job_id, each in changes.items() if each.row is None and not each.is_deleted]
    sent = [(f"job {job_id}", each.row) for job_id, each in changes.items() if each.row is not None]
    if not bare:
        return sent
    if len(bare) > MOST_ROWS or select_rows(bare) is None:
        return None
    try:
        return [*sent, *read_jobs(reconciler.settings, bare)]
    except SourceError as error:
        log.info("sync.rows_not_read", detail=str(error), hint="the list is read")
        return None
