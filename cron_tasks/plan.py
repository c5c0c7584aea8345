"""What has to change so that the registry holds what the REST service lists. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cron_tasks.jobs import NO_LIMITS, Job, Rejected, fingerprint, job_id, validate
from cron_tasks.limits import Limits

#: A list may drop this many jobs without being taken for a broken one.
SHRINK_ALLOWANCE = 10


@dataclass(frozen=True, slots=True)
class Policy:
    """How a list is judged: zone of jobs that name none, largest share that may vanish at once,
    what jobs may do."""

    timezone: str = "UTC"
    shrink_limit: float = 0.5
    force: bool = False
    limits: Limits = NO_LIMITS


@dataclass(frozen=True, slots=True)
class Desired:
    """A job as listed, and the fingerprint of the row that it came from."""

    job: Job
    fingerprint: str


@dataclass(slots=True)
class Changes:
    """The difference; `refusal` says why none of it may be applied."""

    added: list[Desired] = field(default_factory=list)
    changed: list[Desired] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    unchanged: int = 0
    refusal: str | None = None

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


def plan(current: Mapping[str, str], rows: Iterable[tuple[str, Any]], policy: Policy) -> Changes:
    """Compare `current`, fingerprints by job id, with the listed (place, row).

    Only a row whose fingerprint is new is validated. A rejected row leaves the registered version
    of its job as it is; of rows with the same id the first counts. What `rows` raises passes
    through, so that half a list plans nothing.
    """
    changes = Changes()
    places: dict[str, str] = {}
    # Limits say nothing of a job that only notifies, so another limit leaves it as it is.
    salts = policy.timezone, policy.timezone + policy.limits.salt
    for place, row in rows:
        identity = job_id(row)
        if identity is not None:
            if identity in places:
                error = f"`id`: {identity} is already used in {places[identity]}, which counts"
                changes.rejected.append(Rejected(identity, place, (error,), row))
                continue
            places[identity] = place
            print_of_row = fingerprint(row, salts["action" in row])
            if current.get(identity) == print_of_row:
                changes.unchanged += 1
                continue
        match validate(row, timezone=policy.timezone, place=place, limits=policy.limits):
            case Rejected() as rejected:
                changes.rejected.append(rejected)
            case job:
                known = job.id in current
                (changes.changed if known else changes.added).append(Desired(job, print_of_row))
    changes.removed = [identity for identity in current if identity not in places]
    changes.refusal = None if policy.force else _refusal(len(current), len(places), changes, policy)
    return changes


def _refusal(known: int, listed: int, changes: Changes, policy: Policy) -> str | None:
    gone = len(changes.removed)
    if known and not listed:
        return f"the list is empty but {known} jobs are known"
    if gone > SHRINK_ALLOWANCE and gone > policy.shrink_limit * known:
        return f"the list would remove {gone} of {known} jobs, more than {policy.shrink_limit:.0%}"
    return None
