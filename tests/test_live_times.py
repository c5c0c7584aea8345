"""Ticks that are on time, and jitter that keeps their order, by the log of the service."""

import random
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from command_line import Quick
from helpers import wait_until
from live import Live, Service, soon
from redis import Redis

from cron_tasks.ledger.run_id import RunId
from cron_tasks.registry.registry import Registry
from cron_tasks.runs import queries
from cron_tasks.schedules.iso8601 import iso_utc

POLICIES = ("none", "one", "all")
#: What a policy calls a tick that it does not run.
PASSED_OVER = {"none": "no_catchup", "one": "coalesced"}


def test_live_jobs_of_every_second_catch_up(live: Live, service: Service) -> None:
    jobs = "abcd"
    live.start(*({"id": each, "every": 1} for each in jobs), slots=2, MISFIRE_GRACE="60")
    wait_until(lambda: all(map(service.of, jobs)), "the first ticks")
    live.outage(6)

    def on_time() -> bool:
        return all(service.of(each)[-1].tick > time.time() - 1 for each in jobs)

    wait_until(on_time, "ticks on time")
    live.ends()
    assert all(call.alone and call.how == "answered" for call in service.calls)


@pytest.mark.parametrize(("grace", "outage"), [(60, 3), (3, 5)])
def test_live_a_tick_within_the_grace_is_run_once_by_every_policy(
    live: Live, service: Service, redis: Redis, quick: Quick, grace: int, outage: float
) -> None:
    rows = [
        {"id": policy, "every": 1, "overlap": "allow", "catchup": {"policy": policy}}
        for policy in POLICIES
    ]
    live.start(*rows, MISFIRE_GRACE=str(grace))
    wait_until(lambda: all(service.of(policy) for policy in POLICIES), "the first ticks")
    live.outage(outage)
    back = soon()

    def goes_on() -> bool:
        return all(any(call.tick >= back for call in service.of(each)) for each in POLICIES)

    wait_until(goes_on, "the ticks after the outage")
    live.ends()
    for policy in POLICIES:
        ticks = Counter(call.tick for call in service.of(policy))
        assert set(ticks.values()) == {1}
        expected = [float(tick) for tick in range(int(min(ticks)), int(max(ticks)) + 1)]
        passed_over = [tick for tick in expected if tick not in ticks]
        # Nothing else is missing, so what was within the grace did run.
        assert bool(passed_over) == (policy != "all" and grace < outage)
        for tick in passed_over:
            run = queries.find_end(redis, RunId(policy, tick)) or {}
            assert (run["status"], run["reason"]) == ("missed", PASSED_OVER[policy])
            assert datetime.fromisoformat(run["finished_at"]).timestamp() - tick > grace
        late = [call for call in service.of(policy) if call.came - call.tick > 0.5]
        assert late or grace < outage
    facts = quick.json("audit")
    assert facts["ok"] == len(service.calls)
    assert (facts["lost"], facts["doubled"], facts["unasked"]) == ([], [], [])


def offset_of(redis: Redis, job_id: str) -> int:
    offset: int = Registry(redis).get_job(job_id).schedule.to_spec().get("j", 0)
    return offset


def clock(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%H:%M:%S")


def test_live_jitter_carries_no_tick_beyond_the_end_or_into_an_excluded_time(
    live: Live, service: Service, redis: Redis
) -> None:
    """Ticks of every third second, each up to two seconds later; two seconds after one it ends."""
    ending, quiet = ([f"{kind}-{n}" for n in range(9)] for kind in ("ending", "quiet"))
    live.start()
    nominal = 0.0
    while nominal <= time.time():  # Until the list counts before the first tick.
        nominal = soon(4) // 3 * 3 + 3
        end, over = nominal + 2, nominal + 5
        rows: list[dict[str, Any]] = [{"id": each, "end_at": iso_utc(end)} for each in ending]
        excluded = {"from": clock(end), "to": clock(over)}
        rows += [{"id": each, "exclude": [excluded]} for each in quiet]
        live.lists(*(row | {"every": 3, "jitter": 2} for row in rows))
    for kind in (ending, quiet):
        assert 2 in {offset_of(redis, each) for each in kind}

    def seen() -> bool:
        return all(any(nominal <= call.tick < over for call in service.of(each)) for each in ids)

    def seen_again() -> bool:
        return all(any(call.tick >= over for call in service.of(each)) for each in quiet)

    ids = [*ending, *quiet]
    wait_until(seen, "the ticks before the end and the excluded time")
    wait_until(seen_again, "the ticks after the excluded time")
    for call in service.calls:
        if call.tick < nominal:
            continue
        assert call.came >= call.tick
        assert not end <= call.tick < over
        assert call.job_id in quiet or call.tick < end
    for each in ids:
        offset = offset_of(redis, each)
        ticks = [call.tick for call in service.of(each) if nominal <= call.tick < over]
        # An offset that would reach the end counts modulo the time until then.
        assert ticks == [nominal + offset % 2]
    for each in quiet:
        first = next(call.tick for call in service.of(each) if call.tick >= over)
        assert first == nominal + 6 + offset_of(redis, each)


def test_live_an_edit_of_jitter_fires_no_nominal_tick_twice(
    live: Live, service: Service, quick: Quick
) -> None:
    """Each job has other jitter every second, and a tick every third one."""
    chance = random.Random(7)
    ids = [f"job-{number}" for number in range(12)]

    def listed() -> list[dict[str, Any]]:
        return [{"id": each, "every": 3, "jitter": chance.randrange(9)} for each in ids]

    def called_enough() -> bool:
        return all(len(service.of(each)) >= 4 for each in ids)

    live.start(*listed())
    while not called_enough():
        live.lists(*listed())
    live.ends()
    nominal = Counter((call.job_id, call.tick // 3) for call in service.calls)
    assert set(nominal.values()) == {1}
    facts = quick.json("audit")
    assert facts["ok"] == len(service.calls)
    assert (facts["lost"], facts["doubled"], facts["unasked"]) == ([], [], [])
