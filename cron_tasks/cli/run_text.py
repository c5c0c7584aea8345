"""Show runs to people: as a table, and each as a line. Times are in the zone of the job."""

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from cron_tasks.cli import console
from cron_tasks.runs.shapes import Shape
from cron_tasks.runs.wording import describe_outcome, describe_reason, whole_second
from cron_tasks.schedules.human import format_runtime
from cron_tasks.text.display import printable

if TYPE_CHECKING:
    from redis import Redis

    from cron_tasks.jobs.job import Job

#: The jobs of some runs, by id. A job that was removed is not among them.
Jobs = Mapping[str, "Job"]


def read_jobs_of(redis: "Redis", runs: Iterable[Shape]) -> Jobs:
    """Return the jobs of these runs, as far as they still exist."""
    from cron_tasks.registry.registry import Registry

    job_ids = dict.fromkeys(run["job_id"] for run in runs)
    found = Registry(redis).read_jobs(job_ids, on_unreadable=lambda *_: None)
    return {each.job.id: each.job for each in found}


def zone_of(run: Shape, jobs: Jobs, default: str) -> str:
    """Return the zone of a run's job, or `default` if the job was removed."""
    job = jobs.get(run["job_id"])
    return job.timezone if job else default


def print_runs(
    runs: Collection[Shape], zone: str, jobs: Jobs | None = None, none: str = "no run matches"
) -> None:
    """Print runs as a table. With `jobs` it has their names, and `zone` is for other jobs."""
    heading = ["run", "status", "attempt", "ended", "took", "worker", "reason"]
    rows = [_cells(run, zone_of(run, jobs or {}, zone)) for run in runs]
    if jobs is not None:
        heading.insert(-2, "name")
        for run, row in zip(runs, rows, strict=True):
            job = jobs.get(run["job_id"])
            row.insert(-2, printable(job.name, 1000) if job else "")
    console.print_table(heading, rows, none)


def _cells(run: Shape, zone: str) -> list[str]:
    head = [run["run_id"], run["status"], str(run["attempt"] or "")]
    ended, worker = whole_second(run["finished_at"], zone), printable(run["worker"] or "")
    return [*head, ended, format_runtime(run["duration"]), worker, describe_reason(run, zone)]


def format_end(run: Shape, jobs: Jobs, zone: str) -> str:
    """Return a line for a run that has ended: when, which, the job's name, and how."""
    job, local = jobs.get(run["job_id"]), zone_of(run, jobs, zone)
    name = [printable(job.name)] if job else []
    ended = whole_second(run["finished_at"], local)
    return "  ".join([ended, run["run_id"], *name, describe_outcome(run, local)])
