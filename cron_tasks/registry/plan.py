"""What has to change so that the registry holds what the REST service lists. Pure."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cron_tasks.jobs.fingerprint import fingerprint_row
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.permissions import NO_PERMISSIONS, Permissions
from cron_tasks.jobs.queues import QueuesInUse, QueueUse, find_queue_uses
from cron_tasks.jobs.rejected import Rejected, Unreadable
from cron_tasks.jobs.validation import row_id, validate_row

#: A list may drop this many jobs without being taken for a broken one.
SHRINK_ALLOWANCE = 10


@dataclass(frozen=True, slots=True)
class Policy:
    """How a list is judged: zone of jobs that name none, largest share that may vanish at once,
    what jobs may do, the queues of jobs that name none, for notifications and for workers."""

    timezone: str = "UTC"
    shrink_limit: float = 0.5
    force: bool = False
    permissions: Permissions = NO_PERMISSIONS
    notify_queue: str = "queue:to_telegram"
    worker_queue: str = "cron_tasks"

    def queues(self) -> QueuesInUse:
        """Return the queues that are in use whatever the jobs are."""
        queues = QueuesInUse()
        queues.add(
            (
                QueueUse(self.notify_queue, "notify.queue", "CRON_TASKS_NOTIFY_QUEUE"),
                QueueUse(self.worker_queue, "queue", "CRON_TASKS_DEFAULT_QUEUE"),
            )
        )
        return queues


@dataclass(frozen=True, slots=True)
class Desired:
    """A job as listed, and the fingerprint of the row that it came from."""

    job: Job
    fingerprint: str


@dataclass(slots=True)
class Changes:
    """The difference; `refusal` says why none of it may be applied.

    New and edited rows wait in `candidates` until `settle` has judged them, each as (place, row,
    fingerprint, whether its job is known).
    """

    policy: Policy = Policy()
    queues: QueuesInUse = field(default_factory=QueuesInUse)
    candidates: deque[tuple[str, Any, str, bool]] = field(default_factory=deque)
    added: list[Desired] = field(default_factory=list)
    changed: list[Desired] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    unchanged: int = 0
    refusal: str | None = None

    def __bool__(self) -> bool:
        return bool(self.candidates or self.added or self.changed or self.removed)

    def settle(self) -> Iterator[Desired]:
        """The jobs to write; a candidate is judged when it is asked for.

        So Redis can write the first page of a long list while the next one is judged.
        """
        zone, permissions = self.policy.timezone, self.policy.permissions
        yield from (*self.added, *self.changed)
        while self.candidates:
            place, row, print_of_row, known = self.candidates.popleft()
            named = find_queue_uses(row, place)
            collisions = self.queues.find_collisions(named)
            if known and not collisions:
                # Also of a row that is rejected: its last good version keeps its queues.
                self.queues.add(named)
            match validate_row(row, timezone=zone, place=place, permissions=permissions):
                case Rejected() as rejected:
                    errors = rejected.errors + collisions
                    self.rejected.append(replace(rejected, errors=errors))
                case job if collisions:
                    self.rejected.append(Rejected(job.id, place, collisions, row))
                case job:
                    self.queues.add(named)
                    desired = Desired(job, print_of_row)
                    (self.changed if known else self.added).append(desired)
                    yield desired


def plan(current: Mapping[str, str], rows: Iterable[tuple[str, Any]], policy: Policy) -> Changes:
    """Compare `current`, fingerprints by job id, with the listed (place, row).

    Only a row whose fingerprint is new, or whose queues collide with others, becomes a candidate. A
    row that is then rejected leaves the registered version of its job as it is; of rows with the
    same id the first counts. What `rows` raises passes through, so that half a list plans nothing.
    """
    changes = Changes(policy, policy.queues())
    places: dict[str, str] = {}
    # Limits say nothing of a job that only notifies, so another limit leaves it as it is.
    salts = policy.timezone, policy.timezone + policy.permissions.fingerprint_salt
    for place, row in rows:
        identity = row_id(row)
        if identity is None:
            changes.candidates.append((place, row, "", False))
        elif identity in places:
            error = f"`id`: {identity} is already used in {places[identity]}, which counts"
            changes.rejected.append(Rejected(identity, place, (error,), row))
        else:
            places[identity] = place
            print_of_row = fingerprint_row(row, salts["action" in row])
            registered = current.get(identity)
            if registered == print_of_row and _stays(row, place, changes.queues):
                changes.unchanged += 1
            else:
                known = registered is not None
                changes.candidates.append((place, row, print_of_row, known))
    changes.removed = [identity for identity in current if identity not in places]
    changes.refusal = None if policy.force else _refusal(len(current), len(places), changes, policy)
    return changes


def _stays(row: dict[Any, Any], place: str, queues: QueuesInUse) -> bool:
    """Whether a row that is registered as it is may stay so. Notes the queues that it names."""
    if type(row) is dict and "queue" not in row and "notify" not in row:
        return True  # as most rows
    named = find_queue_uses(row, place)
    if isinstance(row, Unreadable) or queues.find_collisions(named):
        return False
    queues.add(named)
    return True


def _refusal(known: int, listed: int, changes: Changes, policy: Policy) -> str | None:
    gone = len(changes.removed)
    if known and not listed:
        return f"the list is empty but {known} jobs are known"
    if gone > SHRINK_ALLOWANCE and gone > policy.shrink_limit * known:
        return f"the list would remove {gone} of {known} jobs, more than {policy.shrink_limit:.0%}"
    return None
