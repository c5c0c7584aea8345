"""The pings about the runs of a job to its `heartbeat_url`. Pure.

They follow Healthchecks (https://healthchecks.io/docs/http_api/): `{url}/start`, `{url}` and
`{url}/fail`, each with a `rid`, which shows the check which pings belong to one run.
"""

from uuid import NAMESPACE_URL, uuid5

import orjson

from cron_tasks.jobs.job import Job

_SUFFIXES = {"start": "/start", "ok": "", "failed": "/fail"}


def write_pings(job: Job, run_id: str, kind: str, now: float) -> tuple[bytes, ...]:
    """Return the ping of a run in the form of `cron_tasks:pings`, or nothing.

    `kind` is "start", or the final status of the run. A run that was skipped or missed has neither
    succeeded nor failed.
    """
    if job.heartbeat_url is None or kind not in _SUFFIXES:
        return ()
    ping = {
        "job_id": job.id,
        "url": job.heartbeat_url,
        "suffix": _SUFFIXES[kind],
        "rid": str(uuid5(NAMESPACE_URL, run_id)),
        "at": now,
    }
    return (orjson.dumps(ping),)
