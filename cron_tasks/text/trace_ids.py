"""The trace of a run. Its ids are derived from the run id, so nothing is stored or passed on.
Pure."""

import re
from hashlib import sha256
from typing import NamedTuple

#: W3C Trace Context, https://www.w3.org/TR/trace-context/#traceparent-header. Ids of zeros are not
#: valid.
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


class Parent(NamedTuple):
    """The parent of a span, and whether its trace is sampled."""

    trace_id: int
    span_id: int
    is_sampled: bool


def trace_id_of(run_id: str) -> str:
    """Return the trace id of a run: the first 32 hex digits of the SHA-256 of its id."""
    return _hash(run_id).hex()[:32]


def root_of(run_id: str, bound: int) -> Parent:
    """Return the root span of a run, whose id is the 16 hex digits after those of the trace id.

    The trace is sampled if the last 64 bits of its id are below `bound`, as the OpenTelemetry
    sampler `traceidratio` decides it. So every process decides the same.
    """
    digest = _hash(run_id)
    is_sampled = int.from_bytes(digest[8:16]) < bound
    return Parent(int.from_bytes(digest[:16]), int.from_bytes(digest[16:24]), is_sampled)


def span_id_of(key: str) -> int:
    """Return the id of a span that `key` names within its trace."""
    return int.from_bytes(_hash(key)[:8])


def format_traceparent(parent: Parent) -> str:
    """Return the header `traceparent` for requests within a span."""
    return f"00-{parent.trace_id:032x}-{parent.span_id:016x}-{parent.is_sampled:02x}"


def parse_traceparent(text: str) -> Parent | None:
    """Read a `traceparent`. Return None if it is not valid."""
    found = _TRACEPARENT.fullmatch(text)
    if found is None:
        return None
    return Parent(int(found[1], 16), int(found[2], 16), bool(int(found[3], 16) & 1))


def _hash(text: str) -> bytes:
    return sha256(text.encode(errors="surrogateescape")).digest()
