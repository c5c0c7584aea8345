"""Quarantine of broken entries: they leave the schedule until the next sync writes them again."""

from redis import Redis

from cron_tasks.ledger.counting import count_missed
from cron_tasks.store import keys
from cron_tasks.store.scripts import script
from cron_tasks.text.display import is_utf8, printable

#: The most characters of the stored reason of a quarantine.
REASON_SHOWN = 300

_quarantine = script("registry/quarantine")


def quarantine_entry(redis: Redis, key: str, reason: str, audited: int) -> None:
    """Take a broken entry out of the schedule. The next sync writes its job again.

    Its ticks from now on are accounted for as missed, for `audited` seconds.
    """
    # A key that is not valid UTF-8 does not belong to a job.
    job_id = keys.job_id_of(key) if is_utf8(key) else ""
    _quarantine(
        redis,
        # As bytes, because redis-py refuses to send text with undecodable bytes.
        key=key.encode(errors="surrogateescape"),
        reason=printable(reason, REASON_SHOWN).encode(errors="surrogateescape"),
        job_id=job_id or "",
        audit_ttl=audited,
        counts=count_missed("set_aside"),
    )
