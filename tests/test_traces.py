"""Traces of runs: real processes send real OTLP to a small collector."""

import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from helpers import NEVER_DUE, PATIENCE, wait_until
from live import Live, Service, once, soon
from otlp_sink import OtlpSink, Seen
from processes import Celery, Process
from redis import Redis
from rest_server import redirect, status
from test_policies import run

from cron_tasks.ledger.run_id import RunId
from cron_tasks.store import keys

QUEUE = "queue:to_telegram"


def trace_of(run_id: str) -> str:
    return sha256(run_id.encode()).hexdigest()[:32]


def root_of(run_id: str) -> str:
    return sha256(run_id.encode()).hexdigest()[32:48]


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with OtlpSink() as sink:
        yield sink


@pytest.fixture
def traced(live: Live, sink: OtlpSink) -> Live:
    live.celery.env |= sink.env
    return live


@pytest.fixture
def bot(celery: Celery, sink: OtlpSink, tmp_path: Path) -> Iterator[Process]:
    """A bot that prints the notifications."""
    command = [sys.executable, "-m", "cron_tasks.bot"]
    process = Process(command, celery.env | sink.env, tmp_path / "bot.log")
    yield process
    process.end()


def named(spans: list[Seen], name: str) -> list[Seen]:
    return [each for each in spans if each.name == name]


def test_live_one_trace_from_the_tick_to_the_bot(
    traced: Live, service: Service, sink: OtlpSink, bot: Process
) -> None:
    """A call that is retried: each attempt and each request is a span of the run's trace."""
    traced.start()
    tick = soon()
    run_id = RunId("7", tick)
    answers = iter([status(503), status(200)])
    service.answers["7"] = lambda handler: next(answers)(handler)
    notify = {"on": ["success", "retry"]}
    retry = {"max_attempts": 2, "backoff": 0}
    traced.lists(once("7", tick, retry=retry, notify=notify))
    deliveries = [f"process {QUEUE}"] * 2
    names = ("fire", "attempt", "POST", "attempt", "POST", "run", *deliveries)
    spans = sink.wait_for(trace_of(run_id), *names)
    assert Counter(each.name for each in spans) == Counter(names)

    [root] = named(spans, "run")
    assert (root.id, root.parent) == (root_of(run_id), "")
    assert root.start == tick
    assert root.status == "unset"
    assert root.attributes["cron_tasks.status"] == "ok"
    assert root.attributes["cron_tasks.attempts"] == 2
    assert root.attributes["cron_tasks.run.id"] == run_id
    assert {each.parent for each in spans if each.name not in ("run", "POST")} == {root.id}

    first, second = named(spans, "attempt")
    assert (first.status, second.status) == ("error", "unset")
    assert "503" in first.error
    assert [each.attributes["cron_tasks.attempt"] for each in (first, second)] == [1, 2]
    assert first.end <= second.start <= second.end <= root.end
    calls = named(spans, "POST")
    assert [each.parent for each in calls] == [first.id, second.id]
    assert {each.kind for each in calls} == {"client"}
    assert calls[0].status == "error"
    assert calls[0].attributes == {
        "http.request.method": "POST",
        "url.full": f"{service.url}/7",
        "server.address": "127.0.0.1",
        "server.port": int(service.url.rpartition(":")[2]),
        "http.response.status_code": 503,
        "error.type": "503",
    }
    assert "error.type" not in calls[1].attributes
    sent = [headers["traceparent"] for _, path, headers in service.requests if path == "/7"]
    assert sent == [f"00-{each.trace}-{each.id}-01" for each in calls]

    told = named(spans, f"process {QUEUE}")
    assert {each.kind for each in told} == {"consumer"}
    assert [each.attributes["cron_tasks.event"] for each in told] == ["retry", "success"]
    assert told[1].attributes["messaging.message.id"] == f"{run_id}/success"
    assert len({each.resource["process.pid"] for each in spans}) >= 3
    assert {each.resource["service.name"] for each in spans} == {"cron_tasks"}
    logged = [json.loads(line) for line in bot.output.splitlines() if line.startswith("{")]
    assert "error" not in {each.get("level") for each in logged}


def test_live_runs_in_batches_are_traced(
    traced: Live, redis: Redis, sink: OtlpSink, bot: Process
) -> None:
    traced.start()
    tick = soon(3)
    rows = [once(str(n), tick, action=None) for n in range(40)]
    traced.lists(*rows)
    for row in rows:
        run_id = RunId(row["id"], tick)
        names = ("fire", "run", "attempt", f"process {QUEUE}")
        spans = sink.wait_for(trace_of(run_id), *names)
        assert Counter(each.name for each in spans) == Counter(names)
        [root] = named(spans, "run")
        assert (root.id, root.parent, root.start) == (root_of(run_id), "", tick)
        assert {each.parent for each in spans} == {"", root.id}
        [attempt] = named(spans, "attempt")
        assert attempt.attributes["cron_tasks.worker"].startswith("w")
    traced.settles()
    processes = traced.celery.processes
    wait_until(lambda: any('"runs.finished"' in each.output for each in processes), "the line")


