"""The fingerprint of a row: the same for as long as the row describes the same job. Pure."""

from base64 import urlsafe_b64encode
from hashlib import blake2b
from typing import Any

import orjson

from cron_tasks.jobs.job import OPTIONS, TIMING
from cron_tasks.jobs.row import LEFT_OUT, MAPPED_TO_NULL
from cron_tasks.text.display import printable_key
from cron_tasks.text.stored_json import to_storable

#: Part of every fingerprint. It is raised when the same row would make another document.
FORMAT = b"4"
#: The fields that count: those of a job, and what rest/mapping.py adds to a row.
_COUNTED = frozenset({*TIMING, *OPTIONS, LEFT_OUT, MAPPED_TO_NULL})


def fingerprint_row(row: Any, salt: str) -> str:
    """Return 16 characters that depend on the row, on `salt` and on the format of this version.

    Only the fields of a job count. Services keep counters and times in the same row (`n_pings`,
    `last_ping`), and our reports come back in the next list.
    """
    if isinstance(row, dict) and not row.keys() <= _COUNTED:
        row = {name: value for name, value in row.items() if name in _COUNTED}
    try:
        canonical = orjson.dumps(row, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        shape = row if isinstance(row, dict) else {"": row}
        plain = {printable_key(key): to_storable(value, 1 << 30) for key, value in shape.items()}
        canonical = orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)
    digest = blake2b(b"%b\0%b\0%b" % (FORMAT, salt.encode(), canonical), digest_size=12)
    return urlsafe_b64encode(digest.digest()).decode()
