"""The trace of a run: its id follows from the run id, so nothing is stored or passed on. Pure."""

from hashlib import sha256


def trace_id_of(run_id: str) -> str:
    """Return the trace id of a run: the first 32 hex digits of the SHA-256 of its id."""
    return sha256(run_id.encode(errors="surrogateescape")).hexdigest()[:32]