def test_live_the_attempt_after_a_killed_worker_joins_the_trace(
    traced: Live, service: Service, redis: Redis, sink: OtlpSink
) -> None:
    traced.start()
    tick = soon()
    run_id = RunId("7", tick)
    service.held.add("7")
    traced.lists(once("7", tick, retry={"max_attempts": 2, "backoff": 0}))
    wait_until(lambda: service.saw(run_id), "the first call")
    worker = next(each for each in traced.celery.processes if "worker" in each.log.name)
    worker.kill()
    wait_until(lambda: service.saw(run_id) == ["cut off"], "the call to be cut off")
    service.held.clear()
    traced.celery.worker(2)
    spans = sink.wait_for(trace_of(run_id), "run", "attempt", "attempt", "POST")
    first, second = sorted(
        named(spans, "attempt"), key=lambda x: x.attributes["cron_tasks.attempt"]
    )
    assert (first.status, first.error) == ("error", "its worker died")
    assert second.status == "unset"
    [call] = named(spans, "POST")
    assert call.parent == second.id
    [root] = named(spans, "run")
    assert {first.parent, second.parent} == {root.id} == {root_of(run_id)}
    # The request of the dead worker named the attempt, which beat has ended.
    headers = [headers for _, path, headers in service.requests if path == "/7"]
    assert {each["traceparent"][3:35] for each in headers} == {trace_of(run_id)}


def test_live_a_rerun_joins_the_trace_of_its_run(
    traced: Live, service: Service, sink: OtlpSink, cli: Any
) -> None:
    traced.start()
    tick = soon()
    run_id = RunId("7", tick)
    service.answers["7"] = status(500)
    traced.lists(once("7", tick))
    sink.wait_for(trace_of(run_id), "run", "attempt", "POST")
    service.answers.clear()
    assert cli.json("runs", "retry", run_id, "--wait")["status"] == "ok"
    spans = sink.wait_for(trace_of(run_id), "attempt", "attempt", "POST", "POST")
    assert len({each.id for each in spans}) == len(spans)
    first, second = named(spans, "attempt")
    assert second.attributes["cron_tasks.rerun"] is True
    assert (first.status, second.status) == ("error", "unset")
    [root] = named(spans, "run")
    assert root.status == "error"
    assert root.attributes["error.type"] == "failed"


def test_live_no_secret_is_in_a_span(
    traced: Live, service: Service, redis: Redis, sink: OtlpSink, tmp_path: Path
) -> None:
    (tmp_path / "TOKEN").write_text("s3cret-token")
    traced.celery.env["CRON_TASKS_SECRETS_DIR"] = str(tmp_path)
    url = service.url.replace("http://", "http://me:pass-w0rd@")
    traced.start()
    traced.lists(
        {
            "id": "7",
            **NEVER_DUE,
            "action": {
                "type": "http",
                "url": url + "/7/${secret:TOKEN}?key=qu3ry&t=${secret:TOKEN}",
                "headers": {"X-Key": "${secret:TOKEN}"},
            },
        },
        {"id": "8", **NEVER_DUE, "action": {"type": "http", "url": f"{url}/8?key=qu3ry#fr4g"}},
    )
    run(redis, "7", "8")
    traced.settles()
    names = ("run", "attempt", "GET")
    for job_id in ("7", "8"):
        line = json.loads(redis.lindex(keys.HISTORY_PREFIX + job_id, 0))
        sink.wait_for(trace_of(line["run_id"]), *names)
    urls = {each.attributes["url.full"] for each in sink.spans if each.name == "GET"}
    assert urls == {f"{service.url}/7/***", f"{service.url}/8"}
    for word in ("s3cret", "pass-w0rd", "qu3ry", "fr4g"):
        assert word not in repr(sink.spans)


def test_live_what_follows_a_redirect_with_a_secret_is_not_shown(
    traced: Live, service: Service, redis: Redis, sink: OtlpSink, tmp_path: Path
) -> None:
    (tmp_path / "TOKEN").write_text("s3cret-token")
    traced.celery.env["CRON_TASKS_SECRETS_DIR"] = str(tmp_path)
    elsewhere = service.url.replace("127.0.0.1", "localhost") + "/8/s3cret-token"
    service.answers["7"] = redirect(elsewhere)
    traced.start(HTTP_ALLOW="*")
    action = {"type": "http", "url": f"{service.url}/7", "headers": {"X": "${secret:TOKEN}"}}
    traced.lists({"id": "7", **NEVER_DUE, "action": action})
    run(redis, "7")
    traced.settles()
    line = json.loads(redis.lindex(keys.HISTORY_PREFIX + "7", 0))
    spans = sink.wait_for(trace_of(line["run_id"]), "run", "GET", "GET")
    first, second = named(spans, "GET")
    assert first.attributes["http.response.status_code"] == 302
    assert second.attributes["http.request.resend_count"] == 1
    assert not {"url.full", "server.address"} & second.attributes.keys()
    assert "s3cret" not in repr(sink.spans)


