"""A run has one outcome in all outputs, and no attempt that the service did not see."""

import signal
from typing import Any

import pytest
from command_line import CommandLine, Quick
from helpers import NEVER_DUE, wait_until
from live import Hourly, Live, Service, once, opened, outcomes, soon
from redis import Redis
from rest_server import status

from cron_tasks.ledger.run_id import RunId
from cron_tasks.runs import queries
from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.store import keys


@pytest.mark.parametrize("policy", ["skip", "queue"])
def test_live_a_retry_that_is_skipped_leaves_the_failure(
    live: Live, service: Service, redis: Redis, cli: CommandLine, quick: Quick, policy: str
) -> None:
    live.start()
    tick = soon()
    failed = RunId("7", tick)
    service.answers[failed] = status(500)
    live.lists(once("7", tick, overlap=policy))
    wait_until(lambda: service.saw(failed), "the tick")
    live.settles()
    service.held.add("7")
    other = cli.run("jobs", "run", "7").stdout.strip()
    wait_until(lambda: service.going() == [other], "another run")
    cli.run("runs", "retry", failed)
    if policy == "queue":
        live.reaches(failed, "q")
        assert cli.lines("runs", "cancel", failed) == [f"Run {failed} was cancelled"]
    live.reaches(failed, "")
    end = queries.find_last_end(redis, failed) or {}
    reason = {"skip": "overlap", "queue": "cancelled"}[policy]
    assert (end["status"], end["reason"], end["attempt"]) == ("skipped", reason, 0)
    assert outcomes(quick, failed) == {"failed"}
    assert redis.zrange(keys.FAILED, 0, -1) == [failed]
    assert service.saw(failed) == ["answered"]
    assert quick.json("audit")["failed"] == 1

    service.held.clear()
    service.answers.clear()
    live.settles()
    assert cli.json("runs", "retry", failed, "--wait")["status"] == "ok"
    assert outcomes(quick, failed) == {"ok"}
    assert not redis.exists(keys.FAILED)
    assert service.saw(failed) == ["answered", "answered"]
    facts = quick.json("audit")
    assert (facts["ok"], facts["failed"], facts["lost"]) == (1, 0, [])


def test_live_a_missed_tick_that_is_run_by_hand_has_one_outcome_everywhere(
    live: Live, service: Service, redis: Redis, cli: CommandLine, quick: Quick
) -> None:
    live.start(
        {"id": "7", "every": 1, "overlap": "allow", "catchup": {"policy": "none"}},
        MISFIRE_GRACE="1",
    )
    wait_until(lambda: service.calls, "the first tick")
    live.outage(4)
    # Where the machine was busy for a second, there are others, of one tick too.
    stretch = wait_until(lambda: missed(redis), "the missed ticks")[0]
    well = RunId.stored(stretch["run_id"])
    badly = RunId("7", well.scheduled_for + 1)
    assert badly.partition("@")[2] <= stretch["until"]
    live.ends()
    service.answers[badly] = status(500)
    for tick, end in ((well, "ok"), (badly, "failed")):
        assert service.saw(tick) == []
        assert outcomes(quick, tick) == {"missed"}
        code = 0 if end == "ok" else 1
        assert cli.json("runs", "retry", tick, "--wait", code=code)["status"] == end
        assert service.saw(tick) == ["answered"]
        assert outcomes(quick, tick) == {end}
    facts = quick.json("audit")
    ran = {call.run_id for call in service.calls} - {badly}
    assert (facts["ok"], facts["failed"]) == (len(ran), 1)
    assert (facts["lost"], facts["doubled"], facts["unasked"]) == ([], [], [])
    assert facts["expected"] == len(ran) + 1 + sum(facts["missed"].values())


def missed(redis: Redis) -> list[dict[str, Any]]:
    """Return the stretches of several missed ticks."""
    runs = [run for run in queries.list_ended(redis, "7", "missed") if "until" in run]
    return [run for run in runs if run["until"] > run["run_id"].partition("@")[2]]


