"""The digest: one notification a day about late, missed and skipped runs."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from helpers import wait_until
from processes import Celery
from redis import Redis

from cron_tasks.beat.digest import tell_digest
from cron_tasks.ledger.day_count import count_one
from cron_tasks.ledger.run_id import RunId
from cron_tasks.runs.digest import Entry, last_end, write_digest
from cron_tasks.schedules.iso8601 import iso_utc
from cron_tasks.settings import Settings
from cron_tasks.settings.alarms import DigestPlan
from cron_tasks.store import keys

QUEUE = "queue:to_telegram"
#: Five minutes after the hour of the digest.
NOW = datetime(2026, 11, 28, 8, 5, tzinfo=UTC).timestamp()
END = NOW - 300
DAY = 86_400.0
SETTINGS = Settings(digest=DigestPlan(100, 8))


def told(redis: Redis) -> list[dict[str, Any]]:
    return [json.loads(each) for each in redis.lrange(QUEUE, 0, -1)]


def record(redis: Redis, job_id: str, at: float, status: str, reason: str, **more: Any) -> None:
    """Account for a tick like the ledger."""
    body = {"run_id": RunId(job_id, at), "status": status, "reason": reason, "finished_at": at}
    key = keys.ACCOUNT_PREFIX + job_id
    redis.zadd(key, {json.dumps(body | more): at})
    redis.expire(key, 600)


@pytest.fixture
def jobs(synced: Callable[..., None], redis: Redis) -> None:
    synced(
        {"id": "a", "name": "Backup", "every": 60, "chat_id": 1},
        {"id": "b", "name": "Poll", "every": 60, "chat_id": 1},
    )


@pytest.mark.parametrize(
    ("now", "zone", "end"),
    [
        ("2026-11-28T08:00:00+00:00", "UTC", "2026-11-28T08:00:00Z"),
        ("2026-11-28T07:59:59+00:00", "UTC", "2026-11-27T08:00:00Z"),
        ("2026-11-28T07:30:00+00:00", "Europe/Berlin", "2026-11-28T07:00:00Z"),
        ("2026-10-25T06:30:00+00:00", "Europe/Berlin", "2026-10-24T06:00:00Z"),  # clocks go back
        ("2026-03-29T06:30:00+00:00", "Europe/Berlin", "2026-03-29T06:00:00Z"),
        ("2026-11-28T02:29:00+00:00", "Asia/Kolkata", "2026-11-27T02:30:00Z"),
    ],
)
def test_a_digest_is_due_at_its_hour_by_the_clock(now: str, zone: str, end: str) -> None:
    assert iso_utc(last_end(datetime.fromisoformat(now).timestamp(), 8, zone)) == end


@pytest.mark.usefixtures("jobs")
def test_the_digest_tells_by_job_and_reason(redis: Redis) -> None:
    redis.zadd(keys.LATE, {RunId("a", END - 60): END - 30})
    redis.expire(keys.LATE, 600)
    for minute in (1, 2, 3):
        record(redis, "b", END - 60 * minute, "skipped", "overlap")
    record(redis, "b", END - 3600, "failed", "")
    stretch = {"until": iso_utc(END - 7200 + 240)}
    record(redis, "a", END - 7200, "missed", "outside_window", **stretch)
    assert tell_digest(redis, SETTINGS, NOW)
    (message,) = told(redis)
    assert message["response"].splitlines() == [
        "Until 2026-11-28 08:00: 1 late, 5 missed and 3 skipped",
        "⏰ 1 late",
        "• 1 × Backup",
        "⚠️ 5 missed",
        "• 5 × Backup: it could not start within its catch-up window",
        "⏭️ 3 skipped",
        "• 3 × Poll: another run of the job was still running",
    ]
    assert (message["chat_id"], message["status"], message["event"]) == (100, "error", "digest")
    assert message["id"] == "digest/2026-11-28T08:00:00Z"
    assert message["error"] == "1 late, 5 missed and 3 skipped"


@pytest.mark.usefixtures("jobs")
def test_it_comes_once_and_leaves_nothing_out(redis: Redis) -> None:
    record(redis, "a", END - 60, "skipped", "overlap")
    beats = [
        threading.Thread(target=tell_digest, args=[redis, SETTINGS, NOW + n]) for n in range(5)
    ]
    for beat in beats:
        beat.start()
    for beat in beats:
        beat.join()
    assert len(told(redis)) == 1
    assert not tell_digest(redis, SETTINGS, NOW + 3600)
    record(redis, "a", END + 60, "skipped", "overlap")  # after that digest
    record(redis, "b", END - 60, "skipped", "overlap", finished_at=END + 1)
    assert tell_digest(redis, SETTINGS, NOW + 3 * DAY)  # no beat led for two days
    _, second = told(redis)
    assert second["error"] == "2 skipped"


@pytest.mark.usefixtures("jobs")
def test_without_anything_there_is_none(redis: Redis) -> None:
    record(redis, "a", END - 60, "failed", "")
    record(redis, "a", END - DAY - 60, "skipped", "overlap")  # belongs to the day before
    assert tell_digest(redis, SETTINGS, NOW)
    assert not told(redis)
    assert not tell_digest(redis, Settings(), NOW)


@pytest.mark.usefixtures("jobs")
def test_counts_of_old_records_are_told_too(redis: Redis) -> None:
    hour = int(END // 3600)
    count = count_one(END) // 10**13 * 10**13
    key = keys.FOLDED_PREFIX + "b"
    redis.hset(key, f"{hour - 1}:skipped:overlap", 400 * count)
    redis.hset(key, f"{hour - 25}:skipped:overlap", 7 * count)
    redis.hset(key, f"{hour - 1}:failed:", 7 * count)
    redis.expire(key, 600)
    record(redis, "b", END - 60, "skipped", "overlap")
    assert tell_digest(redis, SETTINGS, NOW)
    assert told(redis)[0]["error"] == "401 skipped"


def test_many_jobs_and_long_names_stay_short() -> None:
    counts = Counter({Entry("skipped", str(n), "overlap"): n for n in range(1, 500)})
    names = {str(n): f"job {n}\n" + "x" * 500 for n in range(500)}
    message = write_digest(counts, names, END, NOW, SETTINGS)
    assert message is not None
    text = json.loads(message.payload)["response"]
    assert len(text) < 2000
    assert len(text.splitlines()) == 13
    assert text.splitlines()[-1] == f"• {sum(range(1, 490)):,} × 489 other entries"


def test_the_leading_beat_tells_it(redis: Redis, celery: Celery) -> None:
    now = time.time()
    record(redis, "gone", now - 3 * 3600, "skipped", "overlap")
    redis.zadd(keys.REMOVED, {"gone": now})
    redis.expire(keys.REMOVED, 600)
    hour = datetime.fromtimestamp(now - 3600, UTC).hour
    beats = [celery.beat(CRON_TASKS_DIGEST=f"100,{hour}") for _ in range(2)]
    wait_until(lambda: told(redis), "the digest")
    for beat in beats:
        beat.terminate()
    celery.beat(CRON_TASKS_DIGEST=f"100,{hour}").wait_for("beat.leading")
    (message,) = told(redis)
    assert message["response"].endswith("• 1 × gone: another run of the job was still running")
