"""APScheduler 3's asyncio scheduler with aiohttp: one process, its jobs in memory.

Arguments: COUNT URL. Prints "due <seconds since the epoch>" before, and "cpu <seconds>" after the
runs: the CPU time from the due time on.
"""

import asyncio
import sys
import time
from datetime import UTC, datetime

import aiohttp
from apscheduler.schedulers.asyncio import AsyncIOScheduler

COUNT, URL = int(sys.argv[1]), sys.argv[2]


async def main() -> None:
    ended, over = 0, asyncio.Event()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def call() -> None:
            nonlocal ended
            async with session.get(URL) as answer:
                assert answer.status == 200
                await answer.read()
            ended += 1
            if ended == COUNT:
                over.set()

        defaults = {"misfire_grace_time": 600, "max_instances": 1}
        scheduler = AsyncIOScheduler(job_defaults=defaults, timezone="UTC")
        due = float(int(time.time() + 3 + COUNT / 3000))
        moment = datetime.fromtimestamp(due, UTC)
        for _ in range(COUNT):
            scheduler.add_job(call, "date", run_date=moment)
        scheduler.start()
        print("due", due, flush=True)
        await asyncio.sleep(due - time.time() - 0.1)
        before = time.process_time()
        await over.wait()
        print("cpu", time.process_time() - before, flush=True)


asyncio.run(main())