def test_live_what_failed_for_one_backfill_and_went_well_for_another_went_well(
    live: Live, service: Service, redis: Redis, cli: CommandLine, quick: Quick
) -> None:
    """The first one waits while the second one fails at a tick that both are to run."""
    job = Hourly("7")
    live.start(job.row)
    job.known_for_long(redis)
    first, tick = job.ticks(-1, 0)
    service.held.add("7")
    service.answers[tick] = status(500)
    one = job.backfill(cli, 2)
    wait_until(lambda: service.going() == [first], "the first tick")
    other = job.backfill(cli, 1)
    live.reaches(tick, "q")
    one.send_signal(signal.SIGSTOP)
    service.held.clear()
    assert opened(other) == [tick]
    assert outcomes(quick, tick) == {"failed"}
    service.answers.clear()
    one.send_signal(signal.SIGCONT)
    assert opened(one) == [first, tick]
    assert service.saw(tick) == ["answered", "answered"]
    assert outcomes(quick, tick) == {"ok"}
    assert not redis.exists(keys.FAILED)


#: How a run that did not go on ended, by the job that it is of: status, reason, attempts and how
#: the service saw each of them end, and what is said of it.
ENDS = {
    "overlap": ("skipped", "overlap", [], "was still running"),
    "paused": ("skipped", "paused", [], "the job was paused before it could start"),
    "cancelled": ("skipped", "cancelled", [], "somebody cancelled it before it could start"),
    "disabled": ("skipped", "disabled", [], "the job was disabled before it could start"),
    "removed": ("skipped", "removed", [], "the job was removed before it could start"),
    "running": ("skipped", "cancelled", ["cut off"], "somebody cancelled it while it ran"),
    "paused-2": ("failed", "paused", ["answered"], "not retried because the job was paused"),
    "cancelled-2": ("skipped", "cancelled", ["answered"], "while it waited for attempt 2"),
    "disabled-2": ("failed", "disabled", ["answered"], "not retried because the job was disabled"),
    "removed-2": ("skipped", "removed", ["answered"], "while the run waited for attempt 2"),
}


def test_live_attempts_are_those_that_the_service_saw(
    live: Live, service: Service, redis: Redis, cli: CommandLine, quick: Quick
) -> None:
    retry = {"max_attempts": 3, "backoff": 1, "max_backoff": 600}
    never = {name for name in ENDS if ENDS[name][2] == []} - {"overlap"}
    live.start({"id": "overlap", **NEVER_DUE})
    service.held |= {"overlap", "running"}
    cli.run("jobs", "run", "overlap")
    wait_until(service.going, "a run in the way")
    tick = soon(1)
    ticks = {name: RunId(name, tick) for name in ENDS}
    rows = {
        name: once(name, tick, retry=retry, **({"queue": "nobody"} if name in never else {}))
        for name in ENDS
    }
    service.answers = {name: status(503, retry_after="600") for name in ENDS if name[-1] == "2"}
    live.lists(*rows.values())
    for name, run in ticks.items():
        if name in never:
            live.reaches(run, "p")
        elif name[-1] == "2":
            live.reaches(run, "w")
    live.reaches(ticks["running"], "r")
    wait_until(lambda: service.saw(ticks["running"]), "its call")
    for name in ("cancelled", "cancelled-2", "running"):
        quick.run("runs", "cancel", ticks[name])
    for name in ("paused", "paused-2"):
        quick.run("jobs", "pause", name, "--reason", "stocktaking")
    for name in ("disabled", "disabled-2"):
        rows[name]["enabled"] = False
    live.lists(*(row for name, row in rows.items() if not name.startswith("removed")))
    # What waits looks at its job when its next attempt is due.
    redis.zadd(keys.DEADLINES, {ticks["disabled-2"]: 0}, xx=True)
    live.celery.worker(1, "-Q", "nobody")
    wait_until(lambda: service.saw(ticks["running"]) == ["cut off"], "that the run is cut off")
    wait_until(lambda: queries.find_end(redis, ticks["overlap"]), "the run that is in the way")
    service.held.clear()
    live.settles()
    for name, (became, reason, seen, said) in ENDS.items():
        shown = quick.json("runs", "show", ticks[name])
        assert service.saw(ticks[name]) == seen
        numbers = [attempt["attempt"] for attempt in shown["attempts"]]
        assert (shown["status"], shown["reason"], shown["attempt"]) == (became, reason, len(seen))
        assert numbers == list(range(1, len(seen) + 1))
        assert (shown["started_at"] is None) == (seen != ["cut off"])
        assert said in quick.run("why", name, "--at", iso_utc(tick)).stdout
        assert said in shown.get("because", said)
