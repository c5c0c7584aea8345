"""Catch-up runs go one after the other, and no policy ends them."""

import threading
import time
from collections import Counter
from typing import Any

import pytest
from helpers import wait_until
from live import as_if_away
from processes import Celery
from redis import Redis
from rest_server import RestServer, reply
from test_overlap import EARLIER, LATER, LATEST, NOW, Runs

from cron_tasks.ledger.records import Advance
from cron_tasks.ledger.run_id import RunId
from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.store import keys

TICKS = [RunId("7", NOW + second) for second in range(7)]
PRESENT = RunId("7", NOW + 60)


class Line(Runs):
    """Runs of one job, some of which catch up on missed ticks."""

    def make_up(self, *ticks: str) -> None:
        self.redis.zadd(keys.SCHEDULE, {keys.entry_key("7"): NOW})
        step = Advance(keys.entry_key("7"), repr(NOW), NOW + 60, "{}", ticks, "7", in_turn=True)
        assert self.ledger.advance("me", NOW, [step], 0) == list(ticks)

    def drain(self, *waiting: str) -> list[str]:
        """Let all of these run, each as soon as it may. Return their order."""
        left, order = list(waiting), []
        for _ in range(10 * len(waiting)):
            for tick in list(left):
                if self.state(tick) == "ended":
                    left.remove(tick)
                    continue
                if self.state(tick)[0] in "wq":
                    self.pend(tick)
                claim = self.claim(tick)
                if claim and claim.verdict:
                    left.remove(tick)
                elif claim:
                    order.append(tick)
                    self.ends(tick)
        return order


@pytest.mark.parametrize("policy", ["skip", "queue", "replace"])
@pytest.mark.parametrize("reverse", [False, True])
def test_each_missed_tick_runs_in_its_order(redis: Redis, policy: str, reverse: bool) -> None:
    line = Line(redis, policy)
    line.make_up(*TICKS)
    claims = [(tick, line.claim(tick)) for tick in (reversed(TICKS) if reverse else TICKS)]
    going = [tick for tick, claim in claims if claim]
    assert all(claim.verdict == "" for _, claim in claims if claim)
    for tick in going:
        line.ends(tick)
    order = [*going, *line.drain(*(tick for tick in TICKS if tick not in going))]
    assert order == TICKS
    assert not redis.exists(keys.OPEN, keys.STOP)


def test_with_allow_they_run_side_by_side(redis: Redis) -> None:
    line = Line(redis, "allow")
    line.fire(*TICKS)
    assert all(line.claim(tick) for tick in TICKS)


@pytest.mark.parametrize(
    ("policy", "verdict"),
    [("skip", f"overlap|{EARLIER}"), ("queue", None), ("replace", None)],
)
def test_a_present_tick_does_not_end_one_that_makes_up(
    redis: Redis, policy: str, verdict: str | None
) -> None:
    line = Line(redis, policy)
    line.make_up(EARLIER, LATER)
    line.goes(EARLIER)
    assert line.claim(LATER) is None
    line.fire(PRESENT)
    claim = line.claim(PRESENT)
    assert (claim.verdict if claim else None) == verdict
    assert not redis.exists(keys.STOP)
    line.ends(EARLIER)
    assert line.state(LATER).startswith("w")
    if verdict is None:
        # The present tick keeps its place behind them.
        assert line.state(PRESENT).startswith("q")
        line.pend(LATER)
        line.goes(LATER)
        line.ends(LATER)
        assert line.state(PRESENT).startswith("w")


@pytest.mark.parametrize("policy", ["skip", "queue", "replace"])
def test_an_older_tick_of_a_backfill_waits_for_the_present_run(redis: Redis, policy: str) -> None:
    line = Line(redis, policy)
    line.fire(LATEST)
    line.goes(LATEST)
    assert line.ledger.open([EARLIER, LATER], NOW, in_turn=True) == [EARLIER, LATER]
    assert line.claim(EARLIER) is None
    assert line.claim(LATER) is None
    assert not redis.exists(keys.STOP)
    line.ends(LATEST)
    assert line.drain(EARLIER, LATER) == [EARLIER, LATER]


def test_the_line_forgets_what_was_ended_meanwhile(redis: Redis) -> None:
    line = Line(redis, "skip")
    line.make_up(*TICKS[:4])
    line.goes(TICKS[0])
    for tick in TICKS[1:4]:
        assert line.claim(tick) is None
    line.ends(TICKS[1])
    line.ends(TICKS[2])
    line.ends(TICKS[0])
    assert line.state(TICKS[3]).startswith("w")
    assert not redis.exists(keys.LINE_PREFIX + "7")


