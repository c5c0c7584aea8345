"""A skip belongs to a job and a fire time, so no change of the job undoes it."""

import math
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from applying import apply
from command_line import CommandLine, Quick
from driven import Beat
from helpers import ended_runs, wait_until
from processes import Celery
from reading import settings
from redis import Redis
from rest_server import JOBS_PATH, RestServer

from cron_tasks.audit.account_reader import days_between, read_accounts, read_open_ticks
from cron_tasks.audit.backfill import plan_backfill
from cron_tasks.audit.explain import explain_tick
from cron_tasks.audit.tally import audit_job
from cron_tasks.ledger.run_id import RunId
from cron_tasks.registry import skips
from cron_tasks.registry.plan import Changes
from cron_tasks.registry.registry import Registry
from cron_tasks.repair.comparison import Comparison
from cron_tasks.report.reporter import Reporter
from cron_tasks.runs.outcomes import write_record
from cron_tasks.runs.result import Attempt, Result
from cron_tasks.schedules.durations import DAY
from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.settings import Settings
from cron_tasks.store import keys

MINUTELY = {"id": "7", "name": "x", "cron_expression": "* * * * *"}
KEY = keys.entry_key("7")
ACCOUNT = keys.ACCOUNT_PREFIX + "7"
BY_HAND = {"by_hand": 1}
Change = Callable[[Beat], None]


@pytest.fixture
def minute(beat: Beat) -> float:
    """Return the next tick of the minutely job 7, half a minute from now."""
    due = beat.clock.now // 60 * 60 + 60
    beat.clock.now = due - 30
    beat.register(MINUTELY)
    return due


def skip(beat: Beat, tick: float) -> None:
    assert skips.add_skip(beat.redis, "7", tick, beat.clock.now)


def records(beat: Beat) -> list[tuple[str, str, str]]:
    """Return the history of job 7, oldest first: time, status and reason."""
    lines = map(orjson.loads, reversed(beat.redis.lrange(keys.HISTORY_PREFIX + "7", 0, -1)))
    return [(line["scheduled_for"], line["status"], line["reason"]) for line in lines]


def skipped_at(*ticks: float) -> list[tuple[str, str, str]]:
    return [(iso_utc(tick), "skipped", "by_hand") for tick in ticks]


def told_by_why(beat: Beat, tick: float) -> str:
    (account,) = read_accounts(
        beat.redis, ["7"], days_between(tick, tick), read_open_ticks(beat.redis)
    )
    to_skip = beat.redis.zscore(keys.SKIPS, RunId("7", tick)) is not None
    return explain_tick(account, {}, tick, beat.clock.now, "UTC", to_skip).sentence


def edit(**fields: Any) -> Change:
    return lambda beat: beat.register({**MINUTELY, **fields})


def remove(beat: Beat) -> None:
    apply(beat.redis, Changes(removed=["7"]), beat.clock.now)


def in_turn(*changes: Change) -> Change:
    def change(beat: Beat) -> None:
        for each in changes:
            each(beat)
            beat.clock.now += 1
            beat.tick()

    return change


def pause(beat: Beat) -> None:
    Registry(beat.redis).pause("7", "moving", beat.clock.now)


def resume(beat: Beat) -> None:
    assert Registry(beat.redis).resume("7", beat.clock.now)


def lose_the_schedule(beat: Beat) -> None:
    beat.redis.zrem(keys.SCHEDULE, KEY)
    Comparison(beat.redis, Settings(), beat.clock).mend()


def another_leads(beat: Beat) -> None:
    beat.redis.set(keys.LEADER_LOCK, "another's", ex=60)
    leadership = beat.scheduler.leadership
    leadership._extended = -math.inf  # The lock is to be extended in the next turn.
    beat.tick()
    assert leadership.token is None
    beat.redis.delete(keys.LEADER_LOCK)
    beat.tick()
    assert leadership.token is not None


