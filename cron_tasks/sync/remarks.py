"""What the log says about the jobs that a sync writes, in few lines for many jobs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import structlog

from cron_tasks.jobs.job import KNOWN_FIELDS, Job
from cron_tasks.jobs.messages import describe_unknown_fields
from cron_tasks.settings import Settings

log = structlog.get_logger("cron_tasks.sync")


class Remark(NamedTuple):
    """The remarks for the log about a written job, apart from its id."""

    unknown_fields: tuple[str, ...]
    lost_switches: tuple[str, ...]
    left_out: tuple[str, ...]
    lacks_recipient: bool


def remark_on(job: Job, settings: Settings) -> Remark | None:
    """Return the remarks for the log about a job, or None."""
    faults = (job.lost_switches, job.left_out) if job.extra else ((), ())
    lonely = job.enabled and job.lacks_recipient(settings.chat_id)
    remark = Remark(job.unknown_fields, *faults, lonely)
    return remark if any(remark) else None


def log_remarks(remarks: Mapping[Remark, Sequence[str]]) -> None:
    """Log the remarks about jobs, each with the ids of its jobs."""
    for remark, job_ids in remarks.items():
        for job_id in job_ids:
            for warning in remark.lost_switches:
                log.warning("job.warning", job_id=job_id, warning=warning)
    _log_unknown_fields(remarks)
    if found := [(each.left_out[0], ids) for each, ids in remarks.items() if each.left_out]:
        fields = _remark_fields(found[0][0], [ids for _, ids in found])
        log.warning("sync.left_out", **fields)
    if alone := [ids for each, ids in remarks.items() if each.lacks_recipient]:
        warning = "notifications without a recipient: set `chat_id`, or CRON_TASKS_CHAT_ID"
        log.warning("sync.no_recipient", **_remark_fields(warning, alone))


def _log_unknown_fields(remarks: Mapping[Remark, Sequence[str]]) -> None:
    """Log the unknown fields of all written jobs in one line, the commonest first."""
    times, jobs = Counter[str](), list[Sequence[str]]()
    for each, ids in remarks.items():
        if each.unknown_fields:
            times.update(dict.fromkeys(each.unknown_fields, len(ids)))
            jobs.append(ids)
    if jobs:
        names = tuple(name for name, _ in times.most_common())
        warning = describe_unknown_fields(names, KNOWN_FIELDS)
        log.warning("sync.unknown_fields", **_remark_fields(warning, jobs))


def _remark_fields(warning: str, job_ids: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Return the fields of one log line about many jobs: their number, the warning and the first
    job."""
    return {"warning": warning, "jobs": sum(map(len, job_ids)), "job_id": job_ids[0][0]}
