"""Show each run as it ends, like the notifications of the demo's bot."""

import asyncio

from redis import Redis
from redis.exceptions import RedisError

from cron_tasks.local.narrator import Narrator
from cron_tasks.registry.registry import Registry
from cron_tasks.runs.shapes import Shape
from cron_tasks.runs.tail import Tail
from cron_tasks.store.client import connect

#: Seconds between two reads, and the most runs that each shows.
LOOK_EVERY, MOST = 0.5, 20


async def show_runs(redis_url: str, narrator: Narrator) -> None:
    """Show the runs that end from now on. While Redis is away, wait for it."""
    with connect(redis_url) as redis:
        tail, is_first = Tail(redis), True
        while True:
            try:
                fresh = await asyncio.to_thread(tail.read)
                names = await asyncio.to_thread(_read_names, redis, fresh[-MOST:])
            except RedisError:
                fresh = []
            else:
                if not is_first:
                    _show(fresh, names, narrator)
                is_first = False
            await asyncio.sleep(LOOK_EVERY)


def _read_names(redis: Redis, runs: list[Shape]) -> dict[str, str]:
    """Return the names of the jobs of these runs. A job that was removed has none."""
    job_ids = dict.fromkeys(run["job_id"] for run in runs)
    found = Registry(redis).read_jobs(job_ids, on_unreadable=lambda *_: None)
    return {each.job.id: each.job.name for each in found}


def _show(runs: list[Shape], names: dict[str, str], narrator: Narrator) -> None:
    if len(runs) > MOST:
        narrator.show(f"  … and {len(runs) - MOST:,} more runs: `cron-tasks runs` lists them")
    for run in runs[-MOST:]:
        narrator.show_run(run, names.get(run["job_id"]) or run["job_id"])
