"""Traps in the workers: one sync dies, freezes or empties Redis at a named step.

Workers import this module (`--include`). Chaos sets a trap by writing `order.json` into the folder
CHAOS_ORDERS. The first process that reaches the step takes the order by renaming the file to
`taken.json`, with its process id in it, and carries it out.

The pages of a sync are recognised by their jobs, because the product decides about their order and
size.
"""

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cron_tasks.registry import steps
from cron_tasks.rest.listing import Source
from cron_tasks.store.client import connect
from cron_tasks.sync import reconciler

#: Steps of a sync that writes the long list, in their order.
STEPS = (
    "while the list is read",
    "before the first page",
    "after the first page",
    "in the middle",
    "before the last page",
    "after the last page",
    "before the validators are stored",
)
READ, BEFORE_FIRST, AFTER_FIRST, MIDDLE, BEFORE_LAST, AFTER_LAST, VALIDATORS = STEPS
#: Ids of the jobs that an edit of the long list changes.
LONG = re.compile("(filler|flip)-[^ ]+")
#: The ids that the sync of this process has written or begun to write.
seen: set[str] = set()


def order() -> dict[str, Any]:
    with suppress(FileNotFoundError):
        read: dict[str, Any] = json.loads(_folder().joinpath("order.json").read_text())
        return read
    return {"step": "", "jobs": 0}


def reach(step: str) -> None:
    """Carry out the order if it is for this step."""
    if (ordered := order())["step"] != step:
        return
    folder, mine = _folder(), _folder() / f"order-{os.getpid()}.json"
    with suppress(FileNotFoundError):
        (folder / "order.json").rename(mine)
        mine.write_text(json.dumps(ordered | {"pid": os.getpid()}))
        mine.rename(folder / "taken.json")
        ACTS[ordered["act"]]()


def _folder() -> Path:
    return Path(os.environ["CHAOS_ORDERS"])


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_worker() -> None:
    os.killpg(0, signal.SIGKILL)


def freeze() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def flush() -> None:
    with connect(os.environ["CRON_TASKS_REDIS_URL"]) as redis:
        redis.flushall()


ACTS: dict[str, Callable[[], None]] = {
    "kill": kill,
    "kill_worker": kill_worker,
    "freeze": freeze,
    "flush": flush,
}


def _watch_pages() -> None:
    """Watch `put`, which writes one page of the registry."""
    put = steps.put

    def watched(redis: Any, **values: Any) -> Any:
        page = {job_id for job_id, *_ in values["listed"] if LONG.fullmatch(job_id)}
        jobs, first, new = order()["jobs"], not seen, not page <= seen
        seen.update(page)
        last = new and len(seen) == jobs
        if page and first:
            reach(BEFORE_FIRST)
        if last:
            reach(BEFORE_LAST)
        reply = put(redis, **values)
        if page and first:
            reach(AFTER_FIRST)
        if page and len(seen) >= jobs / 2:
            reach(MIDDLE)
        if last:
            reach(AFTER_LAST)
        return reply

    steps.put = watched


def _watch_reading() -> None:
    open_list = Source.open_list

    @contextmanager
    def watched(self: Source, *args: Any, **kwargs: Any) -> Iterator[Any]:
        seen.clear()
        with open_list(self, *args, **kwargs) as listing:
            if not listing.not_modified:
                reach(READ)
            yield listing

    Source.open_list = watched  # type: ignore[method-assign]


def _watch_validators() -> None:
    """Watch the function that ends a sync."""
    store_outcome = reconciler.store_outcome

    def watched(*args: Any, **kwargs: Any) -> Any:
        if seen and len(seen) == order()["jobs"]:
            reach(VALIDATORS)
        return store_outcome(*args, **kwargs)

    reconciler.store_outcome = watched


_watch_pages()
_watch_reading()
_watch_validators()
