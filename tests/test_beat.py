"""The beat: leading, standing by, broken entries, operators' entries, and a Redis that goes
away."""

import json
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from helpers import wait_until
from processes import Celery, Process, Valkey
from redis import Redis
from rest_server import RestServer

from cron_tasks.registry.registry import Registry
from cron_tasks.store import keys

QUEUE = "queue:to_telegram"
#: Each of its ticks runs, however busy the machine is and however long no worker is there.
SECONDLY = {"id": "healthy", "name": "healthy", "every": 1, "catchup": {"policy": "all"}}


def told(redis: Redis, job_id: str) -> list[dict[str, Any]]:
    messages = [json.loads(message) for message in redis.lrange(QUEUE, 0, -1)]
    return [message for message in messages if message["job_id"] == job_id]


def seconds_in_a_row(redis: Redis) -> list[float]:
    """Return the ticks of the healthy job if each second was run once, otherwise none.

    Runs that waited for a worker may end in any order.
    """
    times = sorted(message["scheduled_for"] for message in told(redis, "healthy"))
    seconds = [datetime.fromisoformat(each).timestamp() for each in times]
    return seconds if seconds == [seconds[0] + n for n in range(len(seconds))] else []


def started(celery: Celery, redis: Redis, jobs: int) -> Process:
    """Start a worker and beat. Return the worker once the jobs are registered."""
    worker = celery.worker()
    celery.beat()
    wait_until(lambda: Registry(redis).count() == jobs, "the first sync")
    return worker


#: What an entry's hash may hold that is no entry (failures measured on stock RedBeat).
POISON = [
    {"definition": "{"},
    {"definition": "null"},
    {"definition": "[]"},
    {"definition": '"text"'},
    {"definition": b"\xff\xfe"},
    {"definition": '{"schedule": null}'},
    {"definition": '{"schedule": {"__type__": "crontab", "minute": 99}}'},
    {"definition": '{"schedule": {"__type__": "cron_tasks", "c": "99 * * * *"}}'},
    {"definition": '{"schedule": {"__type__": "cron_tasks", "c": "0 0 31 2 *"}}'},
    {"definition": '{"schedule": {"__type__": "cron_tasks", "e": 1e20}}'},
    {"definition": '{"schedule": {"__type__": "cron_tasks", "e": -1}}'},
    {"definition": '{"schedule": {"__type__": "cron_tasks", "e": 0}}'},
    {"definition": '{"schedule": {"__type__": "cron_tasks", "e": NaN}}'},
    {"definition": '{"schedule": {"__type__": "cron_tasks", "c": 5}}'},
    {"definition": '{"schedule": {"__type__": "cron_tasks", "c": "* * * * *", "z": "No/Zone"}}'},
    {"definition": '{"schedule": {"__type__": "cron_tasks", "unknown": 1}}'},
    {"definition": '{"schedule": {"__type__": "cron_tasks"}}'},
    {"meta": "{"},
    {"meta": "[]"},
    {"meta": '{"total_run_count": "many"}'},
    {"job": "{"},
    {"job": "null"},
    {"job": "[]"},
]


def test_poison_is_set_aside_and_harms_no_other(
    redis: Redis, rest: RestServer, celery: Celery
) -> None:
    # None of them is due while the test runs, at any time of day.
    poisoned = [{"id": n, "name": "x", "every": 31_536_000} for n in range(len(POISON) + 2)]
    rest.jobs = [SECONDLY, *poisoned]
    worker = started(celery, redis, len(rest.jobs))
    # Beat asks for a sync at once, which would mend the first entries before all are set aside.
    worker.terminate()
    for number, fields in enumerate(POISON):
        redis.hset(keys.entry_key(str(number)), mapping=fields)
    redis.delete(keys.entry_key(str(len(POISON))))
    redis.set(keys.entry_key(str(len(POISON) + 1)), "no hash")
    overdue = {keys.entry_key(job["id"]): time.time() - 1 for job in map(_texts, poisoned)}
    redis.zadd(keys.SCHEDULE, overdue | {"redbeat:no such entry": time.time() - 1})
    redis.zadd(keys.SCHEDULE, {b"redbeat:cron_tasks:\xff": time.time() - 1})
    expected = {*overdue, "redbeat:no such entry", "redbeat:cron_tasks:\udcff"}
    wait_until(lambda: redis.hlen(keys.SET_ASIDE) >= len(expected), "all to be set aside")
    aside = redis.hgetall(keys.SET_ASIDE)
    assert aside.keys() == expected
    assert all(reason.isprintable() and len(reason) < 500 for reason in aside.values())
    celery.worker()
    before = len(told(redis, "healthy"))
    wait_until(lambda: len(seconds_in_a_row(redis)) > before + 1, "the healthy job to go on")
    # The sync that beat asks for mends them all.
    wait_until(lambda: redis.hlen(keys.SET_ASIDE) == 2, "the sync to mend them")
    assert all(redis.zscore(keys.SCHEDULE, key) > time.time() for key in overdue)


