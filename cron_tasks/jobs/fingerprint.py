"""The fingerprint of a row: the same for as long as the row describes the same job. Pure."""

from binascii import b2a_base64
from collections.abc import Collection
from functools import lru_cache
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
#: Of RFC 4648, section 5. Its function in the standard library takes twice as long.
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
#: The fields that count: those of a job, and what rest/mapping.py adds to a row.
_COUNTED = frozenset({*TIMING, *OPTIONS, LEFT_OUT, MAPPED_TO_NULL})
#: The relevant fields of nested objects, and of actions by their type. All fields of plug-ins are
#: relevant.
_PARTS = {
    name: frozenset(names_in_json(part))
    for name, part in (("notify", Notify), ("retry", Retry), ("catchup", Catchup))
}
_ACTIONS = {
    name: frozenset(names_in_json(action))
    for name, action in (("notify", NotifyAction), ("http", HttpAction), ("task", TaskAction))
}
#: The fields of which all of the value counts.
_PLAIN = _COUNTED - {*_PARTS, "action"}


def fingerprint_row(row: Any, salt: str) -> str:
    """Return 16 characters that depend on the row, on `salt` and on the format of this version.

    Only the fields of a job are relevant, including those of its nested objects. Services keep
    counters and times in the same row (`n_pings`, `last_ping`), and our reports come back in the
    next list.
    """
    if isinstance(row, dict) and not _PLAIN.issuperset(row):
        row = _keep_counted(row)
    try:
        canonical = orjson.dumps(row, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        shape = row if isinstance(row, dict) else {"": row}
        plain = {printable_key(key): to_storable(value, 1 << 30) for key, value in shape.items()}
        canonical = orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)
    hashed = _begin(salt).copy()
    hashed.update(canonical)
    return b2a_base64(hashed.digest(), newline=False).translate(_URL_SAFE).decode()


@lru_cache(maxsize=8)
def _begin(salt: str) -> blake2b:
    """Return the hash of what stands before each row."""
    return blake2b(b"%b\0%b\0" % (FORMAT, salt.encode()), digest_size=12)


def _keep_counted(row: dict[Any, Any]) -> dict[Any, Any]:
    """Return a row without the fields that do not count, and without those of its nested
    objects."""
    row = _keep(row, _COUNTED)
    for name, known in _PARTS.items():
        if isinstance(part := row.get(name), dict) and not known.issuperset(part):
            row = row | {name: _keep(part, known)}
    if isinstance(action := row.get("action"), dict):
        kind = action.get("type")
        fields = _ACTIONS.get(kind) if isinstance(kind, str) else None
        if fields and not fields.issuperset(action):
            row = row | {"action": _keep(action, fields)}
    return row


def _keep(part: dict[Any, Any], known: Collection[str]) -> dict[Any, Any]:
    return {name: value for name, value in part.items() if name in known}
