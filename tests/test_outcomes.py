"""The time of the next attempt, by the policy of the job and the request of a service."""

from typing import Any

import pytest

from cron_tasks.jobs.job import Job
from cron_tasks.jobs.run import Run
from cron_tasks.jobs.validation import validate_row
from cron_tasks.ledger.records import OpenRun
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import State
from cron_tasks.runs.outcomes import conclude
from cron_tasks.runs.result import Attempt, Result
from cron_tasks.settings import Settings

NOW = 1_795_424_400.0  # 2026-11-23T09:00:00Z


def wait(retry_after: float, chance: float = 0.0, now: float = NOW + 0.5, **fields: Any) -> float:
    """Return the seconds until the second attempt."""
    row = {"id": 7, "name": "x", "chat_id": 1, **fields}
    row["retry"] = {"max_attempts": 5} | fields.get("retry", {})
    job = validate_row(row, timezone="UTC")
    assert isinstance(job, Job), job
    run = Run(job, RunId("7", NOW), NOW, 1)
    tick = OpenRun(RunId("7", NOW), State.parse("r|1||w"), job.to_document().decode(), "")
    result = Result("failed", error="answered 503", retry_after=retry_after)
    outcome = conclude(run, tick, result, Attempt(1, NOW, now, "w"), Settings(), chance)
    assert outcome.retry_at is not None
    return outcome.retry_at - now


@pytest.mark.parametrize(
    ("retry_after", "fields", "seconds"),
    [
        (3600, {"every": 2}, 1.5),
        (1, {"every": 2}, 1),
        (3600, {"cron_expression": "* * * * *"}, 59.5),
        (3600, {"every": 86_400}, 600),
        (3600, {"every": 86_400, "retry": {"max_backoff": 7200}}, 3600),
        (1e300, {"run_at": "2026-11-23T09:00:00Z"}, 600),
        (1e300, {"every": 86_400, "retry": {"max_backoff": 604_800}}, 54_000 - 0.5),
        (0, {"every": 2}, 0),
    ],
)
def test_retry_after_silences_no_job(
    retry_after: float, fields: dict[str, Any], seconds: float
) -> None:
    assert wait(retry_after, **fields) == pytest.approx(seconds)


def test_the_policy_of_the_job_counts_beside_it() -> None:
    assert wait(3, chance=1, every=2) == pytest.approx(10)
    assert wait(30, chance=1, every=60, retry={"backoff": 1}) == pytest.approx(30)
