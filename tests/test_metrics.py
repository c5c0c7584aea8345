"""Metrics of real beats, workers and Flower, scraped like Prometheus does."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import ended_runs, free_port, wait_until
from live import Live
from plug_ins import install_calls
from processes import Celery, Process, Valkey
from prometheus_client import CollectorRegistry, generate_latest
from redis import Redis
from rest_server import reply
from scraping import Scrape, wait_for_scrape

from cron_tasks.ledger.ledger import Ledger
from cron_tasks.ledger.run_id import RunId
from cron_tasks.metrics import catalogue, lost
from cron_tasks.metrics.collector import RedisCollector
from cron_tasks.settings import Settings
from cron_tasks.store import keys
from cron_tasks.store.client import connect

PORT = "CRON_TASKS_METRICS_PORT"
#: Metrics without a value before the first event.
SELDOM = ("cron_tasks_manual_runs_total", "cron_tasks_sweeps_total")
ROOT = Path(__file__).parents[1]


def collect(redis: Redis, now: float = 1000.0, **settings: Any) -> Scrape:
    registry = CollectorRegistry()
    registry.register(RedisCollector(redis, Settings(**settings), lambda: now))
    return Scrape(generate_latest(registry).decode())


def test_beats_worker_and_flower_serve_what_the_ledger_counted(
    live: Live, redis_url: str, tmp_path: Path
) -> None:
    """All runs are in the numbers, and all servers agree."""
    ports = {name: free_port() for name in ("first", "second", "worker", "flower")}
    env = {name: {PORT: str(port)} for name, port in ports.items()}
    live.celery.env["CRON_TASKS_HTTP_ALLOW"] = "127.0.0.1"
    # A sync or an audit between two scrapes would be a difference between them.
    live.celery.env["CRON_TASKS_SYNC_INTERVAL"] = "3600"
    live.redis.set(keys.LOST_TURN, 1, ex=600)
    live.celery.beat(**env["first"])
    live.celery.beat(**env["second"])
    live.celery.worker(4, **env["worker"])
    command = [sys.executable, "-m", "celery", "-A", "cron_tasks", "flower"]
    command += ["--address=127.0.0.1", f"--port={ports['flower']}"]
    flower = Process(command, live.celery.env, tmp_path / "flower.log")
    live.celery.processes.append(flower)
    often = {"every": 1, "action": {"type": "notify"}}
    live.service.answers["bad"] = reply(503)
    live.service.held.add("held")
    live.lists(
        {"id": "often", **often},
        {"id": "also", "notify": {"queue": "queue:other"}, **often},
        {"id": "good", "every": 1},
        {"id": "held", "every": 1},
        {"id": "bad", "every": 1, "retry": {"max_attempts": 2, "backoff": 0.1}},
    )
    wait_until(lambda: live.redis.llen("queue:other") >= 3, "three notifications")
    wait_until(lambda: len(live.service.of("bad")) >= 4, "attempts")
    live.service.held.clear()
    live.ends()
    records = ended_runs(live.redis)
    told = live.redis.llen("queue:other") + live.redis.llen("queue:to_telegram")
    notified = sum(each["run_id"].startswith(("often", "also")) for each in records)
    bad = len(live.service.of("bad"))
    started = sum(each["attempt"] > 0 for each in records)
    scrapes = {name: wait_for_scrape(port) for name, port in ports.items()}
    for name in ("first", "second", "flower"):
        scrape = scrapes[name]
        for outcome in ("ok", "failed"):
            ran = sum(each["status"] == outcome for each in records)
            assert scrape.total("ticks_total", outcome=outcome) == ran > 0
            assert f'cron_tasks_ticks_total{{outcome="{outcome}"}} {ran}.0' in scrape.text
        assert scrape.total("notifications_total") == told
        assert scrape.value("attempts_total", action="http", outcome="failed") == bad
        assert scrape.value("tick_lag_seconds_count") == started
        assert scrape.value("notification_lag_seconds_count") == told
        assert scrape.value("run_duration_seconds_count", action="notify") == notified
        assert (scrape.value("leader"), scrape.value("beats")) == (1, 2)
        assert scrape.value("workers") == 1
        assert scrape.value("sync_state", state="ok") == 1
        assert scrape.value("queue_messages", queue="cron_tasks", kind="runs") == 0
        assert scrape.value("leader_changes_total") == 1
        _check_shape(scrape, *catalogue.COUNTED, *catalogue.READ)
    names = set().union(*(each.names() for each in scrapes.values()))
    shown = {re.sub("_(bucket|sum|count)$", "", name) for name in names}
    assert {each.full_name for each in catalogue.ALL} - shown <= {
        "cron_tasks_ticks_lost",
        *SELDOM,
    }
    mine = {name: _of_the_system(scrapes[name]) for name in ("first", "second", "flower")}
    assert mine["first"] == mine["second"] == mine["flower"]
    worker = scrapes["worker"]
    assert worker.total("slots") == 4
    assert worker.total("slots_busy") == 0
    assert worker.total("worker_memory_bytes", process="main") > 10_000_000
    assert worker.total("worker_memory_bytes", process="children") > 4 * 5_000_000
    _check_shape(worker, *catalogue.WORKER)


def test_a_slot_that_is_kept_is_busy(live: Live, tmp_path: Path) -> None:
    """A plain function keeps its slot. A call on the event loop does not."""
    port = free_port()
    live.celery.worker(4, **{PORT: str(port)}, **install_calls(tmp_path))
    live.celery.beat(PYTHONPATH=str(tmp_path))
    live.service.held.add("held")
    call = {"type": "call", "url": f"{live.service.url}/held"}
    live.rest.jobs = [{"id": "held", "name": "x", "every": 1, "action": call}]
    wait_until(lambda: wait_for_scrape(port).total("slots_busy") == 1, "a busy slot")
    live.service.held.clear()


def _of_the_system(scrape: Scrape) -> dict[Any, float]:
    """Return the samples that do not depend on the moment."""
    moving = ("age_seconds", "edit_lag")
    return {
        (s.name, *sorted(s.labels.items())): s.value
        for s in scrape.samples
        if s.name.startswith("cron_tasks_") and not any(word in s.name for word in moving)
    }


def _check_shape(scrape: Scrape, *metrics: catalogue.Metric) -> None:
    """Check that each family is as in the catalogue, and that no job id is a label."""
    families = {each.name: each for each in scrape.families}
    known = {each.full_name.removesuffix("_total"): each for each in (*metrics, catalogue.BUILD)}
    ours = {name for name in families if name.startswith("cron_tasks_")}
    assert ours <= known.keys()
    for name in ours:
        family, metric = families[name], known[name]
        assert (family.type, family.documentation) == (metric.kind, metric.meaning)
        for sample in family.samples:
            assert sample.labels.keys() - {"le"} <= set(metric.labels)
            assert not {"often", "also", "good", "bad", "held"} & set(sample.labels.values())


def test_a_port_that_is_taken_costs_only_the_metrics(celery: Celery, redis: Redis) -> None:
    port = free_port()
    beats = [celery.beat(**{PORT: str(port)}) for _ in range(2)]
    wait_until(lambda: any("metrics.not_served" in each.output for each in beats), "the error")

    def both_signed() -> bool:
        return str(redis.zrange(keys.SIGNS, 0, -1)).count("'beat|") == 2

    wait_until(both_signed, "both beats")
    (line,) = [
        json.loads(text)
        for each in beats
        for text in each.output.splitlines()
        if "metrics.not_served" in text
    ]
    assert "its own CRON_TASKS_METRICS_PORT" in line["hint"]
    assert all(each.alive for each in beats)


def test_without_redis_there_is_one_metric_that_says_so(tmp_path: Path) -> None:
    server = Valkey(tmp_path)
    with connect(server.url, retries=0) as redis:
        assert collect(redis).value("redis_up") == 1
        server.kill()
        scrape = collect(redis)
    assert scrape.value("redis_up") == 0
    assert scrape.names() == {"cron_tasks_redis_up", "cron_tasks_build_info"}


def test_keys_of_another_type_hide_only_themselves(redis: Redis) -> None:
    for key in (keys.METRICS, keys.DROPPED, keys.SCHEDULE, keys.SOURCE, keys.SIGNS, "cron_tasks"):
        redis.set(key, "text", ex=60)
    redis.zadd(keys.WORKERS, {"w@h|4": 2000.0})
    redis.expire(keys.WORKERS, 60)
    scrape = collect(redis)
    assert (scrape.value("redis_up"), scrape.value("workers")) == (1, 1)


def test_the_gauges_read_the_state_of_the_system(redis: Redis) -> None:
    ledger = Ledger(redis, Settings())
    ledger.open([RunId("7", 900.0), RunId("8", 900.0)], 900.0)
    redis.hset(keys.OPEN, RunId("8", 900.0), "r|1||task:x")
    redis.hset(keys.JOBS, mapping={"7": "a", "8": "b", "9": "c"})
    redis.zadd(keys.SCHEDULE, {keys.entry_key("7"): 940.0, keys.entry_key("8"): 2000.0})
    redis.hset(keys.SET_ASIDE, keys.entry_key("9"), "broken")
    redis.hset(keys.SOURCE, mapping={"state": "refused", "last_success": 800.5})
    redis.rpush("queue:to_telegram", json.dumps({"created_at": "1970-01-01T00:15:00Z"}))
    redis.hset(keys.DROPPED, "queue:to_telegram", 5)
    redis.set(keys.LOST, 2, ex=60)
    scrape = collect(redis)
    assert scrape.value("due_oldest_age_seconds") == 60
    assert scrape.value("open_ticks", state="pending") == 1
    assert scrape.value("open_ticks", state="delegated") == 1
    assert scrape.value("open_ticks", state="running") == 0
    assert scrape.value("jobs", state="scheduled") == 2
    assert scrape.value("jobs", state="unscheduled") == 0
    assert scrape.value("jobs", state="set_aside") == 1
    assert scrape.value("leader") == 0
    assert scrape.value("sync_state", state="refused") == 1
    assert scrape.value("sync_state", state="ok") == 0
    assert scrape.value("sync_success_timestamp_seconds") == 800.5
    labels = {"queue": "queue:to_telegram"}
    assert scrape.value("queue_messages", kind="notifications", **labels) == 1
    assert scrape.value("queue_oldest_age_seconds", kind="notifications", **labels) == 100
    assert scrape.value("notifications_dropped_total", **labels) == 5
    assert scrape.value("ticks_lost") == 2


def test_another_installation_that_syncs_into_this_redis_counts_as_refused(redis: Redis) -> None:
    """Its syncs are refused. Ours succeed meanwhile, so the state of the last one is ok."""
    redis.hset(keys.SOURCE, mapping={"state": "ok", "rival": "http://other", "rival_at": 900.0})
    for now, refused in ((1000.0, 1), (1600.0, 0)):
        scrape = collect(redis, now)
        assert scrape.value("sync_state", state="ok") == 1
        assert scrape.value("sync_state", state="refused") == refused


def test_many_and_hostile_queues_are_few_and_harmless_labels(redis: Redis) -> None:
    names = [f"q{number}" for number in range(200)] + ['a\nb|c"\udcff']
    for name in names:
        field = f"notifications_total|{name}".encode(errors="surrogateescape")
        redis.hset(keys.METRICS, field, 1)  # type: ignore[arg-type]
    scrape = collect(redis)
    assert scrape.total("notifications_total") >= 200
    labels = {s.labels["queue"] for s in scrape.samples if s.name.endswith("notifications_total")}
    assert len(labels) <= 51
    assert "_other" in labels


def test_each_combination_of_labels_is_one_sample(redis: Redis) -> None:
    """Failed ticks are counted from the zero that every scrape has. Long names look the same."""
    redis.hset(keys.METRICS, "ticks_total|failed|", 3)
    for number, end in enumerate("ab"):
        name = "q" * 300 + end
        redis.hset(keys.METRICS, f"notifications_total|{name}", 5)
        written = json.dumps({"created_at": f"1970-01-01T00:0{number}:40Z"})
        redis.rpush(name, written)
        redis.expire(name, 60)
    scrape = collect(redis)
    assert scrape.value("ticks_total", outcome="failed") == 3
    labels = {"queue": "q" * 199 + "…"}
    assert scrape.value("notifications_total", **labels) == 10
    assert scrape.value("queue_messages", kind="notifications", **labels) == 2
    assert scrape.value("queue_oldest_age_seconds", kind="notifications", **labels) == 960


def test_an_audit_in_turn_finds_lost_ticks(
    redis: Redis, redis_url: str, synced: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRON_TASKS_REDIS_URL", redis_url)
    synced({"id": "7", "name": "a", "every": 60})
    entry, now = keys.entry_key("7"), time.time()
    redis.hset(entry, "since", repr(now - 600))
    lost.audit_in_turn(redis)
    found = int(redis.get(keys.LOST) or 0)
    assert found in (9, 10)
    redis.delete(keys.LOST)
    lost.audit_in_turn(redis)
    assert redis.get(keys.LOST) is None, "another audit is not due yet"


def test_the_docs_have_the_table_of_metrics() -> None:
    text = (ROOT / "docs" / "monitoring.md").read_text("utf-8")
    assert catalogue.render_markdown() in text


def test_names_follow_the_conventions() -> None:
    units = ("_total", "_seconds", "_bytes")
    for metric in catalogue.ALL:
        assert metric.full_name.startswith("cron_tasks_")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert "millisecond" not in metric.name
        if metric.kind == "histogram":
            assert metric.name.endswith(units)


def test_no_process_imports_prometheus_unless_it_serves(redis_url: str) -> None:
    code = "import sys, cron_tasks.tasks; print('prometheus_client' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