def _texts(job: dict[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in job.items()}


def test_an_operators_own_entries_fire_as_with_stock_redbeat(
    redis: Redis, redis_url: str, rest: RestServer, celery: Celery
) -> None:
    from celery import Celery as App
    from celery.schedules import crontab
    from redbeat import RedBeatSchedulerEntry
    from redbeat.schedules import rrule

    app = App("operator", broker=redis_url)
    app.conf.update(
        redbeat_redis_url=redis_url,
        redbeat_redis_options={"socket_timeout": 5},
        timezone="UTC",
    )
    long_ago = datetime.now(UTC) - timedelta(hours=3)
    for name, schedule in {
        "interval": timedelta(seconds=1),
        "crontab": crontab(),
        "rrule": rrule("SECONDLY", dtstart=long_ago),
        "disabled": timedelta(seconds=1),
    }.items():
        entry = RedBeatSchedulerEntry(
            name, keys.RUN_TASK, schedule, args=["42"], app=app, enabled=name != "disabled"
        )
        entry.last_run_at = long_ago
        entry.save()
        redis.zadd(keys.SCHEDULE, {entry.key: 1})
    rest.jobs = [{"id": 42, "name": "Report", "run_at": "2099-01-01T00:00:00Z"}]
    started(celery, redis, 1)

    def runs(name: str) -> int:
        meta = json.loads(redis.hget(f"redbeat:{name}", "meta"))
        return int(meta.get("total_run_count", 0))

    wait_until(lambda: runs("interval") >= 3, "the interval entry")
    wait_until(lambda: runs("crontab") >= 1, "the crontab entry")
    wait_until(lambda: runs("rrule") >= 2, "the rrule entry")
    wait_until(lambda: len(told(redis, "42")) >= 6, "their runs")
    assert runs("disabled") == 0
    disabled = lambda: redis.zscore(keys.SCHEDULE, "redbeat:disabled")  # noqa: E731
    wait_until(lambda: disabled() > time.time() - 1, "the disabled entry to be put off")
    app.redbeat_redis.close()


def test_an_operator_may_look_with_redbeats_own_code(
    redis: Redis, redis_url: str, rest: RestServer, celery: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest.jobs = [{"id": 7, "name": "x", "cron_expression": "CRON_TZ=Europe/Berlin * * * * * *"}]
    # Otherwise the entry of the sync may be the first one for a moment.
    celery.env["CRON_TASKS_SYNC_INTERVAL"] = "3600"
    started(celery, redis, 1)
    wait_until(lambda: len(told(redis, "7")) >= 2, "two runs")
    script = (
        "from cron_tasks.celery import app\n"
        "from cron_tasks.beat import Scheduler\n"
        "from cron_tasks.beat.redbeat import Entry\n"
        "import json\n"
        "Scheduler(app, lazy=True)\n"
        "entry = Entry.from_key('redbeat:cron_tasks:7', app=app)\n"
        "rank, when = entry.rank, entry.last_run_at.timestamp()\n"
        "count = entry.total_run_count\n"
        "print(json.dumps([rank, when, count, entry.due_at.timestamp(), repr(entry.schedule)]))\n"
    )
    import os
    import subprocess
    import sys

    out = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **celery.env},
        capture_output=True,
        text=True,
        check=True,
    )
    rank, last, count, due, schedule = json.loads(out.stdout)
    assert rank == 0
    assert due == last + 1
    assert count >= 2
    assert "Europe/Berlin" in schedule


