"""`overlap: replace` goes by fire time, including between catch-up runs and current runs.

The service's own log shows it.
"""

from command_line import CommandLine
from helpers import wait_until
from live import HOUR, Hourly, Live, Service, as_if_away, opened
from redis import Redis

from cron_tasks.ledger.run_id import RunId
from cron_tasks.runs import queries
from cron_tasks.store import keys

#: A tick of a busy machine is late, and not missed.
PATIENT = {"MISFIRE_GRACE": "600"}


def test_live_a_due_tick_does_not_end_a_run_of_a_backfill(
    live: Live, service: Service, redis: Redis, cli: CommandLine
) -> None:
    job = Hourly("7")

    def skipped() -> int:
        return len([*queries.list_ended(redis, "7", "skipped")])

    live.start(job.row, **PATIENT)
    job.known_for_long(redis)
    service.held.add("7")
    command = job.backfill(cli, 3)
    wait_until(lambda: service.going() == [job.tick(-2)], "the first run of the backfill")
    live.lists(job.row | {"every": 1})
    # A worker looks every second whether its run should end. So that one would have ended.
    wait_until(lambda: skipped() >= 3, "due ticks that wait in vain")
    assert service.going() == [job.tick(-2)]
    service.held.clear()
    assert opened(command) == job.ticks(-2, 0)
    live.lists(job.row)
    live.settles()
    for tick in job.ticks(-2, 0):
        assert service.saw(tick) == ["answered"]
    due = [call for call in service.calls if call.run_id not in job.ticks(-2, 0)]
    assert due
    assert all(call.how == "answered" for call in due)
    assert all(call.alone for call in service.calls)
    for run in queries.list_ended(redis, "7", "skipped"):
        assert run["reason"] == "replaced"
        other, own = RunId.stored(run["other"]), RunId.stored(run["run_id"])
        assert other.scheduled_for > own.scheduled_for
        assert service.saw(run["run_id"]) == []


def test_live_a_backfill_does_not_end_the_run_of_a_due_tick(
    live: Live, service: Service, redis: Redis, cli: CommandLine
) -> None:
    job = Hourly("7")
    live.start(job.row, **PATIENT)
    job.known_for_long(redis)
    service.held.add("7")
    live.lists(job.row | {"every": 1})
    wait_until(service.going, "a due tick")
    live.lists(job.row)
    wait_until(lambda: redis.hlen(keys.OPEN) == 1, "that the last of the due ticks runs")
    (due,) = redis.hkeys(keys.OPEN)
    wait_until(lambda: service.going() == [due], "its call")
    command = job.backfill(cli, 3)
    live.reaches(job.tick(-2), "q")
    assert service.going() == [due]
    service.held.clear()
    # If beat was late, the edit overtook a tick of a second, which the backfill opens too.
    assert [each for each in opened(command) if RunId.stored(each).scheduled_for <= job.last] == (
        job.ticks(-2, 0)
    )
    live.settles()
    assert service.saw(due) == ["answered"]
    for tick in job.ticks(-2, 0):
        assert service.saw(tick) == ["answered"]
    assert all(call.alone for call in service.calls[-4:])


def test_live_late_ticks_do_not_end_a_newer_run(
    live: Live, service: Service, redis: Redis, cli: CommandLine
) -> None:
    one = Hourly("one", catchup={"policy": "one"})
    every = Hourly("all", catchup={"policy": "all", "window": 86_400})
    live.start(one.row, every.row)
    service.held |= {"one", "all"}
    now = [RunId.stored(cli.run("jobs", "run", each.id).stdout.strip()) for each in (one, every)]
    wait_until(lambda: sorted(service.going()) == sorted(now), "the runs of now")
    live.beat.terminate()
    for job in (one, every):
        as_if_away(redis, job.id, job.last - 20 * HOUR, job.last - 2 * HOUR)
    live.beat = live.celery.beat()
    live.reaches(every.tick(-2), "q")
    wait_until(lambda: queries.find_end(redis, one.tick(0)), "the end of the late tick")
    assert sorted(service.going()) == sorted(now)
    service.held.clear()
    live.settles()
    assert [call.run_id for call in service.of("all")] == [now[1], *every.ticks(-2, 0)]
    assert [call.run_id for call in service.of("one")] == [now[0]]
    assert all(call.alone and call.how == "answered" for call in service.calls)
    shown = queries.find_end(redis, one.tick(0)) or {}
    assert (shown["status"], shown["reason"], shown["other"]) == ("skipped", "replaced", now[0])
    for run in (*now, *every.ticks(-2, 0)):
        assert (queries.find_end(redis, run) or {})["status"] == "ok"
