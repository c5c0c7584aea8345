"""Check the notifications that wait for the bot, and those that cannot reach it."""

import json
from datetime import datetime
from typing import cast

from cron_tasks.health.system import Result, System, expect_none
from cron_tasks.rest.client import strip_credentials
from cron_tasks.schedules.human import format_duration
from cron_tasks.store import keys
from cron_tasks.text.display import printable
from cron_tasks.text.english import none_or, number_of
from cron_tasks.vitals.judgement import LATE

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


def check_dead_letters(system: System) -> Result:
    """Count the dead letters of each notification queue, which bots could not handle."""
    names = sorted(system.needs.notify_queues)
    with system.redis.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.llen(name + keys.BOT_DEAD)
        counts = dict(zip(names, pipe.execute(), strict=True))
    texts = [
        f"{number_of(count, 'dead letter')} in {name}{keys.BOT_DEAD}"
        for name, count in counts.items()
        if count
    ]
    return Result(not texts, "; ".join(texts) or "No dead letters")


def check_recipients(system: System) -> Result:
    """Find jobs whose notifications name no chat."""
    if jobs := system.needs.unaddressed:
        return Result(False, f"No recipient for the notifications of {jobs}")
    return Result(True, "Each job that notifies has a recipient")


def check_reports(system: System) -> Result:
    """Find overdue reports, and reports that the service refused."""
    with system.redis.pipeline(transaction=False) as pipe:
        pipe.zcount(keys.REPORTS, "-inf", system.now - LATE)
        pipe.hlen(keys.REFUSED_REPORTS)
        pipe.hscan(keys.REFUSED_REPORTS, count=1)
        overdue, refused, (_, some) = pipe.execute()
    texts = [f"{number_of(overdue, 'report')} overdue"] if overdue else []
    if refused:
        job_id, address = next(iter(some.items()))
        texts.append(
            f"the last report of {number_of(refused, 'job')} was refused, "
            f"e.g. that of job {printable(job_id, 40)} at {strip_credentials(address)}"
        )
    return Result(not texts, "; ".join(texts) or "No report is overdue or refused")
