"""Plans what has to change so that the registry holds what the REST service lists. Pure."""

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cron_tasks.jobs.fingerprint import fingerprint_row
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.permissions import NO_PERMISSIONS, Permissions
from cron_tasks.jobs.queues import QueuesInUse, QueueUse, find_queue_uses
from cron_tasks.jobs.rejected import Rejected, Unreadable
from cron_tasks.jobs.validation import row_id, validate_row

#: A list may lack this many known jobs without being taken for a broken one.
SHRINK_ALLOWANCE = 10


@dataclass(frozen=True, slots=True)
class Policy:
    """How a list is judged.

    `timezone`, `notify_queue` and `worker_queue` are those of jobs that name none. `shrink_limit`
    is the largest share of the known jobs that a list may lack, unless `force` is set.
    """

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
    """The difference between the registry and a list. None of it may be applied with a `refusal`.

    New and edited rows are `candidates` until `judge_candidates` has validated them, each as
    (place, row, fingerprint, whether its job is known). Without candidates the plan is complete.
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

    def leave_out(self, ids: Collection[str]) -> None:
        """Take jobs out of a complete plan."""
        self.added = [each for each in self.added if each.job.id not in ids]
        self.changed = [each for each in self.changed if each.job.id not in ids]
        self.removed = [each for each in self.removed if each not in ids]

    @property
    def desired(self) -> list[Desired]:
        """Return the jobs to write."""
        return [*self.added, *self.changed]

    def judge_candidates(self) -> None:
        """Complete the plan: each candidate is added, changed or rejected."""
        zone, permissions = self.policy.timezone, self.policy.permissions
        # A row is dropped as soon as its job is made: 100,000 of both take much memory.
        while self.candidates:
            place, row, print_of_row, known = self.candidates.popleft()
            uses = find_queue_uses(row, place)
            collisions = self.queues.find_collisions(uses)
            if known and not collisions:
                # Also for a row that is rejected: its last good version keeps its queues.
                self.queues.add(uses)
            match validate_row(row, timezone=zone, place=place, permissions=permissions):
                case Rejected() as rejected:
                    errors = rejected.errors + collisions
                    self.rejected.append(replace(rejected, errors=errors))
                case job if collisions:
                    self.rejected.append(Rejected(job.id, place, collisions, row))
                case job:
                    self.queues.add(uses)
                    desired = Desired(job, print_of_row)
                    (self.changed if known else self.added).append(desired)


def plan_changes(
    current: Mapping[str, str], rows: Iterable[tuple[str, Any]], policy: Policy
) -> Changes:
    """Return the complete plan, or an incomplete one with a refusal.

    The arguments are those of `compare_list`. Nothing is written before each row is validated.
    """
    changes = compare_list(current, rows, policy)
    if not changes.refusal:
        changes.judge_candidates()
    return changes


def compare_list(
    current: Mapping[str, str], rows: Iterable[tuple[str, Any]], policy: Policy
) -> Changes:
    """Compare `current`, fingerprints by job id, with the listed (place, row).

    Only a row whose fingerprint is new, or whose queues collide with others, becomes a candidate. A
    row that is then rejected leaves the registered version of its job as it is. The first of
    several rows with the same id counts. What `rows` raises passes through, so that half a list
    plans nothing.
    """
    changes = Changes(policy, policy.queues())
    places: dict[str, str] = {}
    # Permissions do not apply to a job that only notifies, so a change of them leaves it as it is.
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
            if registered == print_of_row and _may_stay(row, place, changes.queues):
                changes.unchanged += 1
            else:
                known = registered is not None
                changes.candidates.append((place, row, print_of_row, known))
    changes.removed = [identity for identity in current if identity not in places]
    changes.refusal = (
        None if policy.force else _explain_refusal(len(current), len(places), changes, policy)
    )
    return changes


def _may_stay(row: dict[Any, Any], place: str, queues: QueuesInUse) -> bool:
    """Note the queues of a row that is registered as it is. Return whether it may stay so."""
    if type(row) is dict and "queue" not in row and "notify" not in row:
        return True  # as most rows
    uses = find_queue_uses(row, place)
    if isinstance(row, Unreadable) or queues.find_collisions(uses):
        return False
    queues.add(uses)
    return True


def _explain_refusal(known: int, listed: int, changes: Changes, policy: Policy) -> str | None:
    """Return why a list is taken for a broken one, or None."""
    gone = len(changes.removed)
    if known and not listed:
        return f"the list is empty but {known} jobs are known"
    if gone > SHRINK_ALLOWANCE and gone > policy.shrink_limit * known:
        return f"the list would remove {gone} of {known} jobs, more than {policy.shrink_limit:.0%}"
    return None
