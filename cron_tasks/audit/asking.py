"""Explain what happened to a job at a time that a person names."""

from collections.abc import Callable

from redis import Redis

from cron_tasks.audit.account_reader import days_between, read_accounts, read_open_ticks
from cron_tasks.audit.explain import Answer, explain_tick
from cron_tasks.ledger.history import read_history, request_history, split_runs
from cron_tasks.ledger.run_id import RunId
from cron_tasks.registry.registry import Registry
from cron_tasks.store import keys


def explain_at(
    redis: Redis, job_id: str, read_time: Callable[[str], float], now: float
) -> tuple[float, Answer]:
    """Explain what happened to a job at a time, or what will happen. Return the time too.

    `read_time` returns the time (seconds since the epoch) that a person has named, for the zone of
    the job. Raises UnknownJob, and the errors of `read_time`.
    """
    (found,) = read_accounts(redis, [job_id], range(0), read_open_ticks(redis))
    if not found.versions:
        Registry(redis).get_job(job_id)
    latest = next((v.schedule for v in reversed(found.versions) if v.schedule), None)
    zone = latest.timezone if latest else "UTC"
    when = read_time(zone)
    (found,) = read_accounts(redis, [job_id], days_between(when, when), read_open_ticks(redis))
    to_skip = redis.zscore(keys.SKIPS, RunId(job_id, when)) is not None
    with redis.pipeline(transaction=False) as pipe:
        request_history(pipe, job_id)
        history = read_history(pipe.execute(), job_id)
    runs = {run["run_id"]: run for run in split_runs(history)}
    return when, explain_tick(found, runs, when, now, zone, to_skip)