@pytest.mark.parametrize("trouble", ["away", "stuck", "refusing", "garbage"])
def test_live_a_collector_in_trouble_delays_no_run(
    traced: Live, service: Service, redis: Redis, sink: OtlpSink, trouble: str
) -> None:
    sink.is_stuck = trouble == "stuck"
    sink.status = 500 if trouble == "refusing" else 400 if trouble == "garbage" else 200
    sink.body = b"\xff\x00<html>" * 1000
    if trouble == "away":
        traced.celery.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:1"
    traced.celery.env["OTEL_EXPORTER_OTLP_TIMEOUT"] = "1"
    ids = [str(n) for n in range(50)]
    traced.start(*({"id": each, **NEVER_DUE} for each in ids), slots=1)
    for _ in range(5):
        begun = time.monotonic()
        run(redis, *ids)
        traced.settles()
        assert time.monotonic() - begun < 40  # A second for each run, if they waited.
    processes = traced.celery.processes
    wait_until(lambda: any('"traces.lost"' in each.output for each in processes), "the line")
    lines = [line for each in processes for line in each.output.splitlines() if "traces." in line]
    pids = Counter(json.loads(line)["event"] for line in lines)
    assert pids["traces.lost"] <= 3
    assert not [each for each in processes if "Traceback" in each.output]
    for process in processes:
        begun = time.monotonic()
        process.terminate()
        assert time.monotonic() - begun < 40


def test_live_spans_come_again_once_the_collector_does(
    traced: Live, redis: Redis, sink: OtlpSink
) -> None:
    sink.status = 400
    traced.start({"id": "7", **NEVER_DUE}, slots=1)
    worker = traced.celery.processes[0]
    run(redis, "7")
    worker.wait_for('"traces.lost"')
    sink.status = 200

    def has_come() -> bool:
        run(redis, "7")
        traced.settles()
        return bool(sink.spans)

    wait_until(has_come, "a span")
    worker.wait_for('"traces.sent"')


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_live_processes_that_end_send_their_last_spans(
    traced: Live, redis: Redis, sink: OtlpSink, pool: str
) -> None:
    traced.celery.env["OTEL_BSP_SCHEDULE_DELAY"] = "600000"
    traced.celery.env["CRON_TASKS_HTTP_ALLOW"] = "127.0.0.1"
    worker = traced.celery.worker(1, "--pool", pool)
    beat = traced.celery.beat()
    traced.lists()
    traced.lists(once("7", soon()))
    wait_until(lambda: redis.exists(keys.HISTORY_PREFIX + "7"), "the run")
    assert sink.spans == []
    worker.terminate()
    wait_until(lambda: len(sink.spans) == 3, "the spans of the worker")
    beat.terminate()
    assert {each.name for each in sink.spans} == {"run", "attempt", "POST", "fire"}


def test_live_a_process_that_is_replaced_sends_its_last_spans(
    traced: Live, redis: Redis, sink: OtlpSink
) -> None:
    traced.celery.env["OTEL_BSP_SCHEDULE_DELAY"] = "600000"
    traced.celery.env["CRON_TASKS_HTTP_ALLOW"] = "127.0.0.1"
    traced.celery.worker(1, "--max-tasks-per-child", "1")
    traced.celery.beat()
    traced.lists({"id": "7", **NEVER_DUE})
    for _ in range(3):
        run(redis, "7")
        traced.settles()
    wait_until(lambda: len([each for each in sink.spans if each.name == "run"]) >= 2, "spans")
    pids = {each.resource["process.pid"] for each in sink.spans}
    assert len(pids) >= 2


