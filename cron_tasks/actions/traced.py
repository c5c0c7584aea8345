"""Requests of traced runs: each is a span, and carries its `traceparent`.

Attributes are those of OpenTelemetry's conventions for HTTP clients:
https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-client-span
"""

import time
from dataclasses import replace
from typing import cast

from cron_tasks.actions.answers import Answer
from cron_tasks.actions.client import Client
from cron_tasks.actions.request import Request
from cron_tasks.jobs.actions import HttpAction
from cron_tasks.jobs.run import Run
from cron_tasks.settings import Settings
from cron_tasks.text.trace_ids import format_traceparent, parse_traceparent
from cron_tasks.tracing.spans import Span, Value, make_child
from cron_tasks.tracing.tracer import find_tracer


async def send_traced(
    client: Client,
    request: Request,
    until: float,
    most: int,
    run: Run,
    settings: Settings,
    redirects: int,
) -> Answer:
    """Send a request as `Client.send` does, and record its span.

    `redirects` is the number of earlier requests of this attempt. If the job defines a
    `traceparent`, that one is sent.
    """
    tracer, parent = find_tracer(settings), parse_traceparent(run.traceparent)
    assert tracer
    assert parent
    own, started = make_child(parent), time.time()
    headers = {"traceparent": format_traceparent(own)} | request.headers
    attributes = _describe_request(request, redirects)
    error: str | None = None
    try:
        answer = await client.send(replace(request, headers=headers), until, most)
    except BaseException as raised:
        # The text of an exception may quote a secret.
        error = type(raised).__qualname__
        raise
    else:
        attributes["http.response.status_code"] = answer.status
        expected = cast("HttpAction", run.job.action).expect_status
        if answer.status >= 400 and answer.status not in expected:
            error = str(answer.status)
        return answer
    finally:
        if error is not None:
            attributes["error.type"] = error
        failed = None if error is None else ""
        times = started, time.time()
        tracer.record(
            Span(request.method, own, parent.span_id, *times, attributes, failed, "client")
        )


def _describe_request(request: Request, redirects: int) -> dict[str, Value]:
    attributes: dict[str, Value] = {"http.request.method": request.method}
    if url := request.shown_url:
        attributes["url.full"] = url
        attributes["server.address"] = request.origin.host
        attributes["server.port"] = request.origin.port
    if redirects:
        attributes["http.request.resend_count"] = redirects
    return attributes
