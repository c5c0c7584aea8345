"""Check what waits for the bot, and what cannot reach it."""

import json
from datetime import datetime
from typing import cast

from cron_tasks.health.system import Result, System, expect_none
from cron_tasks.schedules.human import format_duration
from cron_tasks.store import keys
from cron_tasks.text.english import none_or, number_of

#: A queue that holds more than this share of NOTIFY_MAX does not seem to have a reader.
NEARLY_FULL = 0.8


def check_queue(system: System) -> Result:
    settings, redis = system.settings, system.redis
    name, is_stream = settings.notify_queue, settings.notify_transport == "stream"
    length = int(redis.xlen(name) if is_stream else redis.llen(name))
    dropped = sum(map(int, cast("list[str]", redis.hvals(keys.DROPPED))))
    text = f"{none_or(length, 'notification')} in {name}"
    if length and not is_stream:
        oldest = json.loads(cast("str", redis.lindex(name, 0)) or "{}").get("created_at")
        age = system.now - datetime.fromisoformat(oldest).timestamp() if oldest else 0.0
        text += f", the oldest for {format_duration(age)}"
    if dropped:
        text += f"; {number_of(dropped, 'notification')} dropped because the queue was full"
    is_full = length > settings.notify_max * NEARLY_FULL
    return Result(not is_full and not dropped, text)


check_messages = expect_none(lambda s: s.redis.llen(keys.UNDELIVERABLE), "undeliverable message")
