"""arq with aiohttp: one worker, whose jobs wait in Redis.

Arguments: COUNT URL REDIS. Prints "due <seconds since the epoch>" before, and "cpu <seconds>"
after the runs.
"""

import asyncio
import sys
import time
from datetime import UTC, datetime
from typing import Any

import aiohttp
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker

COUNT, URL, REDIS = int(sys.argv[1]), sys.argv[2], sys.argv[3]


async def call(ctx: dict[str, Any]) -> None:
    async with ctx["session"].get(URL) as answer:
        assert answer.status == 200
        await answer.read()
    # Each job gets a copy of the context.
    ctx["ended"].append(1)
    if len(ctx["ended"]) == COUNT:
        ctx["over"].set()


async def main() -> None:
    settings = RedisSettings.from_dsn(REDIS)
    pool = await create_pool(settings)
    due = float(int(time.time() + 4 + COUNT / 1000))
    moment = datetime.fromtimestamp(due, UTC)
    for n in range(COUNT):
        await pool.enqueue_job("call", _job_id=f"job-{n}", _defer_until=moment)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        ctx = {"session": session, "ended": [], "over": asyncio.Event()}
        worker = Worker(
            [call], redis_pool=pool, ctx=ctx, max_jobs=1000, poll_delay=0.05, keep_result=0,
            handle_signals=False,
        )  # fmt: skip
        print("due", due, flush=True)
        running = asyncio.create_task(worker.async_run())
        await asyncio.sleep(due - time.time() - 0.1)
        before = time.process_time()
        await ctx["over"].wait()
        print("cpu", time.process_time() - before, flush=True)
        running.cancel()


asyncio.run(main())
