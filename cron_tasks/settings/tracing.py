"""The settings of traces. The standard variables `OTEL_*` define where the spans are sent."""

import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Annotated

from pydantic import AfterValidator
from pydantic_settings import BaseSettings

from cron_tasks.settings.declaring import setting
from cron_tasks.text.display import short_repr
from cron_tasks.text.urls import check_web_url

#: The samplers of OpenTelemetry that decide by the trace id alone. We begin each trace, so a
#: parent-based sampler decides like its root sampler.
_SAMPLERS = ("always_on", "always_off", "traceidratio")
_EXTRA = "opentelemetry.exporter.otlp.proto.http"
_HELD = "trace_id"


def explain_unusable(environ: Mapping[str, str]) -> str | None:
    """Return why spans cannot be sent as the variables `OTEL_*` ask for, or None."""
    for name, usable in (
        ("OTEL_TRACES_EXPORTER", ("otlp", "none")),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", ("http/protobuf",)),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", ("http/protobuf",)),
        ("OTEL_TRACES_SAMPLER", (*_SAMPLERS, *(f"parentbased_{each}" for each in _SAMPLERS))),
    ):
        value = environ.get(name, "").strip().lower()
        if value and value not in usable:
            return f"{name} is {short_repr(value)}, and only {', '.join(usable)} can be used"
    try:
        read_share(environ)
    except ValueError as error:
        return str(error)
    return None


def is_disabled(environ: Mapping[str, str]) -> bool:
    """Return whether the variables `OTEL_*` switch traces off."""
    disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return disabled or environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"


def read_share(environ: Mapping[str, str]) -> float:
    """Return the share of traces that is recorded, from 0 to 1. Raises ValueError."""
    sampler = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    if sampler.endswith("always_off"):
        return 0.0
    text = environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip()
    if not sampler.endswith("traceidratio") or not text:
        return 1.0
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError(f"OTEL_TRACES_SAMPLER_ARG is {short_repr(text)}, not a share from 0 to 1")
    return share


def _check_usable(is_on: bool) -> bool:
    if is_on:
        # The parent of a missing package may be missing, too.
        if not (find_spec("opentelemetry") and find_spec("opentelemetry.sdk")) or not _has_export():
            raise ValueError("it needs the extra `otel`: pip install 'cron-tasks[otel]'")
        if why := explain_unusable(os.environ):
            raise ValueError(why)
    return is_on


def _has_export() -> bool:
    try:
        return find_spec(_EXTRA) is not None
    except ModuleNotFoundError:
        return False


def _check_trace_url(url: str) -> str:
    marked = url.count("{")
    if f"{{{_HELD}}}" not in url or marked != url.count(f"{{{_HELD}}}") or marked != url.count("}"):
        raise ValueError("{trace_id} has to mark the place of the trace id, and no other braces")
    check_web_url(url)
    return url


class TraceSettings(BaseSettings):
    """Whether runs are traced, and the address of their traces for people."""

    otel: Annotated[bool, AfterValidator(_check_usable)] = setting(
        False,
        "Whether spans of runs are sent to OpenTelemetry, as the standard variables `OTEL_*` "
        "define. Needs the extra `otel`",
        "1 or 0",
    )
    trace_url: Annotated[str, AfterValidator(_check_trace_url)] | None = setting(
        None,
        "Address of a trace for people, e.g. `https://jaeger.example/trace/{trace_id}`. `why`, "
        "`runs show` and the pages link to it",
        "a URL with {trace_id} in it, such as https://jaeger.example/trace/{trace_id}",
    )

    def link_trace(self, trace_id: str) -> str | None:
        """Return the address of a trace, or None without TRACE_URL."""
        return self.trace_url and self.trace_url.replace(f"{{{_HELD}}}", trace_id)