def test_live_a_sampled_share_is_decided_by_the_trace_id(
    traced: Live, service: Service, redis: Redis, sink: OtlpSink
) -> None:
    traced.celery.env |= {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio"}
    traced.celery.env |= {"OTEL_TRACES_SAMPLER_ARG": "0.5"}
    ids = [str(n) for n in range(40)]
    traced.start(*({"id": each, **NEVER_DUE} for each in ids))
    run(redis, *ids)
    traced.settles()
    lines = [json.loads(redis.lindex(keys.HISTORY_PREFIX + each, 0)) for each in ids]
    wanted = {
        trace_of(line["run_id"])
        for line in lines
        if int(trace_of(line["run_id"])[16:], 16) < 1 << 63
    }
    assert 0 < len(wanted) < len(ids)
    for trace in wanted:
        sink.wait_for(trace, "run", "attempt", "POST")
    assert {each.trace for each in sink.spans} == wanted
    flags = {h["traceparent"][3:35]: h["traceparent"][-2:] for _, _, h in service.requests}
    assert {trace for trace, flag in flags.items() if flag == "01"} == wanted
    messages = [json.loads(each) for each in redis.lrange(QUEUE, 0, -1)]
    sampled = {m["traceparent"][3:35] for m in messages if m["traceparent"].endswith("-01")}
    assert sampled == wanted
    assert len(messages) == len(ids)


def test_live_off_nothing_is_sent_or_added(
    live: Live, service: Service, redis: Redis, sink: OtlpSink
) -> None:
    live.celery.env |= sink.env | {"CRON_TASKS_OTEL": "0"}
    live.start({"id": "7", **NEVER_DUE})
    run(redis, "7")
    live.settles()
    assert sink.requests == 0
    [message] = redis.lrange(QUEUE, 0, -1)
    assert "traceparent" not in json.loads(message)
    assert not [h for _, path, h in service.requests if path == "/7" and "traceparent" in h]


@pytest.mark.parametrize(
    "variable", [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")]
)
def test_live_standard_variables_switch_traces_off(
    traced: Live, service: Service, redis: Redis, sink: OtlpSink, variable: tuple[str, str]
) -> None:
    traced.celery.env |= dict([variable])
    traced.start({"id": "7", **NEVER_DUE})
    run(redis, "7")
    traced.settles()
    assert sink.requests == 0
    [message] = redis.lrange(QUEUE, 0, -1)
    assert "traceparent" not in json.loads(message)


def test_live_a_delegated_task_gets_the_traceparent_of_its_attempt(
    traced: Live, redis: Redis, sink: OtlpSink
) -> None:
    """No worker reads the queue of the task, so the attempt ends at its timeout."""
    traced.start(TASKS_ALLOW="other.*")
    action = {"type": "task", "name": "other.work"}
    traced.lists({"id": "7", **NEVER_DUE, "action": action, "timeout": 2})
    run(redis, "7")
    message = json.loads(wait_until(lambda: redis.lindex("celery", 0), "the message"))
    traced.settles()
    line = json.loads(redis.lindex(keys.HISTORY_PREFIX + "7", 0))
    trace = trace_of(line["run_id"])
    spans = sink.wait_for(trace, "run", "attempt")
    [attempt] = named(spans, "attempt")
    assert message["headers"]["traceparent"] == f"00-{trace}-{attempt.id}-01"
    assert attempt.status == "error"
    assert "no outcome of task other.work" in attempt.error


def test_live_a_traceparent_of_the_job_itself_is_kept(
    traced: Live, service: Service, redis: Redis
) -> None:
    own = f"00-{'ab' * 16}-{'cd' * 8}-00"
    traced.start()
    action = service.action("7") | {"headers": {"Traceparent": own}}
    traced.lists({"id": "7", **NEVER_DUE, "action": action})
    run(redis, "7")
    traced.settles()
    [headers] = [headers for _, path, headers in service.requests if path == "/7"]
    assert headers["traceparent"] == own


def test_a_worker_without_the_extra_says_so(celery: Celery, sink: OtlpSink, tmp_path: Path) -> None:
    """A package that is found before the real one has no SDK."""
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry" / "__init__.py").touch()
    celery.env |= sink.env | {"PYTHONPATH": str(tmp_path)}
    worker = celery.worker()
    assert worker.popen.wait(PATIENCE) == 1
    assert worker.output.strip() == (
        "CRON_TASKS_OTEL (environment): expected 1 or 0, got '1': "
        "it needs the extra `otel`: pip install 'cron-tasks[otel]'"
    )


def test_live_the_signal_of_a_frozen_collector_is_not_needed_to_end(
    traced: Live, redis: Redis, sink: OtlpSink
) -> None:
    """The last spans are dropped after two seconds, and not after the exporter's own limit."""
    sink.is_stuck = True
    traced.celery.env["OTEL_EXPORTER_OTLP_TIMEOUT"] = "600"
    traced.celery.env["CRON_TASKS_HTTP_ALLOW"] = "127.0.0.1"
    worker = traced.celery.worker(1)
    traced.celery.beat()
    traced.lists({"id": "7", **NEVER_DUE})
    run(redis, "7")
    traced.settles()
    wait_until(lambda: sink.requests, "a request")
    worker.signal(signal.SIGTERM)
    assert worker.popen.wait(PATIENCE) == 0
