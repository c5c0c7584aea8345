"""Whether jobs fire and run: beat, schedule, workers, ticks, messages."""

from typing import cast

from cron_tasks import names
from cron_tasks.cli.checks import Finding, System, fail, listed, ok, warn
from cron_tasks.cli.services import celery_app
from cron_tasks.cli.times import duration

#: Seconds by which a due entry or a tick's deadline may be late.
LATE = 30.0
#: Seconds in which workers have to answer.
ANSWER = 1.0
ASK_BEAT = "beat looks after them: is it running, and what does its log say?"
START_BEAT = "start one: `celery -A cron_tasks beat`; its log says why it does not lead"


def beat(system: System) -> Finding:
    if system.redis.exists(names.LEADER_LOCK):
        return ok("one leads")
    return fail("none leads, so nothing fires", START_BEAT)


def schedule(system: System) -> Finding:
    redis, now = system.redis, system.now
    late = redis.zcount(names.SCHEDULE, 0, now - LATE)
    if not late:
        return ok(f"{redis.zcard(names.SCHEDULE):,} waiting, none overdue")
    oldest = redis.zrangebyscore(names.SCHEDULE, 0, now, 0, 1, withscores=True)
    are = "entry is" if late == 1 else "entries are"
    return fail(f"{late:,} {are} overdue, by up to {duration(now - float(oldest[0][1]))}", ASK_BEAT)


def entries(system: System) -> Finding:
    if aside := cast("list[str]", system.redis.hkeys(names.SET_ASIDE)):
        return fail(
            f"set aside, since beat cannot read them: {listed(aside)}",
            "`cron-tasks jobs rejected` gives the reasons; `cron-tasks sync` writes them anew",
        )
    if unreadable := system.census.unreadable:
        return fail(
            f"jobs that cannot be read: {listed(unreadable)}",
            f"`HDEL {names.JOBS} {unreadable[0]}` in Redis, then `cron-tasks sync --force`",
        )
    return ok("all can be read")


def recipients(system: System) -> Finding:
    if system.settings.chat_id is not None:
        return ok("CRON_TASKS_CHAT_ID is there for jobs that name none")
    if jobs := system.census.without_recipient:
        return warn(
            f"jobs whose messages have no recipient: {listed(jobs)}",
            "set CRON_TASKS_CHAT_ID, or give the jobs a `chat_id`",
        )
    return ok("every job names one")


def workers(system: System) -> Finding:
    app = celery_app()
    answers = app.control.inspect(timeout=ANSWER).active_queues() or {}
    if not answers:
        return fail("none answers, so nothing runs", "start one: `celery -A cron_tasks worker`")
    consumed = {queue["name"] for queues in answers.values() for queue in queues}
    needed = {name or app.conf.task_default_queue for name in {None, *system.census.queues}}
    who = f"{len(answers)} answer{'s' if len(answers) == 1 else ''}"
    if deserted := sorted(needed - consumed):
        return fail(
            f"{who}, but none takes from {listed(deserted)}",
            f"`celery -A cron_tasks worker -Q {deserted[0]}`",
        )
    return ok(f"{who}, consuming {listed(sorted(consumed))}")


def ticks(system: System) -> Finding:
    waiting = system.redis.hlen(names.OPEN)
    if late := system.redis.zcount(names.DEADLINES, "-inf", system.now - LATE):
        return fail(f"{late:,} of {waiting:,} open are past their deadline", ASK_BEAT)
    return ok(f"{waiting:,} open, none past its deadline")


def messages(system: System) -> Finding:
    if lost := system.redis.llen(names.UNDELIVERABLE):
        return warn(
            f"{lost:,} could not be queued, since the key of their queue is no Redis list",
            f"`LRANGE {names.UNDELIVERABLE} 0 9` shows them; "
            "delete or rename the key that is in the way",
        )
    return ok("all were queued")
