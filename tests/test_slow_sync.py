"""While a slow sync runs, jobs fire every second. No tick is repeated or lost."""

import json
from collections import Counter
from typing import Any

from command_line import CommandLine
from helpers import wait_until
from processes import Celery
from redis import Redis
from rest_server import RestServer

from cron_tasks.registry.registry import Registry
from cron_tasks.store import keys

COUNT = 15_000
QUEUE = "queue:to_telegram"
#: Rules that never fire cost time to refuse, and stand before the edits.
NEVER = [
    {"id": f"never {n}", "name": "x", "rrule": f"FREQ=YEARLY;BYMONTH=2;BYMONTHDAY={30 + n % 2}"}
    for n in range(5)
]


def listed(edit: int) -> list[dict[str, Any]]:
    timing: dict[str, Any] = {"every": 1} if edit % 2 else {"cron_expression": "* * * * * *"}
    hourly = [
        {"id": n, "name": "hourly", "cron_expression": f"{edit} {n % 24} 1 1 *"}
        for n in range(COUNT)
    ]
    return [*NEVER, *hourly, *({"id": f"s{n}", "name": "secondly"} | timing for n in range(8))]


def test_an_edit_of_a_whole_list_neither_repeats_nor_loses_a_tick(
    redis: Redis, rest: RestServer, celery: Celery, cli: CommandLine
) -> None:
    rest.jobs = listed(0)
    celery.worker(2)
    celery.beat()
    wait_until(lambda: Registry(redis).count() == COUNT + 8, "the first sync")
    for edit in (1, 2, 3):
        before = redis.llen(QUEUE)
        wait_until(lambda before=before: redis.llen(QUEUE) > before + 8, "ticks before the edit")
        rest.jobs = listed(edit)
        redis.lpush(keys.POKE, "*")
        fingerprint = redis.hget(keys.JOBS, "s7")
        wait_until(lambda f=fingerprint: redis.hget(keys.JOBS, "s7") != f, "the edit")
    before = redis.llen(QUEUE)
    wait_until(lambda: redis.llen(QUEUE) > before + 16, "ticks after the last edit")
    ids = Counter(json.loads(message)["id"] for message in redis.lrange(QUEUE, 0, -1))
    assert not {each: times for each, times in ids.items() if times > 1}
    found = json.loads(cli.run("audit", "--since", "5min", "--json").stdout)
    assert found["lost"] == []
    assert found["expected"] >= len(ids)