CHANGES: dict[str, Change] = {
    "nothing": lambda _: None,
    "renamed": edit(name="y"),
    "tagged": edit(tags=["ops"]),
    "ends": edit(end_at="2999-01-01T00:00:00Z"),
    "starts": edit(start_at="2020-01-01T00:00:00Z"),
    "in another zone": edit(timezone="Asia/Tokyo"),
    "every": edit(cron_expression=None, every=60),
    "and back": in_turn(edit(cron_expression=None, every=60), edit()),
    "rrule": edit(cron_expression=None, rrule="DTSTART:20200101T000000Z\nRRULE:FREQ=MINUTELY"),
    "more often": edit(cron_expression="*/30 * * * * *", name="y"),
    "excluded elsewhere": edit(exclude=["2099-12-24"]),
    "off and on": in_turn(edit(enabled=False), edit()),
    "removed and returned": in_turn(remove, edit()),
    "flapping": in_turn(*[remove, edit()] * 3),
    "paused": in_turn(pause, resume),
    "edited while paused": in_turn(pause, edit(end_at="2999-01-01T00:00:00Z"), resume),
    "with an action": edit(action={"type": "http", "method": "GET", "url": "http://example.com/"}),
    "out of the schedule": lose_the_schedule,
    "another beat leads": another_leads,
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("judged_ahead", [False, True])
def test_a_skip_outlives_every_change(
    beat: Beat, minute: float, name: str, judged_ahead: bool
) -> None:
    skip(beat, minute)
    if judged_ahead:
        beat.clock.now = minute - 13
        beat.run(5)
    CHANGES[name](beat)
    assert beat.run(int(minute - beat.clock.now) + 2).get("7", []) in ([], [minute - 30])
    assert records(beat) == skipped_at(minute)
    assert not beat.redis.exists(keys.SKIPS)
    assert "and was skipped: somebody asked for that" in told_by_why(beat, minute)
    assert beat.run(int(minute - beat.clock.now) + 60)["7"][-1] == minute + 60
    assert records(beat) == skipped_at(minute)


@pytest.mark.parametrize("name", ["renamed", "off and on", "removed and returned", "paused"])
def test_an_undo_counts_before_and_after_every_change(beat: Beat, minute: float, name: str) -> None:
    for tick in (minute, minute + 60):
        skip(beat, tick)
        beat.tick()
    assert skips.remove_skip(beat.redis, "7", minute, beat.clock.now)
    CHANGES[name](beat)
    assert skips.remove_skip(beat.redis, "7", minute + 60, beat.clock.now)
    assert not skips.remove_skip(beat.redis, "7", minute + 60, beat.clock.now)
    assert beat.run(int(minute - beat.clock.now) + 61)["7"] == [minute, minute + 60]
    assert records(beat) == []


def test_a_tick_that_has_been_skipped_or_fired_cannot_be_undone_or_skipped(
    beat: Beat, minute: float
) -> None:
    skip(beat, minute)
    assert not skips.add_skip(beat.redis, "7", minute, beat.clock.now)
    beat.run(31)
    assert not skips.remove_skip(beat.redis, "7", minute, beat.clock.now)
    assert not skips.add_skip(beat.redis, "7", minute, beat.clock.now)
    beat.run(60)
    assert not skips.add_skip(beat.redis, "7", minute + 60, beat.clock.now)
    pause(beat)
    assert not skips.add_skip(beat.redis, "7", minute + 120, beat.clock.now)


def test_a_pause_over_the_tick_leaves_nothing_to_skip(beat: Beat, minute: float) -> None:
    skip(beat, minute)
    pause(beat)
    beat.run(40)
    resume(beat)
    assert beat.run(60)["7"] == [minute + 60]
    assert records(beat) == []
    (job,) = Registry(beat.redis).read_jobs(["7"])
    assert job.coming_skips(beat.clock.now) == []
    assert beat.redis.ttl(keys.SKIPS) > 365 * DAY


def test_the_last_tick_of_a_job_is_skipped(beat: Beat) -> None:
    due = beat.clock.now + 5
    beat.register({"id": "7", "name": "Once", "run_at": iso_utc(due)})
    skip(beat, due)
    (job,) = Registry(beat.redis).read_jobs(["7"])
    assert (job.due, job.next) == (due, None)
    assert Comparison(beat.redis, Settings(), beat.clock).mend().counts == {}
    assert beat.run(10) == {}
    assert records(beat) == skipped_at(due)
    assert beat.redis.zscore(keys.SCHEDULE, KEY) is None
    assert Comparison(beat.redis, Settings(), beat.clock).mend().counts == {}
    beat.register({"id": "7", "name": "Renamed", "run_at": iso_utc(due), "exclude": ["2099-01-01"]})
    assert beat.run(10) == {}


@pytest.mark.parametrize(
    ("policy", "skipped", "fires", "missed"),
    [
        # Ten ticks were due while no beat ran; the job's last is the tenth.
        ("one", [3], [10], [(1, 9)]),
        ("one", [10], [9], [(1, 8)]),
        ("one", [9, 10], [8], [(1, 7)]),
        ("one", [1], [10], [(2, 9)]),
        ("one", list(range(1, 10)), [10], []),
        ("one", list(range(1, 11)), [], []),
        ("none", [5], [], [(1, 10)]),
        ("none", [1, 10], [], [(2, 9)]),
        ("none", list(range(1, 11)), [], []),
        ("all", [4, 10], [1, 2, 3, 5, 6, 7, 8, 9], []),
    ],
)
def test_a_tick_among_missed_ones_is_skipped_and_not_made_up_for(
    beat: Beat,
    minute: float,
    policy: str,
    skipped: list[int],
    fires: list[int],
    missed: list[tuple[int, int]],
) -> None:
    def at(number: int) -> float:
        return minute + (number - 1) * 60

    beat.register(MINUTELY | {"catchup": {"policy": policy}})
    for number in skipped:
        skip(beat, at(number))
    beat.clock.now = at(10) + 30
    beat.tick()
    assert beat.fired().get("7", []) == [at(number) for number in fires]
    lines = map(orjson.loads, beat.redis.lrange(keys.HISTORY_PREFIX + "7", 0, -1))
    stretches = [(each["scheduled_for"], each["until"]) for each in lines if "until" in each]
    assert stretches == [(iso_utc(at(first)), iso_utc(at(last))) for first, last in missed]
    recorded = beat.redis.zrange(keys.ACCOUNT_PREFIX + "7", 0, -1, withscores=True)
    begins = [when for line, when in recorded if '"until"' in line]
    assert begins == [at(first) for first, _ in missed]
    assert [each for each in records(beat) if each[1] == "skipped"] == skipped_at(*map(at, skipped))
    (account,) = read_accounts(
        beat.redis, ["7"], days_between(minute, at(10)), read_open_ticks(beat.redis)
    )
    found = audit_job(account, minute - 1, beat.clock.now, beat.clock.now)
    assert found.skipped == {"by_hand": len(skipped)}
    assert sum(found.missed.values()) == 10 - len(skipped) - len(fires)
    assert found.doubled == []
    assert beat.redis.zscore(keys.SCHEDULE, KEY) == at(11)


def test_a_change_that_overtakes_a_skipped_tick_leaves_it_skipped(
    beat: Beat, minute: float
) -> None:
    skip(beat, minute + 60)
    beat.clock.now = minute + 150  # no beat ran: three ticks are due
    beat.register(MINUTELY | {"end_at": "2999-01-01T00:00:00Z"})
    (account,) = read_accounts(
        beat.redis, ["7"], days_between(minute, minute + 150), read_open_ticks(beat.redis)
    )
    found = audit_job(account, minute - 1, beat.clock.now, beat.clock.now)
    assert (found.skipped, found.missed) == (BY_HAND, {"edited": 2})
    assert "and was skipped: somebody asked" in told_by_why(beat, minute + 60)


def test_jitter_is_part_of_the_fire_time(beat: Beat) -> None:
    beat.register({"id": "7", "name": "x", "every": 60, "jitter": 50})
    due = beat.redis.zscore(keys.SCHEDULE, KEY)
    assert due
    skip(beat, due)
    beat.register({"id": "7", "name": "y", "every": 60, "jitter": 50})
    beat.run(int(due - beat.clock.now) + 2)
    assert records(beat) == skipped_at(due)


def test_a_skip_is_told_where_the_job_wants_it(beat: Beat, minute: float) -> None:
    beat.register(MINUTELY | {"notify": {"on": ["skipped"], "stale_after": 60}})
    for tick in (minute, minute + 60):
        skip(beat, tick)
    beat.run(31)
    (told,) = map(orjson.loads, beat.redis.lrange("queue:to_telegram", 0, -1))
    assert (told["event"], told["run_id"]) == ("skipped", RunId("7", minute))
    assert told["error"] == "skipped: somebody asked for that (`jobs skip-next`)"
    beat.clock.now = minute + 200
    beat.tick()
    assert beat.redis.llen("queue:to_telegram") == 1
    lines = list(map(orjson.loads, beat.redis.lrange(keys.HISTORY_PREFIX + "7", 0, -1)))
    assert [each.get("untold") for each in lines if each["status"] == "skipped"] == [
        "too old",
        None,
    ]


def test_ids_that_look_like_runs_of_another_job_are_not_mixed_up(beat: Beat) -> None:
    due = beat.clock.now + 5
    other = RunId("7", due)
    beat.register(*({"id": each, "name": "x", "run_at": iso_utc(due)} for each in ("7", other)))
    assert skips.add_skip(beat.redis, other, due, beat.clock.now)
    assert beat.run(6) == {"7": [due]}


def test_a_tick_skipped_19_days_ahead_is_accounted_for(beat: Beat, redis: Redis) -> None:
    due = beat.clock.now // DAY * DAY + 19 * DAY
    beat.register({"id": "7", "name": "x", "cron_expression": f"0 0 {_day(due)} {_month(due)} *"})
    skip(beat, due)
    assert "is due at" in told_by_why(beat, due)
    assert "and will be skipped: somebody asked for that" in told_by_why(beat, due)
    assert not redis.exists(keys.ACCOUNT_PREFIX + "7"), "nothing that could expire before"
    assert redis.ttl(keys.SKIPS) > 20 * DAY
    beat.clock.now = due - 1
    assert beat.run(2) == {}
    assert "was due at" in told_by_why(beat, due)
    assert "and was skipped: somebody asked for that" in told_by_why(beat, due)
    (account,) = read_accounts(redis, ["7"], days_between(due, due), read_open_ticks(redis))
    found = audit_job(account, due - 1, beat.clock.now, beat.clock.now)
    assert (found.expected, found.skipped, found.lost) == (1, BY_HAND, [])


def _day(when: float) -> int:
    return time.gmtime(when).tm_mday


def _month(when: float) -> int:
    return time.gmtime(when).tm_mon


def _skip_as_before(beat: Beat, tick: float) -> None:
    """Skip a tick like the previous version: write its record at once, and move the score on."""
    line = write_record(
        RunId("7", tick), Result("skipped", "by_hand"), Attempt(0, None, beat.clock.now, None)
    )
    beat.redis.zadd(keys.ACCOUNT_PREFIX + "7", {line: tick})
    beat.redis.expire(keys.ACCOUNT_PREFIX + "7", 8 * DAY)
    beat.redis.zadd(keys.SCHEDULE, {KEY: tick + 60})


@pytest.mark.parametrize("name", CHANGES)
def test_a_skip_of_the_version_before_is_honoured(beat: Beat, minute: float, name: str) -> None:
    _skip_as_before(beat, minute)
    CHANGES[name](beat)
    assert beat.run(int(minute - beat.clock.now) + 2).get("7", []) in ([], [minute - 30])
    assert "and was skipped: somebody asked for that" in told_by_why(beat, minute)
    assert beat.run(int(minute - beat.clock.now) + 60)["7"][-1] == minute + 60
    (account,) = read_accounts(
        beat.redis, ["7"], days_between(minute, minute), read_open_ticks(beat.redis)
    )
    assert audit_job(account, minute - 1, minute + 1, beat.clock.now).skipped == BY_HAND


@pytest.mark.parametrize("behind", [0.0, 0.2, 5.0])
@pytest.mark.parametrize("name", CHANGES)
def test_a_skip_that_beat_has_come_to_stays_whatever_clock_a_change_has(
    beat: Beat, minute: float, name: str, behind: float
) -> None:
    skip(beat, minute)
    beat.run(int(minute - beat.clock.now))
    assert records(beat) == skipped_at(minute)
    beat.clock.now -= behind
    CHANGES[name](beat)
    beat.clock.now += behind
    fired = beat.run(61)["7"]
    assert minute not in fired
    assert fired[-1] == minute + 60
    overtaken = [line for line in beat.redis.zrange(ACCOUNT, 0, -1) if '"from"' in line]
    assert overtaken == []
    (account,) = read_accounts(
        beat.redis, ["7"], days_between(minute, minute), read_open_ticks(beat.redis)
    )
    assert audit_job(account, minute - 1, minute + 1, beat.clock.now).skipped == BY_HAND


@pytest.mark.parametrize("change", [{"name": "y"}, {"tags": ["ops"]}, {"end_at": "2999-01-01"}, {}])
def test_the_last_tick_skipped_by_the_version_before_stays_skipped(
    beat: Beat, change: dict[str, Any]
) -> None:
    row, due = {"id": "7", "name": "Once"}, beat.clock.now + 30
    beat.register(row | {"run_at": iso_utc(due)})
    _skip_as_before(beat, due)
    beat.redis.zrem(keys.SCHEDULE, KEY)
    if change:
        beat.register(row | {"run_at": iso_utc(due)} | change)
    else:
        Comparison(beat.redis, Settings(), beat.clock).mend()
    assert beat.run(32) == {}
    assert records(beat) == skipped_at(due)


def test_a_skip_of_the_version_before_can_be_undone(beat: Beat, minute: float) -> None:
    _skip_as_before(beat, minute)
    skips.adopt_skips(beat.redis, "7", beat.clock.now)
    skip(beat, minute + 60)
    assert skips.read_skips(beat.redis) == {"7": (minute, minute + 60)}
    assert skips.remove_skip(beat.redis, "7", minute, beat.clock.now)
    assert beat.run(91)["7"] == [minute]
    assert records(beat) == skipped_at(minute + 60)


def test_reports_name_the_next_tick_that_will_run(
    beat: Beat, minute: float, rest: RestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    rest.jobs = [dict(MINUTELY)]
    beat.scheduler.ledger._reporting = True
    reporter = Reporter(beat.redis, settings(rest, rest_report_path=JOBS_PATH + "{id}"))
    assert skips.add_skip(beat.redis, "7", minute, beat.clock.now, report=True)
    assert reporter.send_due_reports(beat.clock) == 1
    assert skips.remove_skip(beat.redis, "7", minute, beat.clock.now, report=True)
    assert reporter.send_due_reports(beat.clock) == 1
    skip(beat, minute)
    beat.run(31)
    assert reporter.send_due_reports(beat.clock) == 1
    bodies = [body for _, body in rest.patches]
    assert [body["next_run_at"] for body in bodies] == [
        iso_utc(minute + 60),
        iso_utc(minute),
        iso_utc(minute + 60),
    ]
    last = {name: bodies[-1][name] for name in ("last_run_at", "last_status", "last_error")}
    assert last == {
        "last_run_at": iso_utc(minute),
        "last_status": "skipped",
        "last_error": "by_hand",
    }


def test_a_backfill_offers_a_skipped_tick_once_it_has_passed(beat: Beat, minute: float) -> None:
    skip(beat, minute)
    job, period = Registry(beat.redis).get_job("7"), (minute - 30, minute + 30)
    beat.clock.now = minute + 5
    assert plan_backfill(beat.redis, job, *period, beat.clock.now).open == 1
    beat.tick()
    found = plan_backfill(beat.redis, job, *period, beat.clock.now)
    assert found.missing == {RunId("7", minute): "skipped"}


def test_a_key_of_another_type_skips_nothing(beat: Beat, minute: float) -> None:
    beat.redis.set(keys.SKIPS, "garbage", ex=60)
    assert beat.run(31)["7"] == [minute]


#: Half a day away, so no tick comes while a test runs.
HOUR = (time.gmtime().tm_hour + 12) % 24
DAILY = {"id": 7, "name": "Water the plants", "cron_expression": f"0 {HOUR} * * *"}


def test_the_commands_say_what_is_skipped(
    quick: Quick, redis: Redis, synced: Callable[..., None]
) -> None:
    synced(DAILY)
    first, second, third, *_ = quick.json("next", "7")
    assert quick.error("jobs", "skip-next", "7", "--undo").startswith(
        "Error: Job 7 has no upcoming skip to undo"
    )
    said = quick.json("jobs", "skip-next", "7")
    assert (said["skipped"], said["next"]) == (f"7@{first[:19]}Z", second)
    synced(DAILY | {"name": "Renamed"})
    assert quick.json("jobs", "skip-next", "7")["skipped"] == f"7@{second[:19]}Z"
    assert quick.json("jobs", "list")[0]["next"] == third
    assert quick.json("next", "7", "-n", "1") == [third]
    marked = [line.rpartition("  ")[2] for line in quick.lines("next", "7", "-n", "1")[2:]]
    assert [mark.endswith(", skipped") for mark in marked] == [True, True, False]
    shown = quick.json("jobs", "show", "7")
    assert (shown["skips"], shown["next"][0], len(shown["next"])) == ([first, second], third, 5)
    assert quick.run("jobs", "show", "7").stdout.count(", skipped") == 2
    assert "and will be skipped: somebody" in quick.run("why", "7", "--at", first).stdout
    assert quick.lines("jobs", "skip-next", "7", "--undo") == [
        f"7@{first[:19]}Z is no longer skipped. Next tick: {first}"
    ]
    undone = quick.json("jobs", "skip-next", "7", "--undo")
    assert undone == {"id": "7", "undone": f"7@{second[:19]}Z", "next": first}
    assert quick.json("jobs", "show", "7")["skips"] == []
    assert "skipped" not in quick.run("why", "7", "--at", first).stdout


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"enabled": False}, "Job 7 is disabled. Set `enabled: true` in your REST service"),
        ({"end_at": "2020-01-01T00:00:00Z"}, "Job 7 has no next tick to skip"),
        (None, "Job 7 is paused (moving). Resume it first: `cron-tasks jobs resume 7`"),
    ],
)
def test_a_job_without_a_next_tick_has_none_to_skip(
    quick: Quick, synced: Callable[..., None], row: dict[str, Any] | None, said: str
) -> None:
    synced(DAILY | (row or {}))
    if row is None:
        quick.run("jobs", "skip-next", "7")
        quick.run("jobs", "pause", "7", "--reason", "moving")
    assert quick.error("jobs", "skip-next", "7") == f"Error: {said}\n"
    if row is None:
        assert (
            "is no longer skipped. Next tick: never, because the job is paused"
            in quick.lines("jobs", "skip-next", "7", "--undo")[0]
        )
    assert "No job has the ID '8'" in quick.error("jobs", "skip-next", "8", "--undo")


