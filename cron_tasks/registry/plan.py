"""Plans the changes that make the registry equal to the list of the REST service. Pure."""

import json
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cron_tasks.jobs.alike import Alike
from cron_tasks.jobs.fingerprint import fingerprint_row
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.permissions import NO_PERMISSIONS, Permissions
from cron_tasks.jobs.queues import QueuesInUse, QueueUse, find_queue_uses
from cron_tasks.jobs.rejected import Rejected, Unreadable
from cron_tasks.jobs.routing import routing_options
from cron_tasks.jobs.row import row_id
from cron_tasks.jobs.validation import validate_row
from cron_tasks.registry.index import HeldIndex, Index, has_fingerprint
from cron_tasks.schedules import Schedule
from cron_tasks.store.paging import pages

#: A list may lack this many known jobs without being refused.
SHRINK_ALLOWANCE = 10
#: The most rows of a page that are compared with the next page, on which they may come again.
_MOST_MOVED = 500


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules for judging a list.

    `timezone`, `notify_queue` and `worker_queue` are the defaults of jobs. `shrink_limit` is the
    largest share of the known jobs that a list may lack, unless `force` is set. `remark_on(job)`
    returns a remark about a job, or None.
    """

    timezone: str = "UTC"
    shrink_limit: float = 0.5
    force: bool = False
    permissions: Permissions = NO_PERMISSIONS
    notify_queue: str = "queue:to_telegram"
    worker_queue: str = "cron_tasks"
    remark_on: Callable[[Job], Any] = lambda _job: None

    def queues(self) -> QueuesInUse:
        """Return the queues that are in use even without jobs."""
        queues = QueuesInUse()
        queues.add(
            (
                QueueUse(self.notify_queue, "notify.queue", "CRON_TASKS_NOTIFY_QUEUE"),
                QueueUse(self.worker_queue, "queue", "CRON_TASKS_DEFAULT_QUEUE"),
            )
        )
        return queues


@dataclass(slots=True, init=False)
class Desired:
    """A job as listed, in the form in which it is stored, and the fingerprint of its row.

    `options` are the options of its messages. A list of a million jobs becomes a million of these,
    so they contain no model.
    """

    id: str
    fingerprint: str
    document: bytes
    schedule: Schedule
    enabled: bool
    options: Mapping[str, Any]

    def __init__(
        self, job: Job, fingerprint: str, job_id: str | None = None, document: bytes | None = None
    ) -> None:
        """Take a job, or with `job_id` and `document` another job of the same settings."""
        self.id = job.id if job_id is None else job_id
        self.fingerprint = fingerprint
        self.document = job.to_document() if document is None else document
        self.schedule, self.enabled = job.schedule, job.enabled
        self.options = routing_options(job)

    @property
    def job(self) -> Job:
        return Job.from_document(self.document)


@dataclass(slots=True)
class Changes:
    """The difference between the registry and a list. With a `refusal`, nothing may be applied.

    Rows are `candidates` until `judge_candidates` has judged them, each as (place, row as JSON or
    as it is, fingerprint, whether its job is known). Without candidates the plan is complete.
    `remarks` are the remarks of the policy about added and changed jobs, each with the ids of its
    jobs.
    """

    policy: Policy = Policy()
    queues: QueuesInUse = field(default_factory=QueuesInUse)
    candidates: deque[tuple[str, Any, str, bool]] = field(default_factory=deque)
    added: list[Desired] = field(default_factory=list)
    changed: list[Desired] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    remarks: dict[Any, list[str]] = field(default_factory=dict)
    unchanged: int = 0
    refusal: str | None = None
    _alike: Alike | None = None

    def __bool__(self) -> bool:
        return bool(self.candidates or self.added or self.changed or self.removed)

    def leave_out(self, ids: Collection[str]) -> None:
        """Remove jobs from a complete plan."""
        self.added = [each for each in self.added if each.id not in ids]
        self.changed = [each for each in self.changed if each.id not in ids]
        self.removed = [each for each in self.removed if each not in ids]

    @property
    def desired(self) -> list[Desired]:
        """Return the jobs to write."""
        return [*self.added, *self.changed]

    def add_candidate(self, place: str, row: Any, fingerprint: str, known: bool) -> None:
        """Keep a row in a small form until all rows are known."""
        small = json.dumps(row) if type(row) is dict else row
        self.candidates.append((place, small, fingerprint, known))

    def judge_candidates(self) -> None:
        """Complete the plan: each candidate is added, changed or rejected."""
        while self.candidates:
            place, row, fingerprint, known = self.candidates.popleft()
            self.judge(place, json.loads(row) if type(row) is str else row, fingerprint, known)

    def judge(self, place: str, row: Any, fingerprint: str, known: bool) -> None:
        """Add, change or reject the job of a row."""
        uses = find_queue_uses(row, place)
        collisions = self.queues.find_collisions(uses)
        if known and not collisions:
            # This includes a rejected row, because its last good version keeps its queues.
            self.queues.add(uses)
        identity = row_id(row)
        match self._validator().read_row(row, identity, place):
            case Rejected() as rejected:
                self.rejected.append(replace(rejected, errors=rejected.errors + collisions))
            case _ if collisions:
                self.rejected.append(Rejected(identity, place, collisions, row))
            case job, document, remark:
                self.queues.add(uses)
                desired = Desired(job, fingerprint, identity, document)
                (self.changed if known else self.added).append(desired)
                if remark is not None:
                    self.remarks.setdefault(remark, []).append(desired.id)

    def _validator(self) -> Alike:
        if self._alike is None:
            zone, permissions = self.policy.timezone, self.policy.permissions

            def validate(row: Any, place: str) -> Job | Rejected:
                return validate_row(row, timezone=zone, place=place, permissions=permissions)

            self._alike = Alike(validate, self.policy.remark_on)
        return self._alike


def plan_changes(
    current: Mapping[str, str] | Index, rows: Iterable[tuple[str, Any]], policy: Policy
) -> Changes:
    """Return the complete plan. Nothing is written before each row is validated.

    The arguments are those of `compare_list`. A row is judged when it is read, so that only the
    data to write is kept. A row that names another queue than those in use waits until all rows are
    read, because the queues of registered jobs come before those of edited and new ones.
    """
    changes = Changes(policy, policy.queues())
    any_known = len(current) > 0

    def consider(place: str, row: Any, fingerprint: str, known: bool) -> None:
        if any_known and not changes.queues.hold(find_queue_uses(row, place)):
            changes.add_candidate(place, row, fingerprint, known)
        else:
            changes.judge(place, row, fingerprint, known)

    compare_list(current, rows, changes, consider)
    changes.judge_candidates()
    return changes


def compare_list(
    current: Mapping[str, str] | Index,
    rows: Iterable[tuple[str, Any]],
    changes: Changes,
    consider: Callable[[str, Any, str, bool], object],
) -> None:
    """Compare `current`, the index of jobs (index.py), with the listed (place, row).

    `consider` is called with each row whose fingerprint is new, or whose queues collide with
    others: with its place, the row, the fingerprint, and whether its job is known. If the row is
    then rejected, the registered version of its job stays as it is. Everything else goes into
    `changes`. The first of several rows with the same id is used. A row that comes again on the
    next page is not a second one, because rows move back if another is inserted before them
    meanwhile. Errors of `rows` are raised, so that half a list plans nothing.
    """
    policy, places, found = changes.policy, dict[str, str](), 0
    index = HeldIndex(current) if isinstance(current, Mapping) else current
    # Permissions do not apply to a job that only notifies, so it stays when they change.
    salts = policy.timezone, policy.timezone + policy.permissions.fingerprint_salt
    recent: deque[tuple[str, str]] = deque(maxlen=_MOST_MOVED)
    for identity, place, row, registered in _look_up(index, rows):
        if identity is None:
            consider(place, row, "", False)
            continue
        print_of_row = fingerprint_row(row, salts["action" in row])
        if identity in places:
            on_one_page = _page_of(place) == _page_of(places[identity])
            if on_one_page or (identity, print_of_row) not in recent:
                error = f"`id`: {identity} is already used in {places[identity]}, which counts"
                changes.rejected.append(Rejected(identity, place, (error,), row))
            continue
        places[identity] = place
        recent.append((identity, print_of_row))
        found += registered is not None
        if has_fingerprint(registered, print_of_row) and _may_stay(row, place, changes.queues):
            changes.unchanged += 1
        else:
            consider(place, row, print_of_row, registered is not None)
    changes.removed = index.find_others(found, places.keys())
    changes.refusal = (
        None if policy.force else _explain_refusal(len(index), len(places), changes, policy)
    )


def _look_up(
    index: Index, rows: Iterable[tuple[str, Any]]
) -> Iterator[tuple[str | None, str, Any, str | None]]:
    """Yield each row as its id, its place, itself, and the value of its job in the index."""
    for page in pages(rows):
        places, found = zip(*page, strict=True)
        ids = list(map(row_id, found))
        # No job has the id "".
        values = index.look_up([identity or "" for identity in ids])
        yield from zip(ids, places, found, values, strict=True)


def _page_of(place: str) -> str:
    return place.partition(",")[0] if place.startswith("page ") else ""


def _may_stay(row: dict[Any, Any], place: str, queues: QueuesInUse) -> bool:
    """Add the queues of an unchanged row. Return whether the row may stay."""
    if type(row) is dict and "queue" not in row and "notify" not in row:
        return True  # This is true of most rows.
    uses = find_queue_uses(row, place)
    if isinstance(row, Unreadable) or queues.find_collisions(uses):
        return False
    queues.add(uses)
    return True


def _explain_refusal(known: int, listed: int, changes: Changes, policy: Policy) -> str | None:
    """Return why a list is refused, or None."""
    gone = len(changes.removed)
    if known and not listed:
        return f"the list is empty but {known} jobs are known"
    if gone > SHRINK_ALLOWANCE and gone > policy.shrink_limit * known:
        return f"the list would remove {gone} of {known} jobs, more than {policy.shrink_limit:.0%}"
    return None
