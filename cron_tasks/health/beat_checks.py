"""Check beat, and jobs and runs that are overdue."""

from cron_tasks.health.system import Result, System, expect_none
from cron_tasks.store import keys
from cron_tasks.vitals.judgement import LATE
from cron_tasks.vitals.leaders import read_leaders


def check_beat(system: System) -> Result:
    found = read_leaders(system.redis, system.now)
    return Result(found.has_leader, str(found))


check_schedule = expect_none(
    lambda s: s.redis.zcount(keys.SCHEDULE, 0, s.now - LATE), "job", "overdue"
)
check_open_ticks = expect_none(
    lambda s: s.redis.zcount(keys.DEADLINES, 0, s.now - LATE), "open tick", "past the deadline"
)
check_jobs = expect_none(lambda s: s.redis.hlen(keys.FAILING), "job", "failed at the last run")
