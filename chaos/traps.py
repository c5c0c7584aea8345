"""Traps in the workers: one sync dies, freezes or empties Redis at a named step.

Workers import this module (`--include`). Chaos sets a trap by writing `order.json` into the folder
CHAOS_ORDERS; the first process that reaches the step takes the order by renaming the file to
`taken.json`, with its process id in it, and carries it out.
"""

import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cron_tasks import registry_steps
from cron_tasks.redis_client import connect
from cron_tasks.source import Source
from cron_tasks.sync import Reconciler

#: Steps of a sync, in their order. The pages are those that hold the first, the middle and the last
#: row of the list.
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
PAGES = {
    BEFORE_FIRST: ("first", "before"),
    AFTER_FIRST: ("first", "after"),
    MIDDLE: ("middle", "after"),
    BEFORE_LAST: ("last", "before"),
    AFTER_LAST: ("last", "after"),
}


def reach(step: str, rows: Sequence[Any] | None = None, moment: str = "") -> None:
    """Carry out the order if it is for this step: `step`, or the page that holds a row."""
    folder = Path(os.environ["CHAOS_ORDERS"])
    with suppress(FileNotFoundError):
        order = json.loads((folder / "order.json").read_text())
        if rows is not None:
            row, when = PAGES.get(order["step"], ("", ""))
            meant = when == moment and order.get(row) in rows
        else:
            meant = order["step"] == step
        if meant:
            mine = folder / f"order-{os.getpid()}.json"
            (folder / "order.json").rename(mine)
            mine.write_text(json.dumps(order | {"pid": os.getpid()}))
            mine.rename(folder / "taken.json")
            ACTS[order["act"]]()


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
    put = registry_steps.put

    def watched(redis: Any, keys: Sequence[str], args: Sequence[Any]) -> Any:
        reach("", args, "before")
        reply = put(redis, keys, args)
        reach("", args, "after")
        return reply

    registry_steps.put = watched


def _watch_reading() -> None:
    read = Source.read

    @contextmanager
    def watched(self: Source, *args: Any, **kwargs: Any) -> Iterator[Any]:
        with read(self, *args, **kwargs) as listing:
            reach(READ)
            yield listing

    Source.read = watched  # type: ignore[method-assign]


def _watch_validators() -> None:
    remember = Reconciler._remember

    def watched(self: Reconciler, *args: Any, **kwargs: Any) -> Any:
        reach(VALIDATORS)
        return remember(self, *args, **kwargs)

    Reconciler._remember = watched  # type: ignore[method-assign]


_watch_pages()
_watch_reading()
_watch_validators()
