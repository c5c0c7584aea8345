"""Check that a stored record is that of a run: another program may have written it. Pure."""

from typing import Any

import orjson

from cron_tasks.store.readable import is_time

#: How a run can end.
STATUSES = ("ok", "failed", "skipped", "missed")
_TEXTS = ("reason", "worker", "error", "other")


def parse_run(line: str) -> dict[str, Any]:
    """Parse the whole record of a run. Raises ValueError if it does not have the fields of one."""
    record = orjson.loads(line)
    if not (isinstance(record, dict) and _is_run(record)):
        raise ValueError("the line is not the record of a run")
    return record


def _is_run(record: dict[str, Any]) -> bool:
    texts = all(record.get(name) is None or isinstance(record[name], str) for name in _TEXTS)
    named = isinstance(record.get("run_id"), str) and isinstance(record.get("status"), str)
    attempts, started = record.get("attempts", []), record.get("started_at")
    listed = isinstance(attempts, list) and all(isinstance(each, dict) for each in attempts)
    timed = is_time(record.get("finished_at")) and (started is None or is_time(started))
    return named and texts and timed and listed


def check_status(status: Any) -> str:
    """Return the status of a run that has ended. Raises ValueError for any other value."""
    if status not in STATUSES:
        raise ValueError(f"{status!r} is not how a run ends")
    return str(status)
