"""The fingerprint of a row: the same for as long as the row describes the same job. Pure."""

from base64 import urlsafe_b64encode
from hashlib import blake2b
from typing import Any

import orjson

from cron_tasks.text.display import printable_key
from cron_tasks.text.stored_json import to_storable

#: Part of every fingerprint. It is raised when the same row would make another document.
FORMAT = b"2"
#: Fields that do not define a job: our own reports (report/), and when its row was last saved.
REMARKS = frozenset(
    {"last_run_at", "last_status", "last_error", "next_run_at", "config_error"}
    | {"updated_at", "updated", "modified_at", "modified"}
)


def fingerprint_row(row: Any, salt: str) -> str:
    """Return 16 characters that depend on the row, on `salt` and on the format of this version.

    REMARKS do not count, so that a report that comes back in the next list changes nothing.
    """
    if isinstance(row, dict) and not row.keys().isdisjoint(REMARKS):
        row = {name: value for name, value in row.items() if name not in REMARKS}
    try:
        canonical = orjson.dumps(row, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        shape = row if isinstance(row, dict) else {"": row}
        plain = {printable_key(key): to_storable(value, 1 << 30) for key, value in shape.items()}
        canonical = orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)
    digest = blake2b(b"%b\0%b\0%b" % (FORMAT, salt.encode(), canonical), digest_size=12)
    return urlsafe_b64encode(digest.digest()).decode()
