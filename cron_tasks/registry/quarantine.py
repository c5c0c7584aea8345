"""Broken entries: taken out of the schedule until the next sync writes them again."""

from redis import Redis

from cron_tasks.store import names
from cron_tasks.store.scripts import positional
from cron_tasks.text.display import is_utf8, printable

#: Why an entry was set aside is told in up to this many characters.
REASON_SHOWN = 300
_set_aside = positional("registry/set_aside")


def set_aside(redis: Redis, key: str, reason: str, audited: int) -> None:
    """Take a broken entry out of the schedule; the next sync writes its job anew.

    Its ticks from now on are accounted for as missed, for `audited` seconds.
    """
    keys = [names.SCHEDULE, names.SET_ASIDE, names.JOBS, names.SOURCE]
    # A key that is not valid UTF-8 does not belong to a job.
    job_id = names.job_id_of(key) if is_utf8(key) else ""
    args = [key, printable(reason, REASON_SHOWN), job_id or "", names.ACCOUNT_PREFIX, str(audited)]
    _set_aside(redis, keys, [arg.encode(errors="surrogateescape") for arg in args])
