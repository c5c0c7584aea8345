"""Recording spans in one process: forks, a full queue, wrong variables, and deliveries of a bot."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
from helpers import wait_until
from opentelemetry.trace import get_current_span
from otlp_sink import OtlpSink
from redis import Redis
from structlog.testing import capture_logs

from cron_tasks.bot import Bot, ListReader, TryAgain
from cron_tasks.text.trace_ids import format_traceparent
from cron_tasks.tracing.spans import Span, make_child
from cron_tasks.tracing.tracer import FLUSH, Tracer

RUN = "7@2026-11-23T09:00:00Z"
QUEUE = "queue:to_telegram"


def test_the_version_of_the_sdk_whose_insides_we_know() -> None:
    """tracing/export.py makes its spans, and names the loggers of its modules."""
    assert version("opentelemetry-sdk").startswith("1.45.")


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Iterator[OtlpSink]:
    with OtlpSink() as sink:
        for name, value in sink.env.items():
            monkeypatch.setenv(name, value)
        yield sink


def make_span(tracer: Tracer, name: str = "attempt") -> Span:
    root = tracer.root_of(RUN)
    return Span(name, make_child(root), root.span_id, 1.0, 2.0)


def test_a_forked_process_sends_its_own_spans(sink: OtlpSink) -> None:
    """This includes a process that is forked while spans of its parent wait."""
    code = """
import os, sys
from cron_tasks.tracing.tracer import Tracer
from cron_tasks.tracing.spans import Span
from cron_tasks.text.trace_ids import Parent

def record(number):
    tracer.record(Span(f"{number}", Parent(number, number, True), 0, 1.0, 2.0))

tracer = Tracer(os.environ)
for number in range(1, 6):
    record(number)
    if (child := os.fork()) == 0:
        record(100 + number)
        tracer.end()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""
    env = os.environ | {"OTEL_BSP_SCHEDULE_DELAY": "60000"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=env, check=True, timeout=60)
    assert sorted(int(span.name) for span in sink.spans) == [*range(1, 6), *range(101, 106)]
    parents = {each.resource["process.pid"] for each in sink.spans if int(each.name) < 100}
    assert len(parents) == 1
    assert len({each.resource["process.pid"] for each in sink.spans}) == 6


def test_a_full_queue_is_one_line(sink: OtlpSink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recording never waits."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    sink.is_stuck = True
    tracer = Tracer({})
    with capture_logs() as lines:
        begun = time.monotonic()
        for _ in range(2000):
            tracer.record(make_span(tracer))
        took = time.monotonic() - begun
        sink.is_stuck = False
        wait_until(lambda: sink.spans, "spans")
        tracer.end()
    assert took < 60
    lost = [line for line in lines if line["event"] == "traces.lost"]
    assert [line["reason"] for line in lost] == ["more spans are recorded than the collector takes"]
    assert len(sink.spans) < 100


@pytest.mark.parametrize(
    ("name", "value"),
    [("OTEL_BSP_MAX_QUEUE_SIZE", "1"), ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip")],
)
def test_variables_that_the_sdk_refuses_harm_no_run(
    sink: OtlpSink, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    tracer = Tracer({})
    with capture_logs() as lines:
        for _ in range(100):
            tracer.record(make_span(tracer))
        with tracer.activate(tracer.root_of(RUN)):
            pass
        tracer.end()
    assert len([line for line in lines if line["event"] == "traces.off"]) <= 1
    assert not [line for line in lines if line["event"] not in ("traces.off", "traces.lost")]


def test_the_end_of_a_process_does_not_wait_for_long(sink: OtlpSink) -> None:
    sink.is_stuck = True
    tracer = Tracer({})
    tracer.record(make_span(tracer))
    wait_until(lambda: sink.requests, "the first request")
    begun = time.monotonic()
    tracer.end()
    assert time.monotonic() - begun < FLUSH + 7  # The exporter itself waits for 10 s.


def test_what_standard_variables_say_is_sent(
    sink: OtlpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "nightly")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,host.name=h")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=abc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    tracer = Tracer({})
    tracer.record(make_span(tracer))
    tracer.end()
    [span] = sink.spans
    assert span.resource["service.name"] == "nightly"
    assert span.resource["deployment.environment.name"] == "test"
    assert span.resource["host.name"] == "h"
    assert span.resource["process.pid"] == os.getpid()
    assert sink.headers[0]["x-key"] == "abc"
    assert sink.headers[0]["Content-Encoding"] == "gzip"


def test_a_bot_continues_the_trace_with_each_try(redis: Redis, sink: OtlpSink) -> None:
    """During a try the delivery is the current span, which instrumented libraries continue."""
    tracer, reader = Tracer({}), ListReader(redis, QUEUE, "a")
    reader.tracer = tracer
    root = tracer.root_of(RUN)
    parent = format_traceparent(root)
    current: list[str] = []

    def handle(message: dict[str, Any]) -> None:
        current.append(f"{get_current_span().get_span_context().span_id:016x}")
        if len(current) == 1:
            raise TryAgain("the chat answered s3cret", after=0.01)

    about = {"job_id": "7", "run_id": RUN, "event": "success"}
    redis.rpush(
        QUEUE,
        json.dumps({"chat_id": 1, "id": f"{RUN}/success", "traceparent": parent} | about),
        json.dumps({"chat_id": 2, "id": "2", "traceparent": "00-not-one-01"}),
        json.dumps({"chat_id": 3, "id": "3", "traceparent": ["x"]}),
        json.dumps({"chat_id": 4, "id": "4"}),
        json.dumps({"chat_id": 5, "id": "5", "traceparent": parent[:-2] + "00"}),
    )
    bot = Bot(reader, handle)
    bot.stop(when_empty=True)
    bot.run()
    tracer.end()
    assert len(current) == 6
    first, second = sorted(sink.spans, key=lambda each: each.attributes["cron_tasks.try"])
    assert {first.parent, second.parent} == {f"{root.span_id:016x}"}
    assert {first.id, second.id} < set(current)
    assert (first.status, first.attributes["error.type"]) == ("error", "TryAgain")
    assert second.status == "unset"
    assert second.attributes == {
        "messaging.system": "redis",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": QUEUE,
        "messaging.message.id": f"{RUN}/success",
        "cron_tasks.run.id": RUN,
        "cron_tasks.job.id": "7",
        "cron_tasks.event": "success",
        "cron_tasks.try": 2,
    }
    assert "s3cret" not in repr(sink.spans)