def test_live_a_skipped_tick_runs_when_it_is_asked_for_again(
    cli: CommandLine,
    quick: Quick,
    redis: Redis,
    synced: Callable[..., None],
    celery: Celery,
    rest: RestServer,
) -> None:
    row = {"id": "7", "name": "x", "every": 5, "notify": {"on": ["success", "skipped"]}}
    synced(row)
    celery.worker()
    celery.beat()
    wait_until(lambda: redis.exists(keys.LEADER_LOCK), "a beat leads")
    skipped = quick.json("jobs", "skip-next", "7")["skipped"]
    rest.jobs = [row | {"name": "y", "end_at": "2999-01-01T00:00:00Z"}]
    redis.lpush(keys.POKE, "*")
    wait_until(lambda: Registry(redis).get_job("7").name == "y", "the edit")
    after = RunId("7", RunId.stored(skipped).scheduled_for + 5)
    ended = wait_until(lambda: _ends(redis) if after in _ends(redis) else None, "the tick after")
    assert ended[skipped] == ("skipped", "by_hand")
    assert ended[after] == ("ok", None)
    cli.run("runs", "retry", skipped)
    wait_until(lambda: _ends(redis)[skipped] == ("ok", None), "the skipped tick runs")
    assert quick.json("audit", "--since", "5min")["lost"] == []


def _ends(redis: Redis) -> dict[str, tuple[str, str]]:
    runs = reversed(ended_runs(redis))
    return {run["run_id"]: (run["status"], run["reason"]) for run in runs}
