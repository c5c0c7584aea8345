"""The ids of traces, the valid variables of OpenTelemetry, and the links to a trace."""

import subprocess
import sys
from hashlib import sha256

import pytest
from helpers import settings_error

from cron_tasks.settings import Settings
from cron_tasks.settings.tracing import explain_unusable, is_disabled, read_share
from cron_tasks.text.trace_ids import (
    Parent,
    format_traceparent,
    parse_traceparent,
    root_of,
    trace_id_of,
)

RUN = "7@2026-11-23T09:00:00Z"
DIGEST = sha256(RUN.encode()).hexdigest()


def test_ids_follow_from_the_run_id() -> None:
    root = root_of(RUN, 1 << 64)
    assert f"{root.trace_id:032x}" == trace_id_of(RUN) == DIGEST[:32]
    assert f"{root.span_id:016x}" == DIGEST[32:48]
    assert format_traceparent(root) == f"00-{DIGEST[:32]}-{DIGEST[32:48]}-01"
    assert parse_traceparent(format_traceparent(root)) == root


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_a_share_is_sampled_as_opentelemetry_does(share: float) -> None:
    from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

    sampler, bound = TraceIdRatioBased(share), round(share * 2**64)
    for number in range(2000):
        root = root_of(f"{number}@2026-11-23T09:00:00Z", bound)
        theirs = sampler.should_sample(None, root.trace_id, "run").decision.is_sampled()
        assert root.is_sampled == theirs


def test_a_traceparent_that_is_not_sampled_says_so() -> None:
    text = format_traceparent(root_of(RUN, 0))
    assert text.endswith("-00")
    assert parse_traceparent(text) == root_of(RUN, 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "None",
        "00",
        f"00-{'0' * 32}-{'1' * 16}-01",
        f"00-{'1' * 32}-{'0' * 16}-01",
        f"00-{'A' * 32}-{'1' * 16}-01",
        f"00-{'1' * 31}-{'1' * 16}-01",
        f"00-{'1' * 32}-{'1' * 16}-01\n",
        f"00-{'1' * 32}-{'1' * 16}-01-more",
        f"ff-{'1' * 32}-{'1' * 16}-01",
    ],
)
def test_what_is_not_a_traceparent(text: str) -> None:
    assert parse_traceparent(text) is None


def test_flags_beyond_sampled_are_ignored() -> None:
    assert parse_traceparent(f"00-{'1' * 32}-{'2' * 16}-ff") == Parent(
        int("1" * 32, 16), int("2" * 16, 16), True
    )


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "'grpc', and only http/protobuf can be used"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "'http/json', and only http/protobuf"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "'zipkin', and only otlp, none can be used"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote", "'jaeger_remote', and only always_on, "),
    ],
)
def test_a_variable_that_cannot_be_used_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, why: str
) -> None:
    monkeypatch.setenv(name, value)
    assert Settings().otel is False
    said = settings_error(monkeypatch, otel="1", rest_url="http://rest:8000")
    assert said.startswith(f"CRON_TASKS_OTEL (environment): expected 1 or 0, got '1': {name} is ")
    assert why in said
    assert "\n" not in said


@pytest.mark.parametrize("share", ["x", "-1", "1.1", "nan", "inf"])
def test_a_share_that_is_not_one_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, share: str
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", share)
    said = settings_error(monkeypatch, otel="1")
    assert f"OTEL_TRACES_SAMPLER_ARG is {share!r}, not a share from 0 to 1" in said


def test_shares_and_switches() -> None:
    ratio = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}
    assert [read_share(each) for each in ({}, {"OTEL_TRACES_SAMPLER": "always_off"}, ratio)] == [
        1.0,
        0.0,
        0.25,
    ]
    # The argument of another sampler does not count.
    assert read_share({"OTEL_TRACES_SAMPLER_ARG": "x"}) == 1.0
    assert explain_unusable({"OTEL_TRACES_EXPORTER": "OTLP ", "OTEL_TRACES_SAMPLER": ""}) is None
    assert is_disabled({"OTEL_SDK_DISABLED": "TRUE"})
    assert is_disabled({"OTEL_TRACES_EXPORTER": "none"})
    assert not is_disabled({"OTEL_SDK_DISABLED": "false"})


@pytest.mark.parametrize(
    "url",
    [
        "https://jaeger.example/trace/",
        "https://jaeger.example/{trace}",
        "https://jaeger.example/{trace_id}/{other}",
        "https://jaeger.example/{trace_id}}",
        "ftp://jaeger.example/{trace_id}",
        "javascript:alert('{trace_id}')",
        "https://me:secret@jaeger.example/{trace_id}",
        "https://jaeger.example/a b/{trace_id}",
        "{trace_id}",
    ],
)
def test_an_address_of_traces_that_cannot_be_one(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    said = settings_error(monkeypatch, trace_url=url)
    assert said.startswith("CRON_TASKS_TRACE_URL (environment): expected a URL with {trace_id} in")
    assert "me:secret" not in said


def test_an_address_of_traces() -> None:
    url = "https://grafana.example/explore?left=%7B%7D&traceId={trace_id}#t={trace_id}"
    settings = Settings(trace_url=url)
    assert settings.link_trace("ab") == url.replace("{trace_id}", "ab")
    assert Settings().link_trace("ab") is None


def test_off_no_tracing_is_imported() -> None:
    """redis-py itself imports the SDK's metrics if they are installed."""
    code = (
        "import sys, cron_tasks.tasks, cron_tasks.beat, cron_tasks.bot, cron_tasks.cli.runs\n"
        "ours = ('opentelemetry.sdk.trace', 'opentelemetry.exp', 'cron_tasks.tracing.export')\n"
        "print([name for name in sys.modules if name.startswith(ours)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
