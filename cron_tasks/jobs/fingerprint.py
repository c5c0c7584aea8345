"""The fingerprint of a row: the same for as long as the row describes the same job. Pure."""

from base64 import urlsafe_b64encode
from collections.abc import Collection
from hashlib import blake2b
from typing import Any

import orjson

from cron_tasks.jobs.actions import HttpAction, NotifyAction, TaskAction
from cron_tasks.jobs.job import OPTIONS, TIMING
from cron_tasks.jobs.messages import names_in_json
from cron_tasks.jobs.policies import Catchup, Notify, Retry
from cron_tasks.jobs.row import LEFT_OUT, MAPPED_TO_NULL
from cron_tasks.text.display import printable_key
from cron_tasks.text.stored_json import to_storable

#: Part of every fingerprint. It is raised when the same row would give another document.
FORMAT = b"4"
#: The fields that count: those of a job, and what rest/mapping.py adds to a row.
_COUNTED = frozenset({*TIMING, *OPTIONS, LEFT_OUT, MAPPED_TO_NULL})
#: The fields that count in nested objects, and in actions by their type. Those of plug-ins all do.
_PARTS = {
    name: names_in_json(part).keys()
    for name, part in (("notify", Notify), ("retry", Retry), ("catchup", Catchup))
}
_ACTIONS = {
    name: names_in_json(action).keys()
    for name, action in (("notify", NotifyAction), ("http", HttpAction), ("task", TaskAction))
}


def fingerprint_row(row: Any, salt: str) -> str:
    """Return 16 characters that depend on the row, on `salt` and on the format of this version.

    Only the fields of a job count, also in its nested objects. Services keep counters and times in
    the same row (`n_pings`, `last_ping`), and our reports come back in the next list.
    """
    if isinstance(row, dict):
        row = _keep_counted(row)
    try:
        canonical = orjson.dumps(row, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        shape = row if isinstance(row, dict) else {"": row}
        plain = {printable_key(key): to_storable(value, 1 << 30) for key, value in shape.items()}
        canonical = orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)
    digest = blake2b(b"%b\0%b\0%b" % (FORMAT, salt.encode(), canonical), digest_size=12)
    return urlsafe_b64encode(digest.digest()).decode()


def _keep_counted(row: dict[Any, Any]) -> dict[Any, Any]:
    kept = row
    if not row.keys() <= _COUNTED:
        kept = {name: value for name, value in row.items() if name in _COUNTED}
    for name, known in _PARTS.items():
        if name in kept and isinstance(part := kept[name], dict) and not part.keys() <= known:
            kept = kept | {name: _keep(part, known)}
    action = kept.get("action")
    if isinstance(action, dict) and isinstance(kind := action.get("type"), str):
        known = _ACTIONS.get(kind, action.keys())
        if not action.keys() <= known:
            kept = kept | {"action": _keep(action, known)}
    return kept


def _keep(part: dict[Any, Any], known: Collection[str]) -> dict[Any, Any]:
    return {name: value for name, value in part.items() if name in known}