def test_a_run_that_the_version_before_queued_is_released(redis: Redis) -> None:
    line = Line(redis, "queue")
    line.fire(EARLIER)
    line.goes(EARLIER)
    redis.hset(keys.OPEN, LATER, "q|1|q|")
    redis.hset(keys.QUEUED, "7", LATER)
    line.ends(EARLIER)
    assert line.state(LATER) == "w|1|q|"


def test_flags_of_a_queued_run_do_not_grow(redis: Redis) -> None:
    line = Line(redis, "skip")
    line.make_up(EARLIER, LATER)
    line.goes(EARLIER)
    for _ in range(3):
        assert line.claim(LATER) is None
        assert line.state(LATER) == "q|1|cq|"
        line.pend(LATER)


def test_several_late_ticks_of_one_job_are_advanced_in_turn(redis: Redis) -> None:
    from cron_tasks.beat.due import Row, judge_row
    from cron_tasks.jobs.job import Job
    from cron_tasks.jobs.validation import validate_row
    from cron_tasks.registry.entries import format_definition, format_meta, format_timing
    from cron_tasks.settings import Settings

    def judged(late: float, **more: object) -> tuple[int, bool]:
        row = {"id": 7, "name": "x", "every": 5, "catchup": {"policy": "all"}} | more
        from cron_tasks.jobs.permissions import Permissions

        job = validate_row(row, timezone="UTC", permissions=Permissions(http=("127.0.0.1",)))
        assert isinstance(job, Job)
        text = format_definition("7", format_timing(job.schedule, True), {})
        stored = Row(
            "redbeat:cron_tasks:7",
            repr(NOW),
            text,
            format_meta(NOW - 5, 1),
            job.to_document().decode(),
        )
        advance, _ = judge_row(stored, NOW + late, Settings())
        return len(advance.run_ids), advance.in_turn

    http = {"action": {"type": "http", "url": "http://127.0.0.1:9/"}}
    assert judged(31, **http) == (7, True)
    assert judged(11, **http) == (3, True)
    assert judged(1, **http) == (1, False)
    assert judged(31, **http, overlap="allow") == (7, False)
    assert judged(31) == (7, False)


def test_live_each_missed_tick_is_asked_for_once_and_in_turn(
    redis: Redis, rest: RestServer, celery: Celery
) -> None:
    """The service's own log shows it: every tick, in order, none overlapping another."""
    going: dict[str, int] = Counter()
    overlapping, asked = [], dict[str, list[str]]()
    counting = threading.Lock()

    def slow(handler: Any) -> bool:
        job, run = handler.path.rpartition("/")[2], handler.headers["Idempotency-Key"]
        with counting:
            asked.setdefault(job, []).append(run)
            going[job] += 1
            if going[job] > 1:
                overlapping.append(run)
        threading.Event().wait(0.1)
        with counting:
            going[job] -= 1
        return reply(200)(handler)

    policies = ("skip", "queue", "replace")
    # The next tick is half an hour away.
    last = float(int(time.time())) - 1800
    with RestServer() as target:
        target.answer = slow
        rest.jobs = [
            {"id": policy, "name": policy, "every": 3600, "start_at": iso_utc(last - 24 * 3600),
             "overlap": policy,
             "catchup": {"policy": "all", "window": 86_400},
             "action": {"type": "http", "method": "POST", "url": f"{target.url}/{policy}"}}
            for policy in policies
        ]  # fmt: skip
        celery.env["CRON_TASKS_HTTP_ALLOW"] = "127.0.0.1"
        celery.worker(4)
        beat = celery.beat()
        wait_until(lambda: redis.hlen(keys.JOBS) == len(policies), "the first sync")
        beat.terminate()
        # As if nothing had run for seven hours.
        for policy in policies:
            as_if_away(redis, policy, last - 7 * 3600, last - 6 * 3600)
        celery.beat()
        ticks = {policy: [RunId(policy, last - n * 3600) for n in range(6, -1, -1)]
                 for policy in policies}  # fmt: skip
        wait_until(lambda: all(len(asked.get(p, ())) >= 7 for p in policies), "the missed ticks")
        wait_until(lambda: not redis.exists(keys.OPEN), "the end of the last run")
    assert asked == ticks
    assert overlapping == []