def test_one_beat_leads_and_the_next_takes_over(
    redis: Redis, rest: RestServer, celery: Celery
) -> None:
    rest.jobs = [SECONDLY]
    started(celery, redis, 1)
    leader = celery.processes[-1]
    standby = celery.beat()
    standby.wait_for("beat.standing_by")
    wait_until(lambda: told(redis, "healthy"), "the first run")
    leader.kill()
    left = redis.pttl(keys.LEADER_LOCK)  # -1 would be for ever, -2 is no lock.
    assert left == -2 or 0 <= left < 9000, "another one leads within 10 s"
    standby.wait_for("beat.leading")
    third = celery.beat()
    third.wait_for("beat.standing_by")
    third.signal(signal.SIGSTOP)
    standby.terminate()
    assert not redis.exists(keys.LEADER_LOCK), "whoever looks next leads"
    third.signal(signal.SIGCONT)
    third.wait_for("beat.leading")
    before = len(told(redis, "healthy"))
    # What the killed one opened and did not send is sent by the next one, after a while.
    wait_until(lambda: len(seconds_in_a_row(redis)) > before, "each tick, once")


def test_a_frozen_leader_that_thaws_does_no_harm(
    redis: Redis, rest: RestServer, celery: Celery
) -> None:
    rest.jobs = [SECONDLY]
    started(celery, redis, 1)
    leader = celery.processes[-1]
    standby = celery.beat()
    standby.wait_for("beat.standing_by")
    leader.signal(signal.SIGSTOP)
    standby.wait_for("beat.leading")
    leader.signal(signal.SIGCONT)
    leader.wait_for("beat.standing_by")
    before = len(told(redis, "healthy"))
    wait_until(lambda: len(told(redis, "healthy")) > before + 1, "the job to go on")
    ids = [message["id"] for message in told(redis, "healthy")]
    assert len(ids) == len(set(ids))


def test_a_lost_lock_and_an_emptied_redis(redis: Redis, rest: RestServer, celery: Celery) -> None:
    rest.jobs = [SECONDLY]
    started(celery, redis, 1)
    beat = celery.processes[-1]
    redis.delete(keys.LEADER_LOCK)
    beat.wait_for("beat.lost_lead")
    redis.flushall()
    wait_until(lambda: told(redis, "healthy"), "the registry to be rebuilt and the job to fire")
    assert beat.alive


def test_a_broker_that_is_away_sets_no_entry_aside(
    redis: Redis, rest: RestServer, celery: Celery, tmp_path: Path
) -> None:
    """Only the broker is killed and comes back. The Redis of the schedule keeps running."""
    rest.jobs = [SECONDLY]
    broker = Valkey(tmp_path / "broker")
    try:
        on_broker = ("-A", "cron_tasks", "-b", broker.url, "-q")
        celery.launch(*on_broker, "worker", "-c", "1", "-l", "INFO", "--without-mingle")
        beat = celery.launch(*on_broker, "beat", "-l", "INFO")
        wait_until(lambda: told(redis, "healthy"), "the first run")
        redis.zadd(keys.SCHEDULE, {f"{keys.ENTRY_PREFIX}{keys.SYNC_TASK}": time.time() + 1})
        broker.kill()
        beat.wait_for("beat.waiting")
        broker.start()
        before = len(told(redis, "healthy"))
        wait_until(lambda: len(told(redis, "healthy")) > before + 1, "the job to go on")
        assert redis.zscore(keys.SCHEDULE, f"{keys.ENTRY_PREFIX}{keys.SYNC_TASK}")
        assert not redis.exists(keys.SET_ASIDE)
        ids = [message["id"] for message in told(redis, "healthy")]
        assert len(ids) == len(set(ids))
    finally:
        broker.stop()
