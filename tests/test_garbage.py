"""Another program writes garbage about one job or one count. The others go on, and are readable."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from applying import apply
from driven import Beat
from prometheus_client import CollectorRegistry, generate_latest
from redis import Redis
from rest_server import RestServer

from cron_tasks.audit.account_reader import read_accounts, read_open_ticks
from cron_tasks.audit.auditing import audit_page
from cron_tasks.audit.explain import explain_tick
from cron_tasks.broker.presence import count_slots, list_workers
from cron_tasks.health.service_checks import check_registry
from cron_tasks.health.system import System
from cron_tasks.ledger.history import split_runs
from cron_tasks.ledger.ledger import Ledger
from cron_tasks.ledger.records import Outcome
from cron_tasks.ledger.run_id import RunId
from cron_tasks.metrics.collector import RedisCollector
from cron_tasks.pages.facts import read_failures
from cron_tasks.pages.job_facts import read_job, read_rows
from cron_tasks.registry.fence import sync_lock
from cron_tasks.registry.plan import Changes
from cron_tasks.registry.quarantine import quarantine_entry
from cron_tasks.registry.registry import Registry
from cron_tasks.registry.rejections import read_rejected
from cron_tasks.repair.comparison import Comparison
from cron_tasks.report.pings import Pinger
from cron_tasks.runs import queries
from cron_tasks.runs.digest_reader import read_digest
from cron_tasks.runs.outcomes import write_record
from cron_tasks.runs.result import Attempt, Result
from cron_tasks.runs.tail import Tail
from cron_tasks.runs.trail import read_actions
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.sync.feed_state import forget_position, load_position, load_status, store_position
from cron_tasks.sync.reconciler import Reconciler
from cron_tasks.sync.refused_plan import load_plan
from cron_tasks.sync.state import adjust_counts, load_beginning
from cron_tasks.vitals.leaders import read_leaders

#: Texts that are not what any field holds.
TEXTS = ("", "garbage", "7", "nan", "inf", "1e400", "9" * 40, "[7]", '{"since": "x"}')
#: Further texts that are nearly lines of a list.
LINES = (
    *(*TEXTS, "null", "{}", '""', '["x", 1, 2, "w"]', '{"run_id": 7}'),
    '{"run_id":"1@2026-11-23T09:00:00Z","status":7,"finished_at":"x","reason":[]}',
    '{"run_id":"1@2026-11-23T09:00:00Z","status":"failed","finished_at":1e300,"error":{}}',
    '{"run_id":"1@2026-11-23T09:00:00Z","status":"ok","minute":"garbage 1"}',
    '{"from":1,"until":7,"status":"missed"}',
    '{"until":"x","status":"skipped"}',
    '{"forgotten":"x"}',
    '{"since":1,"until":"x","ticked": 1.2.3, "enabled":true}',
)
HOUR = int(time.time() // 3600)
TODAY = f"{keys.COUNT_PREFIX}{HOUR // 24}"


ENTRY = keys.entry_key("1")
RUN = "1@2026-11-23T09:00:00Z"


def fill_lists(redis: Redis) -> None:
    for prefix in (keys.HISTORY_PREFIX, keys.MINUTES_PREFIX, keys.VERSIONS_PREFIX):
        redis.lpush(prefix + "1", *LINES)
    redis.lpush(keys.RECENT, *LINES)


def fill_account(redis: Redis) -> None:
    now = time.time()
    for number, score in enumerate((1.0, now, now + 60, float("inf"))):
        redis.zadd(keys.ACCOUNT_PREFIX + "1", {" " * number + text: score for text in LINES})


def fill_folded(redis: Redis) -> None:
    fields = [field for text in LINES for field in (text, f"@{text}", f"{HOUR}:{text}")]
    fields += ["@nan", "until", f"{HOUR}:skipped:overlap"]
    redis.hset(keys.FOLDED_PREFIX + "1", mapping=dict.fromkeys(fields, "garbage"))
    # So many that they are folded.
    redis.zadd(keys.ACCOUNT_PREFIX + "1", {f"garbage {n}": float(n) for n in range(1200)})


def fill_counts(redis: Redis, text: str) -> None:
    for key in (keys.MINUTE, keys.FAILING, keys.UNTOLD, keys.FIRED, TODAY):
        redis.hset(key, "1", text)
    for counter in ("ticks_total|ok|", "queue|x", "tick_lag_seconds|sum"):
        redis.hset(keys.METRICS, counter, text)
    for field in ("doubts", "vouched", "jobs", "scheduled", "rejected", "feed_removed"):
        redis.hset(keys.SOURCE, field, text)


def fill_runs(redis: Redis, text: str) -> None:
    redis.hset(keys.OPEN, RUN, text)
    redis.hset(keys.ATTEMPTS, RUN, text)
    redis.hset(keys.BATCHES, "2026-11-23T09:00:00Z#garbage", text)


def fill_sets(redis: Redis, text: str) -> None:
    now = time.time()
    scores = {text: now, f"{text} ": float("inf"), f"1@{text}": now - 5, f"{text}@{text}": 1.0}
    sets = (keys.SKIPS, keys.DEADLINES, keys.EXPECTED, keys.LATE, keys.FAILED, keys.REPORTS)
    for sorted_set in (*sets, keys.REMOVED):
        redis.zadd(sorted_set, scores)
    redis.zadd(keys.REMOVED, {"1": float("inf")})
    for belonging in (keys.GOING, keys.QUEUED, keys.BEFORE, keys.STOP, keys.JOBS):
        redis.hset(belonging, "1", text)


def fill_numbers(redis: Redis, text: str) -> None:
    redis.hset(ENTRY, mapping=dict.fromkeys(("since", "ticked", "fired", "edit"), text))


def fill_field(field: str) -> Callable[[Redis, str], Any]:
    return lambda redis, text: redis.hset(ENTRY, field, text)


FIELDS: dict[str, Callable[[Redis, str], Any]] = {
    "counts": fill_counts,
    "runs": fill_runs,
    "sets": fill_sets,
    "numbers": fill_numbers,
    **{field: fill_field(field) for field in ("definition", "meta", "job", "paused")},
}


def end_runs(beat: Beat) -> int:
    """End the open runs of all jobs, as ok and as failed. Return their number."""
    ledger, now = Ledger(beat.redis, Settings()), beat.clock.now
    run_ids = [RunId.stored(each) for each in beat.redis.hkeys(keys.OPEN)]
    claims = ledger.claim("w", now, [each for each in run_ids if each.job_id])
    outcomes = []
    for number, claim in enumerate(claims):
        status = "failed" if number % 2 else "ok"
        run = claim.run_id
        line = write_record(run, Result(status), Attempt(1, now, now, "w"))
        outcomes.append(Outcome(run, run.job_id, claim.state, line, (), status))
    ledger.finish(now, outcomes)
    return len({each.job_id for each in outcomes} & {"2", "3"})


def read_everything(redis: Redis, now: float) -> None:
    for _ in range(2):
        opened = read_open_ticks(redis)
        tally = audit_page(redis, ["1", "2", "3"], opened, now - 3600, now)
        assert not [each for each in tally.lost if not (each.startswith("1@") or " of 1 " in each)]
    for account in read_accounts(redis, ["1", "2", "3"], [HOUR // 24], opened):
        explain_tick(account, {}, now - 1, now, "UTC")
    registry = CollectorRegistry()
    registry.register(RedisCollector(redis, Settings(), lambda: now))
    generate_latest(registry)
    read_digest(redis, now - 3600, now)
    for job_id in (None, "1", "2"):
        for status in (None, "ok", "failed"):
            list(queries.list_ended(redis, job_id, status))
        queries.list_open(redis, 10, job_id)
    queries.find_end(redis, RunId.stored(RUN))
    queries.describe_run(redis, RunId.stored(RUN))
    Tail(redis).read()
    ledger = Ledger(redis, Settings())
    list(split_runs(ledger.history("1")))
    assert None not in ledger.newest(["2"])
    read_failures(redis)
    read_rows(redis, ["1", "2"], now)
    read_job(redis, "2", now)


def live_through(beat: Beat) -> None:
    """Fire, end, compare, sync, edit, pause, resume, remove and read jobs."""
    redis, registry, now = beat.redis, Registry(beat.redis), beat.clock.now
    for _ in range(2):
        beat.clock.now += 1
        beat.tick()
        assert end_runs(beat) == 2
    read_everything(redis, beat.clock.now)
    Comparison(redis, Settings(), beat.clock).mend()
    Comparison(redis, Settings(), beat.clock).find()
    with sync_lock(redis) as fence:
        assert fence
        adjust_counts(redis, fence, 0, 0, 0)
        store_position(redis, fence, "http://feed", 1)
        load_position(redis)
        load_beginning(redis).find_validators("x")
    forget_position(redis, "http://feed")
    for every in (2, 1):
        beat.register(*({"id": n, "name": "x", "every": every} for n in (1, 2, 3)))
        registry.pause("1", "stocktaking", now)
        registry.resume("1", now)
    quarantine_entry(redis, ENTRY, "broken", 600)
    apply(redis, Changes(removed=["1"]), beat.clock.now)
    beat.register({"id": 1, "name": "x", "every": 1})
    beat.clock.now += 1
    beat.tick()
    assert end_runs(beat) == 2
    read_everything(redis, beat.clock.now)


def begin(beat: Beat) -> None:
    """Register three jobs, and run each once."""
    beat.redis.delete(
        *beat.redis.keys("cron_tasks:*"), *map(keys.entry_key, ("1", "2", "3")), keys.SCHEDULE
    )
    beat.register(*({"id": n, "name": "x", "every": 1} for n in (1, 2, 3)))
    beat.clock.now += 1
    beat.tick()
    end_runs(beat)


@pytest.mark.parametrize("fill", [fill_lists, fill_account, fill_folded])
def test_garbage_among_the_lines_of_a_job(
    beat: Beat, redis: Redis, fill: Callable[[Redis], None]
) -> None:
    begin(beat)
    fill(redis)
    live_through(beat)
    redis.flushall()


@pytest.mark.parametrize("place", sorted(FIELDS))
def test_garbage_in_the_fields_of_a_job(beat: Beat, redis: Redis, place: str) -> None:
    for text in TEXTS:
        begin(beat)
        FIELDS[place](redis, text)
        live_through(beat)
    redis.flushall()


def fill_shared(redis: Redis, text: str) -> None:
    """Write garbage into the keys that all jobs and processes share."""
    now = time.time()
    redis.zadd(keys.WORKERS, {text: now + 60})
    redis.zadd(keys.SIGNS, {text: now, f"beat|{text}|x": now})
    for stream in (keys.LEADERS, keys.ACTIONS):
        redis.xadd(stream, {"host": text, "pid": text, "at": text, "count": text})
    redis.hset(keys.REJECTED, "row 7", text)
    redis.hset(keys.MENDED, "leftovers", text)
    redis.hset(keys.DROPPED, "queue:x", text)
    fields = ("last_success", "last_read", "rival_at", "refused_plan", "feed_removed")
    redis.hset(keys.SOURCE, mapping=dict.fromkeys(fields, text))
    redis.set(keys.FEED, text)
    redis.set(keys.LOST, text)
    ping = {"job_id": "1", "url": f"http://[{text}", "suffix": "", "rid": "", "at": now}
    redis.rpush(keys.PINGS, text, json.dumps(ping))


@pytest.mark.parametrize("text", [*TEXTS, "a|b", "a|b|c"])
def test_garbage_in_the_keys_of_all(redis: Redis, rest: RestServer, text: str) -> None:
    settings, now = Settings(rest_url=rest.url), time.time()
    rest.jobs = [{"id": 1, "name": "x", "every": 60}]
    fill_shared(redis, text)
    reconciler = Reconciler(redis, settings)
    assert count_slots(redis, now) >= 1
    list_workers(redis, now)
    read_leaders(redis, now)
    read_actions(redis, 10)
    read_rejected(redis)
    load_status(redis)
    load_plan(redis.hget(keys.SOURCE, "refused_plan"))
    registry = CollectorRegistry()
    registry.register(RedisCollector(redis, settings, lambda: now))
    generate_latest(registry)
    report = reconciler.sync(time.time)
    assert report
    assert report.state == "ok"
    assert not redis.exists(keys.REJECTED)
    assert check_registry(System(settings, redis, now))[0]
    assert Pinger(redis, settings, time.time).send_page()
    assert not redis.exists(keys.PINGS)
    redis.flushall()
